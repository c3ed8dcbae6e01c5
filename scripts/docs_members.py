"""For the reference of `make docs`: gives classes that attrs makes the signature that they have."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import griffe

_KINDS: dict[Any, griffe.ParameterKind] = {
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
}


class Members(griffe.Extension):
    """Adds `__init__` where attrs does, without what begins with an underscore."""

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Look at each class once its members are known."""
        if any(str(decorator.value).startswith("attrs.") for decorator in cls.decorators):
            made = getattr(import_module(cls.module.path), cls.name)
            given = inspect.signature(made).parameters.values()
            shown = [_parameter(cls, each) for each in given if not each.name.startswith("_")]
            self_ = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
            init = griffe.Function("__init__", parameters=griffe.Parameters(self_, *shown))
            cls.set_member("__init__", init)


def _parameter(cls: griffe.Class, given: inspect.Parameter) -> griffe.Parameter:
    fields = [cls.members.get(name) for name in (f"_{given.name}", given.name)]
    annotation = next(
        (each.annotation for each in fields if isinstance(each, griffe.Attribute)), None
    )
    return griffe.Parameter(
        given.name, annotation=annotation, kind=_KINDS[given.kind], default=_default(given)
    )


def _default(given: inspect.Parameter) -> str | None:
    if given.default is inspect.Parameter.empty:
        return None
    return "{}" if "NOTHING" in repr(given.default) else repr(given.default)

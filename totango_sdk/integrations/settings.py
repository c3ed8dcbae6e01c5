"""A framework's settings as a client's options, and errors that say where a wrong one stands."""

from __future__ import annotations

import os
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from ..errors import OptionsError
from ..options import _ENVIRONMENT, Options
from ..show import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NOBODYS = "SP-1-1"  # where nothing is sent, nobody needs a service id
# What makes another option right or wrong.
_TOGETHER = {"endpoint": ("allow_http",), "durability": ("spool",)}


def with_service_id(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return these options with some service id, if they disable the client."""
    found = {name: value for name, value in given.items() if value is not None}
    disabled = found.get("disabled", os.environ.get("TOTANGO_DISABLED"))
    if disabled in (True, "1", "true", "yes", "on") and not os.environ.get("TOTANGO_SERVICE_ID"):
        found.setdefault("service_id", _NOBODYS)
    return found


def wrong_options(given: Mapping[str, Any]) -> list[tuple[str, OptionsError]]:
    """Return each option that is wrong by its name, with its error; in the order given."""
    found = with_service_id(given)
    wrong = []
    for name, value in (found | {"service_id": found.get("service_id")}).items():
        beside = {other: found[other] for other in _TOGETHER.get(name, ()) if other in found}
        environ = _service_id_alone(os.environ) if name == "service_id" else {}
        try:
            Options.resolve({"service_id": _NOBODYS, **beside, name: value}, environ)
        except OptionsError as error:
            wrong.append((name, error))
        else:
            continue
    return wrong


def _service_id_alone(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name == "TOTANGO_SERVICE_ID"}


def wrong_environment(given: Mapping[str, Any]) -> list[str]:
    """Return what the environment says wrong where these options say nothing, each by its variable."""
    found = with_service_id(given)
    wrong = []
    for name, variable in _ENVIRONMENT.items():
        if name == "service_id" or name in found or not _said_of(name):
            continue
        beside = {other: found[other] for other in _TOGETHER.get(name, ()) if other in found}
        environ = {_ENVIRONMENT[each]: _said_of(each) for each in (name, *_TOGETHER.get(name, ()))}
        try:
            Options.resolve({"service_id": _NOBODYS, **beside}, environ)
        except OptionsError as error:
            told = str(error)
            wrong.append(told if told.startswith(variable) else f"{variable}: {told}")
    return wrong


def _said_of(name: str) -> str:
    return os.environ.get(_ENVIRONMENT.get(name, ""), "")


def check_options(given: Mapping[str, Any], where: Callable[[str], str]) -> dict[str, Any]:
    """Return the options that a client is made of. Raises `OptionsError`, which says where it stands."""
    for name, error in wrong_options(given):
        is_given = given.get(name) is not None or not _said_of(name)
        raise OptionsError(f"{where(name) if is_given else _ENVIRONMENT[name]}: {error}")
    for text in wrong_environment(given):
        raise OptionsError(text)
    return with_service_id(given)


def check_identity(function: object, *, may_be_awaited: bool = False) -> None:
    """Refuse what cannot be an identity function. Raises `OptionsError`."""
    if function is None:
        return
    if not callable(function) or (iscoroutinefunction(function) and not may_be_awaited):
        kind = "function" if may_be_awaited else "plain function"
        kind = "function" if not callable(function) else kind
        msg = (
            f"identity={shown(function)} is wrong: it is a {kind} of the request that returns "
            "an Identity or None"
        )
        raise OptionsError(msg)

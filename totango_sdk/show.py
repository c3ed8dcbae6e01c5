"""How a value is shown to a person: in an error, a log line, a `repr`."""

from __future__ import annotations

from typing import Any

from . import host

_SHOWN = 80


def shown(value: object) -> str:
    """Return `value` as an error message may show it: one line, never more than 80 characters."""
    try:
        return one_line(
            repr(value if not isinstance(value, str | bytes) else value[: _SHOWN + 1]), _SHOWN
        )
    except host.FAILURES as error:  # a hostile __repr__ must not hide the error that is told
        host.let_pass(error)
        return f"<{type(value).__name__} that cannot be shown>"


def one_line(text: str, limit: int) -> str:
    """Return `text` as a log line may have it: what cannot be printed is escaped, and it is cut to
    `limit`.
    """
    if not text.isprintable():
        text = "".join(
            char if char.isprintable() else ascii(char)[1:-1] for char in text[: limit + 1]
        )
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class Readable:
    """Shows the fields of an attrs class, as attrs would; writing a `__repr__` for each class costs
    at import.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        kind: Any = type(self)
        shown_fields = [
            f"{field.alias}={(field.repr if callable(field.repr) else repr)(getattr(self, field.name))}"
            for field in kind.__attrs_attrs__
            if field.repr
        ]
        return f"{kind.__name__}({', '.join(shown_fields)})"

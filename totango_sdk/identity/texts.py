"""What is text, and what text can be sent."""

from __future__ import annotations

import re
import sys
from typing import Any

from ..show import shown

_HUGE_INT_BITS = 2048  # always within sys.get_int_max_str_digits(), and far beyond the longest ID
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def canonical_id(value: object) -> str | None:
    """Return the text of an ID given as `str`, `int` or `UUID`; `None` for anything else.

    A `float` has no canonical text: `819332.0` and `819332` would be two accounts.
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]
    if issubclass(kind, str):
        return exact_str(value)
    if issubclass(kind, int) and kind is not bool:
        return int.__repr__(value) if int.bit_length(value) <= _HUGE_INT_BITS else None  # type: ignore[arg-type]
    return uuid_text(value)


def exact_str(value: object) -> str | None:
    """Return the text of a `str`, without what a subclass of it (an `Enum`, say) makes of it; else
    `None`.
    """
    # By type, not isinstance: a mock of a str claims to be one, and is not.
    return str.__str__(value) if issubclass(type(value), str) else None


def uuid_text(value: object) -> str | None:
    """Return the canonical form of a `UUID`; `None` for anything else."""
    # Whoever holds a UUID has imported uuid; importing it here would cost 5 ms. Another thread may
    # be halfway there.
    uuid: Any = getattr(sys.modules.get("uuid"), "UUID", ())
    return uuid.__str__(value) if issubclass(type(value), uuid) else None


def unencodable(text: str) -> str | None:
    """Say why `text` cannot be sent as UTF-8, or return `None`."""
    if text.isascii() or not (found := _SURROGATE.search(text)):
        return None
    return (
        f"{shown(text)} has the lone surrogate {found[0]!a}, which cannot be written as UTF-8. "
        "Decode the text with the right encoding before it comes here"
    )


def has_control(text: str) -> str | None:
    """Return the first control character in `text`, or `None`."""
    found = _CONTROL.search(text)
    return found[0] if found else None

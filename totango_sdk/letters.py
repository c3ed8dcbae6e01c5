"""Dead before they were stored: what a refused call leaves, with the caller's whole input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from .spool import Item

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .identity import Problem

_LANE = ""
_DEEPEST = 8


def refusal(call: dict[str, Any], problems: Iterable[Problem], reason: str = "") -> dict[str, Any]:
    """Return what is kept of a call that was refused: `reason`, `input` and `problems`."""
    listed = list(problems)
    return {
        "reason": reason or "; ".join(str(problem) for problem in listed if problem.severity == "error"),
        "input": plain(call),
        "problems": [
            {"field": each.field, "value": plain(each.value), "message": each.message, "severity": each.severity}
            for each in listed
        ],
    }


def letter(told: dict[str, Any]) -> Item:
    """Return a refusal as the spool keeps it."""
    import json

    return Item(_LANE, json.dumps(told).encode("ascii"), is_letter=True)


def plain(value: Any, depth: int = 0) -> Any:
    """Return `value` as JSON can hold it; what JSON lacks, as the text that Python shows for it."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and value.bit_length() < 1024:
        return int(value)
    if attrs.has(type(value)):
        value = _given(value)
    if depth < _DEEPEST:
        if hasattr(value, "items"):
            return {_key(key): plain(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [plain(each, depth + 1) for each in value]
    return _text(value)


def _given(entity: Any) -> dict[str, Any]:
    """Return what the caller gave for an account, a product or a user."""
    fields = [field.name for field in attrs.fields(type(entity)) if field.init and not field.name.startswith("_")]
    found = {name: getattr(entity, name) for name in fields}
    return {name: value for name, value in found.items() if value is not None and value != {}}


def _key(key: object) -> str:
    return key if isinstance(key, str) else _text(key)


def _text(value: object) -> str:
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    try:
        # Of a huge number or a broken object there is nothing better to keep than its type.
        return str(value) if type(value).__str__ is not object.__str__ else repr(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"

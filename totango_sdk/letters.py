"""Dead before they were stored: what a refused call leaves, with the caller's whole input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from .spool import Item

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .identity import Problem

_LANE = ""
_DEEPEST = 8
_MOST_VALUES = 100_000
_JSON_INT_BITS = 1024


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


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it; what JSON lacks, as the text that Python shows for it."""
    return _Plain().read(value, 0)


class _Plain:
    """Reads what a caller gave. Nothing that it finds there can raise, or go on for ever."""

    def __init__(self) -> None:
        self._left = _MOST_VALUES

    def read(self, value: Any, depth: int) -> Any:
        self._left -= 1
        try:
            return self._read(value, depth)
        except Exception:  # a hostile object: its class is all that can be said of it
            return f"<{type(value).__name__} that cannot be shown>"

    def _read(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int.__int__(value) if int.bit_length(value) < _JSON_INT_BITS else hex(value)
        if attrs.has(type(value)):
            value = _given(value)
        if depth < _DEEPEST and self._left > 0:
            if isinstance(value, Mapping):
                return self._mapping(value, depth)
            if isinstance(value, list | tuple):
                return [self.read(each, depth + 1) for each in value]
        return _text(value)

    def _mapping(self, value: Any, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, each in value.items():
            name = key if isinstance(key, str) else _text(key)
            if name in found:  # two keys that look alike: neither may hide the other
                name = f"{name} ({type(key).__name__})"
            found[name] = self.read(each, depth + 1)
        return found


def _given(entity: Any) -> dict[str, Any]:
    """Return what the caller gave for an account, a product or a user."""
    fields = [field.name for field in attrs.fields(type(entity)) if field.init and not field.name.startswith("_")]
    found = {name: getattr(entity, name) for name in fields}
    return {name: value for name, value in found.items() if value is not None and not _is_empty(value)}


def _is_empty(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) == 0


def _text(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)

"""Dead: what is kept of an event that will not be delivered. The one place that writes and reads it.

A spool stores a refusal as bytes, and gives back a `DeadLetter` that it makes by `refused` or
`given_up`. It looks into neither.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from .. import host
from ..imports import preload
from ..show import Readable, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..errors import Problem
    from .values import Leased

_DEEPEST = 8
_MOST_VALUES = 100_000
_JSON_INT_BITS = 1024


@attrs.frozen(kw_only=True, repr=False)
class DeadLetter(Readable):
    """An event that was given up, with everything that is needed to mend it.

    `reason` says why in one line. An event that was refused before it was stored has `input`, the
    caller's whole input, and `problems`, each with `field`, `value`, `message`, `severity` and
    `rule`. One that the collector refused has `body`, as it was sent (without the token), and `attempts`.
    Times are seconds since 1970.
    """

    id: str
    reason: str
    body: bytes | None = attrs.field(default=None, repr=False)
    input: dict[str, Any] | None = None
    problems: tuple[dict[str, str], ...] = ()
    attempts: int = 0
    accepted_at: float
    dead_at: float

    @classmethod
    def refused(cls, event_id: str, refusal: bytes, at: float) -> DeadLetter:
        """Return the letter of a call that was refused before it was stored.

        `refusal` is the body of the item, as it was put, and `at` the time of that.
        """
        told = _read(refusal)
        return cls(
            id=event_id,
            reason=str(told.get("reason") or f"unreadable: {shown(refusal)}"),
            input=told.get("input"),
            problems=tuple(told.get("problems", ())),
            accepted_at=at,
            dead_at=at,
        )

    @classmethod
    def given_up(cls, event: Leased, reason: str, at: float | None = None) -> DeadLetter:
        """Return the letter of an event that went out for the last time, `at` some time or now."""
        return cls(
            id=f"{event.id:x}",
            reason=reason,
            body=event.body,
            attempts=event.attempts + 1,
            accepted_at=event.accepted_at,
            dead_at=time.time() if at is None else at,
        )


def _read(refusal: bytes) -> dict[str, Any]:
    preload("json")
    import json

    try:
        told = json.loads(refusal)
    except (ValueError, RecursionError) as error:
        host.let_pass(error)
        return {}
    return told if isinstance(told, dict) else {}


def refusal(call: Mapping[str, Any], problems: Iterable[Problem], reason: str = "") -> bytes:
    """Return what is kept of a refused call: why, the caller's whole input, and every problem."""
    preload("json")
    import json

    listed = list(problems)
    errors = "; ".join(str(problem) for problem in listed if problem.severity == "error")
    told = {
        "reason": reason or errors,
        "input": plain(call),
        "problems": [_told(problem) for problem in listed],
    }
    return json.dumps(told).encode("ascii")


def _told(problem: Problem) -> dict[str, Any]:
    return {
        "field": problem.field,
        "value": plain(problem.value),
        "message": problem.message,
        "severity": problem.severity,
        "rule": problem.rule,
    }


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
        except host.FAILURES as error:  # a hostile object: its class is all that can be said of it
            host.let_pass(error)
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
    fields = [
        field
        for field in attrs.fields(type(entity))
        if field.init and not field.alias.startswith("_")
    ]
    found = {field.alias: getattr(entity, field.name) for field in fields}
    return {
        name: value for name, value in found.items() if value is not None and not _is_empty(value)
    }


def _is_empty(value: Any) -> bool:
    return isinstance(value, Mapping) and len(value) == 0


def _text(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)

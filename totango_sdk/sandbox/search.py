"""What `GET /events.json` can ask for, and how each is found."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import OptionsError
from ..show import shown
from .arrival import KINDS, SOURCES
from .words import escaped, words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What a filter can be, where that is not any text.
CHOICES: dict[str, tuple[str, ...]] = {
    "kind": KINDS,
    "source": SOURCES,
    "problem": ("any", "none", "error", "warning", "fault"),
}
_PROBLEM = {
    "any": "severity IS NOT NULL",
    "none": "severity IS NULL",
    "error": "severity = 'error'",
    "warning": "severity = 'warning'",
    "fault": "fault IS NOT NULL",
}


class Condition(NamedTuple):
    """A part of a WHERE, with one `?` for each of its values."""

    text: str
    values: tuple[Any, ...]


def conditions(filters: Mapping[str, str]) -> list[Condition]:
    """Return what requests must fulfil. Raises `OptionsError` for a filter that cannot be."""
    asked = {name: text for name, text in filters.items() if name in FILTERS and text}
    return [each for name, text in asked.items() for each in FILTERS[name](name, text)]


def milliseconds(name: str, text: str) -> int:
    """Return a time as milliseconds since 1970, from those or from ISO 8601; without a zone it is
    UTC. Raises `OptionsError`.
    """
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return int(text)
    try:
        at = dt.datetime.fromisoformat(text)
        aware = at if at.tzinfo else at.replace(tzinfo=dt.UTC)
        return int(aware.timestamp() * 1000)
    except (ValueError, OverflowError):
        msg = (
            f"{name}={shown(text)} is no time: give it as in {name}=2026-01-31T12:00:00Z, or as "
            "milliseconds since 1970"
        )
        raise OptionsError(msg) from None


_SENT = """lower(
    (SELECT heads.head FROM heads WHERE heads.id = requests.head)
    || char(10) || query || char(10) || body || char(10) || source || char(10) || kind
)"""


def _text(_: str, text: str) -> list[Condition]:
    return [_has(word) for word in words(text)]


def _has(word: str) -> Condition:
    forms = sorted(escaped(word) - {word})
    found = "instr(sent, ?) > 0"
    for _ in forms:
        found += " OR (words IS NULL AND instr(sent, ?) > 0)"
    # The limit has SQLite put what was sent together once, and not for each of the forms.
    sent = f"EXISTS (SELECT 1 FROM (SELECT {_SENT} AS sent LIMIT 1) WHERE {found})"
    return Condition(f"(instr(words, ?) > 0 OR {sent})", (word, word, *forms))


def _equal(name: str, text: str) -> list[Condition]:
    return [Condition(f"{name} = ?", (text,))]


def _choice(name: str, text: str) -> list[Condition]:
    if text not in CHOICES[name]:
        msg = f"{name}={shown(text)} is not one of {', '.join(CHOICES[name])}"
        raise OptionsError(msg)
    return [Condition(_PROBLEM[text], ())] if name == "problem" else _equal(name, text)


def _from(name: str, text: str) -> list[Condition]:
    return [Condition("time >= ? / 1000.0", (milliseconds(name, text),))]


def _to(name: str, text: str) -> list[Condition]:
    return [Condition("time < ? / 1000.0", (milliseconds(name, text),))]


FILTERS: dict[str, Callable[[str, str], list[Condition]]] = {
    "text": _text,
    "account": _equal,
    "user": _equal,
    "service": _equal,
    "kind": _choice,
    "source": _choice,
    "problem": _choice,
    "from": _from,
    "to": _to,
}

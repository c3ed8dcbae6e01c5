"""`--suggest-map`: a map that says what was recognised, and shows the columns that were not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .columns import Meaning, meaning_of
from .values import Broken

if TYPE_CHECKING:
    from .source import Source

_ROWS_LOOKED_AT = 1000
_VALUES_SHOWN = 3
_EVENT = ("activity", "module", "time")


def suggested_map(source: Source) -> str:
    """Return a map for a source as TOML."""
    known: dict[str, Meaning] = {}
    others: dict[str, list[str]] = {}
    for column, values in _columns(source).items():
        meaning = meaning_of(column)
        if meaning is None or meaning in known.values():
            others[column] = values
        else:
            known[column] = meaning
    lines = [f"# What {source.name} holds. Check it, change it, and give it as --map."]
    lines += [f"call = {{ column = {_text(name)} }}" for name in _named(known, "call")]
    for entity in ("account", "product", "user"):
        lines += _entity(entity, known)
    event = {name: column for column, name in _fields(known) if name in _EVENT}
    if event:
        lines += [
            "",
            "[event]",
            *(f"{name} = {_text(event[name])}" for name in _EVENT if name in event),
        ]
    if others:
        lines += ["", "# Not recognised, with values that they have:"]
        lines += [_comment(column, values) for column, values in others.items()]
    return "\n".join(lines) + "\n"


def _columns(source: Source) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in source.columns or ()}
    for count, (_, values) in enumerate(source.rows()):
        if count == _ROWS_LOOKED_AT:
            break
        if isinstance(values, Broken):
            continue
        items = values.items() if isinstance(values, Mapping) else zip(found, values, strict=False)
        for name, value in list(items):
            _note(found.setdefault(str(name), []), value)
    return found


def _note(values: list[str], value: Any) -> None:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    if value not in (None, "") and text not in values and len(values) < _VALUES_SHOWN:
        values.append(text)


def _fields(known: dict[str, Meaning]) -> list[tuple[str, str]]:
    return [(column, meaning.name) for column, meaning in known.items()]


def _named(known: dict[str, Meaning], name: str) -> list[str]:
    return [column for column, meaning in known.items() if meaning.name == name]


def _entity(entity: str, known: dict[str, Meaning]) -> list[str]:
    of_it = {column: meaning for column, meaning in known.items() if meaning.entity == entity}
    fields = [
        (meaning.field, column) for column, meaning in of_it.items() if not meaning.is_attribute
    ]
    attributes = [
        (meaning.field, column) for column, meaning in of_it.items() if meaning.is_attribute
    ]
    lines = ["", f"[{entity}]"] if of_it else []
    lines += [f"{field} = {_text(column)}" for field, column in fields]
    if attributes:
        lines += [f"[{entity}.attributes]"]
        lines += [f"{_text(name)} = {_text(column)}" for name, column in attributes]
    return lines


def _comment(column: str, values: list[str]) -> str:
    shown_values = ", ".join(_text(value[:40]) for value in values) or "(always empty)"
    return f"# {_text(column)}: {shown_values}"


def _text(value: str) -> str:
    """A text as TOML writes it; JSON's way is the same but for what is beyond the basic plane."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

"""What a body is that is no form, and the parameters that were meant."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

from ..wire import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

Other = Literal["JSON", "multipart", "XML"]
FORM = "application/x-www-form-urlencoded"

_BEGINNINGS: tuple[tuple[str, Other], ...] = (("{", "JSON"), ("[", "JSON"), ("<", "XML"))
_PART = re.compile(r"content-disposition:\s*form-data", re.IGNORECASE)
_FIELD = re.compile(
    r'content-disposition:\s*form-data;[^\r\n]*\bname="([^"\r\n]*)"[^\r\n]*\r?\n'
    r"(?:[^\r\n]+\r?\n)*\r?\n(.*?)\r?\n--",
    re.IGNORECASE | re.DOTALL,
)
_MOST_MEANT = 1000
_LONGEST_HEAD = 1000


def other_form(body: str) -> Other | None:
    """Return what a body is that is no form; `None` for a form."""
    start = body[:_LONGEST_HEAD].lstrip("\ufeff \t\r\n")
    if start.startswith("--") and _PART.search(start):
        return "multipart"
    for beginning, other in _BEGINNINGS:
        if start.startswith(beginning):
            return other
    return None


def parameters(query: str, body: str) -> list[tuple[str, str]]:
    """Return the parameters of a request, those of the address first. What is no form has none."""
    if not body or other_form(body) is not None:
        return decode(query)
    return decode(query) + decode(body) if query else decode(body)


def meant_parameters(query: str, body: str) -> list[tuple[str, str]]:
    """Return the parameters of a request, and those that a body was meant to have which is JSON or
    multipart.
    """
    other = other_form(body)
    if other is None:
        return parameters(query, body)
    if other == "multipart":
        meant = [(found[1], found[2]) for found in _FIELD.finditer(body)]
    else:
        meant = list(_flat(_parsed(body)))
    return [*decode(query), *meant[:_MOST_MEANT]]


def _parsed(body: str) -> Any:
    try:
        found = json.loads(body.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None
    return found[0] if isinstance(found, list) and found else found


def _flat(found: Any) -> Iterator[tuple[str, str]]:
    """Yield what a JSON object says: of an object within it, `name.inner`."""
    if not isinstance(found, dict):
        return
    for name, value in found.items():
        if isinstance(value, dict):
            inner = ((f"{name}.{key}", each) for key, each in value.items())
            yield from ((key, text) for key, each in inner if (text := _text(each)) is not None)
        elif (text := _text(value)) is not None:
            yield name, text


def _text(value: Any) -> str | None:
    """Return what a value of JSON is as a parameter; `None` where it is none."""
    if isinstance(value, str):
        return value
    return json.dumps(value) if isinstance(value, bool | int | float) else None

"""A session as lines of JSON, to keep and to open again; and what is shown, as CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from ..errors import OptionsError
from ..show import shown
from .arrival import understand
from .copies import headers_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .arrival import Arrival
    from .store import Store

FORMAT = 1
_PAGE = 1000
_WRITE_AT = 500
_COLUMNS = (
    *("id", "time", "method", "source", "kind", "severity", "fault", "accepted", "service"),
    *("account", "user", "activity", "module", "agent"),
)
# A spreadsheet would run what begins so.
_FORMULA = ("=", "+", "@", "\t", "\r")
_MOST_MILLISECONDS = 4_000_000_000_000


def lines(store: Store) -> Iterator[str]:
    """Yield the whole session: a first line of its own, and a line for each request."""
    with store.views() as views:
        ignored = sorted(views.ignored())
    yield json.dumps({"session": FORMAT, "ignored": ignored}, ensure_ascii=False) + "\n"
    after = 0
    while page := store.requests(after, _PAGE):
        for event in page:
            yield json.dumps(event, ensure_ascii=False) + "\n"
        after = page[-1]["id"]


class Opening:
    """A saved session that is being put behind what a store has, line by line."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._number = 0
        self._is_begun = False

    def take(self, text: str) -> bool:
        """Take a line, and return whether it had a request, which is understood anew. Raises
        `OptionsError`, naming the line.
        """
        self._number += 1
        if not text.strip():
            return False
        found = self._parsed(text)
        if not self._is_begun:
            self._is_begun = True
            self._ignore(found.get("ignored"))
            return False
        if (
            self._store.record(_arrival(self._number, found, self._store.extra_id_characters))
            >= _WRITE_AT
        ):
            self._store.flush()
        return True

    def _parsed(self, text: str) -> dict[str, Any]:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and (self._is_begun or found.get("session") == FORMAT):
            return found
        msg = (
            f"line {self._number} is no line of a session: {shown(text)}. Give a file that "
            "GET /session.ndjson has made"
        )
        raise OptionsError(msg)

    def _ignore(self, keys: object) -> None:
        if isinstance(keys, list):
            self._store.ignore(add=[key for key in keys if isinstance(key, str) and key.isascii()])


def _arrival(number: int, found: dict[str, Any], extra_id_characters: str) -> Arrival:
    texts = {name: found.get(name, "") for name in ("method", "query", "body", "agent", "head")}
    wrong = next((name for name, value in texts.items() if not isinstance(value, str)), None)
    at, fault = found.get("ms"), found.get("fault")
    if not isinstance(at, int) or not 0 <= at <= _MOST_MILLISECONDS:
        wrong = "ms"
    if fault is not None and not isinstance(fault, str):
        wrong = "fault"
    if wrong is not None:
        msg = f"line {number} of the session is wrong: {wrong}={shown(found.get(wrong))}"
        raise OptionsError(msg)
    malformed = found.get("malformed")
    return understand(
        time=at / 1000,  # type: ignore[operator]
        method=texts["method"],
        query=texts["query"].encode("utf-8", "replace"),
        body=texts["body"].encode("utf-8", "replace"),
        user_agent=texts["agent"],
        head=texts["head"],
        content_type=headers_of(texts["head"]).get("content-type", ""),
        malformed=malformed if isinstance(malformed, str) else None,
        fault=fault,
        extra_id_characters=extra_id_characters,
    )


def as_csv(events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a table of events, with each parameter of theirs as it came in the last columns.

    What a spreadsheet would take for a formula has a `'` before it.
    """
    yield _row([*_COLUMNS, "problems", "parameters"])
    for event in events:
        problems = "; ".join(f"{each['field']}: {each['message']}" for each in event["problems"])
        parameters = "; ".join(f"{name}={value}" for name, value in event["params"])
        yield _row([*(event[name] for name in _COLUMNS), problems, parameters])


def _row(cells: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow([_cell(cell) for cell in cells])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return str(value).lower() if isinstance(value, bool) else value

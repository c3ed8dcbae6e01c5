"""The file again, with what can be mended for certain: spaces, and Salesforce IDs of 15 or 18."""

from __future__ import annotations

import copy
import csv
import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from ..binding import keys
from ..errors import OptionsError
from ..tables import Broken, open_source
from .ids import salesforce_code
from .rows import column_places, is_an_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..tables import Map, Reading

_IDS = ("account", "parent", "product", "user", "collection", "foreignkeyid", "ofid", "salesforce")
_ACCOUNTS = ("account", "parent")  # IDs of accounts, and references to them
_RECORDS = ("account", "parent", "foreignkeyid", "ofid", "salesforce")
_HEADER = ("line", "column", "before", "after", "why")


class Change(NamedTuple):
    """One value that was mended, or left as it was: then `after` is what it would have become."""

    line: int
    column: str
    before: str
    after: str
    why: str


def fix(
    source: str,
    out: str,
    *,
    columns: Mapping[str, str],
    reading: Reading,
    map: Map | None = None,  # noqa: A002  # the word of the contract
    left: Mapping[str, str] | None = None,
    force: bool = False,
) -> list[Change]:
    """Write a file again with its IDs mended, and beside it what was changed, and what was left.

    CSV stays CSV, with its delimiter; other formats become NDJSON. `left` are account IDs that stay
    as they are, each with what it would become; without it, those that `clashes` finds in this
    file. Raises `OptionsError`, also if `out` is there already and `force` is not given.
    """
    changes_path = f"{out}.changes.csv"
    for path in (out, changes_path):
        if os.path.exists(path) and not force:
            msg = f"{path} is there already: give another name, or --force"
            raise OptionsError(msg)
    if os.path.exists(out) and os.path.samefile(source, out):
        raise OptionsError(f"{out} is the file itself: give another name")
    if left is None:
        left = clashes(source, columns=columns, reading=reading, map=map)
    opened = open_source(source, reading)
    try:
        mender = _Mender(column_places(opened, columns, map), left)
        _write(out, opened, mender)
    except OSError as error:
        raise OptionsError(f"{out} cannot be written: {error.strerror}") from None
    finally:
        opened.close()
    with open(changes_path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([_HEADER, *mender.changes])
    return mender.changes


def clashes(
    source: str,
    *,
    columns: Mapping[str, str],
    reading: Reading,
    map: Map | None = None,  # noqa: A002
) -> dict[str, str]:
    """Return the account IDs of a file that no mend may touch, since two would become one.

    Each has what it would become.
    """
    opened = open_source(source, reading)
    try:
        place = column_places(opened, columns, map).get("account")
        if place is None:
            return {}
        rows = (row for _, row in opened.rows() if not isinstance(row, Broken))
        ids = {value for row in rows if isinstance(value := _get(row, place), str)}
    finally:
        opened.close()
    becomes = {each: mended_id("account", each)[0] for each in ids}
    counts = Counter(becomes.values())
    return {each: new for each, new in becomes.items() if new != each and counts[new] > 1}


def _get(row: Any, place: Any) -> Any:
    if isinstance(place, int):
        return row[place]
    found = place(row)
    return None if found is None else found.value


class _Mender:
    def __init__(self, places: Mapping[str, Any], left: Mapping[str, str]) -> None:
        self._places = {
            what: place for what, place in places.items() if what.partition(" ")[0] in _IDS
        }
        self._left = left
        self.changes: list[Change] = []

    def mend(self, line: int, row: Any, names: Any) -> Any:
        """Return a row with its IDs mended."""
        mended = list(row) if isinstance(row, list | tuple) else copy.deepcopy(row)
        for what, place in self._places.items():
            before = _get(mended, place)
            if not isinstance(before, str) or not is_an_id(before):
                continue
            after, why = mended_id(what.partition(" ")[0], before)
            if not why:
                continue
            left = self._why_left(what, before, after)
            self.changes.append(
                Change(line, _name(mended, place, names), before, after, left or why)
            )
            if not left:
                _set(mended, place, after)
        return mended

    def _why_left(self, what: str, before: str, after: str) -> str:
        if after == before:
            return "left: it cannot be known what is right"
        if what in _ACCOUNTS and before in self._left:
            return f"left: another account would be {after} too"
        return ""


def _name(row: Any, place: Any, names: Any) -> str:
    return str(names[place]) if isinstance(place, int) else str(place(row).key)


def _set(row: Any, place: Any, value: str) -> None:
    if isinstance(place, int):
        row[place] = value
    else:
        found = place(row)
        found.inside[found.key] = value


def mended_id(what: str, value: str) -> tuple[str, str]:
    """Return an ID mended, and why; an empty reason if nothing is wrong that could be mended."""
    trimmed = keys.trimmed(value)
    code, partner = None, None
    if what in _RECORDS:
        code, partner = salesforce_code("account" if what == "parent" else what, trimmed)
    if partner is not None:
        reason = "of 15 characters" if code == "salesforce-15" else "its case was lost"
        return partner, f"a Salesforce ID, {reason}"
    if trimmed != value:
        return trimmed, "a space at its end"
    if code in ("salesforce-15", "salesforce-suffix"):
        return value, "a Salesforce ID"
    return value, ""


def _write(out: str, source: Any, mender: _Mender) -> None:
    names = source.columns
    # What is no UTF-8 in a row that could not be read stays so.
    with open(out, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        if source.format != "csv":
            for line, row in source.rows():
                _write_object(file, line, row, source, mender)
            return
        writer = csv.writer(file, delimiter=source.delimiter, lineterminator="\n")
        writer.writerow(names)
        for line, row in source.rows():
            if isinstance(row, Broken):
                file.write(_text(row, source).rstrip("\r\n") + "\n")
            else:
                writer.writerow(_fields(mender.mend(line, row, names)))


def _text(row: Broken, source: Any) -> str:
    return row.raw.decode(source.codec, "surrogateescape")


def _fields(row: Iterable[Any]) -> Iterator[Any]:
    return ("" if value is None else value for value in row)


def _write_object(file: Any, line: int, row: Any, source: Any, mender: _Mender) -> None:
    if isinstance(row, Broken):
        file.write(" ".join(_text(row, source).split("\n")).rstrip() + "\n")
        return
    mended = mender.mend(line, row, source.columns)
    if source.columns is not None:
        mended = dict(zip(source.columns, mended, strict=True))
    text = json.dumps(mended, ensure_ascii=False, default=str)
    file.write(text.encode("utf-8", "backslashreplace").decode() + "\n")

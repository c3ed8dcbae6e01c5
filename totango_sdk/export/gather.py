"""What was said of each account or user over a whole source, one row for each, by DuckDB.

Each saying goes to a file as it comes, and DuckDB sorts them behind the last row: memory stays
bounded, however many there are.
"""

from __future__ import annotations

import csv
import os
import tempfile
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..errors import OptionsError
from ..replay.parts import Memory
from ..tables.columns import MOST_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .said import Record

_APART = "\x1f"  # no ID has it
_KEY_ALONE = -1
_ROWS_AT_ONCE = 10_000
_MEMORY = "64MB"  # beyond it, DuckDB sorts in files


class Gathered:
    """Keeps what is said, and gives it back: the last value of each, in the order of first sight.

    `ids` are the columns of the key, and `fixed` those that are there anyway.
    """

    def __init__(self, ids: Sequence[str], fixed: Sequence[str]) -> None:
        self._ids = list(ids)
        self._fixed = len(fixed)
        self._places = {name: at for at, name in enumerate(fixed)}
        self._foreign_keys: set[str] = set()
        self._connect = _duckdb()
        self._folder = tempfile.TemporaryDirectory(prefix="totango-export-")
        self._path = os.path.join(self._folder.name, "said.csv")
        self._file = open(self._path, "w", encoding="utf-8", newline="")  # noqa: SIM115
        self._writer = csv.writer(self._file, quoting=csv.QUOTE_ALL)
        self._known: Memory[tuple[str, ...], int] = Memory()  # what was said last
        self._count = 0

    def add(self, record: Record) -> None:
        """Keep what is said of a record. Raises `OptionsError` beyond 999 columns."""
        said = hash(record)
        if self._known.get(record.key) == said:
            return
        self._known.put(record.key, said)
        self._foreign_keys.update(record.foreign_keys)
        key = _APART.join(record.key)
        self._count += 1
        self._writer.writerow((key, self._count, _KEY_ALONE, ""))
        for name, value in record.said:
            self._writer.writerow((key, self._count, self._place(name), value))

    def _place(self, name: str) -> int:
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = len(self._places)
            if len(self._ids) + len(self._places) >= MOST_COLUMNS:
                msg = f"there are {MOST_COLUMNS} columns or more: leave attributes out, by a --map"
                raise OptionsError(msg)
        return place

    @property
    def columns(self) -> list[str]:
        """The header: the IDs, the columns that are fixed, the foreign keys, the attributes."""
        return [*self._ids, *(name for name, _ in self._ordered())]

    def _ordered(self) -> list[tuple[str, int]]:
        fixed = self._fixed
        named = list(self._places.items())
        later = sorted(named[fixed:], key=lambda each: each[0] not in self._foreign_keys)
        return named[:fixed] + later

    def rows(self) -> Iterator[tuple[list[str], list[str]]]:
        """Yield each key with its values, in the order of the columns."""
        self._file.close()
        order = [place for _, place in self._ordered()]
        for key, said in groupby(self._sorted(), key=lambda row: row[0]):
            values = {place: value for _, place, value in said}
            yield key.split(_APART), [values.get(place, "") for place in order]

    def _sorted(self) -> Iterator[tuple[str, int, str]]:
        connection = self._connect(
            os.path.join(self._folder.name, "said.db"),
            config={"threads": "1", "memory_limit": _MEMORY, "temp_directory": self._folder.name},
        )
        try:
            connection.execute("SET preserve_insertion_order = false")
            connection.execute(
                "CREATE TABLE said AS SELECT * FROM read_csv(?, header = false, quote = '\"', "
                "escape = '\"', delim = ',', auto_detect = false, nullstr = ['\\0'], "
                "allow_quoted_nulls = false, columns = {'key': 'VARCHAR', 'seen': 'BIGINT', "
                "'place': 'INTEGER', 'value': 'VARCHAR'}, parallel = false, buffer_size = 4194304)",
                [self._path],
            )
            cursor = connection.execute(
                "WITH firsts AS (SELECT key, min(seen) AS first FROM said GROUP BY key) "
                "SELECT key, place, value FROM said JOIN firsts USING (key) "
                "ORDER BY first, place, seen"
            )
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                yield from rows
        finally:
            connection.close()

    def close(self) -> None:
        """Remove what was kept on the disk."""
        self._file.close()
        self._folder.cleanup()


def _duckdb() -> Any:
    try:
        import duckdb
    except ModuleNotFoundError:
        msg = "users, accounts and collections need DuckDB: pip install 'totango-sdk[replay]'"
        raise OptionsError(msg) from None
    return duckdb.connect

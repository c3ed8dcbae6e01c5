"""Parquet, by DuckDB."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from ..errors import OptionsError
from ..show import shown
from .delimited import MOST_COLUMNS
from .values import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .values import Position

_ROWS_AT_ONCE = 10_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Parquet:
    """Reads one Parquet file. A row's line is its number, from 1."""

    reread = 0

    def __init__(self, path: str) -> None:
        self._path = path
        self._types = self._describe()
        self.columns = tuple(self._types)

    def _describe(self) -> dict[str, str]:
        connection = _connect()
        try:
            query = f"DESCRIBE SELECT * FROM {_table(self._path)}"
            found = connection.execute(query).fetchall()
        except Exception as error:
            msg = f"{shown(self._path)} cannot be opened as Parquet: {str(error).splitlines()[0]}"
            raise OptionsError(msg) from None
        finally:
            connection.close()
        if len(found) >= MOST_COLUMNS:
            msg = f"{self._path} has {len(found)} columns: at most {MOST_COLUMNS - 1} can be read"
            raise OptionsError(msg)
        return {name: kind for name, kind, *_ in found}

    def batches(self, start: Position | None) -> Iterator[Batch]:
        """Yield 10,000 rows at a time."""
        done = 0 if start is None else start.row
        connection = _connect()
        try:
            cursor = connection.execute(self._query(done))
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                behind = done + len(rows)
                lines = range(done + 1, behind + 1)
                yield Batch(self._with_times(rows), lines, range(done + 2, behind + 2), lines)
                done = behind
        finally:
            connection.close()

    def _query(self, done: int) -> str:
        wanted = ", ".join(_column(name, kind) for name, kind in self._types.items())
        return (
            f"SELECT {wanted} FROM {_table(self._path, ', file_row_number=true')} "
            f"WHERE file_row_number >= {done} ORDER BY file_row_number"
        )

    def _with_times(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Give times with a zone as such; DuckDB itself would need another library for that."""
        if not any(kind.startswith("TIMESTAMP WITH TIME") for kind in self._types.values()):
            return rows
        makers: list[Callable[[Any], Any]] = [_maker(kind) for kind in self._types.values()]
        return [tuple(make(value) for make, value in zip(makers, row, strict=True)) for row in rows]


def _connect() -> Any:
    try:
        import duckdb
    except ModuleNotFoundError:
        msg = "Parquet needs DuckDB: pip install 'totango-sdk[replay]'"
        raise OptionsError(msg) from None
    connection = duckdb.connect(":memory:")
    connection.execute("SET threads = 1")
    connection.execute("SET enable_progress_bar = false")
    return connection


def _table(path: str, more: str = "") -> str:
    """Return the one file of this path as a table: no pattern, and no columns out of its folders."""
    alone = re.sub(r"([*?\[])", r"[\1]", path).replace("'", "''")
    return f"read_parquet('{alone}', hive_partitioning=false{more})"


def _column(name: str, kind: str) -> str:
    quoted = '"' + name.replace('"', '""') + '"'
    return f"epoch_us({quoted})" if kind.startswith("TIMESTAMP WITH TIME") else quoted


def _maker(kind: str) -> Callable[[Any], Any]:
    return _as_time if kind.startswith("TIMESTAMP WITH TIME") else _same


def _as_time(value: int | None) -> dt.datetime | None:
    return None if value is None else _EPOCH + dt.timedelta(microseconds=value)


def _same(value: Any) -> Any:
    return value

"""What the sandbox keeps: requests, and the accounts, users and activities that they make."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from . import schema, sql
from .tally import Batch
from .views import Views

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType

    from .arrival import Arrival, Row
    from .ignored import IgnoreFile

_NO_FILTER: Mapping[str, str] = MappingProxyType({})


def _nothing(_: Arrival, __: int) -> None: ...


_log = logging.getLogger("totango_sdk.sandbox")
_PAGE_AT_MOST = 1000
_LATEST_ROWS = 10_000
MOST_EVENTS = 100_000
MOST_BYTES = 256 << 20
_MOST_PEOPLE = 100_000  # accounts, and users
_SPARE = 10  # of what is kept, one part in so many goes at once


class Tail(NamedTuple):
    """The latest rows behind an id, and how many before them there are no more."""

    rows: list[Row]
    skipped: int


class Store:
    """Requests and what they make, in the SQLite file `path`, or in memory for `None`.

    Keeps the latest `most_events` requests, and of those no more than `most_bytes`. `record` only
    remembers; what is remembered is written together by `flush`, and by every call that reads, so
    that a reader sees each request recorded before. May be used by many threads. Raises
    `OptionsError` if the file is not the sandbox's own, is in use, or cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        most_events: int = MOST_EVENTS,
        most_bytes: int = MOST_BYTES,
        extra_id_characters: str = "",
    ) -> None:
        self.extra_id_characters = extra_id_characters
        self._connection = schema.connect(path)
        self._views = Views(self._connection)
        self._lock = threading.RLock()
        self._waiting: list[Arrival] = []
        self._most_events, self._most_bytes = most_events, most_bytes
        self._next_id = self._views.last_id() + 1
        self._kept, self._bytes = self._views.size()
        self._rows: deque[Row] = deque(self._views.rows(_LATEST_ROWS), maxlen=_LATEST_ROWS)
        self._lost = 0
        self.resets = 0
        self.is_closing = False  # who listens to what comes should leave
        self.ignore_file: IgnoreFile | None = None
        # Called with each request that is recorded, and its number, within `record`.
        self.on_arrival: Callable[[Arrival, int], None] = _nothing

    @property
    def lost(self) -> int:
        """Requests that could not be written."""
        return self._lost

    def record(self, arrival: Arrival) -> int:
        """Remember a request. Returns how many wait to be written."""
        with self._lock:
            self._waiting.append(arrival)
            waiting = len(self._waiting)
            number = self._next_id + waiting - 1
            self._rows.append(arrival.row(number))
        self.on_arrival(arrival, number)
        return waiting

    def flush(self) -> None:
        """Write what is remembered, in one transaction. What cannot be written is counted as lost."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            if waiting:
                self._write(waiting)

    def _write(self, waiting: list[Arrival]) -> None:
        batch = Batch(self._next_id, waiting)
        try:
            with self._connection:
                self._connection.execute("BEGIN")
                batch.write(self._connection)
        except sqlite3.Error as wrong:
            if not self._lost:
                _log.error("requests are lost, because the database cannot be written: %s", wrong)
            self._lost += len(waiting)
            self._rows = deque(self._views.rows(_LATEST_ROWS), maxlen=_LATEST_ROWS)
        else:
            self._next_id = batch.next_id
            self._kept += len(waiting)
            self._bytes += sum(arrival.size for arrival in waiting)
            if self._kept > self._most_events or self._bytes > self._most_bytes:
                self._forget_oldest()

    def _forget_oldest(self) -> None:
        with self._connection:
            self._connection.execute("BEGIN")
            gone = 0
            self._kept, self._bytes = self._views.size()  # a head that many have counts once
            while self._kept > self._most_events or self._bytes > self._most_bytes:
                gone += self._views.forget(max(self._kept // _SPARE, 1), _MOST_PEOPLE)
                before = self._kept
                self._kept, self._bytes = self._views.size()
                if self._kept == before:
                    break
            if gone:
                self._connection.execute(sql.COUNT_FORGOTTEN, (gone, gone))

    def tail(self, after: int, most: int = _LATEST_ROWS) -> Tail:
        """Return the latest rows behind the id `after`, in order, of the 10,000 that are at hand."""
        with self._lock:
            rows: list[Row] = []
            for row in reversed(self._rows):
                if row[0] <= after or len(rows) == most:
                    break
                rows.append(row)
        rows.reverse()
        return Tail(rows, max(0, rows[0][0] - after - 1) if rows else 0)

    @contextlib.contextmanager
    def views(self) -> Iterator[Views]:
        """Give what can be read, up to date, and still for as long as the block lasts."""
        with self._lock:
            self.flush()
            yield self._views

    def summary(self) -> dict[str, Any]:
        """Return what `GET /summary.json` answers: totals, activities, product accounts, problems."""
        with self.views() as views:
            return views.summary(lost=self._lost)

    def events(
        self, after: int = 0, limit: int = 100, filters: Mapping[str, str] = _NO_FILTER
    ) -> list[dict[str, Any]]:
        """Return up to `limit` (at most 1,000) requests behind the one with the id `after`, in
        order of arrival.

        Fewer come where they are large. `filters` are those of `search.FILTERS`.
        """
        with self.views() as views:
            return views.events(after, min(limit, _PAGE_AT_MOST), filters)

    def requests(self, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Return up to `limit` requests behind the one with the id `after`, as they came."""
        with self.views() as views:
            return views.requests(after, min(limit, _PAGE_AT_MOST))

    def event(self, number: int) -> dict[str, Any] | None:
        """Return one request, if it is still here."""
        with self.views() as views:
            return views.event(number)

    def accounts(self, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Return up to `limit` (at most 1,000) accounts behind the one with the number `after`,
        with their users.
        """
        with self.views() as views:
            return views.accounts(after, min(limit, _PAGE_AT_MOST))

    def each_event(self, filters: Mapping[str, str] = _NO_FILTER) -> Iterator[dict[str, Any]]:
        """Yield every request that the filters leave, in order of arrival."""
        after = 0
        while page := self.events(after, _PAGE_AT_MOST, filters):
            yield from page
            after = page[-1]["id"]

    def each_account(self) -> Iterator[dict[str, Any]]:
        """Yield every account, in the order in which they were first seen."""
        after = 0
        while page := self.accounts(after, _PAGE_AT_MOST):
            yield from page
            after = page[-1]["number"]

    def ignore(self, *, add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Remember which findings are to be ignored, by their keys: also in `ignore_file`, if there
        is one. A reset keeps them. Raises `OSError` if the file cannot be written.
        """
        with self._lock:
            with self._connection:
                self._connection.execute("BEGIN")
                self._connection.executemany(sql.IGNORE, ((key,) for key in add))
                self._connection.executemany(sql.NO_LONGER_IGNORE, ((key,) for key in remove))
            if self.ignore_file is not None:
                self.ignore_file.write(self._views.ignored())

    def use_ignore_file(self, file: IgnoreFile) -> None:
        """Ignore what is in the file, and keep there what is ignored from now on.

        Raises `OptionsError` if it cannot be read.
        """
        self.ignore(add=file.read())
        self.ignore_file = file

    def reset(self) -> None:
        """Forget everything. Ids go on, so that a reader who asks for what is behind one is not
        fooled.
        """
        with self._lock:
            self.flush()
            with self._connection:
                self._connection.execute("BEGIN")
                for table in schema.TABLES:
                    self._connection.execute(f"DELETE FROM {table}")
            self._lost = self._kept = self._bytes = 0
            self._rows.clear()
            self.resets += 1

    def close(self) -> None:
        """Write what is remembered and let go of the file. A closed store can be closed again."""
        with self._lock:
            if self._waiting:
                self.flush()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

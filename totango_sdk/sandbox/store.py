"""What the sandbox keeps: requests, and the accounts, users and activities that they make."""

from __future__ import annotations

import logging
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, Self

from . import schema
from .tally import Batch
from .views import Views

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from types import TracebackType

    from .arrival import Arrival

_log = logging.getLogger("totango_sdk.sandbox")
_PAGE_AT_MOST = 1000


class Store:
    """Requests and what they make, in the SQLite file `path`, or in memory for `None`.

    `record` only remembers; what is remembered is written together by `flush`, and by every call
    that reads, so that a reader sees each request recorded before. May be used by many threads.
    Raises `OptionsError` if the file is not the sandbox's own, is in use, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._connection = schema.connect(path)
        self._views = Views(self._connection)
        self._lock = threading.RLock()
        self._waiting: list[Arrival] = []
        self._next_id = self._views.last_id() + 1
        self._lost = 0

    def record(self, arrival: Arrival) -> int:
        """Remember a request. Returns how many wait to be written."""
        with self._lock:
            self._waiting.append(arrival)
            return len(self._waiting)

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
        else:
            self._next_id = batch.next_id

    def summary(self) -> dict[str, Any]:
        """Return what `GET /summary.json` answers: totals, activities, product accounts, problems."""
        with self._lock:
            self.flush()
            return self._views.summary(lost=self._lost)

    def events(self, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Return up to `limit` (at most 1,000) requests behind the one with the id `after`, in order of arrival.

        Fewer come where they are large.
        """
        with self._lock:
            self.flush()
            return self._views.events(after, min(limit, _PAGE_AT_MOST))

    def latest(self, limit: int = 50) -> list[dict[str, Any]]:
        """Return the last requests, the latest first."""
        with self._lock:
            self.flush()
            return self._views.latest(limit)

    def accounts(self, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
        """Return up to `limit` (at most 1,000) accounts behind the one with the number `after`, with their users."""
        with self._lock:
            self.flush()
            return self._views.accounts(after, min(limit, _PAGE_AT_MOST))

    def each_event(self) -> Iterator[dict[str, Any]]:
        """Yield every request, in order of arrival."""
        after = 0
        while page := self.events(after, _PAGE_AT_MOST):
            yield from page
            after = page[-1]["id"]

    def each_account(self) -> Iterator[dict[str, Any]]:
        """Yield every account, in the order in which they were first seen."""
        after = 0
        while page := self.accounts(after, _PAGE_AT_MOST):
            yield from page
            after = page[-1]["number"]

    def reset(self) -> None:
        """Forget everything. Ids go on, so that a reader who asks for what is behind one is not fooled."""
        with self._lock:
            self.flush()
            with self._connection:
                self._connection.execute("BEGIN")
                for table in schema.TABLES:
                    self._connection.execute(f"DELETE FROM {table}")
            self._lost = 0

    def close(self) -> None:
        """Write what is remembered and let go of the file. A closed store can be closed again."""
        with self._lock:
            if self._waiting:
                self.flush()
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

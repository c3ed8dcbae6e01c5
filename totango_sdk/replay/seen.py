"""Which calls were there before, in bounded memory."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from typing import TYPE_CHECKING

from ..errors import SpoolFull
from ..tables import iso
from .preview import call_told

if TYPE_CHECKING:
    import datetime as dt

    from .values import Meant

_IN_MEMORY = 100_000


def digest_of(meant: Meant) -> bytes:
    """Return what tells a call from others, whatever its time."""
    told = call_told(meant._replace(time=None))
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=16).digest()


def timed(call: bytes, time: dt.datetime | None) -> bytes:
    """Return what tells a call at its time from others."""
    if time is None:
        return call
    return hashlib.blake2b(call + iso(time).encode(), digest_size=16).digest()


class Seen:
    """Remembers calls: the first 100,000 in memory, and more in a temporary file."""

    def __init__(self) -> None:
        self._few: set[bytes] = set()
        self._many: sqlite3.Connection | None = None

    def is_first(self, call: bytes) -> bool:
        """Whether this call was not there before. Raises `SpoolFull` without room for the file."""
        if self._many is None:
            if len(self._few) < _IN_MEMORY:
                before = len(self._few)
                self._few.add(call)
                return len(self._few) > before
            self._many = self._moved()
        try:
            put = self._many.execute("INSERT OR IGNORE INTO seen VALUES (?)", (call,))
        except sqlite3.OperationalError as error:
            msg = f"the calls that were seen cannot be remembered: {error}. Make room for temporary files"
            raise SpoolFull(msg) from None
        return put.rowcount == 1

    def _moved(self) -> sqlite3.Connection:
        many = sqlite3.connect("", isolation_level=None)  # SQLite removes the file by itself
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA cache_size = -16000",
            "CREATE TABLE seen (call BLOB PRIMARY KEY) WITHOUT ROWID",
            "BEGIN",
        ):
            many.execute(statement)
        many.executemany("INSERT INTO seen VALUES (?)", ((call,) for call in sorted(self._few)))
        self._few = set()
        return many

    def close(self) -> None:
        """Let go of the file."""
        if self._many is not None:
            self._many.close()

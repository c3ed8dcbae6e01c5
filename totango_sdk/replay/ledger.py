"""How far a source has been sent: one SQLite file beside it, so that a run goes on where it ended."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from ..errors import OptionsError, SpoolFull

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EDGE = 64 << 10
_LINK = 16 << 20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS told (source TEXT, name TEXT, value TEXT, PRIMARY KEY (source, name))
WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS finished (source TEXT, row INTEGER, PRIMARY KEY (source, row))
WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (hash BLOB PRIMARY KEY, source TEXT, row INTEGER) WITHOUT ROWID;
"""


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


class Chain:
    """BLAKE2b over the bytes up to an offset, chained over every 16 MiB, so that it can go on."""

    def __init__(self, file: IO[bytes], at: int = 0, chain: str = "") -> None:
        self._file = file
        self._to = at
        self._begin(at, chain)

    def _begin(self, at: int, chain: str) -> None:
        self.at, self.chain = at, chain  # the last whole link ends here, with this digest
        self._hasher = hashlib.blake2b(chain.encode(), digest_size=32)

    def digest(self, offset: int) -> str:
        """Return the digest up to an offset, which never goes back."""
        while self._to < offset:
            upto = min(offset, self.at + _LINK, self._to + (1 << 20))
            data = os.pread(self._file.fileno(), upto - self._to, self._to)
            if not data:
                break
            self._hasher.update(data)
            self._to += len(data)
            if self._to == self.at + _LINK:
                self._begin(self._to, self._hasher.hexdigest())
        return self._hasher.copy().hexdigest()


def edges(file: IO[bytes], size: int) -> list[str]:
    """Return the digests of the first and the last 64 KiB of the first `size` bytes."""
    descriptor = file.fileno()
    start = max(0, size - _EDGE)
    first = os.pread(descriptor, min(_EDGE, size), 0)
    return [_digest(first), _digest(os.pread(descriptor, size - start, start))]


class Ledger:
    """One run's memory of a source, which may be one of several in one file.

    Raises `OptionsError` if another run has it.
    """

    def __init__(self, path: str, source: str = "") -> None:
        self.path = path
        self._source = source
        self._failed: SpoolFull | None = None
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
            os.close(descriptor)
            self._db = sqlite3.connect(path, timeout=0, isolation_level=None)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("BEGIN EXCLUSIVE")
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._db.close()
            raise OptionsError(self._why(error)) from None
        except sqlite3.DatabaseError:
            self._db.close()
            msg = f"{path!r} is no ledger, or a damaged one: move it away, or give --ledger"
            raise OptionsError(msg) from None
        except OSError as error:
            msg = f"the ledger {path!r} cannot be opened: {error.strerror}. Give --ledger"
            raise OptionsError(msg) from None

    def _why(self, error: sqlite3.OperationalError) -> str:
        if "locked" in str(error):
            return f"another run has the ledger {self.path!r}: wait for it to end"
        return f"the ledger {self.path!r} cannot be used: {error}. Give --ledger"

    def get(self, name: str) -> Any:
        """Return what was kept under a name; `None` if nothing."""
        query = "SELECT value FROM told WHERE source = ? AND name = ?"
        found = self._db.execute(query, (self._source, name)).fetchone()
        return None if found is None else json.loads(found[0])

    def finished(self) -> set[int]:
        """Return the rows behind the mark that are final."""
        query = "SELECT row FROM finished WHERE source = ?"
        return {row for (row,) in self._db.execute(query, (self._source,))}

    def clear(self) -> None:
        """Start over."""
        with self._written():
            for table in ("told", "finished", "seen"):
                self._db.execute(f"DELETE FROM {table} WHERE source = ?", (self._source,))

    def keep(self, told: dict[str, Any], rows: Iterable[int] = (), mark: int = 0) -> None:
        """Keep these, and the rows that became final, in one transaction. Raises `SpoolFull`."""
        source = self._source
        with self._written():
            self._db.executemany(
                "INSERT OR REPLACE INTO told VALUES (?, ?, ?)",
                [(source, name, json.dumps(value)) for name, value in told.items()],
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO finished VALUES (?, ?)", [(source, row) for row in rows]
            )
            query = "DELETE FROM finished WHERE source = ? AND row <= ?"
            self._db.execute(query, (source, mark))

    def is_first(self, call: bytes, row: int) -> bool:
        """Whether this row is the first with this call; a later run asks again for the same row.

        What is remembered is written by the next `keep`. Raises `SpoolFull`.
        """
        told = (self._source, row)
        try:
            self._begin()
            self._db.execute("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (call, *told))
            query = "SELECT source, row FROM seen WHERE hash = ?"
            found = self._db.execute(query, (call,)).fetchone()
        except sqlite3.OperationalError as error:
            raise self._full(error) from None
        return bool(found == told)

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Write within one transaction, or nothing. Raises `SpoolFull`, and then each time."""
        if self._failed is not None:
            raise self._failed
        try:
            self._begin()
            yield
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._failed = self._full(error)
            raise self._failed from None

    def _full(self, error: sqlite3.OperationalError) -> SpoolFull:
        msg = (
            f"the ledger {self.path!r} cannot be written: {error}. Make room on its disk; the same "
            "command goes on"
        )
        return SpoolFull(msg)

    def close(self) -> None:
        """Let go."""
        self._db.close()

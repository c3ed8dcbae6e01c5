"""The database: what could not leave soon, and what is dead. One file and one connection.

Only one process ever has it open, and one thread at a time uses it (the spool holds a lock).
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from typing import TYPE_CHECKING, Any
from zlib import crc32

from ..errors import SpoolCorrupt, SpoolError, SpoolFull, SpoolLocked, shown
from .base import DeadLetter, Owner
from .journal import Record
from .paths import create_file, remove_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SCHEMA = 1
_APPLICATION = 0x546F7447  # "TotG"
_PAGE_BYTES = 4096
_CACHE_KIB = 2048
_CHECKPOINT_PAGES = 2000
_LOW_BITS = 0xFFFFFFFF
_TABLES = """
CREATE TABLE events (id INTEGER PRIMARY KEY, lane TEXT NOT NULL, body BLOB NOT NULL, accepted_at REAL NOT NULL,
                     checksum INTEGER NOT NULL);
CREATE TABLE dead (id INTEGER PRIMARY KEY, body BLOB, refused BLOB, reason TEXT NOT NULL,
                   attempts INTEGER NOT NULL, accepted_at REAL NOT NULL, dead_at REAL NOT NULL);
CREATE TABLE meta (name TEXT PRIMARY KEY, value);
"""


class SpoolForeign(SpoolError):
    """A spool that is not ours to touch: of a newer version, or of another service."""


_SUFFIXES = ("", "-wal", "-shm", "-journal")


class Database:
    """The events and dead letters of one spool file."""

    def __init__(self, path: str, owner: Owner, *, durability: str, quota_bytes: int) -> None:
        """Open or make the file. Raises `SpoolCorrupt` if it is damaged or of a newer version."""
        self.path = path
        new = not os.path.exists(path)
        for suffix in _SUFFIXES[:3] if new else ():
            # SQLite would make -wal and -shm readable by others under the usual umask.
            with contextlib.suppress(FileExistsError):
                os.close(create_file(path + suffix))
        with _translated(path):
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0)
        try:
            self._prepare(owner, durability, quota_bytes)
        except BaseException:
            self._db.close()
            raise
        self.waiting = self._count("events")
        self.dead = self._count("dead")

    def _prepare(self, owner: Owner, durability: str, quota_bytes: int) -> None:
        with _translated(self.path):
            run = self._db.execute
            run("PRAGMA locking_mode=EXCLUSIVE")
            version = run("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA:
                msg = (
                    f"{self.path} was written by a newer version (schema {version}; this one knows {SCHEMA}), "
                    "so it is left alone: upgrade totango-sdk to deliver it"
                )
                raise SpoolForeign(msg)
            run("PRAGMA journal_mode=WAL")
            run(f"PRAGMA synchronous={'FULL' if durability == 'power' else 'NORMAL'}")
            run("PRAGMA wal_autocheckpoint=0")
            run(f"PRAGMA cache_size=-{_CACHE_KIB}")
            run(f"PRAGMA max_page_count={max(quota_bytes // _PAGE_BYTES, 16)}")
            if version == 0:
                self._create(owner)
            elif run("PRAGMA application_id").fetchone()[0] != _APPLICATION:
                msg = f"{self.path} is not a spool: another program made it"
                raise SpoolCorrupt(msg)
            elif run("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                msg = f"{self.path} is damaged"
                raise SpoolCorrupt(msg)
            found = Owner(*(self._meta(name) for name in Owner._fields))
        if found != owner:
            msg = f"{self.path} has events for {found.service_id} at {found.endpoint}, not for {owner.service_id}"
            raise SpoolForeign(msg)

    def _create(self, owner: Owner) -> None:
        with self._transaction():
            for statement in _TABLES.split(";"):
                self._db.execute(statement)
            self._db.executemany("INSERT INTO meta VALUES (?, ?)", owner._asdict().items())
            self._db.execute(f"PRAGMA application_id={_APPLICATION}")
            self._db.execute(f"PRAGMA user_version={SCHEMA}")

    def _meta(self, name: str) -> Any:
        row = self._db.execute("SELECT value FROM meta WHERE name=?", (name,)).fetchone()
        return row[0] if row else None

    def _count(self, table: str) -> int:
        with _translated(self.path):
            return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with _translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def insert(self, records: Iterable[Record]) -> None:
        """Add what the journal held; what is here already is left as it is. Raises `SpoolFull`."""
        events, letters = [], []
        for record in records:
            if record.is_letter:
                letters.append((record.id, None, record.body, _reason_of(record.body), 0, record.accepted_at))
            else:
                checksum = crc32(record.body, record.id & _LOW_BITS)
                events.append((record.id, record.lane, record.body, record.accepted_at, checksum))
        with self._transaction():
            before = self._db.total_changes
            self._db.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)", events)
            added = self._db.total_changes - before
            self._add_dead((*letter, letter[-1]) for letter in letters)
            added_dead = self._db.total_changes - before - added
        self.waiting += added
        self.dead += added_dead

    def _add_dead(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._db.executemany("INSERT OR IGNORE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def after(self, event_id: int, limit: int) -> list[tuple[int, str]]:
        """Return the next events behind this id, with their lanes, in order."""
        with _translated(self.path):
            query = "SELECT id, lane FROM events WHERE id > ? ORDER BY id LIMIT ?"
            return self._db.execute(query, (event_id, limit)).fetchall()

    def fetch(self, ids: Sequence[int]) -> dict[int, tuple[bytes, float]]:
        """Return bodies and times of acceptance, of those that are as they were stored."""
        marks = ",".join("?" * len(ids))
        with _translated(self.path):
            query = f"SELECT id, body, accepted_at, checksum FROM events WHERE id IN ({marks})"
            rows = self._db.execute(query, ids).fetchall()
        return {row[0]: (row[1], row[2]) for row in rows if _intact(row[0], row[1], row[3])}

    def strike(self, ids: Sequence[int]) -> None:
        """Delete events that were delivered. Raises `SpoolFull` where the disk has no room even for that."""
        with self._transaction():
            before = self._db.total_changes
            self._db.executemany("DELETE FROM events WHERE id=?", ((event_id,) for event_id in ids))
            gone = self._db.total_changes - before
        self.waiting -= gone

    def bury(self, rows: Sequence[tuple[int, bytes, str, int, float, float]]) -> None:
        """Move events to the dead: id, body, reason, attempts, accepted at, dead at."""
        with self._transaction():
            self._add_dead((row[0], row[1], None, *row[2:]) for row in rows)
            before = self._db.total_changes
            self._db.executemany("DELETE FROM events WHERE id=?", ((row[0],) for row in rows))
            gone = self._db.total_changes - before
        self.waiting -= gone
        self.dead += len(rows)

    def oldest(self) -> tuple[int, float] | None:
        """Return the id and the time of acceptance of the oldest event."""
        with _translated(self.path):
            query = "SELECT id, accepted_at FROM events ORDER BY id LIMIT 1"
            row: tuple[int, float] | None = self._db.execute(query).fetchone()
        return row

    def last_id(self) -> int:
        """Return the largest id that is here, 0 if there is none."""
        with _translated(self.path):
            query = "SELECT max(coalesce((SELECT max(id) FROM events), 0), coalesce((SELECT max(id) FROM dead), 0))"
            return int(self._db.execute(query).fetchone()[0])

    def letters(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""
        with _translated(self.path):
            rows = self._db.execute(
                "SELECT id, body, refused, reason, attempts, accepted_at, dead_at FROM dead ORDER BY id"
            ).fetchall()
        return [letter_of(*row) for row in rows]

    def raw_letters(self) -> list[tuple[Any, ...]]:
        """Return the dead letters as `add_letters` of another database takes them."""
        with _translated(self.path):
            return self._db.execute("SELECT * FROM dead ORDER BY id").fetchall()

    def add_letters(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take over the dead letters of another database."""
        with self._transaction():
            before = self._db.total_changes
            self._add_dead(rows)
            added = self._db.total_changes - before
        self.dead += added

    def checkpoint(self) -> None:
        """Move what the write-ahead log holds into the file, once it is long enough to be worth it."""
        with _translated(self.path), contextlib.suppress(OSError):
            if os.stat(f"{self.path}-wal").st_size > _CHECKPOINT_PAGES * _PAGE_BYTES:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self, *, remove: bool) -> None:
        """Close, and remove the file if it is not needed any more."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if remove:
            remove_database(self.path)

    @property
    def connection(self) -> sqlite3.Connection:
        """What a forked child must never touch, not even to close it."""
        return self._db


def _intact(event_id: int, body: object, checksum: int) -> bool:
    # SQLite has no checksums of its own: a flipped bit in a body would be sent as it is.
    return isinstance(body, bytes) and crc32(body, event_id & _LOW_BITS) == checksum


def remove_database(path: str) -> None:
    """Remove a database with all that belongs to it."""
    for suffix in _SUFFIXES:
        remove_file(path + suffix)


def letter_of(
    event_id: int,
    body: bytes | None,
    refused: bytes | None,
    reason: str,
    attempts: int,
    accepted_at: float,
    dead_at: float,
) -> DeadLetter:
    """Return the dead letter that is stored so; `refused` is JSON of the caller's input and problems."""
    told: dict[str, Any] = {}
    if refused is not None:
        with contextlib.suppress(ValueError):
            told = json.loads(refused)
    return DeadLetter(
        id=f"{event_id:x}",
        reason=reason,
        body=body,
        input=told.get("input"),
        problems=tuple(told.get("problems", ())),
        attempts=attempts,
        accepted_at=accepted_at,
        dead_at=dead_at,
    )


def _reason_of(refused: bytes) -> str:
    try:
        return str(json.loads(refused)["reason"])
    except (ValueError, KeyError, TypeError):
        return f"unreadable: {shown(refused)}"


_FULL = (SpoolFull, "free space on the disk, or raise the quota")
_LOCKED = (SpoolLocked, "another program has it open; close that")
_DENIED = (SpoolError, "give this user the right to read and write it")
# Everything else that SQLite says of its file means that the file is not what we wrote.
_KINDS: dict[int, tuple[type[SpoolError], str]] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _FULL,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CANTOPEN: _DENIED,
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_READONLY: _DENIED,
}


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        primary = (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
        kind, advice = _KINDS.get(primary, (SpoolCorrupt, "it is damaged"))
        msg = f"{path} cannot be used ({error}): {advice}"
        raise kind(msg) from error


def salvage(path: str) -> list[Record]:
    """Return the events that can still be read from a damaged database, each as it was stored."""
    found: dict[int, Record] = {}
    with contextlib.suppress(sqlite3.Error, OSError):
        db = sqlite3.connect(path, isolation_level=None)
        try:
            for order in ("ASC", "DESC"):  # damage in the middle stops each way at one end of it
                with contextlib.suppress(sqlite3.Error):
                    found.update(_readable(db, order))
        finally:
            db.close()
    return [found[key] for key in sorted(found)]


def _readable(db: sqlite3.Connection, order: str) -> Iterator[tuple[int, Record]]:
    query = f"SELECT id, lane, body, accepted_at, checksum FROM events ORDER BY id {order}"
    with contextlib.suppress(sqlite3.Error):
        for event_id, lane, body, accepted_at, checksum in db.execute(query):
            if isinstance(lane, str) and isinstance(accepted_at, float) and _intact(event_id, body, checksum):
                yield event_id, Record(event_id, lane, body, is_letter=False, accepted_at=accepted_at)

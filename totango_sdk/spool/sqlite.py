"""The database: what could not leave soon, and what is dead. One file and one connection.

Only one process ever has it open, and one thread at a time uses it (the spool holds a lock).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote
from zlib import crc32

from ..errors import SpoolCorrupt, SpoolError, SpoolFull, SpoolLocked
from .base import DeadLetter, Owner, letter_of, refused_letter
from .journal import Record, checksum
from .paths import create_file, disk_error, put_in_place, remove_file

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

SCHEMA = 1
_APPLICATION = 0x546F7447  # "TotG"
PAGE_BYTES = 4096
_CACHE_KIB = 2048
_LOW_BITS = 0xFFFFFFFF
_FETCHED = 500  # the oldest SQLite takes 999 parameters
_VERSION_AT = 60  # in the header of the file, big-endian
_WRITE_FORMAT_AT, _WAL_FORMAT = 18, 2
_TABLES = """
CREATE TABLE events (id INTEGER PRIMARY KEY, lane TEXT NOT NULL, body BLOB NOT NULL, accepted_at REAL NOT NULL,
                     checksum INTEGER NOT NULL);
CREATE TABLE dead (id INTEGER PRIMARY KEY, body BLOB, refused BLOB, reason TEXT NOT NULL,
                   attempts INTEGER NOT NULL, accepted_at REAL NOT NULL, dead_at REAL NOT NULL,
                   checksum INTEGER NOT NULL);
CREATE TABLE meta (name TEXT PRIMARY KEY, value);
"""


class SpoolForeign(SpoolError):
    """A spool that is not ours to touch: of a newer version, or of another service."""


class Page(NamedTuple):
    """Some events in order."""

    rows: list[tuple[int, str]]  # ids and lanes
    bodies: dict[int, tuple[bytes, float]]  # with the times of acceptance, of those that are as they were stored
    has_more: bool


SUFFIXES = ("", "-wal", "-shm", "-journal")

# SQLite keeps a table of its locks by device and inode. A fork copies that table with the parent's
# locks in it, and the child would find a file that it adopts from its dead parent locked for ever.
_inherited: set[tuple[int, int]] = set()


def letter_checksum(event_id: int, kept: bytes | None) -> int:
    """Return what shows whether a dead letter is as it was stored."""
    return crc32(kept or b"", event_id & _LOW_BITS)


class Database:
    """The events and dead letters of one spool file."""

    def __init__(self, path: str, owner: Owner, *, durability: str, quota_bytes: int) -> None:
        """Open the file. Raises `SpoolCorrupt` if it is damaged, and `SpoolForeign`."""
        self.path = path
        self._most_pages = max(quota_bytes // PAGE_BYTES, 16)
        _check_version(path)
        with _translated(path), os_translated(path):
            status = os.stat(path)
            self.key = (status.st_dev, status.st_ino)
            self._db = _connect(path, own_locks=self.key not in _inherited)
        try:
            with _translated(path):
                self._prepare(durability)
                self._check(owner)
            self.waiting = self._count("events")
            self.dead = self._count("dead")
        except BaseException:
            self.close(remove=False)
            raise

    def _prepare(self, durability: str) -> None:
        for pragma in (
            "locking_mode=EXCLUSIVE",  # before the first look at the file, or SQLite makes an index of the log
            f"page_size={PAGE_BYTES}",
            "journal_mode=WAL",
            f"synchronous={'FULL' if durability == 'power' else 'NORMAL'}",
            "wal_autocheckpoint=0",
            f"cache_size=-{_CACHE_KIB}",
            f"max_page_count={self._most_pages}",
        ):
            self._db.execute(f"PRAGMA {pragma}")

    def _check(self, owner: Owner) -> None:
        version, application, sound = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("user_version", "application_id", "quick_check(1)")
        )
        _check_known(self.path, version)
        told = {name: self._meta(name) for name in (*Owner._fields, "checksum", "spilled")}
        self.spilled = told["spilled"] if isinstance(told["spilled"], int) else 0
        found = Owner(str(told["service_id"]), str(told["endpoint"]))
        if (version, application, sound, told["checksum"]) != (SCHEMA, _APPLICATION, "ok", _owner_checksum(found)):
            msg = f"{self.path} is damaged, or another program made it"
            raise SpoolCorrupt(msg)
        if found != owner:
            msg = f"{self.path} has events for {found.service_id} at {found.endpoint}, not for {owner.service_id}"
            raise SpoolForeign(msg)

    @classmethod
    def create(cls, path: str, owner: Owner, *, durability: str) -> None:
        """Make the file, complete or not at all. Raises `SpoolFull`."""
        draft = f"{path}.draft"
        try:
            make_draft(draft, owner)
            put_in_place(draft, path, durability)
        except OSError as error:
            raise disk_error(path, error) from None

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

    def insert(self, records: Iterable[Record], damaged: Iterable[int] = (), *, spilled: int = 0) -> None:
        """Add what the journal held; what is here already is left as it is. Raises `SpoolFull`.

        The `damaged` get a row that no fetch gives back, so that they are found lost in their turn.
        With `spilled`, remembers that this is all that the journal had up to this id.
        """
        events = [(event_id, "", b"", 0.0, -1) for event_id in damaged]
        letters = []
        for record in records:
            if record.is_letter:
                letter = refused_letter(f"{record.id:x}", record.body, record.accepted_at)
                letters.append(_refused_row(letter.reason, record))
            else:
                events.append(_event_row(record))
        with self._transaction():
            added = self._changes(_ADD_EVENT, events)
            added_dead = self._changes(_ADD_DEAD, letters)
            if spilled:
                self._db.execute("UPDATE meta SET value=? WHERE name='spilled'", (spilled,))
        self.waiting += added
        self.dead += added_dead

    def _changes(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """Run a statement for each row, and return how many rows of the table it has changed."""
        before = self._db.total_changes
        self._db.executemany(statement, rows)
        return self._db.total_changes - before

    def after(self, event_id: int, limit: int, most_bytes: int) -> Page:
        """Return the next events behind this id, in order: up to `limit`, with some `most_bytes` in their bodies."""
        rows: list[tuple[int, str]] = []
        bodies: dict[int, tuple[bytes, float]] = {}
        size = 0
        query = f"SELECT {_EVENT_COLUMNS} FROM events WHERE id > ? ORDER BY id LIMIT ?"
        with _translated(self.path):
            for row in self._db.execute(query, (event_id, limit)):
                each, lane, body, accepted_at, _ = row
                rows.append((each, lane))
                if is_event_intact(*row):
                    bodies[each] = body, accepted_at
                    size += len(body)
                if size >= most_bytes:
                    break
        return Page(rows, bodies, has_more=size >= most_bytes or len(rows) == limit)

    def ids_after(self, event_id: int) -> list[int]:
        """Return the ids of all events behind this one."""
        return [row[0] for row in self._all("SELECT id FROM events WHERE id > ?", (event_id,))]

    def _all(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with _translated(self.path):
            return self._db.execute(query, parameters).fetchall()

    def fetch(self, ids: Sequence[int]) -> dict[int, tuple[bytes, float]]:
        """Return bodies and times of acceptance, of those that are as they were stored."""
        found = {}
        for at in range(0, len(ids), _FETCHED):
            some = ids[at : at + _FETCHED]
            marks = ",".join("?" * len(some))
            rows = self._all(f"SELECT {_EVENT_COLUMNS} FROM events WHERE id IN ({marks})", some)
            found.update({row[0]: (row[2], row[3]) for row in rows if is_event_intact(*row)})
        return found

    def strike(self, ids: Sequence[int]) -> None:
        """Delete events that were delivered. Raises `SpoolFull` where the disk has no room even for that."""
        with self._transaction():
            gone = self._changes("DELETE FROM events WHERE id BETWEEN ? AND ?", _runs(ids))
        self.waiting -= gone

    def bury(self, row: tuple[int, bytes | None, str, int, float, float]) -> None:
        """Move an event to the dead: id, body, reason, attempts, accepted at, dead at. Raises `SpoolFull`."""
        try:
            self._bury(row)
        except SpoolFull:
            # It takes the place of an event, but not on the same page. Where every lane begins with an event that was
            # refused, a quota that held here too would never have room again.
            self._db.execute(f"PRAGMA max_page_count={2 * self._most_pages}")
            try:
                self._bury(row)
            finally:
                self._db.execute(f"PRAGMA max_page_count={self._most_pages}")

    def _bury(self, row: tuple[int, bytes | None, str, int, float, float]) -> None:
        event_id, body = row[:2]
        with self._transaction():
            gone = self._changes("DELETE FROM events WHERE id=?", [(event_id,)])
            kept = (event_id, body, None, *row[2:], letter_checksum(event_id, body))
            added = self._changes(_ADD_DEAD, [kept])
        self.waiting -= gone
        self.dead += added

    def buried(self, ids: Iterable[int]) -> set[int]:
        """Return those of these events that are dead already."""
        with _translated(self.path):
            query = "SELECT 1 FROM dead WHERE id=?"
            return {event_id for event_id in ids if self._db.execute(query, (event_id,)).fetchone()}

    def oldest(self, skipped: Container[int] = (), floor: int = 0) -> tuple[int, float] | None:
        """Return the id and the time of acceptance of the oldest event from `floor` on that is not skipped."""
        with _translated(self.path):
            rows = self._db.execute("SELECT id, accepted_at FROM events WHERE id >= ? ORDER BY id", (floor,))
            return next((row for row in rows if row[0] not in skipped), None)

    def last_id(self) -> int:
        """Return the largest id that is here, 0 if there is none."""
        query = "SELECT max(coalesce((SELECT max(id) FROM events), 0), coalesce((SELECT max(id) FROM dead), 0))"
        return int(self._all(query)[0][0])

    def letters(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""
        return [_letter(row) for row in self.raw_letters()]

    def raw_letters(self) -> list[tuple[Any, ...]]:
        """Return the dead letters as `add_letters` of another database takes them."""
        return self._all("SELECT * FROM dead ORDER BY id")

    def add_letters(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Take over the dead letters of another database. Raises `SpoolFull`."""
        with self._transaction():
            added = self._changes(_ADD_DEAD, rows)
        self.dead += added

    def forget_dead(self, ids: Iterable[int]) -> None:
        """Delete dead letters for good."""
        with self._transaction():
            gone = self._changes("DELETE FROM dead WHERE id=?", ((event_id,) for event_id in ids))
        self.dead -= gone

    def checkpoint(self, least: int = 0) -> None:
        """Move what the write-ahead log holds into the file, if it has more than `least` bytes. Raises `SpoolFull`."""
        with _translated(self.path), os_translated(self.path):
            if os.stat(f"{self.path}-wal").st_size > least:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self, *, remove: bool) -> None:
        """Close, and remove the file if it is not needed any more."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if remove:
            remove_database(self.path)

    def disown(self) -> sqlite3.Connection:
        """Return what a forked child must never touch, not even to close it; the file is its parent's."""
        _inherited.add(self.key)
        return self._db


def _runs(ids: Iterable[int]) -> list[list[int]]:
    """Return the first and the last of each run of ids without a gap: events are delivered nearly in their order."""
    runs: list[list[int]] = []
    last = None
    for each in sorted(ids):
        if last is not None and each == last + 1:
            runs[-1][1] = each
        else:
            runs.append([each, each])
        last = each
    return runs


def make_draft(path: str, owner: Owner, events: Iterable[Record] = (), letters: Sequence[tuple[Any, ...]] = ()) -> None:
    """Make a whole database in one file, without a log beside it."""
    remove_database(path)
    try:
        # SQLite gives the files that it makes beside this one the same rights.
        os.close(create_file(path))
        with _translated(path), contextlib.closing(_connect(path, own_locks=False)) as db:
            # Not synced yet, and without a rollback: a draft that is not finished is thrown away.
            for pragma in (
                "locking_mode=EXCLUSIVE",
                f"page_size={PAGE_BYTES}",
                "journal_mode=MEMORY",
                "synchronous=OFF",
            ):
                db.execute(f"PRAGMA {pragma}")
            db.execute("BEGIN")
            for statement in _TABLES.split(";"):
                db.execute(statement)
            meta = {**owner._asdict(), "checksum": _owner_checksum(owner), "spilled": 0}
            db.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            db.executemany(_ADD_EVENT, (_event_row(record) for record in events))
            db.executemany(_ADD_DEAD, letters)
            db.execute(f"PRAGMA application_id={_APPLICATION}")
            db.execute(f"PRAGMA user_version={SCHEMA}")
            db.execute("COMMIT")
    except BaseException:
        remove_database(path)
        raise


def _owner_checksum(owner: Owner) -> int:
    return crc32("\n".join(owner).encode())


def _connect(path: str, *, own_locks: bool) -> sqlite3.Connection:
    vfs = "" if own_locks else "?vfs=unix-none"  # the lock file is lock enough
    return sqlite3.connect(
        f"file:{quote(path)}{vfs}", uri=True, isolation_level=None, check_same_thread=False, timeout=0
    )


def owner_of(path: str) -> Owner | None:
    """Return whose events a database has, if it says so; without changing anything in it."""
    address = f"file:{quote(path)}?mode=ro&immutable=1"  # this was written before the log existed
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(address, uri=True)) as db:
        told = dict(db.execute("SELECT name, value FROM meta").fetchall())
        owner = Owner(str(told.get("service_id")), str(told.get("endpoint")))
        return owner if told.get("checksum") == _owner_checksum(owner) else None
    return None


def _check_version(path: str) -> None:
    """Leave a file of a newer version as it is: opening it would change it already."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        header = file.read(_VERSION_AT + 4)
        if header.startswith(b"SQLite format 3") and len(header) == _VERSION_AT + 4:
            _check_known(path, int.from_bytes(header[_VERSION_AT:], "big"))
            if header[_WRITE_FORMAT_AT] > _WAL_FORMAT:
                msg = f"{path} is damaged: SQLite would take it for one that is only to be read"
                raise SpoolCorrupt(msg)


def _check_known(path: str, version: int) -> None:
    if version > SCHEMA:
        msg = (
            f"{path} was written by a newer version (schema {version}; this one knows {SCHEMA}), "
            "so it is left alone: upgrade totango-sdk to deliver it"
        )
        raise SpoolForeign(msg)


_ADD_EVENT = "INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?)"
_ADD_DEAD = "INSERT OR IGNORE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_EVENT_COLUMNS = "id, lane, body, accepted_at, checksum"


def is_event_intact(event_id: Any, lane: Any, body: Any, accepted_at: Any, found: Any) -> bool:
    """Whether a row is as it was stored: SQLite has no checksums of its own."""
    try:
        return bool(checksum(event_id, lane, body, accepted_at) == found)
    except (AttributeError, TypeError, ValueError, struct.error):  # of other types than what was stored
        return False


def _event_row(record: Record) -> tuple[int, str, bytes, float, int]:
    event_id, lane, body, _, accepted_at = record
    return event_id, lane, body, accepted_at, checksum(event_id, lane, body, accepted_at)


def _refused_row(reason: str, record: Record) -> tuple[Any, ...]:
    at = record.accepted_at
    return (record.id, None, record.body, reason, 0, at, at, letter_checksum(record.id, record.body))


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    event_id, body, refused, reason, attempts, accepted_at, dead_at, found = row
    if letter_checksum(event_id, body if refused is None else refused) != found:
        body, refused, reason = None, None, f"{reason} (what was kept of it is damaged)"
    return letter_of(
        f"{event_id:x}",
        body=body,
        refused=refused,
        reason=reason,
        attempts=attempts,
        accepted_at=accepted_at,
        dead_at=dead_at,
    )


def remove_database(path: str) -> None:
    """Remove a database with all that belongs to it."""
    for suffix in SUFFIXES:  # the file first: SQLite ignores a log without it, but not a file without its log
        remove_file(path + suffix)


_FULL = (SpoolFull, "free space on the disk, or raise the quota")
_LOCKED = (SpoolLocked, "another program has it open; close that")
_DENIED = (SpoolError, "give this user the right to read and write it")
_DAMAGED = (SpoolCorrupt, "it is damaged")
# What SQLite says of its file, by its primary codes and some of its extended ones.
_KINDS: dict[int, tuple[type[SpoolError], str]] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _FULL,
    sqlite3.SQLITE_IOERR_READ: _DAMAGED,
    sqlite3.SQLITE_IOERR_SHORT_READ: _DAMAGED,
    sqlite3.SQLITE_IOERR_CORRUPTFS: _DAMAGED,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CANTOPEN: _DENIED,
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_READONLY: _DENIED,
    sqlite3.SQLITE_AUTH: _DENIED,
    # Our statements are right, so it is the file that is not what we wrote.
    sqlite3.SQLITE_ERROR: _DAMAGED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CONSTRAINT: _DAMAGED,
    sqlite3.SQLITE_MISMATCH: _DAMAGED,
    sqlite3.SQLITE_FORMAT: _DAMAGED,
}
_OTHER = (SpoolError, "see what SQLite says")


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.ProgrammingError):  # of ours, not of the file
            kind, advice = _OTHER
        else:  # without a code it is text that is not UTF-8
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            kind, advice = _KINDS.get(code) or _KINDS.get(code & 0xFF) or _OTHER
        msg = f"{path} cannot be used ({error}): {advice}"
        raise kind(msg) from error
    except UnicodeError as error:  # what it says quotes the file, and that is not UTF-8
        msg = f"{path} cannot be used ({error}): it is damaged"
        raise SpoolCorrupt(msg) from error


@contextlib.contextmanager
def os_translated(path: str) -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except OSError as error:
        raise disk_error(path, error) from None

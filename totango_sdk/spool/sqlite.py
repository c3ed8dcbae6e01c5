"""The database: what could not leave soon, and what is dead. One file and one connection.

Only one process ever has it open, and one thread at a time uses it (the spool holds a lock).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zlib import crc32

from ..errors import SpoolCorrupt, SpoolError, SpoolFull
from .paths import create_file, disk_error, put_in_place, remove_file
from .rows import event_row, is_event_intact, letter, letter_checksum, refused_row, stored_time
from .sqlite_errors import os_translated, translated
from .values import Owner, Page

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Sequence

    from .letters import DeadLetter
    from .records import Record

SCHEMA = 1
_APPLICATION = 0x546F7447  # "TotG"
PAGE_BYTES = 4096
_CACHE_KIB = 2048
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


SUFFIXES = ("", "-wal", "-shm", "-journal")

# SQLite keeps a table of its locks by device and inode. A fork copies that table with the parent's
# locks in it, and the child would find a file that it adopts from its dead parent locked for ever.
_inherited: set[tuple[int, int]] = set()


class Database:
    """The events and dead letters of one spool file."""

    def __init__(self, path: str, owner: Owner, *, durability: str, quota_bytes: int) -> None:
        """Open the file. Raises `SpoolCorrupt` if it is damaged, and `SpoolForeign`."""
        self.path = path
        self._most_pages = max(quota_bytes // PAGE_BYTES, 16)
        _check_version(path)
        with translated(path), os_translated(path):
            status = os.stat(path)
            self.key = (status.st_dev, status.st_ino)
            self._db = _connect(path, own_locks=self.key not in _inherited)
        try:
            with translated(path):
                self._prepare(durability)
                self._check(owner)
            self.waiting = self._count("events")
            self.dead = self._count("dead")
        except BaseException:
            self.close(remove=False)
            raise

    def _prepare(self, durability: str) -> None:
        for pragma in (
            # before the first look at the file, or SQLite makes an index of the log
            "locking_mode=EXCLUSIVE",
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
        least = self._db.execute("SELECT min(id) FROM events").fetchone()[0] or 0
        if least < 0 or (version, application, sound, told["checksum"]) != (
            SCHEMA,
            _APPLICATION,
            "ok",
            _owner_checksum(found),
        ):
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
        with translated(self.path):
            return int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with translated(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    def insert(
        self, records: Iterable[Record], damaged: Iterable[int] = (), *, spilled: int = 0
    ) -> None:
        """Add what the journal held; what is here already is left as it is. Raises `SpoolFull`.

        The `damaged` get a row that no fetch gives back, so that they are found lost in their turn.
        With `spilled`, remembers that this is all that the journal had up to this id.
        """
        events = [(event_id, "", b"", 0.0, -1) for event_id in damaged]
        letters = []
        for record in records:
            if record.is_letter:
                letters.append(refused_row(record))
            else:
                events.append(event_row(record))
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
        """Return the next events behind this id, in order: up to `limit`, with some `most_bytes` in
        their bodies.
        """
        rows: list[tuple[int, str]] = []
        bodies: dict[int, tuple[bytes, float]] = {}
        size = 0
        query = f"SELECT {_EVENT_COLUMNS} FROM events WHERE id > ? ORDER BY id LIMIT ?"
        with translated(self.path):
            for row in self._db.execute(query, (event_id, limit)):
                each, lane, body, accepted_at, _ = row
                if is_event_intact(*row):
                    rows.append((each, lane))
                    bodies[each] = body, accepted_at
                    size += len(body)
                else:  # of a damaged row nothing can be used, the names of its records neither
                    rows.append((each, ""))
                if size >= most_bytes:
                    break
        return Page(rows, bodies, has_more=size >= most_bytes or len(rows) == limit)

    def ids_after(self, event_id: int) -> list[int]:
        """Return the ids of all events behind this one."""
        return [row[0] for row in self._all("SELECT id FROM events WHERE id > ?", (event_id,))]

    def _all(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with translated(self.path):
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
        """Delete events that were delivered. Raises `SpoolFull` where the disk has no room even for
        that.
        """
        with self._transaction():
            gone = self._changes("DELETE FROM events WHERE id BETWEEN ? AND ?", _runs(ids))
        self.waiting -= gone

    def bury(self, row: tuple[int, bytes | None, str, int, float, float]) -> None:
        """Move an event to the dead: id, body, reason, attempts, accepted at, dead at. Raises
        `SpoolFull`.
        """
        try:
            self._bury(row)
        except SpoolFull:
            # It takes the place of an event, but not on the same page. Where every lane begins with
            # an event that was refused, a quota that held here too would never have room again.
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
        with translated(self.path):
            query = "SELECT 1 FROM dead WHERE id=?"
            return {event_id for event_id in ids if self._db.execute(query, (event_id,)).fetchone()}

    def oldest(self, skipped: Container[int] = (), floor: int = 0) -> tuple[int, float] | None:
        """Return the id and the time of acceptance of the oldest event from `floor` on that is not
        skipped.
        """
        with translated(self.path):
            rows = self._db.execute(
                "SELECT id, accepted_at FROM events WHERE id >= ? ORDER BY id", (floor,)
            )
            found = next((row for row in rows if row[0] not in skipped), None)
        return found and (found[0], stored_time(found[1]))

    def last_id(self) -> int:
        """Return the largest id that is here, or was noted, 0 if there is none."""
        query = "SELECT max(coalesce((SELECT max(id) FROM events), 0), coalesce((SELECT max(id) FROM dead), 0))"
        with translated(self.path):
            noted = self._meta("noted")
        last = int(self._all(query)[0][0])
        return max(last, noted) if isinstance(noted, int) else last

    def note(self, event_id: int) -> None:
        """Remember that ids up to this one may have been given. Raises `SpoolFull`."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('noted', ?)", (event_id,))

    def letters(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""
        return [letter(row) for row in self.raw_letters()]

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
        """Move what the write-ahead log holds into the file, if it has more than `least` bytes.
        Raises `SpoolFull`.
        """
        with translated(self.path), os_translated(self.path):
            if os.stat(f"{self.path}-wal").st_size > least:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self, *, remove: bool) -> None:
        """Close, and remove the file if it is not needed any more."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        if remove:
            remove_database(self.path)

    def disown(self) -> sqlite3.Connection:
        """Return what a forked child must never touch, not even to close it; the file is its
        parent's.
        """
        _inherited.add(self.key)
        return self._db


def _runs(ids: Iterable[int]) -> list[list[int]]:
    """Return the first and the last of each run of ids without a gap: events are delivered nearly
    in their order.
    """
    runs: list[list[int]] = []
    last = None
    for each in sorted(ids):
        if last is not None and each == last + 1:
            runs[-1][1] = each
        else:
            runs.append([each, each])
        last = each
    return runs


def make_draft(
    path: str, owner: Owner, events: Iterable[Record] = (), letters: Sequence[tuple[Any, ...]] = ()
) -> None:
    """Make a whole database in one file, without a log beside it."""
    remove_database(path)
    try:
        # SQLite gives the files that it makes beside this one the same rights.
        os.close(create_file(path))
        with translated(path), contextlib.closing(_connect(path, own_locks=False)) as db:
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
            db.executemany(_ADD_EVENT, (event_row(record) for record in events))
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
        f"file:{quote(os.fsencode(path))}{vfs}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=0,
    )


def is_sound(path: str) -> bool:
    """Whether a draft is whole, without changing anything in it."""
    address = f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1"
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(address, uri=True)) as db,
    ):
        pragmas = ("quick_check(1)", "application_id")
        found = [db.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
        return found == ["ok", _APPLICATION]
    return False


def owner_of(path: str) -> Owner | None:
    """Return whose events a database has, if it says so; without changing anything in it."""
    address = f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1"  # this was written before the log existed
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(address, uri=True)) as db,
    ):
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


def remove_database(path: str) -> None:
    """Remove a database with all that belongs to it."""
    for suffix in (
        SUFFIXES
    ):  # the file first: SQLite ignores a log without it, but not a file without its log
        remove_file(path + suffix)

"""A set of files as the spool sees it: a database that opens when it is needed, and mends itself.

Used with the spool's `_disk` lock held, but for `recover`.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import attrs

from ..errors import SpoolCorrupt, SpoolError, SpoolFull
from ..imports import preload
from ..log import tell_once
from .paths import key_of, remove_file
from .records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .files import Files
    from .letters import DeadLetter
    from .sqlite import Database
    from .values import Owner, Page

T = TypeVar("T")
_LARGE_BYTES = 4 << 20
_COPIED = 2000
_CHECKPOINT_BYTES = 4 << 20
_LOW_BYTES = 16 << 20
_AFTER_FULL_SECONDS = 1.0


class Full(NamedTuple):
    """That there was no room to empty the sealed segment, and what would have to change before it
    is worth a try.
    """

    why: str
    until: float
    waiting: int
    sealed: int

    def still_holds(self, waiting: int, sealed: int) -> bool:
        return (
            time.monotonic() < self.until and waiting >= self.waiting and sealed > self.sealed // 2
        )


@attrs.define(eq=False, kw_only=True, repr=False)
class Store:
    """The database of one process's files, ours or a dead one's that was adopted."""

    files: Files
    owner: Owner
    durability: str
    quota_bytes: int
    database: Database | None = None
    base: int = 0  # the upper half of its ids
    cursor: int = 0  # up to here, its events were brought into their lanes
    behind: bool = False  # whether there may be more behind the cursor
    struck: set[int] = attrs.field(factory=set)  # delivered, but still in the database
    is_broken: bool = False  # damaged, and not mended yet for lack of room
    was_mended: bool = False  # so that events may be missing
    on_drop: Callable[[], None] = lambda: (
        None
    )  # before a database goes of which nothing is needed any more
    _floor: int = 0  # what has a smaller id is struck off
    _strike_at: float = 0.0  # after a full disk: not with every delivery

    # -- opening, and what a dead process left

    def recover(self) -> int:
        """Bring what a dead process left into the database, and return the last id that it gave.

        Raises `SpoolError` or `OSError`, with everything still there. What is damaged is set aside
        under another name, and what can be read of it is kept.
        """
        self.files.set_strange_aside()
        found = self.files.read_journal()
        last_id = found.last_id
        path = self.files.path("db")
        remove_file(f"{path}.draft")
        if found.records or any(os.path.exists(path + suffix) for suffix in ("", "-wal", ".new")):
            # Killed between burying an event and striking it off.
            dead = self._try(
                lambda database: database.buried(record.id for record in found.records)
            )
            records = [record for record in found.records if record.id not in dead]
            if records:
                self._try(lambda database: database.insert(records))
            last_id = max(last_id, self._try(lambda database: database.last_id()))
        self._miss(found.spilled)
        self.files.drop_journal(damaged=found.damaged)
        self.behind = self.waiting > 0
        if self.waiting + self.dead == 0:
            self.drop()
        return last_id

    def note(self, event_id: int) -> None:
        """Remember from which id on this process goes on: dead letters may be all that it leaves, and
        show nothing of it.
        """
        if self.database is not None:
            with contextlib.suppress(SpoolFull):
                self._try(lambda database: database.note(event_id))

    def _miss(self, spilled: int) -> None:
        """Tell if the database has lost what the journal gave it, which nothing in it shows."""
        known = 0 if self.database is None else self.database.spilled
        if known < spilled and not self.was_mended:
            path = self.files.path("db")
            tell_once(
                f"lost {path}",
                f"the spool file {path} is not as it was left: events are lost",
                level="error",
            )

    def opened(self) -> Database:
        """Return the database; makes it, or mends it, if need be. Raises `SpoolError`."""
        if not self.files.is_lock_open:
            # SQLite would write into whatever has the numbers of its descriptors now.
            msg = f"the descriptors of {self.files.path('db')!r} were closed"
            raise SpoolError(msg)
        if self.database is None:
            # sqlite3 takes milliseconds to import, and most processes never need it.
            preload(f"{__package__}.salvage")
            from .salvage import finish, is_damaged
            from .sqlite import Database
            from .sqlite_errors import os_translated

            path = self.files.path("db")
            if not self.files.are_in_place:
                msg = f"the spool's directory {self.files.directory!r} was removed or replaced"
                raise SpoolError(msg)
            with os_translated(path):
                finish(path)
                damaged = is_damaged(path)
            if damaged:
                self._mend()
            elif not os.path.exists(path):
                Database.create(path, self.owner, durability=self.durability)
            try:
                self.database = self._open()
            except SpoolCorrupt:
                self._mend()
                self.database = self._open()
        return self.database

    def _open(self) -> Database:
        from .sqlite import Database

        return Database(
            self.files.path("db"),
            self.owner,
            durability=self.durability,
            quota_bytes=self.quota_bytes,
        )

    def _mend(self) -> None:
        from .salvage import mend

        self.is_broken = True
        mend(self.files.path("db"), self.owner, self.durability)
        self.on_drop()
        self.is_broken, self.was_mended, self._floor = False, True, 0

    def _try(self, action: Callable[[Database], T]) -> T:
        """Do something with the database; if that shows damage, mend it and do it again."""
        database = self.opened()
        try:
            return action(database)
        except SpoolCorrupt:
            database.close(remove=False)
            self.database = None
            self._mend()
            return action(self.opened())

    # -- what is in it

    @property
    def waiting(self) -> int:
        """Events in the database, with those that are struck off but still there."""
        return 0 if self.database is None else self.database.waiting

    @property
    def dead(self) -> int:
        """Dead letters in the database."""
        return 0 if self.database is None else self.database.dead

    @property
    def is_drained(self) -> bool:
        """Whether all its events are delivered or dead."""
        return not self.behind and self._is_done

    @property
    def _is_done(self) -> bool:
        # What is struck off may be missing in a database that was mended: the numbers alone prove
        # nothing.
        if self.is_broken or self.waiting > len(self.struck):
            return False
        return not self.waiting or self.oldest() is None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing here to look for."""
        return self.database is None and not self.is_broken

    def ids_behind(self) -> list[int]:
        """Return the events that are not in their lanes yet."""
        return self._try(lambda database: database.ids_after(self.cursor)) if self.behind else []

    def insert(
        self, records: Sequence[Record], damaged: Iterable[int] = (), *, spilled: int = 0
    ) -> None:
        """Add records of the journal. Raises `SpoolFull`."""
        self._try(lambda database: database.insert(records, damaged, spilled=spilled))
        if _free_bytes(self.files.directory) < _LOW_BYTES:
            # A log that fills the disk could never be emptied: that takes as much room again.
            with contextlib.suppress(SpoolFull):
                self._try(lambda database: database.checkpoint())

    def after(self, limit: int, most_bytes: int) -> Page:
        """Return the next events behind the cursor, in order."""
        return self._try(lambda database: database.after(self.cursor, limit, most_bytes))

    def fetch(self, ids: Sequence[int]) -> dict[int, tuple[bytes, float]]:
        """Return bodies and times of acceptance, of those that are as they were stored."""
        return self._try(lambda database: database.fetch(ids)) if not self.is_empty else {}

    def oldest(self) -> tuple[int, float] | None:
        """Return the id and the time of acceptance of the oldest event that is not struck off."""
        if self.is_empty:
            return None
        row = self._try(lambda database: database.oldest(self.struck, self._floor))
        if row is not None:
            self._floor = row[0]  # nothing comes in before it any more
        return row

    def bury(self, row: tuple[int, bytes | None, str, int, float, float]) -> None:
        """Move an event to the dead. Raises `SpoolFull`."""
        self._try(lambda database: database.bury(row))

    def letters(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""
        return self._try(lambda database: database.letters()) if not self.is_empty else []

    def requeue(self, records: Sequence[Record]) -> int:
        """Make dead letters events again; returns how many. Raises `SpoolFull`."""
        if records:
            self._try(lambda database: database.insert(records))
            self._try(lambda database: database.forget_dead(record.id for record in records))
        return len(records)

    def purge(self, ids: Sequence[int]) -> int:
        """Delete dead letters for good; returns how many."""
        if ids:
            self._try(lambda database: database.forget_dead(ids))
        return len(ids)

    def strike(self) -> None:
        """Delete what was delivered. On a full disk nothing can be deleted either; it stays known
        here.
        """
        if not self.struck:
            return
        if time.monotonic() >= self._strike_at:
            try:
                batch = list(self.struck)
                self._try(lambda database: database.strike(batch))
                self.struck.difference_update(batch)
            except SpoolFull as full:
                tell_once("strike", f"what was delivered cannot be struck off: {full}")
                self._strike_at = time.monotonic() + _AFTER_FULL_SECONDS
        if self.struck and not self.dead and self._is_done:
            self.drop()  # a whole file can be deleted even then

    # -- keeping house, and closing

    def tidy(self) -> None:
        """Do what keeps the files small."""
        self.strike()
        if self.is_empty:
            return
        if self.is_drained and not self.dead and self.files.size > _LARGE_BYTES:
            self.drop()
        else:
            self._try(lambda database: database.checkpoint(_CHECKPOINT_BYTES))

    @property
    def is_in_place(self) -> bool:
        """Whether the database that is open is still the one at its path."""
        return self.database is None or key_of(self.files.path("db")) == self.database.key

    def copy_to(self, other: Store) -> None:
        """Give a copy of all that is here and not struck off to another store. Raises `SpoolFull`."""
        if self.is_empty:
            return
        cursor, has_more = 0, True
        while has_more:
            page = self._try(partial(_page_after, cursor))
            rows = [row for row in page.rows if row[0] not in self.struck]
            known = [(*row, *page.bodies[row[0]]) for row in rows if row[0] in page.bodies]
            other.insert(
                [Record(at, lane, body, False, accepted) for at, lane, body, accepted in known],
                [event_id for event_id, _ in rows if event_id not in page.bodies],
            )
            cursor = page.rows[-1][0] if page.rows else cursor
            has_more = page.has_more
        self.move_letters(other)

    def move_letters(self, other: Store) -> None:
        """Give the dead letters to another store. Raises `SpoolFull`."""
        rows = self._try(lambda database: database.raw_letters())
        if rows:
            other._try(lambda database: database.add_letters(rows))

    def drop(self) -> None:
        """Remove the database, of which nothing is needed any more."""
        if self.database is not None:
            self.on_drop()
            self.database.close(remove=True)
            self.database = None
            self.struck.clear()

    def close_database(self) -> None:
        """Close the database, and remove it if nothing of it is needed any more."""
        if not self.dead and self._is_done:
            self.drop()
        if self.database is not None:
            self.database.close(remove=False)
            self.database = None

    def close(self) -> None:
        """Let go. The lock is removed with the last file."""
        self.close_database()
        self.files.close(remove=not self.files.hold_anything)

    def disown(self) -> object | None:
        """Let go of what a fork has inherited; returns what must never be finalized."""
        self.files.abandon()
        return None if self.database is None else self.database.disown()


def _page_after(cursor: int, database: Database) -> Page:
    return database.after(cursor, _COPIED, _LARGE_BYTES)


def _free_bytes(directory: str) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize

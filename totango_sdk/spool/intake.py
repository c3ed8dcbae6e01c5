"""The caller's side of the spool on disk: opening, putting, closing and forking.

`put` writes to the journal. What cannot leave before the journal is full goes on to the database.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ..errors import SpoolError, SpoolFull, SpoolLocked
from ..log import tell_once
from .base import Item, Owner, SpoolClosed, is_held
from .files import Files, leak
from .journal import LEAST_SEGMENT_BYTES, SEGMENT_BYTES, Journal, Record
from .lanes import Lanes
from .paths import make_directory
from .store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

QUOTA_BYTES = 512 << 20
_SPILL, _PIECE = 1000, 200
_MOST_KEPT = 8000  # bodies in memory, beside those on disk
_SMALL_BYTES = 4 << 20
_FULL_SECONDS = 0.1
_CLOSED = "the spool is closed"


class _Full(NamedTuple):
    """That there was no room to empty the sealed segment, and what would have to change before it is worth a try."""

    why: str
    until: float
    waiting: int
    sealed: int

    def still_holds(self, waiting: int, sealed: int) -> bool:
        return time.monotonic() < self.until and waiting >= self.waiting and sealed > self.sealed // 2


class Intake:
    """What all threads of the host use; `DiskSpool` adds what the sender uses."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        durability: str = "process",
        quota_bytes: int = QUOTA_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.directory = os.path.abspath(directory)
        self._durability = durability
        self._quota_bytes = quota_bytes
        self._segment_bytes = segment_bytes
        self._owner: Owner | None = None
        self._reset()

    def _reset(self) -> None:
        # Taken in this order. `_house` covers what takes its time with files that are not ours yet;
        # `_disk` covers the databases and may be held for milliseconds; `_memory` covers the journal
        # and what is counted, and is held for microseconds.
        # None is ever taken twice; they are RLocks because those know who holds them (`is_inside`).
        self._house = threading.RLock()
        self._disk = threading.RLock()
        self._memory = threading.RLock()
        self._sync_lock = threading.Lock()
        self._next_id = 1
        self._accepted = self._delivered = self._dead = 0
        self._forget()

    def _forget(self) -> None:
        """Forget all that stands for files; what was counted stays."""
        self._journal: Journal | None = None
        self._own: Store | None = None
        self._adopted: list[Store] = []
        self._more_dead = False  # whether there was no room to adopt all that the dead have left
        self._home: dict[int, Store] = {}  # of adopted events
        self._lanes = Lanes()
        self._fresh: deque[tuple[int, str]] = deque()  # in the journal and not in a lane yet, in order
        self._kept: dict[int, tuple[bytes, float]] = {}  # bodies and times of some in the journal
        self._ahead: dict[int, tuple[bytes, float]] = {}  # the same of some that a database has
        self._out: set[int] = set()
        self._synced = 0
        self._full: _Full | None = None

    @property
    def is_inside(self) -> bool:
        """Whether this very thread is in the middle of something here; see `Spool`."""
        return is_held(self._memory) or is_held(self._disk) or is_held(self._house)

    # -- opening and closing

    def open(self, owner: Owner) -> None:
        """Take over the files of a dead process, or make new ones. Raises `SpoolError`."""
        with self._house:
            if self._journal is not None:
                return
            make_directory(self.directory)
            self._owner = owner
            own, last_id = self._take_over(owner) or (self._store(Files.create(self.directory, owner)), 0)
            try:
                journal = self._new_journal(own.files, owner)
            except BaseException:
                own.close()
                raise
            with self._memory:
                self._next_id = (_base_after(last_id) if last_id else _new_base()) + 1
                self._accepted = self._delivered + self._dead + own.waiting
                own.base, own.was_mended = last_id >> 32, False
                own.on_drop = lambda: journal.note_spilled(0)
                self._own, self._journal = own, journal

    def _new_journal(self, files: Files, owner: Owner) -> Journal:
        try:
            return files.new_journal(owner, self._segment_bytes, self._durability)
        except SpoolFull:
            if self._segment_bytes <= LEAST_SEGMENT_BYTES:
                raise
            return files.new_journal(owner, LEAST_SEGMENT_BYTES, self._durability)

    def _stores(self) -> list[Store]:
        return [*self._adopted] if self._own is None else [self._own, *self._adopted]

    def _store(self, files: Files) -> Store:
        assert self._owner is not None
        return Store(files=files, owner=self._owner, durability=self._durability, quota_bytes=self._quota_bytes)

    def _take_over(self, owner: Owner) -> tuple[Store, int] | None:
        """Take the files of a process that is gone for our own, if there are any that are soon read."""
        for files in Files.found(self.directory, owner):
            if files.size <= _SMALL_BYTES and (taken := self._recover(files, owner)) is not None:
                return taken
        return None

    def _recover(self, files: Files, owner: Owner) -> tuple[Store, int] | None:
        """Lock the files of a process that is gone, and bring them in order; returns the last id in them."""
        try:
            files.lock()
        except SpoolLocked:
            return None
        if files.is_ours(owner):
            store = self._store(files)
            try:
                return store, store.recover()
            except (SpoolError, OSError) as error:
                if store.database is not None:
                    store.database.close(remove=False)
                tell_once(f"adopt {files.stem}", f"what another process left is not delivered: {error}")
        files.close(remove=False)
        return None

    def close(self) -> None:
        """Let go. What was not delivered stays for the next process."""
        with self._house, self._disk, self._memory, self._sync_lock:
            journal, own = self._journal, self._own
            if journal is None or own is None:
                return
            try:
                self._close(journal, own)
            finally:
                self._forget()

    def _close(self, journal: Journal, own: Store) -> None:
        for store in (own, *self._adopted):
            try:
                store.strike()
            except SpoolError as error:
                tell_once("close", f"what was delivered may be sent again: {error}")
        own.close_database()
        if self._durability == "power":
            journal.sync()
        is_empty = journal.is_empty
        journal.close()
        if is_empty:
            own.files.remove_journal()
        for store in (own, *self._adopted):
            store.close()

    # -- putting

    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        """Store all items in order; see `Spool.put`."""
        if self._durability == "power" and not wait:
            return None
        try:
            lanes = [item.lane.encode() for item in items]
        except UnicodeEncodeError:  # a lone surrogate: any name will do that is always the same
            lanes = [item.lane.encode(errors="backslashreplace") for item in items]
            items = [item._replace(lane=lane.decode()) for lane, item in zip(lanes, items, strict=True)]
        count = len(items)
        size = 0
        for lane, item in zip(lanes, items, strict=True):
            size += len(lane) + len(item.body)
        with self._memory:
            journal = self._opened()
            if not journal.could_fit(size, count):
                if not wait:
                    return None
                last = self._put_large(items, journal.segment_bytes)
            else:
                while not journal.has_room(size, count):
                    if not journal.switch():
                        if not wait:
                            return None
                        self._make_room()
                    journal = self._opened()
                last = self._append(journal, lanes, items)
            self._accepted += count
        if self._durability == "power":
            self._sync(last)
        return f"{last:x}"

    def _append(self, journal: Journal, lanes: list[bytes], items: Sequence[Item]) -> int:
        now = time.time()
        event_id = self._next_id - 1
        for encoded, (lane, body, is_letter) in zip(lanes, items, strict=True):
            event_id += 1
            journal.append(event_id, encoded, body, is_letter, now)
            self._next_id = event_id + 1
            if is_letter:
                self._dead += 1
            else:
                self._fresh.append((event_id, lane))
                if len(self._kept) < _MOST_KEPT:
                    self._kept[event_id] = body, now
        return event_id

    def _opened(self) -> Journal:
        if self._journal is None:
            raise SpoolClosed(_CLOSED)
        return self._journal

    def _make_room(self) -> None:
        """Empty the sealed segment, here and now; the memory lock is let go meanwhile."""
        self._memory.release()
        try:
            with self._disk:
                self._spill()
        finally:
            self._memory.acquire()

    def _put_large(self, items: Sequence[Item], segment_bytes: int) -> int:
        """Put letters that are larger than a segment straight into the database; their order does not matter."""
        if not all(item.is_letter for item in items):
            msg = f"an event of more than {segment_bytes} bytes cannot be kept: Totango would not take it either"
            raise SpoolFull(msg)
        first, now = self._next_id, time.time()
        self._next_id += len(items)
        records = [Record(first + at, item.lane, item.body, item.is_letter, now) for at, item in enumerate(items)]
        self._memory.release()
        try:
            with self._disk:
                if self._own is None:
                    raise SpoolClosed(_CLOSED)
                self._own.insert(records)
        finally:
            self._memory.acquire()
        self._dead += len(items)
        return first + len(items) - 1

    def _sync(self, upto: int) -> None:
        """Wait for the disk. One thread waits for all that came before it took its turn."""
        with self._sync_lock:
            newest, journal = self._next_id - 1, self._journal
            if self._synced < upto and journal is not None:  # whoever closes it syncs it
                journal.sync()
                self._synced = newest

    # -- from the journal to the database (with `_disk` held)

    def _spill(self) -> None:
        """Move what is alive in the sealed segment to the database."""
        journal, own = self._journal, self._own
        if journal is None or own is None or journal.sealed is None:
            return
        if self._full is not None and self._full.still_holds(own.waiting, journal.sealed_count):
            raise SpoolFull(self._full.why)  # to find out each time would cost milliseconds
        with self._memory:
            ids = journal.sealed_ids()
        for at in range(0, len(ids), _SPILL):
            self._move(journal, own, ids[at : at + _SPILL])
        self._full = None
        with self._memory:
            journal.unseal()

    def _move(self, journal: Journal, own: Store, ids: list[int]) -> None:
        """Move these events and letters to the database, in one transaction: all of a segment would be much memory."""
        pieces = [ids[at : at + _PIECE] for at in range(0, len(ids), _PIECE)]  # since `put` waits for this lock
        records: list[Record] = []
        damaged: list[int] = []
        for piece in pieces:
            with self._memory:
                for event_id in piece:
                    record = journal.read(event_id)
                    if record is not None:
                        records.append(record)
                    elif journal.holds(event_id):
                        damaged.append(event_id)
        if records or damaged:
            try:
                own.insert(records, damaged, spilled=ids[-1])
            except SpoolFull as full:
                until = time.monotonic() + _FULL_SECONDS
                self._full = _Full(str(full), until, own.waiting, journal.sealed_count)
                raise
        with self._memory:
            if records or damaged:
                journal.note_spilled(ids[-1])
            self._unpulled(own, ids[-1])
        moved = {record.id for record in records if not record.is_letter}
        for piece in pieces:
            with self._memory:
                # Delivered while they were being moved.
                own.struck.update(each for each in piece if each in moved and not journal.holds(each))
                for event_id in piece:
                    self._kept.pop(event_id, None)
                journal.moved(piece)

    def _unpulled(self, own: Store, last: int) -> None:
        """What is not in a lane yet, up to `last`, is now to be found in the database."""
        while self._fresh and self._fresh[0][0] <= last:
            self._fresh.popleft()
        if own.cursor < last:
            own.behind = True

    # -- forking

    def before_fork(self) -> None:
        """Wait until no thread of this process is in the middle of something."""
        self._house.acquire()
        self._disk.acquire()
        self._memory.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        """Go on; in the child, forget everything."""
        if not in_child:
            self._memory.release()
            self._disk.release()
            self._house.release()
            return
        # SQLite forbids that a child as much as closes what it inherited.
        leak([connection for store in self._stores() if (connection := store.disown()) is not None])
        if self._journal is not None:
            self._journal.close()
        self._reset()


def _base_after(last_id: int) -> int:
    """Return a number from which ids go on after a process of whose ids this is the last that is left.

    It may have given many after that, all delivered: an id that a caller has noted must not be given twice.
    """
    following = (last_id >> 32) + 1 << 32
    return following if following < 1 << 63 else last_id


def _new_base() -> int:
    """Return a number from which the ids of a new set of files go on, and surely no other's."""
    return int.from_bytes(os.urandom(4), "big") >> 1 << 32

"""The caller's side of the spool on disk: opening, putting and closing.

`put` writes to the journal. What cannot leave before the journal is full goes on to the database.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING

from .. import host
from ..errors import SpoolError, SpoolFull, SpoolLocked
from ..locks import make_lock
from ..log import tell_once
from .anew import leave, remembered, rescue
from .files import Files, base_after, leak, new_base
from .journal import LEAST_SEGMENT_BYTES, SEGMENT_BYTES, Journal, Record
from .lanes import Lanes
from .paths import make_directory
from .store import Full, Store
from .values import Item, Owner, SpoolClosed, is_held, names_of, with_plain_names

if TYPE_CHECKING:
    from collections.abc import Sequence

QUOTA_BYTES = 512 << 20
_SPILL, _PIECE = 1000, 200
_MOST_KEPT = 8000  # bodies in memory, beside those on disk
_FULL_SECONDS = 0.1
_CLOSED = "the spool is closed"


class Intake:
    """What all threads of the host use; `DiskSpool` adds what the sender uses."""

    _soon_read_bytes = 4 << 20

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        durability: str = "process",
        quota_bytes: int = QUOTA_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.directory = os.path.abspath(os.fsdecode(directory))
        self._durability = durability
        self._quota_bytes = quota_bytes
        self._segment_bytes = segment_bytes
        self._owner: Owner | None = None
        self._reset()

    def _reset(self) -> None:
        # Taken in this order. `_house` covers what takes its time with files that are not ours yet;
        # `_disk` covers the databases and may be held for milliseconds; `_memory` covers the
        # journal and what is counted, and is held for microseconds. None is ever taken twice; they
        # are RLocks because those know who holds them (`is_inside`).
        self._house = make_lock()
        self._disk = make_lock()
        self._memory = make_lock()
        self._sync_lock = make_lock()
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
        # In the journal and not in the lanes yet, in order: ids, records, and those updated.
        self._fresh: deque[tuple[int, tuple[str, ...], tuple[str, ...]]] = deque()
        self._kept: dict[int, tuple[bytes, float]] = {}  # bodies and times of some in the journal
        self._away: dict[int, tuple[bytes, float]] = {}  # the same of those that are out
        self._ahead: dict[int, tuple[bytes, float]] = {}  # the same of some that a database has
        self._was_out: set[int] = set()  # and waits again, since the files were opened again
        self._synced = 0
        self._full: Full | None = None

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
            own, last_id = self._take_over(owner) or (
                self._store(Files.create(self.directory, owner)),
                0,
            )
            base = base_after(last_id) if last_id else new_base()
            try:
                own.note(base)
                journal = self._new_journal(own.files, owner)
            except BaseException:
                own.close()
                raise
            with self._memory:
                self._next_id = base + 1
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

    def _store(self, files: Files, kind: type[Store] = Store) -> Store:
        assert self._owner is not None
        return kind(
            files=files,
            owner=self._owner,
            durability=self._durability,
            quota_bytes=self._quota_bytes,
        )

    def _take_over(self, owner: Owner) -> tuple[Store, int] | None:
        """Take what a dead process left for our own, if there is any that is soon read."""
        if self._soon_read_bytes < 0:  # not even a look, since there may be many
            return None
        for files in Files.found(self.directory, owner):
            if (
                files.size <= self._soon_read_bytes
                and (taken := self._recover(files, owner)) is not None
            ):
                return taken
        return None

    def _recover(
        self, files: Files, owner: Owner, kind: type[Store] = Store
    ) -> tuple[Store, int] | None:
        """Lock what a dead process left, and bring it in order; returns the last id in it."""
        try:
            files.lock()
        except SpoolLocked:
            return None
        store = self._store(files, kind)
        try:
            if files.is_ours(owner):
                return store, store.recover()
        except (SpoolError, OSError, MemoryError) as error:
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
            names = [names_of(item) for item in items]
        except ValueError as error:  # a line break or a lone surrogate in a name
            host.let_pass(error)
            items = [with_plain_names(item) for item in items]
            names = [names_of(item) for item in items]
        count = len(items)
        size = sum([len(item.body) for item in items]) + sum(map(len, names))
        with self._memory:
            journal = self._opened()
            if journal.has_room(size, count) and journal.can_be_written(size, count):
                last = self._append(journal, names, items)
            elif journal.could_fit(size, count):
                roomy = self._with_room(size, count, wait=wait)
                if roomy is None:
                    return None
                last = self._append(roomy, names, items)
            elif wait:
                last = self._put_large(items, journal.segment_bytes)
            else:
                return None
        if self._durability == "power":
            self._sync(last)
        return f"{last:x}"

    def _append(self, journal: Journal, names: list[bytes], items: Sequence[Item]) -> int:
        now = time.time()
        first = self._next_id
        event_id = first - 1
        try:
            for name, (body, about, updates, is_letter) in zip(names, items, strict=True):
                event_id += 1
                journal.append(event_id, name, body, is_letter, now)
                self._next_id = event_id + 1
                self._accepted += 1
                if is_letter:
                    self._dead += 1
                else:
                    self._fresh.append((event_id, about, updates))
                    if len(self._kept) < _MOST_KEPT:
                        self._kept[event_id] = body, now
        except BaseException:  # a signal handler's, between any two calls
            self._note_appended(journal, first, items)
            raise
        return event_id

    def _note_appended(self, journal: Journal, first: int, items: Sequence[Item]) -> None:
        """Make good what `_append` was kept from: an event is in or it is not."""
        fresh = {row[0] for row in self._fresh}
        for event_id, (_, about, updates, is_letter) in enumerate(items, first):
            if not journal.has(event_id):
                return
            if event_id >= self._next_id:
                self._next_id = event_id + 1
                self._accepted += 1
                self._dead += is_letter
            if not is_letter and event_id not in fresh:
                self._fresh.append((event_id, about, updates))

    def _opened(self) -> Journal:
        if self._journal is None:
            raise SpoolClosed(_CLOSED)
        return self._journal

    def _with_room(self, size: int, count: int, *, wait: bool) -> Journal | None:
        """Return the journal once it has room; `None` if that would wait for the disk."""
        while True:
            journal = self._opened()
            if not journal.is_open:
                care = self._mend_now
            elif not journal.has_room(size, count):
                if journal.switch():
                    continue
                care = self._make_room
            elif journal.can_be_written(size, count):
                return journal
            else:
                care = self._mend_now
            if not wait:
                return None
            care()

    def _mend_now(self) -> None:
        """Make the files anew, here and now; the memory lock is let go meanwhile."""
        self._memory.release()
        try:
            with self._house:
                self._look_after_files()
        finally:
            self._memory.acquire()

    def _make_room(self) -> None:
        """Empty the sealed segment, here and now; the memory lock is let go meanwhile."""
        self._memory.release()
        try:
            with self._disk:
                self._spill()
        finally:
            self._memory.acquire()

    def _put_large(self, items: Sequence[Item], segment_bytes: int) -> int:
        """Put letters that are larger than a segment straight into the database; their order does
        not matter.
        """
        if not all(item.is_letter for item in items):
            msg = f"an event of more than {segment_bytes} bytes cannot be kept: Totango would not take it either"
            raise SpoolFull(msg)
        first, now = self._next_id, time.time()
        self._next_id += len(items)
        records = [
            Record(first + at, "", item.body, item.is_letter, now) for at, item in enumerate(items)
        ]
        self._memory.release()
        try:
            with self._disk:
                if self._own is None:
                    raise SpoolClosed(_CLOSED)
                self._own.insert(records)
        finally:
            self._memory.acquire()
        self._accepted += len(items)
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
            journal.measure()
            ids = journal.sealed_ids()
        for at in range(0, len(ids), _SPILL):
            self._move(journal, own, ids[at : at + _SPILL])
        self._full = None
        with self._memory:
            journal.unseal()

    def _move(self, journal: Journal, own: Store, ids: list[int]) -> None:
        """Move these events and letters to the database, in one transaction: all of a segment would
        be much memory.
        """
        pieces = [
            ids[at : at + _PIECE] for at in range(0, len(ids), _PIECE)
        ]  # since `put` waits for this lock
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
                self._full = Full(str(full), until, own.waiting, journal.sealed_count)
                raise
        with self._memory:
            if records or damaged:
                journal.note_spilled(ids[-1])
            self._unpulled(own, ids[-1])
        moved = {record.id for record in records if not record.is_letter}
        for piece in pieces:
            with self._memory:
                # Delivered while they were being moved.
                own.struck.update(
                    each for each in piece if each in moved and not journal.holds(each)
                )
                for event_id in piece:
                    self._kept.pop(event_id, None)
                journal.moved(piece)

    def _unpulled(self, own: Store, last: int) -> None:
        """What is not in a lane yet, up to `last`, is now to be found in the database."""
        while self._fresh and self._fresh[0][0] <= last:
            self._fresh.popleft()
        if own.cursor < last:
            own.behind = True

    # -- when somebody removed, replaced or cut short our files (with `_house` held)

    def _look_after_files(self) -> None:
        """Make our files anew if they are not as we left them. Raises `SpoolError`."""
        with self._disk, self._memory:
            journal, own = self._journal, self._own
            if journal is None or own is None:
                return
            trouble = own.files.trouble(journal)
            if trouble is None and not own.is_in_place:
                trouble = f"{own.files.path('db')!r} was removed or replaced"
            if trouble is None:
                return
            tell_once(
                f"anew {trouble}", f"{trouble}: the spool's files are made anew", level="error"
            )
            if own.files.are_open(journal):
                self._make_anew(journal, own)
            else:
                self._begin_again()

    def _begin_again(self) -> None:
        """Take over our own files, as those of a dead process: our lock went with its descriptor."""
        assert self._owner is not None
        was_out = self._lanes.out_ids
        self._disown()
        self._forget()
        self._was_out.update(was_out)
        self.open(self._owner)

    def _disown(self) -> None:
        """Let go without closing what others have: a parent, or who has our descriptors' numbers."""
        # SQLite forbids that a child as much as closes what it inherited.
        leak([connection for store in self._stores() if (connection := store.disown()) is not None])
        if self._journal is not None:
            self._journal.close()

    def _make_anew(self, journal: Journal, own: Store) -> None:
        assert self._owner is not None
        make_directory(self.directory)
        store = self._store(Files.create(self.directory, self._owner))
        try:
            fresh = self._new_journal(store.files, self._owner)
        except BaseException:
            store.close()
            raise
        store.base, store.cursor, store.behind = own.base, own.cursor, own.behind
        store.on_drop = lambda: fresh.note_spilled(0)
        ids = journal.live_ids()
        try:
            own.copy_to(store)
            store.note(self._next_id)
            rescue(
                journal, store, remembered(self._lanes, self._fresh, {**self._kept, **self._away})
            )
        except BaseException:
            store.drop()
            fresh.close()
            store.files.remove_journal()
            store.close()
            raise
        if ids:
            self._unpulled(store, ids[-1])
            fresh.note_spilled(ids[-1])
        self._kept.clear()
        self._own, self._journal = store, fresh
        leave(journal, own)

"""The default spool: on disk, one set of files for each process.

`put` writes to the journal. What cannot leave before the journal is full goes on to the database,
as does what is dead. A lock file tells the files of the living from those of the dead, which the
next process takes over: one set as its own, further ones beside it until they are empty.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from ..errors import SpoolError, SpoolFull, SpoolLocked
from ..log import tell_once
from .base import Counts, DeadLetter, Item, Leased, Outcome, Owner, SpoolClosed
from .files import Files, leak
from .journal import SEGMENT_BYTES, Journal, Record
from .lanes import Lanes
from .paths import make_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .sqlite import Database

QUOTA_BYTES = 512 << 20
_STRIKE_GROUP = 100
_PULL = 1000
_WINDOW = 100_000
_MOST_ADOPTED = 16
_SMALL_BYTES = 4 << 20


class _Adopted:
    """The database of a dead process, from which its events leave before ours."""

    def __init__(self, files: Files, database: Database) -> None:
        self.files = files
        self.database = database
        self.cursor = 0
        self.behind = database.waiting > 0
        self.struck: list[int] = []

    @property
    def is_drained(self) -> bool:
        return not self.behind and self.database.waiting == len(self.struck)


class DiskSpool:
    """Keeps events in `directory`, which nobody else may write to.

    `durability` is `process` (what `put` accepted survives `kill -9`) or `power` (it survives a
    power cut; `put` waits for the disk, together with other threads). Beyond `quota_bytes` on disk
    for one process, `put` raises `SpoolFull`.
    """

    durable = True

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
        # Taken in this order. `_disk` covers the databases and may be held for milliseconds; `_memory`
        # covers the journal and what is counted, and is held for microseconds.
        self._disk = threading.Lock()
        self._memory = threading.Lock()
        self._sync_lock = threading.Lock()
        self._files: Files | None = None
        self._journal: Journal | None = None
        self._database: Database | None = None
        self._adopted: list[_Adopted] = []
        self._home: dict[int, _Adopted] = {}
        self._lanes = Lanes()
        self._fresh: deque[tuple[int, str]] = deque()
        self._cursor = 0
        self._behind = False
        self._struck: list[int] = []
        self._out: set[int] = set()
        self._next_id = self._synced = 0
        self._accepted = self._delivered = self._dead = 0

    # -- opening and closing

    def open(self, owner: Owner) -> None:
        """Take over the files of a dead process, or make new ones. Raises `SpoolError`."""
        make_directory(self.directory)
        self._owner = owner
        files = self._take_dead(limit=_SMALL_BYTES) or Files.create(self.directory, owner)
        try:
            self._open_own(files, owner)
        except OSError as error:
            files.close(remove=False)
            msg = f"the spool in {self.directory!r} cannot be written ({error.strerror})"
            raise (SpoolFull if error.errno in (28, 122) else SpoolError)(msg) from None
        except BaseException:
            files.close(remove=False)
            raise

    def _open_own(self, files: Files, owner: Owner) -> None:
        last_id, self._database = files.recover(owner, self._durability, self._quota_bytes)
        if self._database is not None:
            self._accepted = self._database.waiting
            self._behind = self._database.waiting > 0
        journal = files.new_journal(owner, self._segment_bytes)
        self._next_id = last_id + 1 if last_id else (int.from_bytes(os.urandom(4), "big") >> 1 << 32) + 1
        journal.start(self._next_id)
        self._files, self._journal = files, journal

    def _take_dead(self, *, limit: int) -> Files | None:
        """Lock and return the files of a process that is gone, if there are any with a database of no more than `limit` bytes."""
        assert self._owner is not None
        for files in Files.found(self.directory, self._owner):
            if files.size <= limit and self._lock_dead(files):
                return files
        return None

    def _lock_dead(self, files: Files) -> bool:
        assert self._owner is not None
        try:
            files.lock()
        except SpoolLocked:
            return False
        if files.is_ours(self._owner):
            return True
        files.close(remove=False)
        return False

    def close(self) -> None:
        """Let go. What was not delivered stays for the next process."""
        with self._disk, self._memory:
            if self._files is None or self._journal is None:
                return
            for adopted in self._adopted:
                self._strike_in(adopted.database, adopted.struck)
                adopted.database.close(remove=adopted.database.waiting + adopted.database.dead == 0)
                adopted.files.close(remove=adopted.database.waiting + adopted.database.dead == 0)
            keep_database = False
            if self._database is not None:
                self._strike_in(self._database, self._struck)
                keep_database = self._database.waiting + self._database.dead > 0
                self._database.close(remove=not keep_database)
            keep_journal = not self._journal.is_empty
            self._journal.close()
            self._files.close_journal(remove=not keep_journal)
            self._files.close(remove=not keep_journal and not keep_database)
            self._files = self._journal = self._database = None
            self._adopted = []

    @property
    def needs_care(self) -> bool:
        """Whether a segment waits to be emptied."""
        return self._journal is not None and self._journal.sealed is not None

    # -- putting

    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        """Store all items in order; see `Spool.put`."""
        lanes = [item.lane.encode() for item in items]
        size = sum(map(len, lanes)) + sum(len(item.body) for item in items)
        with self._memory:
            journal = self._opened()
            if not journal.could_fit(size, len(items)):
                if not wait:
                    return None
                self._put_large(items)
            else:
                while not journal.has_room(size, len(items)):
                    if not journal.switch(self._next_id):
                        if not wait:
                            return None
                        self._make_room()
                        journal = self._opened()
                self._append(journal, lanes, items)
            last = self._next_id - 1
            self._accepted += len(items)
        if self._durability == "power":
            self._sync(last)
        return f"{last:x}"

    def _append(self, journal: Journal, lanes: list[bytes], items: Sequence[Item]) -> None:
        now = time.time()
        for lane, item in zip(lanes, items, strict=True):
            journal.append(self._next_id, lane, item.body, item.is_letter, now)
            if item.is_letter:
                self._dead += 1
            else:
                self._fresh.append((self._next_id, item.lane))
            self._next_id += 1

    def _opened(self) -> Journal:
        if self._journal is None:
            msg = "the spool is closed"
            raise SpoolClosed(msg)
        return self._journal

    def _make_room(self) -> None:
        """Empty the sealed segment, here and now; the memory lock is let go meanwhile."""
        self._memory.release()
        try:
            with self._disk:
                self._spill()
        finally:
            self._memory.acquire()

    def _put_large(self, items: Sequence[Item]) -> None:
        """Put letters that are larger than a segment straight into the database; their order does not matter."""
        if not all(item.is_letter for item in items):
            msg = f"an event of more than {self._segment_bytes} bytes cannot be kept: Totango would not take it either"
            raise SpoolFull(msg)
        first, now = self._next_id, time.time()
        self._next_id += len(items)
        records = [Record(first + at, item.lane, item.body, item.is_letter, now) for at, item in enumerate(items)]
        self._memory.release()
        try:
            with self._disk:
                self._own_database().insert(records)
        finally:
            self._memory.acquire()
        self._dead += len(items)

    def _sync(self, upto: int) -> None:
        """Wait for the disk. One thread waits for all that came before it took its turn."""
        with self._sync_lock:
            if self._synced >= upto:
                return
            newest, journal = self._next_id - 1, self._journal
            if journal is not None:
                journal.sync()
            self._synced = newest

    # -- from the journal to the database (with `_disk` held)

    def _own_database(self) -> Database:
        if self._database is None:
            assert self._files is not None and self._owner is not None
            self._database = self._files.open_database(self._owner, self._durability, self._quota_bytes)
        return self._database

    def _spill(self) -> None:
        """Move what is alive in the sealed segment to the database."""
        journal = self._journal
        if journal is None or journal.sealed is None:
            return
        with self._memory:
            tables = (journal.live[journal.sealed], journal.letters[journal.sealed])
            ids = sorted([event_id for table in tables for event_id in table])
            records = [record for event_id in ids if (record := journal.read(event_id)) is not None]
        if records:
            self._own_database().insert(records)
        with self._memory:
            gone = [event_id for event_id in ids if not any(event_id in table for table in tables)]
            if ids:
                self._unpulled(ids[-1])
            journal.unseal()
        if gone:  # delivered while they were being moved
            self._struck += gone

    def _unpulled(self, last: int) -> None:
        """What is not in a lane yet, up to `last`, is now to be found in the database."""
        while self._fresh and self._fresh[0][0] <= last:
            self._fresh.popleft()
        if self._cursor < last:
            self._behind = True

    # -- leasing

    def lease(self, limit: int, now: float) -> list[Leased]:
        """Take out what is due; see `Spool.lease`."""
        if self._lanes.ready < limit:
            self._pull(limit)
        taken = self._lanes.take(limit, now)
        if not taken:
            return []
        found: dict[int, tuple[bytes, float]] = {}
        with self._memory:
            journal = self._opened()
            for event_id, _ in taken:
                record = journal.read(event_id)
                if record is not None:
                    found[event_id] = record.body, record.accepted_at
        missing = [event_id for event_id, _ in taken if event_id not in found]
        if missing:
            with self._disk:
                found.update(self._fetch(missing))
        leased = []
        self._out.update(event_id for event_id, _ in taken)
        for event_id, lane in taken:
            if event_id in found:
                body, accepted_at = found[event_id]
                leased.append(Leased(event_id, lane.name, body, lane.attempts, accepted_at))
            else:
                self._lost(event_id, lane.name)
        return leased

    def _fetch(self, ids: list[int]) -> dict[int, tuple[bytes, float]]:
        found: dict[int, tuple[bytes, float]] = {}
        own = [event_id for event_id in ids if event_id not in self._home]
        if own and self._database is not None:
            found.update(self._database.fetch(own))
        for adopted in self._adopted:
            theirs = [event_id for event_id in ids if self._home.get(event_id) is adopted]
            if theirs:
                found.update(adopted.database.fetch(theirs))
        return found

    def _lost(self, event_id: int, lane: str) -> None:
        """An event that was damaged on the disk: it cannot be sent, and is counted as dead."""
        reason = "damaged on the disk: what was stored does not fit its checksum"
        tell_once("damaged", f"event {event_id:x} was {reason}", level="error")
        self.settle([Outcome(Leased(event_id, lane, b"", 0, time.time()), "dead", reason=reason)])

    def _pull(self, want: int) -> None:
        """Bring events into their lanes, the oldest first: those of the dead, the database's, the journal's."""
        while self._lanes.ready < want and (self._lanes.waiting_ids < _WINDOW or not self._lanes.ready):
            with self._disk:
                rows = self._pull_stored()
            if rows is None:
                rows = self._pull_fresh()
            if not rows:
                return
            for event_id, lane in rows:
                self._lanes.offer(event_id, lane)

    def _pull_stored(self) -> list[tuple[int, str]] | None:
        """Return the next rows of a database; `None` once all of them are in their lanes."""
        for adopted in self._adopted:
            if adopted.behind:
                rows = adopted.database.after(adopted.cursor, _PULL)
                adopted.behind = len(rows) == _PULL
                self._home.update((row[0], adopted) for row in rows)
                adopted.cursor = rows[-1][0] if rows else adopted.cursor
                return rows or None
        if not self._behind or self._database is None:
            return None
        rows = self._database.after(self._cursor, _PULL)
        known = self._out.union(self._struck)
        with self._memory:
            self._behind = len(rows) == _PULL
            if rows:
                self._cursor = rows[-1][0]
        return [row for row in rows if row[0] not in known] or (self._pull_stored() if self._behind else None)

    def _pull_fresh(self) -> list[tuple[int, str]]:
        with self._memory:
            if self._behind:
                return []
            rows = [self._fresh.popleft() for _ in range(min(len(self._fresh), _PULL))]
            if rows:
                self._cursor = rows[-1][0]
        return rows

    # -- settling

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Strike off, put off or bury; see `Spool.settle`."""
        dead = [outcome for outcome in outcomes if outcome.verdict == "dead"]
        if dead:
            self._bury(dead)
        with self._memory:
            journal = self._opened()
            for event, verdict, due, _ in outcomes:
                self._out.discard(event.id)
                if verdict == "retry":
                    self._lanes.again(event.lane, due)
                    continue
                self._lanes.done(event.lane)
                if verdict == "delivered":
                    self._delivered += 1
                    if not journal.strike(event.id):
                        home = self._home.pop(event.id, None)
                        (self._struck if home is None else home.struck).append(event.id)
            full = len(self._struck) >= _STRIKE_GROUP or any(len(each.struck) >= _STRIKE_GROUP for each in self._adopted)
        if full:
            with self._disk:
                self._strike()

    def _bury(self, dead: list[Outcome]) -> None:
        now = time.time()
        with self._disk:
            for outcome in dead:
                event = outcome.event
                home = self._home.pop(event.id, None)
                database = self._own_database() if home is None else home.database
                row = (event.id, event.body, outcome.reason, event.attempts + 1, event.accepted_at, now)
                database.bury([row])
                with self._memory:
                    self._dead += 1
                    self._opened().strike(event.id)

    def _strike(self) -> None:
        if self._database is not None:
            self._strike_in(self._database, self._struck)
        for adopted in self._adopted:
            self._strike_in(adopted.database, adopted.struck)

    @staticmethod
    def _strike_in(database: Database, struck: list[int]) -> None:
        if not struck:
            return
        batch = struck[:]
        try:
            database.strike(batch)
            del struck[: len(batch)]
        except SpoolFull as full:  # on a full disk nothing can be deleted either; they stay known here
            tell_once("strike", f"what was delivered cannot be struck off: {full}")

    # -- keeping house

    def maintain(self, *, adopt: bool) -> None:
        """Do what `put` leaves for the sender's thread; see `Spool.maintain`."""
        with self._disk:
            try:
                self._spill()
                self._strike()
                if self._database is not None:
                    self._database.checkpoint()
            except SpoolFull as full:
                tell_once("full", str(full))
            self._let_go_of_drained()
            if adopt:
                self._adopt()

    def _adopt(self) -> None:
        assert self._owner is not None
        for files in Files.found(self.directory, self._owner):
            if len(self._adopted) >= _MOST_ADOPTED:
                return
            if self._lock_dead(files):
                self._adopt_one(files, self._owner)

    def _adopt_one(self, files: Files, owner: Owner) -> None:
        try:
            _, database = files.recover(owner, self._durability, self._quota_bytes)
        except (SpoolError, OSError) as error:
            files.close(remove=False)
            tell_once(f"adopt {files.stem}", f"what another process left is not delivered: {error}")
            return
        if database is None:
            files.close(remove=True)
            return
        with self._memory:
            if database.waiting:
                self._put_ours_behind()
            self._accepted += database.waiting
            self._adopted.append(_Adopted(files, database))

    def _put_ours_behind(self) -> None:
        """Take our own events out of their lanes again: those of the dead process go before them."""
        journal = self._opened()
        ours = sorted(self._lanes.withdraw(lambda event_id: event_id not in self._home))
        self._fresh.extendleft(reversed([row for row in ours if journal.holds(row[0])]))
        stored = [event_id for event_id, _ in ours if not journal.holds(event_id)]
        if stored:
            self._behind, self._cursor = True, stored[0] - 1

    def _let_go_of_drained(self) -> None:
        for adopted in [each for each in self._adopted if each.is_drained]:
            letters = adopted.database.raw_letters()
            if letters:
                self._own_database().add_letters(letters)
            adopted.database.close(remove=True)
            adopted.files.close(remove=True)
            self._adopted.remove(adopted)

    def next_due(self) -> float | None:
        """When the next event may go; see `Spool.next_due`."""
        if self._fresh or self._behind or any(adopted.behind for adopted in self._adopted):
            return 0.0
        return self._lanes.next_due()

    # -- looking

    def mark(self) -> int:
        """A mark of everything accepted up to now."""
        return self._next_id - 1

    def pending_before(self, mark: int | None) -> bool:
        """Whether anything up to the mark is still here; see `Spool.pending_before`."""
        with self._disk:
            self._strike()
            if any(not adopted.is_drained for adopted in self._adopted):
                return True
            stored = None if self._database is None else self._database.oldest()
        with self._memory:
            oldest = None if self._journal is None else self._journal.oldest
        ids = [stored[0]] if stored else []
        ids += [oldest] if oldest is not None else []
        return bool(ids) and (mark is None or min(ids) <= mark)

    def counts(self) -> Counts:
        """What is here, and what became of the rest."""
        with self._disk:
            times = [row[1] for each in self._databases() if (row := each.oldest()) is not None]
        with self._memory:
            if self._journal is not None and (oldest := self._journal.oldest) is not None:
                record = self._journal.read(oldest)
                times += [record.accepted_at] if record is not None else []
            pending = self._accepted - self._delivered - self._dead
            return Counts(
                accepted=self._accepted,
                queued=pending - self._lanes.out - self._lanes.retrying,
                retrying=self._lanes.retrying,
                in_flight=self._lanes.out,
                delivered=self._delivered,
                dead=self._dead,
                oldest_at=min(times, default=None),
            )

    def _databases(self) -> list[Database]:
        own = [] if self._database is None else [self._database]
        return own + [adopted.database for adopted in self._adopted]

    def letters(self) -> Iterator[DeadLetter]:
        """The dead letters, the oldest first."""
        with self._disk:
            self._absorb_letters()
            found = [letter for database in self._databases() for letter in database.letters()]
        yield from sorted(found, key=lambda letter: letter.dead_at)

    def _absorb_letters(self) -> None:
        with self._memory:
            journal = self._journal
            ids = [] if journal is None else [event_id for table in journal.letters for event_id in table]
            records = [record for event_id in ids if journal and (record := journal.read(event_id)) is not None]
        if records:
            self._own_database().insert(records)
            with self._memory:
                for record in records:
                    self._opened().strike(record.id)

    # -- forking

    def before_fork(self) -> None:
        """Wait until no thread of this process is in the middle of something."""
        self._disk.acquire()
        self._memory.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        """Go on; in the child, forget everything."""
        if not in_child:
            self._memory.release()
            self._disk.release()
            return
        # SQLite forbids that a child as much as closes what it inherited.
        leak([database.connection for database in self._databases()])
        for adopted in self._adopted:
            adopted.files.abandon()
        if self._journal is not None:
            self._journal.close()
        if self._files is not None:
            self._files.abandon()
        self._reset()

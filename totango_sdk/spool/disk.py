"""The default spool: on disk, one set of files for each process.

What dead processes left is taken over: one set of files as our own, further ones beside it until
they are empty. A lock file tells the files of the living from those of the dead.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from ..errors import SpoolError
from ..log import tell_once
from .files import Files
from .intake import Intake
from .journal import LEAST_SEGMENT_BYTES
from .letters import DeadLetter
from .remnant import Remnant
from .values import Counts, Leased, Outcome, read_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Row = tuple[int, tuple[str, ...], tuple[str, ...]]  # an id, its records, those it updates
    from .lanes import Entry
    from .store import Store

_STRIKE_GROUP = 100
_PULL = 250  # in one go, the interpreter is held: other threads should not notice
_READ_AHEAD_BYTES = 1 << 20
_MOST_AHEAD = 2000
_WINDOW = 100_000
_MOST_ADOPTED = 16
_DAMAGED = "damaged on the disk: what was stored does not fit its checksum"


class DiskSpool(Intake):
    """Keeps events in `directory`, which nobody else may write to.

    `durability` is `process` (what `put` accepted survives `kill -9`) or `power` (it survives a
    power cut; `put` waits for the disk, together with other threads). Beyond `quota_bytes` on disk
    for one process, `put` raises `SpoolFull`; of what is there, dead letters may take as much
    again.
    """

    durable = True

    def be_brief(self) -> None:
        """Make small files, and take over none: this process tracks a little and ends."""
        self._segment_bytes = LEAST_SEGMENT_BYTES
        self._soon_read_bytes = -1

    # -- leasing

    def lease(self, limit: int, now: float) -> list[Leased]:
        """Take out what is due; see `Spool.lease`."""
        while True:
            if self._lanes.ready < limit:
                self._pull(limit)
            taken = self._lanes.take(limit, now)
            leased = self._read(taken) if taken else []
            if leased or not taken:  # else all of them were damaged, and others may go
                return leased

    def _read(self, taken: list[Entry]) -> list[Leased]:
        """Return what was taken from the lanes; what is damaged becomes a dead letter."""
        try:
            found = self._find(taken)
        except BaseException:
            self._lanes.untake(taken)
            raise
        leased = []
        for entry, known in zip(taken, found, strict=True):
            if known is not None:
                self._away[entry.id] = known
                leased.append(entry.leased(*known))
            else:
                tell_once("damaged", f"event {entry.id:x} was {_DAMAGED}", level="error")
                self._bury(entry.leased(b"", time.time()), None, _DAMAGED)
        return leased

    def _find(self, taken: list[Entry]) -> list[tuple[bytes, float] | None]:
        """Return the body and the time of acceptance of each of these events that can be found."""
        kept, ahead = self._kept, self._ahead
        ids = [entry.id for entry in taken]
        with self._memory:
            journal = self._opened()
            found = [kept.pop(event_id, None) or ahead.pop(event_id, None) for event_id in ids]
            missing = [at for at, known in enumerate(found) if known is None]
            if missing:
                journal.measure()
            for at in missing:
                event_id = ids[at]
                if event_id not in self._home and (record := journal.read(event_id)) is not None:
                    found[at] = record.body, record.accepted_at
        missing = [at for at in missing if found[at] is None]
        if missing:
            stored = self._fetch([ids[at] for at in missing])
            for at in missing:
                found[at] = stored.get(ids[at])
        return found

    def _fetch(self, ids: list[int]) -> dict[int, tuple[bytes, float]]:
        found: dict[int, tuple[bytes, float]] = {}
        with self._disk:
            for store in self._stores():
                theirs = [each for each in ids if self._home.get(each, self._own) is store]
                if theirs:
                    found.update(store.fetch(theirs))
        return found

    def _pull(self, want: int) -> None:
        """Bring events into their lanes, the oldest first: those of the dead, the database's, the
        journal's.
        """
        if len(self._ahead) >= _MOST_AHEAD:
            self._ahead.clear()  # of lanes that do not move
        while self._lanes.ready < want and (
            self._lanes.waiting_ids < _WINDOW or not self._lanes.ready
        ):
            with self._disk:
                rows = self._pull_stored()
            if not rows:
                rows = self._pull_fresh()
            if not rows:
                return
            for row in rows:
                self._lanes.offer(*row)

    def _pull_stored(self) -> list[Row]:
        """Return the next rows of a database; none once all of them are in their lanes."""
        for store in (*self._adopted, self._own):
            while store is not None and store.behind:
                found = store.after(_PULL, _READ_AHEAD_BYTES)
                rows = [
                    (event_id, *read_back(records))
                    for event_id, records in found.rows
                    if event_id not in store.struck and not self._lanes.is_out(event_id)
                ]
                with self._memory:
                    store.behind = found.has_more
                    store.cursor = found.rows[-1][0] if found.rows else store.cursor
                if len(self._ahead) < _MOST_AHEAD:
                    self._ahead.update(
                        (row[0], found.bodies[row[0]]) for row in rows if row[0] in found.bodies
                    )
                if store is not self._own:
                    self._home.update((row[0], store) for row in rows)
                if rows:
                    return rows
        return []

    def _pull_fresh(self) -> list[Row]:
        with self._memory:
            if self._own is None or self._own.behind:
                return []
            rows = [self._fresh.popleft() for _ in range(min(len(self._fresh), _PULL))]
            if rows:
                self._own.cursor = rows[-1][0]
        return rows

    # -- settling

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Strike off, put off or bury; see `Spool.settle`."""
        with self._memory:
            journal, own = self._opened(), self._own
            assert own is not None
            journal.measure_for(outcome.event.id for outcome in outcomes)
            goes_behind = False
            for event, verdict, due, reason in outcomes:
                if self._was_out and self._has_come_back(event.id):
                    continue
                if verdict != "dead":
                    self._away.pop(event.id, None)
                if verdict == "retry":
                    goes_behind = goes_behind or self._goes_behind(event, own)
                    self._lanes.again(event.id, due)
                    journal.put_off(event.id, event.attempts + 1, reason)
                elif verdict == "delivered":
                    self._lanes.done(event.id)
                    self._delivered += 1
                    if event.id in self._home:
                        self._home.pop(event.id).struck.add(event.id)
                    elif not journal.strike(event.id):
                        own.struck.add(event.id)
            if goes_behind:
                self._put_ours_behind()
            full = [store for store in self._stores() if len(store.struck) >= _STRIKE_GROUP]
        if full:
            with self._disk:
                for store in full:
                    store.strike()
        for outcome in outcomes:
            if outcome.verdict == "dead" and not self._has_come_back(outcome.event.id):
                self._bury(outcome.event, outcome.event.body, outcome.reason)

    def _has_come_back(self, event_id: int) -> bool:
        """Whether this was out when our files were opened again, and is not out now."""
        return event_id in self._was_out and not self._lanes.is_out(event_id)

    def _bury(self, event: Leased, body: bytes | None, reason: str) -> None:
        """Make a dead letter of an event that is out. Raises `SpoolFull`, and leaves it out."""
        with self._disk:
            self._opened()
            store = self._home.get(event.id, self._own)
            assert store is not None
            store.bury((event.id, body, reason, event.attempts + 1, event.accepted_at, time.time()))
            with self._memory:
                if self._home.pop(event.id, None) is None:
                    self._opened().strike(event.id)
                self._lanes.done(event.id)
                self._away.pop(event.id, None)
                self._dead += 1

    # -- keeping house

    @property
    def needs_care(self) -> bool:
        """Whether a segment waits to be emptied, more can be adopted, or there is time to strike
        off.
        """
        journal = self._journal
        if journal is None:
            return False
        if journal.sealed is not None or self._can_adopt_more:
            return True
        return not self._lanes.out and any(store.struck for store in self._stores())

    @property
    def _can_adopt_more(self) -> bool:
        return self._more_dead and any(
            not store.behind and store.waiting <= len(store.struck) for store in self._adopted
        )

    def maintain(self, *, adopt: bool) -> None:
        """Do what `put` leaves for the sender's thread; see `Spool.maintain`."""
        with self._house:
            if self._journal is None:
                return
            if adopt or not self._journal.is_whole:
                self._guarded(self._look_after_files)
            self._guarded(self._spill_in_time)
            self._guarded(self._tidy)
            self._guarded(self._let_go_of_drained)
            if adopt or (self._more_dead and len(self._adopted) < _MOST_ADOPTED):
                self._guarded(self._adopt)
                self._guarded(self._let_go_of_drained)

    def _guarded(self, care: Callable[[], None]) -> None:
        try:
            care()
        except SpoolError as error:
            tell_once(f"care {type(error).__name__}", f"the spool goes on after: {error}")

    def _spill_in_time(self) -> None:
        with self._disk:
            for store in self._stores():
                store.strike()
            self._spill()

    def _tidy(self) -> None:
        with self._disk:
            for store in self._stores():
                store.tidy()
            self._count_lost()

    def _count_lost(self) -> None:
        """Count those as dead that are nowhere any more after a database was mended."""
        mended = [store for store in self._stores() if store.was_mended]
        if not mended:
            return
        behind = {each for store in self._stores() for each in store.ids_behind()}
        with self._memory:
            here = len(self._fresh) + self._lanes.waiting_ids + self._lanes.out
            struck = {each for store in self._stores() for each in store.struck}
            here += len([each for each in behind - struck if not self._lanes.is_out(each)])
            lost = self._accepted - self._delivered - self._dead - here
            self._dead += lost
        for store in mended:
            store.was_mended = False
        if lost:
            tell_once(
                "lost", f"{lost} events could not be read from a damaged spool file", level="error"
            )

    def _adopt(self) -> None:
        owner = self._owner
        assert owner is not None
        self._more_dead = False
        known = {store.files.stem for store in self._stores()}
        for files in Files.found(self.directory, owner):
            if files.stem in known:
                continue
            if len(self._adopted) >= _MOST_ADOPTED:
                self._more_dead = True
                return
            recovered = self._recover(files, owner, Remnant)
            if recovered is not None:
                self._add(*recovered)

    def _add(self, store: Store, last_id: int) -> None:
        # Two processes that began with the same number by chance cannot be told apart here.
        taken = {self._next_id >> 32, *(each.base for each in self._stores())}
        store.base = last_id >> 32
        if store.is_empty or (store.waiting and store.base in taken):
            store.close()
            return
        with self._disk, self._memory:
            store.was_mended = False
            if store.waiting:
                self._put_ours_behind()
            self._accepted += store.waiting
            self._adopted.append(store)

    def _goes_behind(self, event: Leased, own: Store) -> bool:
        """Whether this event of ours, which was out when a dead process's came, has to wait for
        those.
        """
        if event.id in self._home:
            return False
        # Beyond the cursor it would be brought into the lanes once more.
        if event.id > own.cursor or not event.updates:
            return event.id > own.cursor
        return any(store.behind for store in self._adopted) or self._lanes.held_up_by(
            event.id, self._home.__contains__
        )

    def _put_ours_behind(self) -> None:
        """Take our own events out of their lanes again: those of the dead process go before them."""
        journal, own = self._opened(), self._own
        assert own is not None
        withdrawn = self._lanes.withdraw(lambda event_id: event_id not in self._home)
        ours = sorted((entry.id, entry.about, entry.updates) for entry in withdrawn)
        self._fresh = deque(sorted([*self._fresh, *(row for row in ours if journal.holds(row[0]))]))
        if ours:
            own.cursor = min(own.cursor, ours[0][0] - 1)
            own.behind = own.behind or not journal.holds(ours[0][0])

    def _let_go_of_drained(self) -> None:
        with self._disk:
            for store in [each for each in self._adopted if each.is_drained]:
                store.strike()
                if store.dead and self._own is not None:
                    store.move_letters(self._own)
                self._adopted.remove(store)
                store.drop()
                store.close()

    def next_due(self) -> float | None:
        """When the next event may go; see `Spool.next_due`."""
        due = self._lanes.next_due()
        if due != 0.0 and (self._fresh or any(store.behind for store in self._stores())):
            return 0.0
        return due

    # -- looking

    def mark(self) -> int:
        """A mark of everything accepted up to now."""
        return self._next_id - 1

    def pending_before(self, mark: int | None) -> bool:
        """Whether anything up to the mark is still here; see `Spool.pending_before`."""
        with self._memory:
            if any(
                mark is None or event_id <= mark or event_id in self._home
                for event_id in self._lanes.out_ids
            ):
                return True  # mostly, and known without a look into the database
        with (
            self._disk
        ):  # held until both were looked at: an event may be on its way from the one to the other
            try:
                if self._more_dead or not all(store.is_drained for store in self._adopted):
                    return True
                stored = None if self._own is None else self._own.oldest()
            except SpoolError:  # damaged, and no room to mend it
                return True
            with self._memory:
                oldest = None if self._journal is None else self._journal.oldest
        ids = [stored[0]] if stored else []
        ids += [oldest] if oldest is not None else []
        return bool(ids) and (mark is None or min(ids) <= mark)

    def counts(self) -> Counts:
        """What is here, and what became of the rest."""
        with self._disk:
            times = self._oldest_times()
            with self._memory:
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

    def _oldest_times(self) -> list[float]:
        times = []
        for store in self._stores():
            try:
                row = store.oldest()
            except SpoolError:
                continue
            times += [row[1]] if row is not None else []
        with self._memory:
            oldest = None if self._journal is None else self._journal.oldest
            record = None if oldest is None or self._journal is None else self._journal.read(oldest)
        return times + ([record.accepted_at] if record is not None else [])

    def letters(self) -> Iterator[DeadLetter]:
        """The dead letters, the oldest first."""
        with self._disk:
            found = [letter for store in self._stores() for letter in store.letters()]
            with self._memory:
                refused = [] if self._journal is None else self._journal.letters()
        found += [
            DeadLetter.refused(f"{record.id:x}", record.body, record.accepted_at)
            for record in refused
        ]
        yield from sorted(found, key=lambda letter: letter.dead_at)

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
        self._disown()
        self._reset()

"""Which event may leave next: the rule of order, and no waiting beyond it.

An event concerns records, and of some of them it says something: of those it is an update. Of each
record one update is out at a time, in order, and one that must be tried again holds up the later
updates of its record and nothing else. Whatever else concerns a record waits for the first answer
to the updates before it, but not while these are held up by one that is tried again. All that may
go starts in order, and side by side.

Knows ids, names of records and times only, and is driven by one thread.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

import attrs

from .values import Leased

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@attrs.define(eq=False, repr=False)
class Entry:
    """One event that waits or is out."""

    id: int
    about: tuple[str, ...]  # the records that it concerns
    updates: tuple[str, ...]  # those of them of which it says something
    place: int = 0  # in the order in which all were offered
    attempts: int = 0
    due: float = 0.0  # of a retry
    holds: int = 0  # what it waits for: an update of each record, if any

    def leased(self, body: bytes, accepted_at: float) -> Leased:
        """Return this event, which is out, with what the spool keeps of it."""
        return Leased(self.id, body, self.about, self.updates, self.attempts, accepted_at)


@attrs.define(eq=False, repr=False)
class _Record:
    """One record with its updates that are not done, the oldest first."""

    updates: deque[Entry] = attrs.field(factory=deque)
    # Made when they are needed: of most records there is one update, and nothing else.
    # What waits for the first answer to an update, in order, with that update.
    gated: deque[tuple[Entry, Entry]] | None = None
    shared: dict[int, Entry] | None = None  # updates of further records, too


class Lanes:
    """All events: those that may go, those that wait for a time, and those behind an update."""

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}  # those with an update that is not done
        self._ready: deque[Entry] = deque()  # that have not waited for anything
        self._released: list[tuple[int, Entry]] = []  # and that have
        self._waiting: list[tuple[float, int, Entry]] = []
        self._held: dict[int, Entry] = {}  # behind an update
        self._out: dict[int, Entry] = {}
        self._tried: dict[int, tuple[int, float]] = {}  # attempts and due time of the withdrawn
        self._place = 0

    @property
    def waiting_ids(self) -> int:
        """Events that are not out."""
        return self.ready + len(self._waiting) + len(self._held)

    @property
    def held(self) -> int:
        """Events that wait for the answer to one that is out, or to one behind which that waits."""
        return len(self._held)

    @property
    def out(self) -> int:
        """Events that are out."""
        return len(self._out)

    @property
    def retrying(self) -> int:
        """Events that wait for their time."""
        return len(self._waiting)

    @property
    def ready(self) -> int:
        """Events that may go."""
        return len(self._ready) + len(self._released)

    @property
    def out_ids(self) -> list[int]:
        """The events that are out."""
        return list(self._out)

    def entries(self) -> list[Entry]:
        """All events, in no order."""
        return [*self._all_waiting(), *self._out.values()]

    def _all_waiting(self) -> list[Entry]:
        waiting = [*self._ready, *self._held.values()]
        waiting += [entry for _, entry in self._released]
        waiting += [entry for _, _, entry in self._waiting]
        return waiting

    def is_out(self, event_id: int) -> bool:
        """Whether this event is out."""
        return event_id in self._out

    # -- in

    def offer(self, event_id: int, about: tuple[str, ...], updates: tuple[str, ...]) -> None:
        """Put an event behind all others."""
        entry = Entry(event_id, about, updates)
        if self._tried:
            entry.attempts, entry.due = self._tried.pop(event_id, (0, 0.0))
        self._add(entry)

    def _add(self, entry: Entry) -> None:
        self._place += 1
        entry.place, entry.holds = self._place, 0
        records = self._records
        for name in entry.about:
            if name in records and name not in entry.updates and not self._is_open(name):
                record = records[name]
                if record.gated is None:
                    record.gated = deque()
                record.gated.append((record.updates[-1], entry))
                entry.holds += 1
        if entry.updates:
            self._queue(entry)
        if entry.holds:
            self._held[entry.id] = entry
        elif entry.due:
            self._line_up(entry)
        else:
            self._ready.append(entry)

    def _queue(self, update: Entry) -> None:
        """Put an update behind the others of its records."""
        for name in update.updates:
            record = self._records.get(name)
            if record is None:
                record = self._records[name] = _Record()
            else:
                update.holds += 1
            record.updates.append(update)
            if len(update.updates) > 1:
                if record.shared is None:
                    record.shared = {}
                record.shared[update.id] = update

    def _line_up(self, entry: Entry) -> None:
        """An event that is held up no more goes next, or has to wait for its time."""
        if entry.due:
            heappush(self._waiting, (entry.due, entry.place, entry))
        else:
            heappush(self._released, (entry.place, entry))

    def _release(self, entry: Entry) -> None:
        entry.holds -= 1
        if not entry.holds:
            del self._held[entry.id]
            self._line_up(entry)

    # -- out, and back

    def take(self, limit: int, now: float) -> list[Entry]:
        """Take out up to `limit` events that are due, in order."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            _, place, entry = heappop(waiting)
            heappush(self._released, (place, entry))
        next_one = self._next if self._released else self._ready.popleft
        taken = [next_one() for _ in range(min(limit, self.ready))]
        self._out.update([(entry.id, entry) for entry in taken])
        return taken

    def _next(self) -> Entry:
        """Take the oldest of those that may go."""
        released, ready = self._released, self._ready
        if released and not (ready and ready[0].place < released[0][0]):
            return heappop(released)[1]
        return ready.popleft()

    def untake(self, taken: Iterable[Entry]) -> None:
        """Put back what was just taken, as if nothing had happened."""
        for entry in taken:
            del self._out[entry.id]
            heappush(self._released, (entry.place, entry))

    def done(self, event_id: int) -> None:
        """An event that is out is settled for good: what waited for it may go."""
        entry = self._out.pop(event_id)
        for name in entry.updates:
            self._step(name, entry)

    def _step(self, name: str, update: Entry) -> None:
        """The first update of a record is done: the next one is the first."""
        record = self._records[name]
        record.updates.popleft()
        if record.shared:
            record.shared.pop(update.id, None)
        if not record.updates:
            del self._records[name]
        while record.gated and record.gated[0][0] is update:
            self._release(record.gated.popleft()[1])
        if record.updates:
            self._release(record.updates[0])
            if record.gated and self._is_open(name):
                self._open([name])

    def again(self, event_id: int, due: float) -> None:
        """An event that is out must go again, not before `due`."""
        entry = self._out.pop(event_id)
        entry.attempts += 1
        entry.due = due
        heappush(self._waiting, (due, entry.place, entry))
        if entry.attempts == 1 and entry.updates:
            self._open(list(entry.updates))

    # -- while an update is tried again, only updates wait for it

    def _is_open(self, name: str) -> bool:
        """Whether the updates of a record are held up by one that is tried again."""
        look, seen = [name], {name}
        while look:
            record = self._records[look.pop()]
            first = record.updates[0]
            if first.attempts:
                return True
            if len(first.updates) > 1:
                behind = {
                    each for each in first.updates if self._records[each].updates[0] is not first
                }
                look += behind - seen
                seen |= behind
        return False

    def _open(self, names: list[str]) -> None:
        """Let go whatever is no update of these records, and of those held up with them."""
        seen = set(names)
        while names:
            record = self._records[names.pop()]
            while record.gated:
                self._release(record.gated.popleft()[1])
            for update in (record.shared or {}).values():
                for name in update.updates:
                    if name not in seen and self._records[name].updates[0] is update:
                        seen.add(name)
                        names.append(name)

    # -- behind others

    def withdraw(self, chosen: Callable[[int], bool]) -> list[Entry]:
        """Take the chosen events that wait out of here again, in order.

        Once they are offered again, their attempts and due times hold as before.
        """
        waiting = sorted(self._all_waiting(), key=lambda entry: entry.place)
        out = self._out
        self._records, self._held = {}, {}
        self._ready, self._released, self._waiting = deque(), [], []
        for entry in sorted(out.values(), key=lambda entry: entry.place):
            self._queue(entry)
        withdrawn = []
        for entry in waiting:
            if chosen(entry.id):
                withdrawn.append(entry)
                if entry.attempts:
                    self._tried[entry.id] = entry.attempts, entry.due
            else:
                self._add(entry)
        return withdrawn

    def held_up_by(self, event_id: int, chosen: Callable[[int], bool]) -> bool:
        """Whether a chosen update of a record that this event updates, too, waits behind it."""
        entry = self._out[event_id]
        return any(
            chosen(update.id) for name in entry.updates for update in self._records[name].updates
        )

    def next_due(self) -> float | None:
        """When the next event may go: 0 for at once, `None` if none waits but behind what is out."""
        if self._ready or self._released:
            return 0.0
        return self._waiting[0][0] if self._waiting else None

"""The sender's side of the spool on disk: what is leased, and what becomes of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import SpoolError
from ..log import tell_once
from .lanes import Lanes
from .records import GIVEN_UP, GivenUp, Record
from .segment import AT, END_OF_ROW
from .values import Leased, Outcome, written

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from .lanes import Entry
    from .room import Room
    from .segment import Row, Segment
    from .state import State

_PULL = 250  # in one go, the interpreter is held: other threads should not notice
_READ_AHEAD_BYTES = 1 << 20
_MOST_AHEAD = 2000
_WINDOW = 100_000
_DAMAGED = "damaged on the disk: what was stored does not fit its checksum"


class Outlet:
    """Brings events into their lanes, takes them out, and settles them."""

    def __init__(self, state: State, room: Room) -> None:
        self._state = state
        self._room = room
        self.forget()

    def forget(self) -> None:
        """Forget all that stands for files."""
        self.lanes = Lanes()
        self.places: dict[int, tuple[Segment, int]] = {}  # of all that is in its lane or out
        self.away: dict[int, tuple[bytes, float]] = {}  # bodies and times of those that are out
        self._ahead: dict[int, tuple[bytes, float]] = {}  # the same of some that wait
        self.was_out: set[int] = set()  # and waits again, since the files were opened again
        self.has_emptied = False  # a sealed segment

    # -- leasing

    def lease(self, limit: int, now: float) -> list[Leased]:
        """Take out what is due; see `Spool.lease`."""
        while True:
            if self.lanes.ready < limit:
                self._pull(limit)
            taken = self.lanes.take(limit, now)
            leased = self._read(taken) if taken else []
            if leased or not taken:  # else all of them were damaged, and others may go
                return leased

    def _read(self, taken: list[Entry]) -> list[Leased]:
        """Return what was taken from the lanes; what is damaged becomes a dead letter."""
        try:
            found = self._find(taken)
        except BaseException:
            self.lanes.untake(taken)
            raise
        leased = []
        for entry, known in zip(taken, found, strict=True):
            if known is not None:
                self.away[entry.id] = known
                leased.append(entry.leased(*known))
            else:
                tell_once("damaged", f"event {entry.id:x} was {_DAMAGED}", level="error")
                self._bury(entry.leased(b"", time.time()), None, _DAMAGED)
        return leased

    def _find(self, taken: list[Entry]) -> list[tuple[bytes, float] | None]:
        """Return the body and the time of acceptance of each of these events that can be found."""
        ahead, places = self._ahead, self.places
        found = [ahead.pop(entry.id, None) for entry in taken]
        missing = [at for at, known in enumerate(found) if known is None]
        if not missing:
            return found
        with self._state.memory:
            self._state.opened()
            self._reach([taken[at].id for at in missing])
            for at in missing:
                segment, place = places[taken[at].id]
                record = segment.read(place)
                if record is not None:
                    found[at] = record.body, record.accepted_at
        return found

    def _reach(self, ids: Sequence[int]) -> None:
        """See whether the files still reach as far as the records of these."""
        of_each: dict[Segment, list[int]] = {}
        for event_id in ids:
            place = self.places.get(event_id)
            if place is not None:
                of_each.setdefault(place[0], []).append(place[1])
        for segment, places in of_each.items():
            segment.reach(places)

    def _pull(self, want: int) -> None:
        """Bring events into their lanes, the oldest first: those of the dead, then ours."""
        if len(self._ahead) >= _MOST_AHEAD:
            self._ahead.clear()  # of lanes that do not move
        lanes = self.lanes
        while lanes.ready < want and (lanes.waiting_ids < _WINDOW or not lanes.ready):
            rows = self._pull_fresh()
            if rows is None:
                with self._state.disk:
                    rows = self._pull_stored()
            if rows is None:
                return
            keep = len(self._ahead) < _MOST_AHEAD
            for event_id, about, updates, body, accepted_at, _, _ in rows:
                if keep and body is not None:
                    self._ahead[event_id] = body, accepted_at
                lanes.offer(event_id, about, updates)

    def _pull_fresh(self) -> list[Row] | None:
        """Return the next rows of the active segment, where they are in memory and nothing goes
        before them.
        """
        state = self._state
        with state.memory:
            active, own, fresh = state.active, state.own, state.fresh
            if active is None or own is None or not fresh or fresh[0][AT] != active.cursor:
                return None
            if len(state.adopted) + len(own.segments) > 1 and any(
                segment.unread
                for log in state.logs()
                for segment in log.segments
                if segment is not active
            ):
                return None
            rows = [fresh.popleft() for _ in range(min(len(fresh), _PULL))]
            self._count_pulled(active, rows)
            active.cursor = rows[-1][END_OF_ROW]
        return rows

    def _count_pulled(self, segment: Segment, rows: list[Row]) -> None:
        segment.pulled += len(rows)
        self.places.update([(row[0], (segment, row[AT])) for row in rows])

    def _pull_stored(self) -> list[Row] | None:
        """Return the next rows of a segment; `None` once all of them are in their lanes."""
        state = self._state
        for log in state.logs():
            for segment in log.segments:
                if segment.unread:
                    return self._pull_from(segment)
        return None

    def _pull_from(self, segment: Segment) -> list[Row]:
        state = self._state
        with state.memory:
            tail = segment.tail
            if segment is state.active and state.fresh:
                tail = state.fresh[0][AT]
        rows = segment.pull(tail, _PULL, _READ_AHEAD_BYTES)
        # What is out is known already: it was out when those of a dead process came before it.
        rows = [row for row in rows if row[0] not in self.places]
        with state.memory:
            self._count_pulled(segment, rows)
            if segment is state.active and segment.cursor == segment.tail:
                state.fresh.clear()
                state.fresh_end = segment.tail
            if segment.cursor >= segment.tail and segment.unread:
                self._lose(segment)
        return rows

    def _lose(self, segment: Segment) -> None:
        """Give up what was in a segment and cannot be found there any more."""
        lost = segment.unread
        segment.pulled += lost
        segment.gone += lost
        self.has_emptied = True
        self.tell_lost(segment.file.path, lost)

    def tell_lost(self, where: str, count: int) -> None:
        """Count events as dead of which nothing is left, and tell it."""
        self._state.dead += count
        tell_once(
            f"lost {where}",
            f"{count} events could not be read from a damaged spool file, {where}",
            level="error",
        )

    def next_due(self) -> float | None:
        """When the next event may go; see `Spool.next_due`."""
        due = self.lanes.next_due()
        if due != 0.0 and any(log.unread for log in self._state.logs()):
            return 0.0
        return due

    # -- settling

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Strike off, put off or bury; see `Spool.settle`."""
        state = self._state
        with state.memory:
            active = state.opened()
            self._reach([outcome.event.id for outcome in outcomes])
            goes_behind = False
            away, places, lanes = self.away, self.places, self.lanes
            for event, verdict, due, reason in outcomes:
                event_id = event.id
                if verdict == "dead" or (self.was_out and self._has_come_back(event_id)):
                    continue
                away.pop(event_id, None)
                if verdict == "retry":
                    goes_behind = goes_behind or self._goes_behind(event)
                    lanes.again(event_id, due)
                    segment, at = places[event_id]
                    segment.put_off(at, event.attempts + 1, reason)
                    continue
                lanes.done(event_id)
                state.delivered += 1
                segment, at = places.pop(event_id)
                segment.strike(at)
                if segment is not active and segment.is_empty:
                    self.has_emptied = True
            if goes_behind:
                self.put_ours_behind()
        for outcome in outcomes:
            if outcome.verdict == "dead" and not self._has_come_back(outcome.event.id):
                self._bury(outcome.event, outcome.event.body, outcome.reason)

    def _has_come_back(self, event_id: int) -> bool:
        """Whether this was out when our files were opened again, and is not out now."""
        return event_id in self.was_out and not self.lanes.is_out(event_id)

    def _bury(self, event: Leased, body: bytes | None, reason: str) -> None:
        """Make a dead letter of an event that is out."""
        state = self._state
        told = GivenUp(time.time(), event.attempts + 1, reason, body)
        names = written(event.about, event.updates)
        letter = Record(event.id, names, told.packed(), GIVEN_UP, event.accepted_at)
        with state.disk:
            is_kept = self.keep_letter(letter)
            with state.memory:
                segment, at = self.places.pop(event.id)
                if is_kept:
                    segment.strike(at)
                else:  # there is no room, but for a byte
                    segment.bury(at, event.attempts + 1, reason)
                self.has_emptied = self.has_emptied or segment is not state.active
                self.lanes.done(event.id)
                self.away.pop(event.id, None)
                state.dead += 1

    def keep_letter(self, letter: Record) -> bool:
        """Write a dead letter; `False` if there is no room. With `disk` held."""
        state = self._state
        names = letter.names.encode()
        size = len(names) + len(letter.body)
        while True:
            with state.memory:
                active = state.opened()
                if active.has_room(size, 1):
                    if not active.takes(size, 1):
                        return False
                    active.append(letter.id, letter.kind, names, letter.body, letter.accepted_at)
                    return True
                if state.advance(size, 1):
                    continue
            try:
                self._room.make(size, 1)
            except SpoolError:
                return False

    # -- behind what a dead process has left

    def _goes_behind(self, event: Leased) -> bool:
        """Whether this event of ours, which was out when a dead process's came, has to wait for
        those.
        """
        segment, at = self.places[event.id]
        if segment.log is not self._state.own:
            return False
        # Beyond the cursor it would be brought into the lanes once more.
        if at >= segment.cursor or not event.updates:
            return at >= segment.cursor
        return any(log.unread for log in self._state.adopted) or self.lanes.held_up_by(
            event.id, lambda event_id: self.places[event_id][0].log is not self._state.own
        )

    def put_ours_behind(self) -> None:
        """Take our own events out of their lanes again: those of the dead process go before them."""
        own = self._state.own
        for entry in self.lanes.withdraw(lambda event_id: self.places[event_id][0].log is own):
            segment, at = self.places.pop(entry.id)
            segment.pulled -= 1
            segment.cursor = min(segment.cursor, at)

    # -- when files are written anew

    def move(self, places: Mapping[int, tuple[Segment, int]]) -> None:
        """Note where events stand now."""
        mine = self.places
        mine.update((event_id, place) for event_id, place in places.items() if event_id in mine)

    def known_besides(self, copied: Container[int]) -> list[Row]:
        """Return what is known in memory of our events that are in their lanes, in order, besides
        those that were copied.
        """
        names = {entry.id: (entry.about, entry.updates) for entry in self.lanes.entries()}
        bodies = {**self._ahead, **self.away}
        return [
            (event_id, *names[event_id], *bodies[event_id], 0, 0)
            for event_id in sorted(bodies.keys() & names.keys())
            if event_id not in copied and self.places[event_id][0].log is self._state.own
        ]

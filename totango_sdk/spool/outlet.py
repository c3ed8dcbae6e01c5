"""The sender's side of the spool on disk: what is leased, and what becomes of it."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from ..log import tell_once
from .lanes import Lanes
from .values import Leased, Outcome, read_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .lanes import Entry
    from .state import Row, State
    from .store import Store

_STRIKE_GROUP = 100
_PULL = 250  # in one go, the interpreter is held: other threads should not notice
_READ_AHEAD_BYTES = 1 << 20
_MOST_AHEAD = 2000
_WINDOW = 100_000
_DAMAGED = "damaged on the disk: what was stored does not fit its checksum"


class Outlet:
    """Brings events into their lanes, takes them out, and settles them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.forget()

    def forget(self) -> None:
        """Forget all that stands for files."""
        self.lanes = Lanes()
        self.home: dict[int, Store] = {}  # of adopted events
        self.away: dict[int, tuple[bytes, float]] = {}  # bodies and times of those that are out
        self._ahead: dict[int, tuple[bytes, float]] = {}  # the same of some that a database has
        self.was_out: set[int] = set()  # and waits again, since the files were opened again

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
        state = self._state
        kept, ahead = state.kept, self._ahead
        ids = [entry.id for entry in taken]
        with state.memory:
            journal = state.opened()
            found = [kept.pop(event_id, None) or ahead.pop(event_id, None) for event_id in ids]
            missing = [at for at, known in enumerate(found) if known is None]
            if missing:
                journal.measure()
            for at in missing:
                event_id = ids[at]
                if event_id not in self.home and (record := journal.read(event_id)) is not None:
                    found[at] = record.body, record.accepted_at
        missing = [at for at in missing if found[at] is None]
        if missing:
            stored = self._fetch([ids[at] for at in missing])
            for at in missing:
                found[at] = stored.get(ids[at])
        return found

    def _fetch(self, ids: list[int]) -> dict[int, tuple[bytes, float]]:
        found: dict[int, tuple[bytes, float]] = {}
        with self._state.disk:
            for store in self._state.stores():
                theirs = [each for each in ids if self.home.get(each, self._state.own) is store]
                if theirs:
                    found.update(store.fetch(theirs))
        return found

    def _pull(self, want: int) -> None:
        """Bring events into their lanes, the oldest first: those of the dead, the database's, the
        journal's.
        """
        if len(self._ahead) >= _MOST_AHEAD:
            self._ahead.clear()  # of lanes that do not move
        while self.lanes.ready < want and (
            self.lanes.waiting_ids < _WINDOW or not self.lanes.ready
        ):
            with self._state.disk:
                rows = self._pull_stored()
            if not rows:
                rows = self._pull_fresh()
            if not rows:
                return
            for row in rows:
                self.lanes.offer(*row)

    def _pull_stored(self) -> list[Row]:
        """Return the next rows of a database; none once all of them are in their lanes."""
        state = self._state
        for store in (*state.adopted, state.own):
            while store is not None and store.behind:
                found = store.after(_PULL, _READ_AHEAD_BYTES)
                known = store.struck.union(self.lanes.out_ids)
                rows = [
                    (event_id, *read_back(records))
                    for event_id, records in found.rows
                    if event_id not in known
                ]
                with state.memory:
                    store.behind = found.has_more
                    store.cursor = found.rows[-1][0] if found.rows else store.cursor
                if len(self._ahead) < _MOST_AHEAD:
                    self._ahead.update(
                        (row[0], found.bodies[row[0]]) for row in rows if row[0] in found.bodies
                    )
                if store is not state.own:
                    self.home.update((row[0], store) for row in rows)
                if rows:
                    return rows
        return []

    def _pull_fresh(self) -> list[Row]:
        state = self._state
        with state.memory:
            if state.own is None or state.own.behind:
                return []
            rows = [state.fresh.popleft() for _ in range(min(len(state.fresh), _PULL))]
            if rows:
                state.own.cursor = rows[-1][0]
        return rows

    def next_due(self) -> float | None:
        """When the next event may go; see `Spool.next_due`."""
        state = self._state
        due = self.lanes.next_due()
        if due != 0.0 and (state.fresh or any(store.behind for store in state.stores())):
            return 0.0
        return due

    # -- settling

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Strike off, put off or bury; see `Spool.settle`."""
        state = self._state
        with state.memory:
            journal, own = state.opened(), state.own
            assert own is not None
            journal.measure_for([outcome.event.id for outcome in outcomes])
            goes_behind = False
            away, home, lanes = self.away, self.home, self.lanes
            for event, verdict, due, reason in outcomes:
                event_id = event.id
                if verdict == "dead" or (self.was_out and self._has_come_back(event_id)):
                    continue
                away.pop(event_id, None)
                if verdict == "retry":
                    goes_behind = goes_behind or self._goes_behind(event, own)
                    lanes.again(event_id, due)
                    journal.put_off(event_id, event.attempts + 1, reason)
                    continue
                lanes.done(event_id)
                state.delivered += 1
                if event_id in home:
                    home.pop(event_id).struck.add(event_id)
                elif not journal.strike(event_id):
                    own.struck.add(event_id)
            if goes_behind:
                self.put_ours_behind()
            full = [store for store in state.stores() if len(store.struck) >= _STRIKE_GROUP]
        if full:
            with state.disk:
                for store in full:
                    store.strike()
        for outcome in outcomes:
            if outcome.verdict == "dead" and not self._has_come_back(outcome.event.id):
                self._bury(outcome.event, outcome.event.body, outcome.reason)

    def _has_come_back(self, event_id: int) -> bool:
        """Whether this was out when our files were opened again, and is not out now."""
        return event_id in self.was_out and not self.lanes.is_out(event_id)

    def _bury(self, event: Leased, body: bytes | None, reason: str) -> None:
        """Make a dead letter of an event that is out. Raises `SpoolFull`, and leaves it out."""
        state = self._state
        with state.disk:
            state.opened()
            store = self.home.get(event.id, state.own)
            assert store is not None
            store.bury((event.id, body, reason, event.attempts + 1, event.accepted_at, time.time()))
            with state.memory:
                if self.home.pop(event.id, None) is None:
                    state.opened().strike(event.id)
                self.lanes.done(event.id)
                self.away.pop(event.id, None)
                state.dead += 1

    # -- behind what a dead process has left

    def _goes_behind(self, event: Leased, own: Store) -> bool:
        """Whether this event of ours, which was out when a dead process's came, has to wait for
        those.
        """
        if event.id in self.home:
            return False
        # Beyond the cursor it would be brought into the lanes once more.
        if event.id > own.cursor or not event.updates:
            return event.id > own.cursor
        return any(store.behind for store in self._state.adopted) or self.lanes.held_up_by(
            event.id, self.home.__contains__
        )

    def put_ours_behind(self) -> None:
        """Take our own events out of their lanes again: those of the dead process go before them."""
        state = self._state
        journal, own = state.opened(), state.own
        assert own is not None
        withdrawn = self.lanes.withdraw(lambda event_id: event_id not in self.home)
        ours = sorted((entry.id, entry.about, entry.updates) for entry in withdrawn)
        state.fresh = deque(sorted([*state.fresh, *(row for row in ours if journal.holds(row[0]))]))
        if ours:
            own.cursor = min(own.cursor, ours[0][0] - 1)
            own.behind = own.behind or not journal.holds(ours[0][0])

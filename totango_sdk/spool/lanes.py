"""Which event may leave next: order within a lane, and no waiting between lanes.

Knows ids and times only, and is driven by one thread.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_SPARE = 1000


@attrs.define(eq=False)
class Lane:
    """The events of one account that wait, oldest first."""

    name: str
    ids: deque[int] = attrs.field(factory=deque)
    attempts: int = 0  # of the one that is out, or else of the first one
    out: int | None = None


class Lanes:
    """All lanes: those ready to go in order of readiness, and those that wait for a time."""

    def __init__(self) -> None:
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._waiting: list[tuple[float, int, Lane]] = []
        self._tie = count()
        self._spare: list[Lane] = []  # emptied ones, to be used again
        self._tried: dict[int, tuple[int, float]] = {}  # attempts and due time of those that were withdrawn
        self.waiting_ids = 0
        self.out = 0

    @property
    def retrying(self) -> int:
        return len(self._waiting)

    @property
    def ready(self) -> int:
        return len(self._ready)

    def first(self, name: str) -> int | None:
        """Return the first event of a lane that waits."""
        lane = self._lanes.get(name)
        return lane.ids[0] if lane is not None and lane.ids else None

    def offer(self, event_id: int, name: str) -> None:
        """Put an event at the end of its lane."""
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = self._new(name)
        lane.ids.append(event_id)
        self.waiting_ids += 1
        if len(lane.ids) == 1 and lane.out is None:
            self._line_up(lane)

    def _new(self, name: str) -> Lane:
        if not self._spare:
            return Lane(name)
        lane = self._spare.pop()
        lane.name = name
        return lane

    def _line_up(self, lane: Lane) -> None:
        """The first event of a lane may go next, or has to wait for its time."""
        tried = self._tried.pop(lane.ids[0], None) if self._tried else None
        if tried is None:
            self._ready.append(lane)
        else:
            lane.attempts = tried[0]
            heappush(self._waiting, (tried[1], next(self._tie), lane))

    def take(self, limit: int, now: float) -> list[tuple[int, Lane]]:
        """Take out the first event of up to `limit` lanes that are due."""
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.append(heappop(self._waiting)[2])
        taken: list[tuple[int, Lane]] = []
        while self._ready and len(taken) < limit:
            lane = self._ready.popleft()
            lane.out = lane.ids.popleft()
            taken.append((lane.out, lane))
        self.waiting_ids -= len(taken)
        self.out += len(taken)
        return taken

    def untake(self, taken: list[tuple[int, Lane]]) -> None:
        """Put back what was just taken, as if nothing had happened."""
        for event_id, lane in reversed(taken):
            lane.out = None
            lane.ids.appendleft(event_id)
            self._ready.appendleft(lane)
        self.waiting_ids += len(taken)
        self.out -= len(taken)

    def done(self, name: str) -> None:
        """The event that is out is settled for good: the next of its lane may go."""
        lane = self._lanes[name]
        lane.out, lane.attempts = None, 0
        self.out -= 1
        if lane.ids:
            self._line_up(lane)
        else:
            del self._lanes[name]
            if len(self._spare) < _MOST_SPARE:
                self._spare.append(lane)

    def again(self, name: str, due: float) -> None:
        """The event that is out must go again, not before `due`; its lane waits with it."""
        lane = self._lanes[name]
        assert lane.out is not None
        lane.ids.appendleft(lane.out)
        lane.out = None
        lane.attempts += 1
        self.out -= 1
        self.waiting_ids += 1
        heappush(self._waiting, (due, next(self._tie), lane))

    def withdraw(self, chosen: Callable[[int], bool]) -> list[tuple[int, str]]:
        """Take the chosen events that wait out of their lanes again, with their lanes' names.

        Once they are offered again, their attempts and due times hold as before.
        """
        loose = [entry for entry in self._waiting if chosen(entry[2].ids[0])]
        tried = [(due, lane) for due, _, lane in loose]
        tried += [(0.0, lane) for lane in self._ready if lane.attempts and chosen(lane.ids[0])]
        for due, lane in tried:
            self._tried[lane.ids[0]] = lane.attempts, due
            lane.attempts = 0
        withdrawn = []
        for lane in self._lanes.values():
            withdrawn += [(event_id, lane.name) for event_id in lane.ids if chosen(event_id)]
            lane.ids = deque(event_id for event_id in lane.ids if not chosen(event_id))
        self.waiting_ids -= len(withdrawn)
        self._waiting = [entry for entry in self._waiting if entry not in loose]
        heapify(self._waiting)
        self._ready = deque(lane for lane in (*self._ready, *(entry[2] for entry in loose)) if lane.ids)
        self._lanes = {name: lane for name, lane in self._lanes.items() if lane.ids or lane.out is not None}
        return withdrawn

    def next_due(self) -> float | None:
        """When the next lane may go: 0 for at once, `None` if none waits."""
        if self._ready:
            return 0.0
        return self._waiting[0][0] if self._waiting else None

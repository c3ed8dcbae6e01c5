"""A spool in memory: for tests, for scripts that may lose events, and as the last resort."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ..errors import SpoolFull
from ..locks import is_held, make_lock
from ..log import tell_once
from .base import Spool
from .lanes import Lanes
from .letters import DeadLetter
from .values import Counts, Item, Leased, Outcome, Owner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MOST_BYTES = 64 << 20
_EXTRA_BYTES = 400  # what Python needs beside the body of an event
_MOST_LETTERS = 10_000


class _Kept(NamedTuple):
    """A letter as it is stored: nobody pays for reading it before somebody wants to see it."""

    event: str | Leased
    told: bytes | str
    at: float

    def read(self) -> DeadLetter:
        event, told, at = self
        if isinstance(event, Leased):
            return DeadLetter.given_up(event, str(told), at)
        assert isinstance(told, bytes)
        return DeadLetter.refused(event, told, at)


class MemorySpool(Spool):
    """Keeps events in memory, at most `most_bytes`. What is in it ends with the process."""

    def __init__(self, *, most_bytes: int = _MOST_BYTES, first_id: int = 1) -> None:
        self._most_bytes = most_bytes
        self._first_id = first_id
        self._reset()

    def _reset(self) -> None:
        self._lock = make_lock()  # never taken twice; see `is_inside`
        self._events: dict[int, tuple[Item, float]] = {}  # in the order of their ids
        self._letters: deque[_Kept] = deque(maxlen=_MOST_LETTERS)
        self._lanes = Lanes()
        self._fresh: deque[int] = deque()
        self._bytes = 0
        self._next_id = self._first_id
        self._delivered = self._dead = 0

    @property
    def is_inside(self) -> bool:
        """Whether this very thread is in the middle of something here; see `Spool`."""
        return is_held(self._lock)

    def open(self, owner: Owner) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do: what is here stays until the process ends."""

    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        """Store all items in order; see `Spool.put`."""
        now = time.time()
        with self._lock:
            size = sum(len(item.body) + _EXTRA_BYTES for item in items)
            if self._bytes + size > self._most_bytes:
                msg = f"the spool in memory has reached {self._most_bytes} bytes: give spool= a directory"
                raise SpoolFull(msg)
            # A signal's exception may end this between any two lines: an id is taken before it is
            # used, and what is not among the events yet is passed over by `lease`.
            for item in items:
                event_id = self._next_id
                self._next_id = event_id + 1
                if item.is_letter:
                    self._add_letter(_Kept(f"{event_id:x}", item.body, now))
                else:
                    self._fresh.append(event_id)
                    self._events[event_id] = item, now
                    self._bytes += len(item.body) + _EXTRA_BYTES
            return f"{self._next_id - 1:x}"

    def _add_letter(self, letter: _Kept) -> None:
        self._dead += 1
        if len(self._letters) == _MOST_LETTERS:
            tell_once(
                "letters",
                f"more than {_MOST_LETTERS} dead letters: the oldest in memory are forgotten",
            )
        self._letters.append(letter)

    def lease(self, limit: int, now: float) -> list[Leased]:
        """Take out what is due; see `Spool.lease`."""
        with self._lock:
            while self._fresh:
                event_id = self._fresh.popleft()
                if event_id in self._events:
                    item = self._events[event_id][0]
                    self._lanes.offer(event_id, item.about, item.updates)
            leased = []
            for entry in self._lanes.take(limit, now):
                item, accepted_at = self._events[entry.id]
                leased.append(entry.leased(item.body, accepted_at))
            return leased

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Strike off, put off or bury; see `Spool.settle`."""
        with self._lock:
            for event, verdict, due, reason in outcomes:
                if verdict == "retry":
                    self._lanes.again(event.id, due)
                    continue
                self._lanes.done(event.id)
                item, _ = self._events.pop(event.id)
                self._bytes -= len(item.body) + _EXTRA_BYTES
                if verdict == "delivered":
                    self._delivered += 1
                else:
                    self._add_letter(_Kept(event, reason, time.time()))

    def next_due(self) -> float | None:
        """When the next event may go; see `Spool.next_due`."""
        return 0.0 if self._fresh else self._lanes.next_due()

    @property
    def has_held(self) -> bool:
        """Whether anything waits for an answer; see `Spool.has_held`."""
        return self._lanes.held > 0

    def mark(self) -> int:
        """A mark of everything accepted up to now."""
        return self._next_id - 1

    def pending_before(self, mark: int | None) -> bool:
        """Whether anything up to the mark is still here; see `Spool.pending_before`."""
        with self._lock:
            oldest = next(iter(self._events), None)
        return oldest is not None and (mark is None or oldest <= mark)

    def counts(self) -> Counts:
        """What is here, and what became of the rest."""
        with self._lock:
            oldest = next(iter(self._events.values()), None)
            return Counts(
                accepted=len(self._events) + self._delivered + self._dead,
                queued=len(self._events) - self._lanes.out - self._lanes.retrying,
                retrying=self._lanes.retrying,
                in_flight=self._lanes.out,
                delivered=self._delivered,
                dead=self._dead,
                oldest_at=None if oldest is None else oldest[1],
            )

    def letters(self) -> Iterator[DeadLetter]:
        """The last 10,000 dead letters, the oldest first."""
        with self._lock:
            letters = list(self._letters)
        for letter in letters:
            yield letter.read()

    def before_fork(self) -> None:
        """Wait until no thread is in the middle of something."""
        self._lock.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        """Go on; the child starts empty, since the parent delivers what is here."""
        if in_child:
            self._reset()
        else:
            self._lock.release()

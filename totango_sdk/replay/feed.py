"""The source as the sender's spool: it is filled from the rows, and nothing is copied."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NoReturn

from ..errors import SpoolError
from ..spool import Counts, Leased, Spool
from ..spool.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..spool import DeadLetter, Item, Outcome, Owner

_MOST_WAITING = 10_000
_MOST_BYTES = 32 << 20
_ROWS_A_TIME = 32


class Feed(Spool):
    """Leases requests that are made as they are needed, and tells which rows are final.

    `fill()` makes the requests of the next row and gives its number with them, or `None` at the
    end of the source. `final(row, requests, refused)` is called once all requests of a row are
    settled, and `settled()` once for all that were settled together. While `is_far_ahead()`, nothing
    is read.
    """

    def __init__(
        self,
        fill: Callable[[], tuple[int, list[Item]] | None],
        final: Callable[[int, int, str | None], None],
        settled: Callable[[], None] = lambda: None,
        is_far_ahead: Callable[[], bool] = lambda: False,
    ) -> None:
        self._fill = fill
        self._final = final
        self._settled = settled
        self._is_far_ahead = is_far_ahead
        self._lanes = Lanes()
        self._bodies: dict[int, tuple[Item, int]] = {}
        # Of each row of several requests, how many are not settled, and how many there were.
        self._left: dict[int, list[int]] = {}
        self._bytes = 0
        self._refused: dict[int, str] = {}
        self._next_id = 1
        self.is_over = False
        self.is_stopped = False
        self.delivered = 0
        self.reason = ""

    @property
    def is_done(self) -> bool:
        """Whether nothing waits, is out or is still to be read."""
        return self.is_over and not self._bodies

    @property
    def waiting(self) -> int:
        """Requests that were made and are not settled."""
        return len(self._bodies)

    def _read_on(self, wanted: int) -> None:
        """Read until so many requests may go: no more at once, since nothing is sent meanwhile."""
        fill, lanes = self._fill, self._lanes
        while lanes.ready < wanted and not self._is_full():
            for _ in range(_ROWS_A_TIME):
                filled = fill()
                if filled is None:
                    self.is_over = True
                    return
                if filled[1]:
                    self._add(*filled)

    def _is_full(self) -> bool:
        is_much = len(self._bodies) >= _MOST_WAITING or self._bytes >= _MOST_BYTES
        return is_much or self._is_far_ahead()

    def _add(self, row: int, items: list[Item]) -> None:
        if len(items) > 1:
            self._left[row] = [len(items), len(items)]
        for item in items:
            number = self._next_id
            self._next_id = number + 1
            self._bodies[number] = item, row
            self._bytes += len(item.body)
            self._lanes.offer(number, item.about, item.updates)

    def lease(self, limit: int, now: float) -> list[Leased]:
        """Take out what may go; reads on where little waits."""
        if self.is_stopped:
            return []
        if not self.is_over and self._lanes.ready < limit:
            self._read_on(limit + _ROWS_A_TIME)
        taken, bodies, accepted_at = self._lanes.take(limit, now), self._bodies, time.time()
        return [entry.leased(bodies[entry.id][0].body, accepted_at) for entry in taken]

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Strike off, or put off."""
        for event, verdict, due, reason in outcomes:
            if verdict == "retry":
                self.reason = reason
                self._lanes.again(event.id, due)
                continue
            self._lanes.done(event.id)
            item, row = self._bodies.pop(event.id)
            self._bytes -= len(item.body)
            if verdict == "dead":
                self._refused[row] = reason
            else:
                self.delivered += 1
            left = self._left.get(row)
            if left is None:
                self._final(row, 1, self._refused.pop(row, None) if self._refused else None)
                continue
            left[0] -= 1
            if not left[0]:
                del self._left[row]
                self._final(row, left[1], self._refused.pop(row, None))
        self._settled()

    def next_due(self) -> float | None:
        """When the next may go."""
        if self.is_stopped:
            return None
        may_read = not self.is_over and not self._is_full()
        return 0.0 if may_read else self._lanes.next_due()

    # -- what a source is not

    def open(self, owner: Owner) -> None:
        """Nothing to do: the source is open."""

    def put(self, items: Sequence[Item], *, wait: bool = True) -> NoReturn:
        """Refuse: only rows of the source are sent."""
        raise SpoolError("a source takes no events: use a client of your own for others")

    def counts(self) -> Counts:
        """What waits and what was delivered."""
        out, retrying = self._lanes.out, self._lanes.retrying
        queued = len(self._bodies) - out - retrying
        accepted = self._next_id - 1
        dead = accepted - len(self._bodies) - self.delivered
        return Counts(accepted, queued, retrying, out, self.delivered, dead, None)

    def letters(self) -> Iterator[DeadLetter]:
        """None: what is refused is a rejected row."""
        return iter(())

    def close(self) -> None:
        """Nothing to do."""

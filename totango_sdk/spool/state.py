"""What the host's threads and the sender's share of the spool on disk, and the locks around it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..locks import make_lock
from .mapped import PAGE_BYTES
from .values import SpoolClosed

if TYPE_CHECKING:
    from .log import Log
    from .segment import Row, Segment
    from .values import Owner

_SOON_READ_BYTES = 4 << 20
CLOSED = "the spool is closed"


class State:
    """The files in use, what of them is known in memory, and what was counted."""

    def __init__(
        self, directory: str, *, durability: str, quota_bytes: int, segment_bytes: int
    ) -> None:
        self.directory = directory
        self.durability = durability
        self.quota_bytes = quota_bytes
        self.segment_bytes = segment_bytes
        # Of what a dead process has left, to take it over as our own; below 0, none is.
        self.soon_read_bytes = _SOON_READ_BYTES
        self.owner: Owner | None = None
        self.reset()
        self.forget()

    def reset(self) -> None:
        """Begin anew, as in a child that was forked: its locks are its own."""
        # Taken in this order. `house` covers what takes its time with files that are not ours yet;
        # `disk` covers the sealed segments and may be held for milliseconds; `memory` covers the one
        # that is written and what is counted, and is held for microseconds; `sync` is held while one
        # thread waits for the disk on behalf of all. None is ever taken twice; they are RLocks because
        # those know who holds them (`is_inside`).
        self.house = make_lock()
        self.disk = make_lock()
        self.memory = make_lock()
        self.sync = make_lock()
        self.next_id = 1
        self.accepted = self.delivered = self.dead = 0

    def forget(self) -> None:
        """Forget all that stands for files; what was counted stays."""
        self.own: Log | None = None
        self.active: Segment | None = None  # the last of our own
        self.ready: Segment | None = None  # empty, to go on in when the active one is full
        self.unsynced: deque[Segment] = deque()  # sealed since somebody has waited for the disk
        self.adopted: list[Log] = []
        # The next events of the active segment, so that they need not be read; none where the sender
        # is far behind. They go as far as `fresh_end`.
        self.fresh: deque[Row] = deque()
        self.fresh_end = PAGE_BYTES

    def opened(self) -> Segment:
        """Return the segment that is written. Raises `SpoolClosed`."""
        if self.active is None:
            raise SpoolClosed(CLOSED)
        return self.active

    def logs(self) -> list[Log]:
        """Those of dead processes that were adopted, and our own behind them."""
        return [*self.adopted] if self.own is None else [*self.adopted, self.own]

    def advance(self, payload_bytes: int, records: int) -> bool:
        """Seal the segment that is full and go on in the one that is ready; `False` if there is none
        that has room for so much. With `memory` held.
        """
        own, sealed, ready = self.own, self.active, self.ready
        if own is None or sealed is None or ready is None:
            return False
        if not ready.has_room(payload_bytes, records):
            return False
        # A signal handler may strike between any two calls, and then all of this comes again.
        self.fresh_end = 0
        self.fresh.clear()
        if self.durability == "power":
            self.unsynced.append(sealed)
        if ready not in own.segments:
            own.segments.append(ready)
        self.active, self.ready = ready, None
        self.fresh_end = PAGE_BYTES
        return True

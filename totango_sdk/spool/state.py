"""What the host's threads and the sender's share of the spool on disk, and the locks around it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..locks import make_lock
from .values import SpoolClosed

if TYPE_CHECKING:
    from .journal import Journal
    from .store import Store
    from .values import Owner

    # The id of an event, the records it concerns, and those of them that it updates.
    Row = tuple[int, tuple[str, ...], tuple[str, ...]]

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
        # Of the database that a dead process has left, to take it over as our own; below 0, none is.
        self.soon_read_bytes = _SOON_READ_BYTES
        self.owner: Owner | None = None
        self.reset()
        self.forget()

    def reset(self) -> None:
        """Begin anew, as in a child that was forked: its locks are its own."""
        # Taken in this order. `house` covers what takes its time with files that are not ours yet;
        # `disk` covers the databases and may be held for milliseconds; `memory` covers the journal
        # and what is counted, and is held for microseconds; `sync` is held while one thread waits for
        # the disk on behalf of all. None is ever taken twice; they are RLocks because those know who
        # holds them (`is_inside`).
        self.house = make_lock()
        self.disk = make_lock()
        self.memory = make_lock()
        self.sync = make_lock()
        self.next_id = 1
        self.accepted = self.delivered = self.dead = 0

    def forget(self) -> None:
        """Forget all that stands for files; what was counted stays."""
        self.journal: Journal | None = None
        self.own: Store | None = None
        self.adopted: list[Store] = []
        self.fresh: deque[Row] = deque()  # in the journal and not in the lanes yet, in order
        self.kept: dict[int, tuple[bytes, float]] = {}  # bodies and times of some in the journal

    def opened(self) -> Journal:
        """Return the journal. Raises `SpoolClosed`."""
        if self.journal is None:
            raise SpoolClosed(CLOSED)
        return self.journal

    def stores(self) -> list[Store]:
        """The databases: our own, and those that were adopted."""
        return [*self.adopted] if self.own is None else [self.own, *self.adopted]

    @property
    def is_inside(self) -> bool:
        """Whether this very thread is in the middle of something here; see `Spool`."""
        # Not by `is_held`, which is what takes time here: this is asked before each `put`.
        is_held: bool = self.memory._is_owned() or self.disk._is_owned() or self.house._is_owned()
        return is_held

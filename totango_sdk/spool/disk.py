"""The default spool: on disk, one set of files for each process.

What dead processes left is taken over: one set of files as our own, further ones beside it until
they are empty. A lock file tells the files of the living from those of the dead.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import SpoolError
from .base import Spool
from .intake import Intake
from .opening import Opening
from .outlet import Outlet
from .room import Room
from .segment import LEAST_SEGMENT_BYTES, SEGMENT_BYTES
from .state import State
from .upkeep import Upkeep
from .values import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .letters import DeadLetter
    from .values import Item, Leased, Outcome, Owner

QUOTA_BYTES = 512 << 20


class DiskSpool(Spool):
    """Keeps events in `directory`, which nobody else may write to.

    `durability` is `process` (what `put` accepted survives `kill -9`) or `power` (it survives a
    power cut; `put` waits for the disk, together with other threads). Beyond `quota_bytes` on disk
    for one process, `put` raises `SpoolFull`; what is there can still be delivered, tried again and
    given up.
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
        self.directory = os.path.abspath(os.fsdecode(directory))
        self._state = state = State(
            self.directory,
            durability=durability,
            quota_bytes=quota_bytes,
            segment_bytes=segment_bytes,
        )
        self._opening = Opening(state)
        self._room = Room(state)
        self._outlet = Outlet(state, self._room)
        self._upkeep = Upkeep(state, self._opening, self._room, self._outlet, forget=self._forget)
        self._intake = Intake(state, make_room=self._make_room, mend=self._mend)

    def _forget(self) -> None:
        self._state.forget()
        for part in (self._intake, self._room, self._outlet, self._upkeep):
            part.forget()

    def be_brief(self) -> None:
        """Make small files, and take over none: this process tracks a little and ends."""
        self._state.segment_bytes = LEAST_SEGMENT_BYTES
        self._state.soon_read_bytes = -1

    @property
    def is_inside(self) -> bool:
        """Whether this very thread is in the middle of something here; see `Spool`."""
        state = self._state
        # Not by `is_held`, which is what takes time here: this is asked before each `put`.
        is_held: bool = (
            state.memory._is_owned() or state.disk._is_owned() or state.house._is_owned()
        )
        return is_held

    def open(self, owner: Owner) -> None:
        """Take over the files of a dead process, or make new ones. Raises `SpoolError`."""
        with self._state.house:
            self._opening.open(owner)

    def close(self) -> None:
        """Let go. What was not delivered stays for the next process."""
        state = self._state
        with state.house, state.disk, state.memory, state.sync:
            if state.active is None:
                return
            try:
                self._opening.close(state.active)
            finally:
                self._forget()

    # -- the caller's side

    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        """Store all items in order; see `Spool.put`."""
        return self._intake.put(items, wait=wait)

    def _make_room(self, payload_bytes: int, records: int) -> None:
        with self._state.disk:
            self._room.make(payload_bytes, records)

    def _mend(self) -> None:
        with self._state.house:
            self._upkeep.look_after_files()

    # -- the sender's side

    def lease(self, limit: int, now: float) -> list[Leased]:
        """Take out what is due; see `Spool.lease`."""
        return self._outlet.lease(limit, now)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Strike off, put off or bury; see `Spool.settle`."""
        self._outlet.settle(outcomes)

    def next_due(self) -> float | None:
        """When the next event may go; see `Spool.next_due`."""
        return self._outlet.next_due()

    @property
    def has_held(self) -> bool:
        """Whether anything waits for an answer; see `Spool.has_held`."""
        return self._outlet.lanes.held > 0

    @property
    def needs_care(self) -> bool:
        """Whether there is no segment to go on in, one is empty, or more can be adopted."""
        return self._upkeep.is_needed

    def maintain(self, *, adopt: bool) -> None:
        """Do what `put` leaves for the sender's thread; see `Spool.maintain`."""
        self._upkeep.maintain(adopt=adopt)

    # -- looking

    def mark(self) -> int:
        """A mark of everything accepted up to now."""
        return self._state.next_id - 1

    def pending_before(self, mark: int | None) -> bool:
        """Whether anything up to the mark is still here; see `Spool.pending_before`."""
        state = self._state
        places = self._outlet.places
        with state.memory:
            if any(
                mark is None or event_id <= mark or places[event_id][0].log is not state.own
                for event_id in self._outlet.lanes.out_ids
            ):
                return True  # mostly, and known without a look at the rest
        with state.disk:
            if self._upkeep.more_dead or any(log.alive for log in state.adopted):
                return True
            with state.memory:
                known = min(places, default=None)
                try:
                    unread = None if state.own is None else state.own.next_unread()
                except SpoolError:  # it cannot be opened now
                    return True
        ids = [event_id for event_id in (known, unread) if event_id is not None]
        return bool(ids) and (mark is None or min(ids) <= mark)

    def counts(self) -> Counts:
        """What is here, and what became of the rest."""
        state = self._state
        with state.disk:
            times = [at for log in state.logs() if (at := log.oldest_at()) is not None]
            with state.memory:
                lanes = self._outlet.lanes
                pending = state.accepted - state.delivered - state.dead
                return Counts(
                    accepted=state.accepted,
                    queued=pending - lanes.out - lanes.retrying,
                    retrying=lanes.retrying,
                    in_flight=lanes.out,
                    delivered=state.delivered,
                    dead=state.dead,
                    oldest_at=min(times, default=None),
                )

    def letters(self) -> Iterator[DeadLetter]:
        """The dead letters, the oldest first."""
        state = self._state
        with state.disk:
            found = [letter for log in state.logs() for letter in log.dead_letters()]
        yield from sorted(found, key=lambda letter: letter.dead_at)

    # -- forking

    def before_fork(self) -> None:
        """Wait until no thread of this process is in the middle of something."""
        state = self._state
        state.house.acquire()
        state.disk.acquire()
        state.memory.acquire()

    def after_fork(self, *, in_child: bool) -> None:
        """Go on; in the child, forget everything."""
        state = self._state
        if not in_child:
            state.memory.release()
            state.disk.release()
            state.house.release()
            return
        self._opening.disown()
        state.reset()
        self._forget()

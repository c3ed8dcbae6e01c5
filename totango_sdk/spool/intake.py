"""The caller's side of the spool on disk: what all threads of the host use.

`put` appends to the active segment. When that is full, it goes on in the one that is ready.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import host
from ..errors import SpoolFull
from .records import EVENT, REFUSED
from .segment import AT
from .values import names_of, with_plain_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .segment import Segment
    from .state import State
    from .values import Item

_MOST_KEPT = 8000  # events in memory, beside those on disk


class Intake:
    """Puts events into the log.

    `make_room` makes a segment ready for so many bytes, and `mend` makes files anew that somebody has
    removed; both with the lock on `memory` let go.
    """

    def __init__(
        self, state: State, *, make_room: Callable[[int, int], None], mend: Callable[[], None]
    ) -> None:
        self._state = state
        self._make_room = make_room
        self._mend = mend
        self.forget()

    def forget(self) -> None:
        """Forget all that stands for files."""
        self._synced = 0  # up to this id, a power cut takes nothing any more

    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        """Store all items in order; see `Spool.put`."""
        state = self._state
        if state.durability == "power" and not wait:
            return None
        try:
            names = list(map(names_of, items))
        except ValueError as error:  # a line break or a lone surrogate in a name
            host.let_pass(error)
            items = [with_plain_names(item) for item in items]
            names = list(map(names_of, items))
        count = len(items)
        size = len(names[0]) + len(items[0].body)
        if count > 1:
            size = sum(map(len, names)) + sum([len(item.body) for item in items])
        if size > state.segment_bytes and not all(item.is_letter for item in items):
            if not wait:
                return None
            msg = (
                f"an event of more than {state.segment_bytes} bytes cannot be kept: Totango would not "
                "take it either"
            )
            raise SpoolFull(msg)
        with state.memory:
            active = state.opened()
            if active.takes(size, count):
                last = self._append(active, names, items)
            else:
                roomy = self._with_room(size, count, wait=wait)
                if roomy is None:
                    return None
                last = self._append(roomy, names, items)
        if state.durability == "power":
            self._sync(last)
        return f"{last:x}"

    def _append(self, active: Segment, names: list[bytes], items: Sequence[Item]) -> int:
        state = self._state
        now = time.time()
        fresh = state.fresh
        first = event_id = state.next_id
        before = active.tail, active.events, active.letters
        counted = state.accepted, state.dead
        try:
            for name, (body, about, updates, is_letter) in zip(names, items, strict=True):
                at = active.append(event_id, REFUSED if is_letter else EVENT, name, body, now)
                event_id += 1
                state.next_id = event_id
                state.accepted += 1
                if is_letter:
                    state.dead += 1
                elif state.fresh_end == at and len(fresh) < _MOST_KEPT:
                    fresh.append((event_id - 1, about, updates, body, now, at, active.tail))
                    state.fresh_end = active.tail
        except BaseException:  # a signal handler's, between any two calls
            self._count_again(active, first, before, counted)
            raise
        return event_id - 1

    def _count_again(
        self,
        active: Segment,
        first: int,
        before: tuple[int, int, int],
        counted: tuple[int, int],
    ) -> None:
        """Make good what `_append` was kept from: an event is in or it is not."""
        state = self._state
        tail = before[0]
        while state.fresh and state.fresh[-1][AT] >= tail:
            state.fresh.pop()
        state.fresh_end = min(state.fresh_end, tail)
        found = active.recount(*before)
        state.next_id = first + len(found)
        state.accepted = counted[0] + len(found)
        state.dead = counted[1] + sum(spot.is_letter for spot in found)

    def _with_room(self, size: int, count: int, *, wait: bool) -> Segment | None:
        """Return the active segment once it has room; `None` if that would wait for the disk."""
        while True:
            active = self._state.opened()
            if not active.file.is_open:
                care = self._mend
            elif not active.has_room(size, count):
                if self._state.advance(size, count):
                    continue
                care = lambda: self._make_room(size, count)  # noqa: E731
            elif active.takes(size, count):
                return active
            else:
                care = self._mend
            if not wait:
                return None
            self._without_memory(care)

    def _without_memory(self, care: Callable[[], None]) -> None:
        """Do what takes its time, here and now; the lock is let go meanwhile."""
        memory = self._state.memory
        memory.release()
        try:
            care()
        finally:
            memory.acquire()

    def _sync(self, upto: int) -> None:
        """Wait for the disk. One thread waits for all that came before it took its turn."""
        state = self._state
        with state.sync:
            if self._synced >= upto:
                return
            # What came up to here is in the active segment, or in one that was sealed since.
            newest, active, sealed = state.next_id - 1, state.active, state.unsynced
            if active is None:  # whoever closes it syncs it
                return
            active.file.sync()
            while sealed:
                sealed[0].file.sync()
                sealed.popleft()  # nobody removes it before
            self._synced = newest

"""The caller's side of the spool on disk: what all threads of the host use.

`put` writes to the journal. What cannot leave before the journal is full goes on to the database.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import host
from ..errors import SpoolFull
from .records import Record
from .state import CLOSED
from .values import SpoolClosed, names_of, with_plain_names

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .journal import Journal
    from .state import State
    from .values import Item

_MOST_KEPT = 8000  # bodies in memory, beside those on disk


def _size_of(names: list[bytes], items: Sequence[Item]) -> int:
    return sum(map(len, names)) + sum([len(item.body) for item in items])


class Intake:
    """Puts events into the journal.

    `make_room` empties its sealed segment, and `mend` makes files anew that somebody has removed;
    both with the lock on `memory` let go.
    """

    def __init__(
        self, state: State, *, make_room: Callable[[], None], mend: Callable[[], None]
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
            names = [names_of(item) for item in items]
        except ValueError as error:  # a line break or a lone surrogate in a name
            host.let_pass(error)
            items = [with_plain_names(item) for item in items]
            names = [names_of(item) for item in items]
        count = len(items)
        size = len(names[0]) + len(items[0].body) if count == 1 else _size_of(names, items)
        with state.memory:
            journal = state.opened()
            if journal.has_room(size, count) and journal.can_be_written(size, count):
                last = self._append(journal, names, items)
            elif journal.could_fit(size, count):
                roomy = self._with_room(size, count, wait=wait)
                if roomy is None:
                    return None
                last = self._append(roomy, names, items)
            elif wait:
                last = self._put_large(items, journal.segment_bytes)
            else:
                return None
        if state.durability == "power":
            self._sync(last)
        return f"{last:x}"

    def _append(self, journal: Journal, names: list[bytes], items: Sequence[Item]) -> int:
        state = self._state
        now = time.time()
        first = state.next_id
        event_id = first - 1
        try:
            for name, (body, about, updates, is_letter) in zip(names, items, strict=True):
                event_id += 1
                journal.append(event_id, name, body, is_letter, now)
                state.next_id = event_id + 1
                state.accepted += 1
                if is_letter:
                    state.dead += 1
                else:
                    state.fresh.append((event_id, about, updates))
                    if len(state.kept) < _MOST_KEPT:
                        state.kept[event_id] = body, now
        except BaseException:  # a signal handler's, between any two calls
            self._note_appended(journal, first, items)
            raise
        return event_id

    def _note_appended(self, journal: Journal, first: int, items: Sequence[Item]) -> None:
        """Make good what `_append` was kept from: an event is in or it is not."""
        state = self._state
        fresh = {row[0] for row in state.fresh}
        for event_id, (_, about, updates, is_letter) in enumerate(items, first):
            if not journal.has(event_id):
                return
            if event_id >= state.next_id:
                state.next_id = event_id + 1
                state.accepted += 1
                state.dead += is_letter
            if not is_letter and event_id not in fresh:
                state.fresh.append((event_id, about, updates))

    def _with_room(self, size: int, count: int, *, wait: bool) -> Journal | None:
        """Return the journal once it has room; `None` if that would wait for the disk."""
        while True:
            journal = self._state.opened()
            if not journal.is_open:
                care = self._mend
            elif not journal.has_room(size, count):
                if journal.switch():
                    continue
                care = self._make_room
            elif journal.can_be_written(size, count):
                return journal
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

    def _put_large(self, items: Sequence[Item], segment_bytes: int) -> int:
        """Put letters that are larger than a segment straight into the database; their order does
        not matter.
        """
        state = self._state
        if not all(item.is_letter for item in items):
            msg = f"an event of more than {segment_bytes} bytes cannot be kept: Totango would not take it either"
            raise SpoolFull(msg)
        first, now = state.next_id, time.time()
        state.next_id += len(items)
        records = [
            Record(first + at, "", item.body, item.is_letter, now) for at, item in enumerate(items)
        ]
        self._without_memory(lambda: self._insert(records))
        state.accepted += len(items)
        state.dead += len(items)
        return first + len(items) - 1

    def _insert(self, records: list[Record]) -> None:
        with self._state.disk:
            if self._state.own is None:
                raise SpoolClosed(CLOSED)
            self._state.own.insert(records)

    def _sync(self, upto: int) -> None:
        """Wait for the disk. One thread waits for all that came before it took its turn."""
        with self._state.sync:
            newest, journal = self._state.next_id - 1, self._state.journal
            if self._synced < upto and journal is not None:  # whoever closes it syncs it
                journal.sync()
                self._synced = newest

"""From the journal to the database: what cannot leave before the journal is full."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import SpoolFull
from .store import Full

if TYPE_CHECKING:
    from .journal import Journal
    from .records import Record
    from .state import State
    from .store import Store

_SPILL, _PIECE = 1000, 200
_FULL_SECONDS = 0.1


class Spill:
    """Empties the journal's sealed segment. Used with the lock on `disk` held."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.forget()

    def forget(self) -> None:
        """Forget all that stands for files."""
        self._full: Full | None = None

    def empty(self) -> None:
        """Move what is alive in the sealed segment to the database. Raises `SpoolFull`."""
        state = self._state
        journal, own = state.journal, state.own
        if journal is None or own is None or journal.sealed is None:
            return
        if self._full is not None and self._full.still_holds(own.waiting, journal.sealed_count):
            raise SpoolFull(self._full.why)  # to find out each time would cost milliseconds
        with state.memory:
            journal.measure()
            ids = journal.sealed_ids()
        for at in range(0, len(ids), _SPILL):
            self._move(journal, own, ids[at : at + _SPILL])
        self._full = None
        with state.memory:
            journal.unseal()

    def _move(self, journal: Journal, own: Store, ids: list[int]) -> None:
        """Move these events and letters to the database, in one transaction: all of a segment would
        be much memory.
        """
        state = self._state
        # Since `put` waits for the lock on `memory`.
        pieces = [ids[at : at + _PIECE] for at in range(0, len(ids), _PIECE)]
        records: list[Record] = []
        damaged: list[int] = []
        for piece in pieces:
            with state.memory:
                for event_id in piece:
                    record = journal.read(event_id)
                    if record is not None:
                        records.append(record)
                    elif journal.holds(event_id):
                        damaged.append(event_id)
        if records or damaged:
            try:
                own.insert(records, damaged, spilled=ids[-1])
            except SpoolFull as full:
                until = time.monotonic() + _FULL_SECONDS
                self._full = Full(str(full), until, own.waiting, journal.sealed_count)
                raise
        with state.memory:
            if records or damaged:
                journal.note_spilled(ids[-1])
            self.unpulled(own, ids[-1])
        moved = {record.id for record in records if not record.is_letter}
        for piece in pieces:
            with state.memory:
                # Delivered while they were being moved.
                own.struck.update(
                    each for each in piece if each in moved and not journal.holds(each)
                )
                for event_id in piece:
                    state.kept.pop(event_id, None)
                journal.moved(piece)

    def unpulled(self, own: Store, last: int) -> None:
        """What is not in a lane yet, up to `last`, is now to be found in the database."""
        state = self._state
        while state.fresh and state.fresh[0][0] <= last:
            state.fresh.popleft()
        if own.cursor < last:
            own.behind = True

"""Room for what comes: a segment that is ready before the active one is full, and none that is empty."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..errors import SpoolError, SpoolFull
from .mapped import PAGE_BYTES
from .records import RECORD_BYTES
from .segment import LEAST_SEGMENT_BYTES
from .state import CLOSED
from .values import SpoolClosed

if TYPE_CHECKING:
    from .log import Log
    from .segment import Segment
    from .state import State

_FULL_SECONDS = 0.1


class Room:
    """Makes segments ready, and uses them again. Used with `disk` held."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.forget()

    def forget(self) -> None:
        """Forget all that stands for files."""
        self._full: tuple[float, str] = (0.0, "")  # until when it is worth no try, and why

    @property
    def is_short(self) -> bool:
        """Whether the active segment is half full, and there is none to go on in."""
        state = self._state
        active = state.active
        if active is None or state.ready is not None or active.tail < active.size // 2:
            return False
        return not self.is_full

    @property
    def is_full(self) -> bool:
        """Whether it is worth no try now: to find out each time would cost milliseconds."""
        return time.monotonic() < self._full[0]

    def make(self, payload_bytes: int, records: int) -> None:
        """Have a segment ready for so much. Raises `SpoolError`."""
        state = self._state
        own, ready = state.own, state.ready
        if own is None:
            raise SpoolClosed(CLOSED)
        if ready is not None and ready.has_room(payload_bytes, records):
            return
        self.clear(own)
        if state.ready is None or not state.ready.has_room(payload_bytes, records):
            if self.is_full:
                raise SpoolFull(self._full[1])
            fresh = self._new_segment(own, payload_bytes + records * RECORD_BYTES)
            unused, state.ready = state.ready, fresh
            if unused is not None:
                unused.file.close()

    def _new_segment(self, own: Log, least: int) -> Segment:
        state = self._state
        left = state.quota_bytes - own.size - PAGE_BYTES
        least = max(least, min(state.segment_bytes, LEAST_SEGMENT_BYTES))
        size = min(max(own.size_for(state.segment_bytes), least), left)
        try:
            if size < least:
                msg = (
                    f"the spool in {state.directory!r} has reached its quota of {state.quota_bytes} "
                    "bytes: see why nothing is delivered (totango spool status), or raise the quota"
                )
                raise SpoolFull(msg)
            return own.new_segment(state.next_id - 1, size, least)
        except SpoolError as error:  # or there is no descriptor for it
            self._full = time.monotonic() + _FULL_SECONDS, str(error)
            raise

    def clear(self, log: Log) -> None:
        """Remove sealed segments with nothing alive in them, or use one again; of those that nobody
        has begun to read, have none in memory.
        """
        state = self._state
        for segment in [each for each in log.segments if each.is_empty]:
            with state.memory:
                if segment is state.active or segment in state.unsynced:
                    continue
            if log is state.own and state.ready is None and self._is_fit(segment):
                path = log.files.segment_path(log.next_number)
                log.segments.remove(segment)
                try:
                    segment.begin_again(path, state.next_id - 1)
                except OSError:
                    segment.file.remove()
                    continue
                state.ready = segment
            else:
                log.drop(segment)
            self._full = (0.0, "")
        for segment in log.segments[:-1]:
            if segment.unread == segment.events:
                segment.file.rest()

    def _is_fit(self, segment: Segment) -> bool:
        """Whether it is worth being used again."""
        state = self._state
        if state.durability == "power":  # its new name would have to be synced as well
            return False
        is_right_size = segment.size == PAGE_BYTES + state.segment_bytes
        return is_right_size and segment.file.view is not None and segment.file.is_whole

"""The journal: where `put` writes, at the price of a copy in memory.

A file of two segments, mapped into memory. What is written there survives `kill -9`, since the
pages belong to the kernel and not to the process; writing needs no system call, holds no file lock
and never gives up the interpreter lock, so `track` costs microseconds however busy the sender is.
An event that is delivered is struck off by one byte. When a segment is full, what is still alive in
it is moved to the database by the sender while `put` goes on in the other one; so in normal running
the database is never touched at all.

The space is allocated when the file is made: writing to a mapped page for which the disk has no room
would kill the process.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from typing import TYPE_CHECKING

from .. import host
from .paths import status_of
from .records import (
    LAST,
    LIVE,
    MOST_REASONS,
    NOT_STARTED,
    PAGE_BYTES,
    REASON_AT,
    REASON_BYTES,
    REASONS_AT,
    RECORD_BYTES,
    SETTLED,
    SPILLED,
    SPILLED_AT,
    START,
    STARTED,
    STARTED_AT,
    STATE_AT,
    TRIED_AT,
    Record,
    head_of,
    note_of,
    packed,
    parse,
    payload,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SEGMENT_BYTES = 3 << 20  # a burst of some 20,000 events fits into both segments
LEAST_SEGMENT_BYTES = 1 << 20  # where the disk has no room for that; any one event fits into it
# Of Linux 5.14 and later: it fails where a write to the mapped page would be answered by SIGBUS, since
# somebody cut the file short. A look at the file's size would let go of the interpreter.
_POPULATE_WRITE = 23
_never_closed: list[mmap.mmap] = []
_HAS_MADVISE = hasattr(mmap.mmap, "madvise")
_MOST_POPULATED = 256 << 10  # bytes; a look at more pages would take longer than one at the size
_NO_FALLOCATE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class Journal:
    """A journal that this process writes. Not thread-safe: the spool holds a lock around it."""

    def __init__(self, fd: int, text: bytes, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Lay out the (empty) file open as `fd`, which becomes the journal's own. Raises `OSError`."""
        self.segment_bytes = segment_bytes
        size = PAGE_BYTES + 2 * segment_bytes
        self._fd = fd
        try:
            _allocate(fd, size)
            self._map = mmap.mmap(fd, size)
        except BaseException:
            os.close(fd)
            raise
        self._limit = size
        status = os.fstat(fd)
        self.key = status.st_dev, status.st_ino  # what identifies the file
        head = head_of(text, segment_bytes)
        self._map[: len(head)] = head
        self.note_spilled(0)
        for at in STARTED_AT:
            STARTED.pack_into(self._map, at, NOT_STARTED)
        # Where each event that is alive stands: one table for each segment, in the order of their
        # ids.
        self._live: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._letters: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._tables = (*self._live, *self._letters)
        self._reasons: dict[str, int] = {}
        self.sealed: int | None = None
        self._begin(0)

    def _begin(self, segment: int) -> None:
        base = PAGE_BYTES + segment * self.segment_bytes
        self._active, self._base = segment, base
        self._tail, self._end = base + LAST.size, base + self.segment_bytes

    def could_fit(self, payload_bytes: int, records: int) -> bool:
        """Whether so much could ever be written here at once."""
        return payload_bytes + records * RECORD_BYTES <= self.segment_bytes - LAST.size

    def can_be_written(self, payload_bytes: int, records: int) -> bool:
        """Whether the file still reaches as far as so many records would."""
        if not _HAS_MADVISE:  # pragma: no cover - macOS
            return self.is_whole
        start = self._tail - self._tail % PAGE_BYTES
        try:
            self._map.madvise(
                _POPULATE_WRITE, start, self._tail + payload_bytes + records * RECORD_BYTES - start
            )
        except OSError as error:
            host.let_pass(error)
            return self.is_whole and error.errno != errno.EFAULT
        return True

    def measure_for(self, ids: Sequence[int]) -> None:
        """See whether the file still reaches as far as these. `measure` would let go of the
        interpreter, which comes back 5 ms later where a thread of the host computes.
        """
        tables = [table for table in self._live if table]
        found = [at for table in tables for each in ids if (at := table.get(each)) is not None]
        if not found:
            return
        start = min(found) - min(found) % PAGE_BYTES
        size = max(found) + START.size - start
        if size > _MOST_POPULATED or not _HAS_MADVISE:
            self.measure()
            return
        try:
            self._map.madvise(_POPULATE_WRITE, start, size)
        except OSError as error:  # it is shorter, or the kernel cannot tell
            host.let_pass(error)
            self.measure()

    def measure(self) -> bool:
        """See how far the file still reaches: nothing beyond its end is touched any more.

        `False` if nothing tells it any more: the descriptor is not ours.
        """
        status = status_of(self._fd, self.key)
        if status is None:
            return False
        self._limit = min(status.st_size, self._limit)
        return True

    @property
    def is_open(self) -> bool:
        """Whether the descriptor is still ours: the host may have closed it, with all others."""
        return status_of(self._fd, self.key) is not None

    @property
    def is_whole(self) -> bool:
        """Whether the file still has the size that it was made with, as far as can be told."""
        return self.measure() and self._limit >= len(self._map)

    def live_ids(self) -> list[int]:
        """The ids of all that is alive here, in order."""
        return sorted(event_id for table in self._tables for event_id in table)

    def has_room(self, payload_bytes: int, records: int) -> bool:
        """Whether so many records with so many bytes of lanes and bodies fit behind the last one."""
        return self._tail + payload_bytes + records * RECORD_BYTES <= self._end

    def append(
        self, event_id: int, lane: bytes, body: bytes, is_letter: bool, accepted_at: float
    ) -> None:
        """Write a record, for which there is room. Ids grow."""
        record = packed(payload(event_id, lane, body, is_letter, accepted_at))
        at = self._tail
        end = at + len(record)
        self._map[at:end] = record
        self._map[at + STATE_AT] = LIVE
        LAST.pack_into(self._map, self._base, event_id)
        if at == self._base + LAST.size:
            STARTED.pack_into(self._map, STARTED_AT[self._active], event_id)
        self._tail = end
        (self._letters if is_letter else self._live)[self._active][event_id] = at

    def switch(self) -> bool:
        """Seal the segment that is full and go on in the other. `False` while that is still sealed."""
        if self.sealed is not None:
            return False
        self.sealed = self._active
        self._begin(1 - self._active)
        return True

    @property
    def sealed_count(self) -> int:
        """How much is alive in the sealed segment."""
        return (
            0
            if self.sealed is None
            else len(self._live[self.sealed]) + len(self._letters[self.sealed])
        )

    def sealed_ids(self) -> list[int]:
        """The ids of all that is alive in the sealed segment, in order."""
        assert self.sealed is not None
        return sorted((*self._live[self.sealed], *self._letters[self.sealed]))

    def moved(self, ids: Iterable[int]) -> None:
        """Forget these of the sealed segment: they are in the database now."""
        assert self.sealed is not None
        live, letters = self._live[self.sealed], self._letters[self.sealed]
        for event_id in ids:
            for table in (live, letters):
                at = table.pop(event_id, None)
                if at is not None:
                    self._settle(at)

    def unseal(self) -> None:
        """Use the sealed segment again: nothing is alive in it any more."""
        assert self.sealed is not None
        assert not self.sealed_count
        if self.is_whole:
            STARTED.pack_into(self._map, STARTED_AT[self.sealed], NOT_STARTED)
            LAST.pack_into(self._map, PAGE_BYTES + self.sealed * self.segment_bytes, 0)
        self.sealed = None

    def note_spilled(self, spilled: int) -> None:
        """Note up to which id the database has what was alive; 0 when it is removed, since nothing
        of it is needed.
        """
        if self.is_whole:
            self._map[SPILLED_AT : SPILLED_AT + SPILLED.size] = note_of(spilled)

    def read(self, event_id: int) -> Record | None:
        """Return an event or a letter that is alive here, and as it was written."""
        for table in self._tables:
            at = table.get(event_id)
            if at is not None:
                return parse(self._map, at, self._limit).record
        return None

    def strike(self, event_id: int) -> bool:
        """Strike off an event or a letter; `False` if it is not alive here."""
        for table in self._tables:
            at = table.pop(event_id, None)
            if at is not None:
                self._settle(at)
                return True
        return False

    def _settle(self, at: int) -> None:
        if at + STATE_AT < self._limit:
            self._map[at + STATE_AT] = SETTLED

    def put_off(self, event_id: int, attempts: int, reason: str) -> None:
        """Note how often an event was tried, and why it has to be tried again, for others to see."""
        for table in self._live:
            at = table.get(event_id)
            if at is not None and at + REASON_AT < self._limit:
                self._map[at + TRIED_AT] = min(attempts, 255)
                self._map[at + REASON_AT] = self._number_of(reason)

    def _number_of(self, reason: str) -> int:
        """Return the number of a reason; where there are too many, the last one stands for several."""
        number = self._reasons.get(reason)
        if number is None:
            number = self._reasons[reason] = min(len(self._reasons) + 1, MOST_REASONS)
            at = REASONS_AT + (number - 1) * REASON_BYTES
            text = reason.encode(errors="replace")[:REASON_BYTES].ljust(REASON_BYTES, b"\0")
            self._map[at : at + REASON_BYTES] = text
            if number == MOST_REASONS:
                self._reasons.popitem()
        return number

    def holds(self, event_id: int) -> bool:
        """Whether this event is alive here."""
        return any(event_id in table for table in self._live)

    def has(self, event_id: int) -> bool:
        """Whether this event or letter is alive here."""
        return any(event_id in table for table in self._tables)

    def letters(self) -> list[Record]:
        """The letters that are here and as they were written, the oldest first."""
        ids = sorted((*self._letters[0], *self._letters[1]))
        return [record for event_id in ids if (record := self.read(event_id)) is not None]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is alive here."""
        return not any(self._tables)

    @property
    def oldest(self) -> int | None:
        """The id of the oldest event that is alive."""
        firsts = [next(iter(live)) for live in self._live if live]
        return min(firsts) if firsts else None

    def sync(self) -> None:
        """Wait until what is written would survive a power cut. Other threads go on meanwhile."""
        if not self.is_open:
            self._map.flush()
        elif hasattr(
            os, "fdatasync"
        ):  # on Linux it writes mapped pages too; mmap.flush would hold the interpreter lock
            os.fdatasync(self._fd)
        else:  # pragma: no cover - macOS
            self._map.flush()
            os.fsync(self._fd)

    def close(self) -> None:
        """Let go of the file, which stays as it is."""
        if not self.is_open:
            # The mapping has a descriptor of its own, and would close whatever has its number now.
            _never_closed.append(self._map)
            return
        with contextlib.suppress(
            BufferError
        ):  # in a child that was forked in the middle of something
            self._map.close()
        os.close(self._fd)


def _allocate(fd: int, size: int) -> None:
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most != resource.RLIM_INFINITY and size > most:
        # Where Python is embedded, nobody has had SIGXFSZ ignored, which would end the process.
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    with contextlib.suppress(AttributeError):  # macOS has no such call
        try:
            os.posix_fallocate(fd, 0, size)
            return
        except OSError as error:
            if error.errno not in _NO_FALLOCATE:
                raise
    for at in range(0, size, PAGE_BYTES):
        os.pwrite(fd, bytes(min(PAGE_BYTES, size - at)), at)

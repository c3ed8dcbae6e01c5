"""The journal: where `put` writes, at the price of a copy in memory.

A file of two segments, mapped into memory. What is written there survives `kill -9`, since the
pages belong to the kernel and not to the process; writing needs no system call, holds no file lock
and never gives up the interpreter lock, so `track` costs microseconds however busy the sender is.
An event that is delivered is struck off by one byte. When a segment is full, what is still alive in
it is moved to the database by the sender while `put` goes on in the other one; so in normal running
the database is never touched at all.

A record comes to life by its last byte, and is dead before its space is used again. So whatever
moment the process dies at, what is alive in the file is complete and still to be delivered, and
neither a half-written record nor one of an earlier round can be mistaken for damage. The space is
allocated when the file is made: writing to a mapped page for which the disk has no room would kill
the process.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import struct
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from .. import host
from .paths import status_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCHEMA = 1
SEGMENT_BYTES = 4 << 20  # a burst of some 25,000 events fits into both segments
LEAST_SEGMENT_BYTES = 1 << 20  # where the disk has no room for that; any one event fits into it
PAGE_BYTES = 4096
_MAGIC = b"TotangoJ"
_FILE = struct.Struct("<8sIII")  # magic, schema, bytes of a segment, bytes of the text that follows
_CHECK = struct.Struct("<I")  # of the header and its text, behind them
# How far the journal was emptied into the database: if that knows less, it has lost something.
_SPILLED = struct.Struct("<QI")  # id, checksum
_SPILLED_AT = PAGE_BYTES - _SPILLED.size
# The first id of each segment, so that one that was wiped out whole does not pass for one that is
# not in use.
_STARTED = struct.Struct("<Q")
_STARTED_AT = (_SPILLED_AT - 16, _SPILLED_AT - 8)
_NOT_STARTED = (1 << 64) - 1  # never 0, which is what a page that was wiped out has
_LAST = struct.Struct(
    "<Q"
)  # a segment begins with the last id in it: without it, damage to its end would not show
# Two bytes of the mark cannot occur in UTF-8, so no text can look like the start of a record.
_MARK = b"\xf5Tg\xf6"
# Mark, state, how often it was tried, which reason it was put off for, checksum of all that follows.
_START = struct.Struct("<4sBBBxI")
_FIELDS = struct.Struct("<BxxxIIQd")  # kind, bytes of the lane, bytes of the body, id, accepted at
RECORD_BYTES = _START.size + _FIELDS.size
_LIVE, _SETTLED = 0xA5, 0x5A  # no one bit that flips makes the one of the other
_STATE_AT, _TRIED_AT, _REASON_AT = 4, 5, 6
# Why events have to be tried again, for `totango spool status`: texts in the first page, behind the
# owner. An event names the one that is its own by its number, 0 for none.
_REASONS_AT, _REASON_BYTES, _MOST_REASONS = 2560, 128, 11
# Of Linux 5.14 and later: it fails where a write to the mapped page would be answered by SIGBUS, since
# somebody cut the file short. A look at the file's size would let go of the interpreter.
_POPULATE_WRITE = 23
_never_closed: list[mmap.mmap] = []
_HAS_MADVISE = hasattr(mmap.mmap, "madvise")
_MOST_POPULATED = 256 << 10  # bytes; a look at more pages would take longer than one at the size
_NO_FALLOCATE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class Record(NamedTuple):
    """What one record holds."""

    id: int
    lane: str  # of which records it is, as `written` gives them
    body: bytes
    is_letter: bool
    accepted_at: float
    attempts: int = 0
    reason: str = ""  # why it was put off last


def _payload(event_id: int, lane: bytes, body: bytes, is_letter: bool, accepted_at: float) -> bytes:
    return _FIELDS.pack(is_letter, len(lane), len(body), event_id, accepted_at) + lane + body


def checksum(event_id: int, lane: str, body: bytes, accepted_at: float) -> int:
    """Return a number that changes with any part of an event."""
    encoded = lane.encode()
    start = _FIELDS.pack(False, len(encoded), len(body), event_id, accepted_at)
    return crc32(body, crc32(encoded, crc32(start)))


class _Parsed(NamedTuple):
    is_live: bool
    record: Record | None  # `None` if it is damaged
    end: int


def _parse(view: mmap.mmap | bytes, at: int, limit: int) -> _Parsed:
    """Read the record at `at`, which ends before `limit`."""
    is_live = at + _STATE_AT >= limit or view[at + _STATE_AT] != _SETTLED
    start = at + _START.size
    if start + _FIELDS.size > limit:
        return _Parsed(is_live, None, limit)
    _, _, attempts, reason, found = _START.unpack_from(view, at)
    kind, lane_bytes, body_bytes, event_id, accepted_at = _FIELDS.unpack_from(view, start)
    text = start + _FIELDS.size
    end = text + lane_bytes + body_bytes
    if end > limit or crc32(view[start:end]) != found:
        return _Parsed(is_live, None, limit)
    lane = view[text : text + lane_bytes].decode(errors="replace")
    record = Record(
        event_id,
        lane,
        view[text + lane_bytes : end],
        bool(kind),
        accepted_at,
        attempts,
        _reason(view, reason) if reason else "",
    )
    return _Parsed(is_live, record, end)


def _reason(view: mmap.mmap | bytes, number: int) -> str:
    at = _REASONS_AT + (number - 1) * _REASON_BYTES
    if number > _MOST_REASONS or len(view) < PAGE_BYTES:
        return ""
    return view[at : at + _REASON_BYTES].rstrip(b"\0").decode(errors="replace")


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
        head = _FILE.pack(_MAGIC, SCHEMA, segment_bytes, len(text)) + text
        head += _CHECK.pack(crc32(head))
        self._map[: len(head)] = head
        self.note_spilled(0)
        for at in _STARTED_AT:
            _STARTED.pack_into(self._map, at, _NOT_STARTED)
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
        self._tail, self._end = base + _LAST.size, base + self.segment_bytes

    def could_fit(self, payload_bytes: int, records: int) -> bool:
        """Whether so much could ever be written here at once."""
        return payload_bytes + records * RECORD_BYTES <= self.segment_bytes - _LAST.size

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

    def measure_for(self, ids: Iterable[int]) -> None:
        """See whether the file still reaches as far as these. `measure` would let go of the
        interpreter, which comes back 5 ms later where a thread of the host computes.
        """
        found = [at for each in ids for table in self._live if (at := table.get(each)) is not None]
        if not found:
            return
        start = min(found) - min(found) % PAGE_BYTES
        size = max(found) + _START.size - start
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
        payload = _payload(event_id, lane, body, is_letter, accepted_at)
        at = self._tail
        end = at + _START.size + len(payload)
        self._map[at:end] = _START.pack(_MARK, _SETTLED, 0, 0, crc32(payload)) + payload
        self._map[at + _STATE_AT] = _LIVE
        _LAST.pack_into(self._map, self._base, event_id)
        if at == self._base + _LAST.size:
            _STARTED.pack_into(self._map, _STARTED_AT[self._active], event_id)
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
            _STARTED.pack_into(self._map, _STARTED_AT[self.sealed], _NOT_STARTED)
            _LAST.pack_into(self._map, PAGE_BYTES + self.sealed * self.segment_bytes, 0)
        self.sealed = None

    def note_spilled(self, spilled: int) -> None:
        """Note up to which id the database has what was alive; 0 when it is removed, since nothing
        of it is needed.
        """
        if self.is_whole:
            check = crc32(spilled.to_bytes(8, "little"))
            _SPILLED.pack_into(self._map, _SPILLED_AT, spilled, check)

    def read(self, event_id: int) -> Record | None:
        """Return an event or a letter that is alive here, and as it was written."""
        for table in self._tables:
            at = table.get(event_id)
            if at is not None:
                return _parse(self._map, at, self._limit).record
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
        if at + _STATE_AT < self._limit:
            self._map[at + _STATE_AT] = _SETTLED

    def put_off(self, event_id: int, attempts: int, reason: str) -> None:
        """Note how often an event was tried, and why it has to be tried again, for others to see."""
        for table in self._live:
            at = table.get(event_id)
            if at is not None and at + _REASON_AT < self._limit:
                self._map[at + _TRIED_AT] = min(attempts, 255)
                self._map[at + _REASON_AT] = self._number_of(reason)

    def _number_of(self, reason: str) -> int:
        """Return the number of a reason; where there are too many, the last one stands for several."""
        number = self._reasons.get(reason)
        if number is None:
            number = self._reasons[reason] = min(len(self._reasons) + 1, _MOST_REASONS)
            at = _REASONS_AT + (number - 1) * _REASON_BYTES
            text = reason.encode(errors="replace")[:_REASON_BYTES].ljust(_REASON_BYTES, b"\0")
            self._map[at : at + _REASON_BYTES] = text
            if number == _MOST_REASONS:
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


class Header(NamedTuple):
    """What the first page of a journal says."""

    text: bytes  # of the owner
    schema: int
    segment_bytes: int


class Recovered(NamedTuple):
    """What was found in the journal of a process that is gone."""

    records: list[Record]  # alive, the oldest first
    last_id: int
    damaged: bool
    spilled: int = 0  # what has been moved to the database, up to this id; 0 if nothing has


def read_header(data: bytes) -> Header | None:
    """Read the first page of a journal; `None` if it is damaged."""
    if len(data) < _FILE.size:
        return None
    magic, schema, segment_bytes, text_bytes = _FILE.unpack_from(data)
    end = _FILE.size + text_bytes
    if magic != _MAGIC or end + _CHECK.size > min(len(data), _STARTED_AT[0]):
        return None
    if _CHECK.unpack_from(data, end)[0] != crc32(data[:end]):
        return None
    return Header(data[_FILE.size : end], schema, segment_bytes)


def recover(data: bytes) -> Recovered:
    """Read what is alive in the bytes of a journal, past any damage."""
    header = read_header(data)
    if (
        header is None
    ):  # where the second segment begins is unknown, and its records are found all the same
        damaged, segments = True, [(PAGE_BYTES, len(data))]
    else:
        ends = [PAGE_BYTES + header.segment_bytes, PAGE_BYTES + 2 * header.segment_bytes]
        damaged = len(data) < ends[1]
        segments = [(PAGE_BYTES, min(ends[0], len(data))), (ends[0], min(ends[1], len(data)))]
    records: dict[int, Record] = {}
    last_id = 0
    starts = [
        int(_STARTED.unpack_from(data, at)[0]) if len(data) >= PAGE_BYTES else 0
        for at in _STARTED_AT
    ]
    for (base, limit), started in zip(segments, starts, strict=False):
        segment = _read_segment(data, base, limit)
        records.update((record.id, record) for record in segment.records)
        last_id = max(last_id, segment.last_id)
        damaged = (
            damaged
            or segment.damaged
            or (started != _NOT_STARTED and not 0 < started <= segment.last_id)
        )
    spilled = _read_spilled(data)
    return Recovered(
        [records[key] for key in sorted(records)], last_id, damaged or spilled is None, spilled or 0
    )


def _read_spilled(data: bytes) -> int | None:
    if len(data) < PAGE_BYTES:
        return None
    spilled, found = _SPILLED.unpack_from(data, _SPILLED_AT)
    return int(spilled) if crc32(spilled.to_bytes(8, "little")) == found else None


def _read_segment(data: bytes, base: int, limit: int) -> Recovered:
    """Read one segment; what cannot be read of this round counts as damage, older rounds do not."""
    last = _LAST.unpack_from(data, base)[0] if base + _LAST.size <= limit else 0
    records, newest, damaged = [], 0, False
    expected = base + _LAST.size
    for at, parsed in _scan(data, expected, limit):
        if parsed.record is None:
            damaged = damaged or parsed.is_live
            continue
        event_id = parsed.record.id
        damaged = damaged or (at > expected and (parsed.is_live or newest < event_id <= last))
        newest, expected = max(newest, event_id), parsed.end
        if parsed.is_live:
            records.append(parsed.record)
    return Recovered(records, newest, damaged or newest < last)


def _scan(data: bytes, at: int, limit: int) -> Iterator[tuple[int, _Parsed]]:
    at = data.find(_MARK, at, limit)
    while at >= 0:
        parsed = _parse(data, at, limit)
        yield at, parsed
        at = data.find(_MARK, parsed.end if parsed.record else at + 1, limit)

"""The journal: where `put` writes, at the price of a copy in memory.

A file of two segments, mapped into memory. What is written there survives `kill -9`, since the
pages belong to the kernel and not to the process; writing needs no system call, holds no file lock
and never gives up the interpreter lock, so `track` costs microseconds however busy the sender is.
An event that is delivered is struck off by one byte. When a segment is full, what is still alive in
it is moved to the database by the sender while `put` goes on in the other one; so in normal running
the database is never touched at all.

A segment is its first id and then records. A record with a smaller id than that is left over from
an earlier round. The space is allocated when the file is made: writing to a mapped page for which
the disk has no room would kill the process.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from ..errors import SpoolCorrupt

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = 1
SEGMENT_BYTES = 1 << 20
_MAGIC = b"TotangoJ"
_PAGE = 4096
_FILE = struct.Struct("<8sIIQI")  # magic, schema, bytes of a segment, unused, length of the text that follows
_FIRST = struct.Struct("<Q")
# Two bytes of the mark cannot occur in UTF-8, so no body or lane can look like the start of a record.
_MARK = b"\xf5Tg\xf6"
_RECORD = struct.Struct("<4sBBHIIQd")  # mark, state, kind, lane bytes, body bytes, checksum, id, accepted at
_LIVE, _SETTLED = 0xA5, 0x5A
_STATE_AT = 4


class Record(NamedTuple):
    """What one record holds."""

    id: int
    lane: str
    body: bytes
    is_letter: bool
    accepted_at: float


def _checksum(event_id: int, payload: bytes) -> int:
    return crc32(payload, event_id & 0xFFFFFFFF)


def _parse(view: mmap.mmap | bytes, at: int) -> tuple[Record, bool, int] | None:
    """Return the record at `at`, whether it is alive, and where it ends; `None` if it is damaged."""
    if at + _RECORD.size > len(view):
        return None
    mark, state, kind, lane_bytes, body_bytes, checksum, event_id, accepted_at = _RECORD.unpack_from(view, at)
    start = at + _RECORD.size
    end = start + lane_bytes + body_bytes
    if mark != _MARK or end > len(view):
        return None
    payload = view[start:end]
    if _checksum(event_id, payload) != checksum:
        return None
    record = Record(event_id, payload[:lane_bytes].decode(), payload[lane_bytes:], bool(kind), accepted_at)
    return record, state != _SETTLED, end


class Journal:
    """A journal that this process writes. Not thread-safe: the spool holds a lock around it."""

    def __init__(self, fd: int, text: bytes, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Lay out the (empty) file open as `fd`, which becomes the journal's own."""
        self.segment_bytes = segment_bytes
        size = _PAGE + 2 * segment_bytes
        self._fd = fd
        try:
            _allocate(fd, size)
            self._map = mmap.mmap(fd, size)
        except BaseException:
            os.close(fd)
            raise
        self._map[: _FILE.size + len(text)] = _FILE.pack(_MAGIC, SCHEMA, segment_bytes, 0, len(text)) + text
        self._active = 0
        self._tail = self._end = 0
        # Where each event that is alive stands: one table for each segment, in the order of their ids.
        self.live: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.letters: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.sealed: int | None = None

    def start(self, first_id: int) -> None:
        """Begin the first segment. Events get ids from `first_id` on."""
        self._begin(0, first_id)

    def _begin(self, segment: int, first_id: int) -> None:
        base = _PAGE + segment * self.segment_bytes
        _FIRST.pack_into(self._map, base, first_id)
        self._active, self._tail, self._end = segment, base + _FIRST.size, base + self.segment_bytes

    def could_fit(self, payload_bytes: int, records: int) -> bool:
        """Whether so much could ever be written here at once."""
        return payload_bytes + records * _RECORD.size <= self.segment_bytes - _FIRST.size

    def has_room(self, payload_bytes: int, records: int) -> bool:
        """Whether so many records with so many bytes of lanes and bodies fit behind the last one."""
        return self._tail + payload_bytes + records * _RECORD.size <= self._end

    def append(self, event_id: int, lane: bytes, body: bytes, is_letter: bool, accepted_at: float) -> None:
        """Write a record, for which there is room."""
        payload = lane + body
        at = self._tail
        end = at + _RECORD.size + len(payload)
        head = _RECORD.pack(
            _MARK, _LIVE, is_letter, len(lane), len(body), _checksum(event_id, payload), event_id, accepted_at
        )
        self._map[at:end] = head + payload
        self._tail = end
        (self.letters if is_letter else self.live)[self._active][event_id] = at

    def switch(self, next_id: int) -> bool:
        """Seal the segment that is full and go on in the other. `False` while that is still sealed."""
        if self.sealed is not None:
            return False
        self.sealed = self._active
        self._begin(1 - self._active, next_id)
        return True

    def unseal(self) -> None:
        """Forget the sealed segment: all that was alive in it is elsewhere now."""
        assert self.sealed is not None
        self.live[self.sealed].clear()
        self.letters[self.sealed].clear()
        # Records of before have smaller ids than any that can come.
        _FIRST.pack_into(self._map, _PAGE + self.sealed * self.segment_bytes, (1 << 64) - 1)
        self.sealed = None

    def read(self, event_id: int) -> Record | None:
        """Return an event or a letter that is alive here."""
        at = next((table[event_id] for table in (*self.live, *self.letters) if event_id in table), None)
        if at is None:
            return None
        parsed = _parse(self._map, at)
        if parsed is None:
            msg = f"event {event_id:x} in the journal has changed since it was written: is another program using it?"
            raise SpoolCorrupt(msg)
        return parsed[0]

    def strike(self, event_id: int) -> bool:
        """Strike off an event or a letter; `False` if it is not alive here."""
        at = next((table.pop(event_id) for table in (*self.live, *self.letters) if event_id in table), None)
        if at is None:
            return False
        self._map[at + _STATE_AT] = _SETTLED
        return True

    def holds(self, event_id: int) -> bool:
        """Whether this event is alive here."""
        return any(event_id in table for table in self.live)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is alive here."""
        return not any((*self.live, *self.letters))

    @property
    def oldest(self) -> int | None:
        """The id of the oldest event that is alive."""
        firsts = [next(iter(live)) for live in self.live if live]
        return min(firsts) if firsts else None

    def sync(self) -> None:
        """Wait until what is written would survive a power cut."""
        self._map.flush()

    def close(self) -> None:
        """Let go of the file, which stays as it is."""
        self._map.close()
        os.close(self._fd)


def _allocate(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
        return
    for at in range(0, size, _PAGE):  # pragma: no cover - macOS
        os.pwrite(fd, bytes(_PAGE), at)


class Recovered(NamedTuple):
    """What was found in the journal of a process that is gone."""

    text: bytes | None  # what the header says of the owner; None if the header is damaged
    schema: int | None
    records: list[Record]  # alive, the oldest first
    last_id: int
    damaged: bool


def recover(data: bytes) -> Recovered:
    """Read what is alive in the bytes of a journal, past any damage."""
    text, schema, segment_bytes = _read_header(data)
    records: dict[int, Record] = {}
    last_id, damaged = 0, text is None
    firsts = [0, 0]
    if segment_bytes:
        ends = [_PAGE + segment_bytes, _PAGE + 2 * segment_bytes]
        firsts = [_first_id(data, end - segment_bytes) for end in ends]
        damaged = damaged or len(data) < ends[1]
    else:
        ends = [len(data), len(data)]
    last_id = max([0, *(first for first in firsts if first < 1 << 63)])
    for at, parsed in _scan(data):
        first = firsts[0] if at < ends[0] else firsts[1]
        if parsed is None:
            damaged = damaged or _claims_to_be_current(data, at, first)
        elif parsed[0].id >= first:
            last_id = max(last_id, parsed[0].id)
            if parsed[1]:
                records[parsed[0].id] = parsed[0]
    return Recovered(text, schema, [records[key] for key in sorted(records)], last_id, damaged)


def _scan(data: bytes) -> Iterator[tuple[int, tuple[Record, bool, int] | None]]:
    at = data.find(_MARK)
    while at >= 0:
        try:
            parsed = _parse(data, at)
        except UnicodeDecodeError:  # pragma: no cover - needs a checksum that fits by chance
            parsed = None
        yield at, parsed
        at = data.find(_MARK, parsed[2] if parsed else at + 1)


def _first_id(data: bytes, base: int) -> int:
    return int(_FIRST.unpack_from(data, base)[0]) if base + _FIRST.size <= len(data) else 0


def _claims_to_be_current(data: bytes, at: int, first: int) -> bool:
    """Whether a damaged record says that it is of this round; an older one may be half overwritten."""
    if at + _RECORD.size > len(data):
        return True
    return bool(_RECORD.unpack_from(data, at)[6] >= first)


def _read_header(data: bytes) -> tuple[bytes | None, int | None, int]:
    """Return the owner's text, the schema and the bytes of a segment (0 if they cannot be known)."""
    if len(data) < _FILE.size:
        return None, None, 0
    magic, schema, segment_bytes, _, text_bytes = _FILE.unpack_from(data)
    text = data[_FILE.size : _FILE.size + text_bytes]
    if magic != _MAGIC or text_bytes > _PAGE - _FILE.size or not 1024 <= segment_bytes <= 1 << 30:
        return None, None, 0
    return text, schema, segment_bytes

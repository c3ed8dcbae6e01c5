"""The journal's file: how it is laid out, and how what a process has left in it is read.

The first page has the owner, how far the journal was emptied, and why events wait; behind it are two
segments of records. A record comes to life by its last byte, and is dead before its space is used
again. So whatever moment the process dies at, what is alive in the file is complete and still to be
delivered, and neither a half-written record nor one of an earlier round can be mistaken for damage.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

SCHEMA = 1
PAGE_BYTES = 4096
_MAGIC = b"TotangoJ"
_FILE = struct.Struct("<8sIII")  # magic, schema, bytes of a segment, bytes of the text that follows
_CHECK = struct.Struct("<I")  # of the header and its text, behind them
# How far the journal was emptied into the database: if that knows less, it has lost something.
SPILLED = struct.Struct("<QI")  # id, checksum
SPILLED_AT = PAGE_BYTES - SPILLED.size
# The first id of each segment, so that one that was wiped out whole does not pass for one that is
# not in use.
STARTED = struct.Struct("<Q")
STARTED_AT = (SPILLED_AT - 16, SPILLED_AT - 8)
NOT_STARTED = (1 << 64) - 1  # never 0, which is what a page that was wiped out has
LAST = struct.Struct(
    "<Q"
)  # a segment begins with the last id in it: without it, damage to its end would not show
# Two bytes of the mark cannot occur in UTF-8, so no text can look like the start of a record.
MARK = b"\xf5Tg\xf6"
# Mark, state, how often it was tried, which reason it was put off for, checksum of all that follows.
START = struct.Struct("<4sBBBxI")
FIELDS = struct.Struct("<BxxxIIQd")  # kind, bytes of the lane, bytes of the body, id, accepted at
RECORD_BYTES = START.size + FIELDS.size
LIVE, SETTLED = 0xA5, 0x5A  # no one bit that flips makes the one of the other
STATE_AT, TRIED_AT, REASON_AT = 4, 5, 6
# Why events have to be tried again, for `totango spool status`: texts in the first page, behind the
# owner. An event names the one that is its own by its number, 0 for none.
REASONS_AT, REASON_BYTES, MOST_REASONS = 2560, 128, 11


class Record(NamedTuple):
    """What one record holds."""

    id: int
    lane: str  # of which records it is, as `written` gives them
    body: bytes
    is_letter: bool
    accepted_at: float
    attempts: int = 0
    reason: str = ""  # why it was put off last


def payload(event_id: int, lane: bytes, body: bytes, is_letter: bool, accepted_at: float) -> bytes:
    return FIELDS.pack(is_letter, len(lane), len(body), event_id, accepted_at) + lane + body


def checksum(event_id: int, lane: str, body: bytes, accepted_at: float) -> int:
    """Return a number that changes with any part of an event."""
    encoded = lane.encode()
    start = FIELDS.pack(False, len(encoded), len(body), event_id, accepted_at)
    return crc32(body, crc32(start + encoded))


class _Parsed(NamedTuple):
    is_live: bool
    record: Record | None  # `None` if it is damaged
    end: int


def parse(view: mmap.mmap | bytes, at: int, limit: int) -> _Parsed:
    """Read the record at `at`, which ends before `limit`."""
    is_live = at + STATE_AT >= limit or view[at + STATE_AT] != SETTLED
    start = at + START.size
    if start + FIELDS.size > limit:
        return _Parsed(is_live, None, limit)
    _, _, attempts, reason, found = START.unpack_from(view, at)
    kind, lane_bytes, body_bytes, event_id, accepted_at = FIELDS.unpack_from(view, start)
    text = start + FIELDS.size
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
    at = REASONS_AT + (number - 1) * REASON_BYTES
    if number > MOST_REASONS or len(view) < PAGE_BYTES:
        return ""
    return view[at : at + REASON_BYTES].rstrip(b"\0").decode(errors="replace")


def head_of(text: bytes, segment_bytes: int) -> bytes:
    """Return how the file begins."""
    head = _FILE.pack(_MAGIC, SCHEMA, segment_bytes, len(text)) + text
    return head + _CHECK.pack(crc32(head))


def packed(payload: bytes) -> bytes:
    """Return the bytes of a record that is not alive yet."""
    return START.pack(MARK, SETTLED, 0, 0, crc32(payload)) + payload


def note_of(spilled: int) -> bytes:
    """Return how it is noted that the journal was emptied up to this id."""
    return SPILLED.pack(spilled, crc32(spilled.to_bytes(8, "little")))


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
    if magic != _MAGIC or end + _CHECK.size > min(len(data), STARTED_AT[0]):
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
        int(STARTED.unpack_from(data, at)[0]) if len(data) >= PAGE_BYTES else 0 for at in STARTED_AT
    ]
    for (base, limit), started in zip(segments, starts, strict=False):
        segment = _read_segment(data, base, limit)
        records.update((record.id, record) for record in segment.records)
        last_id = max(last_id, segment.last_id)
        damaged = (
            damaged
            or segment.damaged
            or (started != NOT_STARTED and not 0 < started <= segment.last_id)
        )
    spilled = read_spilled(data)
    return Recovered(
        [records[key] for key in sorted(records)], last_id, damaged or spilled is None, spilled or 0
    )


def read_spilled(data: bytes) -> int | None:
    if len(data) < PAGE_BYTES:
        return None
    spilled, found = SPILLED.unpack_from(data, SPILLED_AT)
    return int(spilled) if crc32(spilled.to_bytes(8, "little")) == found else None


def _read_segment(data: bytes, base: int, limit: int) -> Recovered:
    """Read one segment; what cannot be read of this round counts as damage, older rounds do not."""
    last = LAST.unpack_from(data, base)[0] if base + LAST.size <= limit else 0
    records, newest, damaged = [], 0, False
    expected = base + LAST.size
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
    at = data.find(MARK, at, limit)
    while at >= 0:
        parsed = parse(data, at, limit)
        yield at, parsed
        at = data.find(MARK, parsed.end if parsed.record else at + 1, limit)

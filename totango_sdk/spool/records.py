"""How a segment of the log is laid out, and how one is read that a process has left.

The first page says whose it is, how far it is written, and why events wait; behind it are records.
A record comes to life by its last byte. So whatever moment the process dies at, what is alive in the
file is complete, and neither a half-written record nor one of an earlier use of the file can be
mistaken for damage.

Whose byte is whose, once the file is made:

- the writer's: the records, and `END`, how far they go. It appends, and changes nothing behind it.
- the reader's: the state of a record, how often it was tried and why, and the table of reasons. It
  strikes, puts off and buries, each by one byte, for which a full disk has room as well.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from .mapped import PAGE_BYTES

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator

    View = mmap.mmap | bytes

SCHEMA = 2  # 1 was a journal with a database behind it; see `earlier`
_MAGIC = b"TotangoL"
# Magic, schema, bytes of the file, the id behind which those in it were given, bytes of the text that
# follows.
_FILE = struct.Struct("<8sIQQI")
_CHECK = struct.Struct("<I")  # of the header and its text, behind them
MOST_TEXT = 2048
# Why events have to be tried again, for `totango spool status`: texts behind the owner. An event names
# the one that is its own by its number, 0 for none.
REASONS_AT, REASON_BYTES, MOST_REASONS = 2560, 128, 11
END = struct.Struct("<Q")
END_AT = PAGE_BYTES - END.size
# Two bytes of the mark cannot occur in UTF-8, so no text can look like the start of a record.
MARK = b"\xf5Tg\xf6"
# Mark, state, how often it was tried, which reason it was put off for, checksum of all that follows.
START = struct.Struct("<4sBBBxI")
FIELDS = struct.Struct("<BxxxIIQd")  # kind, bytes of the names, bytes of the body, id, accepted at
RECORD_BYTES = START.size + FIELDS.size
_ALL = struct.Struct("<4sBBBxIBxxxIIQd")  # both, read at once
# No one bit that flips makes the one of the other.
LIVE, SETTLED, BURIED = 0xA5, 0x5A, 0xC3
STATE_AT, TRIED_AT, REASON_AT = 4, 5, 6
# What a record holds: an event, a call that was refused, or an event that was given up.
EVENT, REFUSED, GIVEN_UP = 0, 1, 2
# When an event was given up, how often it was tried, bytes of the reason, whether its body is here.
_GIVEN_UP = struct.Struct("<dII?")


class Record(NamedTuple):
    """What one record holds."""

    id: int
    names: str  # of its records, as `written` gives them
    body: bytes
    kind: int
    accepted_at: float
    attempts: int = 0
    reason: str = ""  # why it was put off last, or given up


class GivenUp(NamedTuple):
    """What is kept of an event that was given up, as the body of a record."""

    dead_at: float
    attempts: int
    reason: str
    body: bytes | None

    def packed(self) -> bytes:
        """Return it as bytes."""
        reason = self.reason.encode(errors="replace")
        head = _GIVEN_UP.pack(self.dead_at, self.attempts, len(reason), self.body is not None)
        return head + reason + (self.body or b"")

    @classmethod
    def read(cls, data: bytes) -> GivenUp:
        """Return what was packed."""
        dead_at, attempts, reason_bytes, has_body = _GIVEN_UP.unpack_from(data)
        end = _GIVEN_UP.size + reason_bytes
        reason = data[_GIVEN_UP.size : end].decode(errors="replace")
        return cls(dead_at, attempts, reason, data[end:] if has_body else None)


class Head(NamedTuple):
    """What the first page says."""

    text: bytes  # of the owner
    size: int  # of the file, in bytes
    base: int = 0  # ids up to this one may have been given before
    schema: int = SCHEMA

    def packed(self) -> bytes:
        """Return how the file begins."""
        head = _FILE.pack(_MAGIC, self.schema, self.size, self.base, len(self.text)) + self.text
        return head + _CHECK.pack(crc32(head))

    @classmethod
    def read(cls, data: View) -> Head | None:
        """Read the first page; `None` if it is damaged."""
        if len(data) < PAGE_BYTES:
            return None
        magic, schema, size, base, text_bytes = _FILE.unpack_from(data)
        end = _FILE.size + text_bytes
        if magic != _MAGIC or text_bytes > MOST_TEXT:
            return None
        if _CHECK.unpack_from(data, end)[0] != crc32(data[:end]):
            return None
        return cls(data[_FILE.size : end], size, base, schema)


def packed(event_id: int, kind: int, names: bytes, body: bytes, accepted_at: float) -> bytes:
    """Return the bytes of a record that is not alive yet."""
    fields = FIELDS.pack(kind, len(names), len(body), event_id, accepted_at)
    payload = fields + names + body
    return START.pack(MARK, SETTLED, 0, 0, crc32(payload)) + payload


def end_of(start: View) -> int:
    """Return how far a segment is written, as its first page says; 0 if that is cut short."""
    return int(END.unpack_from(start, END_AT)[0]) if len(start) >= PAGE_BYTES else 0


class Spot(NamedTuple):
    """Where a record is, and what its head says."""

    at: int
    end: int
    state: int
    kind: int
    id: int
    is_whole: bool  # whether its bytes fit its checksum

    @property
    def waits(self) -> bool:
        """Whether it is an event that is still to be delivered."""
        return self.kind == EVENT and self.state not in (SETTLED, BURIED)

    @property
    def is_letter(self) -> bool:
        """Whether it is a dead letter that nobody has struck off."""
        return self.state == BURIED or (self.kind != EVENT and self.state != SETTLED)


def spot_at(view: View, at: int, limit: int) -> Spot | None:
    """Look at what may be a record at `at`, which ends before `limit`; `None` if it is none."""
    if at + RECORD_BYTES > limit:
        return None
    mark, state, _, _, found, kind, names_bytes, body_bytes, event_id, _ = _ALL.unpack_from(
        view, at
    )
    end = at + RECORD_BYTES + names_bytes + body_bytes
    if mark != MARK or end > limit:
        return None
    is_whole = crc32(view[at + START.size : end]) == found
    # Where the next one begins as this one says, its head can be believed.
    if not is_whole and end != limit and view[end : end + len(MARK)] != MARK:
        return None
    return Spot(at, end, state, kind, event_id, is_whole)


def walk(view: View, at: int, limit: int) -> Iterator[Spot]:
    """Look at all records from `at` up to `limit`, past any damage."""
    while at < limit:
        spot = spot_at(view, at, limit)
        if spot is None:
            at = view.find(MARK, at if view[at : at + 1] != MARK[:1] else at + 1, limit)
            if at < 0:
                return
            continue
        yield spot
        at = spot.end


def event_at(view: View, at: int, limit: int) -> tuple[int, str, bytes, float, int] | None:
    """Read what is there most often, an event that is alive and whole: its id, names, body, when it was
    accepted, and where it ends. `None` for whatever else it is.
    """
    if at + RECORD_BYTES > limit:
        return None
    mark, state, _, _, found, kind, names_bytes, body_bytes, event_id, accepted_at = (
        _ALL.unpack_from(view, at)
    )
    end = at + RECORD_BYTES + names_bytes + body_bytes
    if mark != MARK or state != LIVE or kind != EVENT or end > limit:
        return None
    payload = view[at + START.size : end]
    if crc32(payload) != found:
        return None
    body_at = FIELDS.size + names_bytes
    names = payload[FIELDS.size : body_at].decode(errors="replace")
    return event_id, names, payload[body_at:], accepted_at, end


def record_at(view: View, at: int, limit: int) -> Record | None:
    """Read the record at `at`; `None` if it is damaged, or not there any more."""
    spot = spot_at(view, at, limit)
    if spot is None or not spot.is_whole:
        return None
    _, _, tried, why, _, kind, names_bytes, _, event_id, accepted_at = _ALL.unpack_from(view, at)
    body_at = at + RECORD_BYTES + names_bytes
    names = view[at + RECORD_BYTES : body_at].decode(errors="replace")
    body = view[body_at : spot.end]
    return Record(event_id, names, body, kind, accepted_at, tried, reason_of(view, why))


def reason_of(view: View, number: int) -> str:
    """Return the reason of this number."""
    if not 0 < number <= MOST_REASONS or len(view) < PAGE_BYTES:
        return ""
    at = REASONS_AT + (number - 1) * REASON_BYTES
    return view[at : at + REASON_BYTES].rstrip(b"\0").decode(errors="replace")


class Found(NamedTuple):
    """What is in a segment that a process has left."""

    head: Head | None  # `None` if it is damaged
    tail: int
    records: int
    waiting: int
    letters: int
    last_id: int
    is_damaged: bool
    given_up: frozenset[int]  # events of which there is a letter


def survey_of(data: bytes) -> Found:
    """See what is in the bytes of a segment, and whether they are as they were written."""
    head = Head.read(data)
    end = end_of(data)
    is_damaged = head is None or len(data) < head.size or end < PAGE_BYTES
    last_id = head.base if head is not None else 0
    records = waiting = letters = 0
    given_up = []
    tail = expected = PAGE_BYTES
    for spot in walk(data, PAGE_BYTES, len(data)):
        # Behind the end are at most the one that was being written, and those of an earlier use.
        is_in_order = spot.at == expected and (spot.at < end or spot.state == LIVE)
        if not is_in_order and spot.at >= end:
            if not (spot.is_whole and spot.state == LIVE):
                continue
            is_damaged = True
        is_damaged = is_damaged or not is_in_order or not spot.is_whole
        tail = expected = spot.end
        records += 1
        waiting += spot.waits
        letters += spot.is_letter
        if not spot.is_whole:
            continue
        if spot.kind == GIVEN_UP:
            given_up.append(spot.id)
        else:
            last_id = max(last_id, spot.id)
    return Found(
        head,
        tail,
        records,
        waiting,
        letters,
        last_id,
        is_damaged or tail < end,
        frozenset(given_up),
    )

"""Events and dead letters as rows of the database, each with a checksum: SQLite has none of its own."""

from __future__ import annotations

import struct
import time
from typing import Any
from zlib import crc32

from .letters import DeadLetter
from .records import Record, checksum

_LOW_BITS = 0xFFFFFFFF
_LATEST = 1e11  # seconds since 1970; behind it there is no date to show
_MOST_ATTEMPTS = 1 << 31


def letter_checksum(event_id: int, kept: bytes | None) -> int:
    """Return what shows whether a dead letter is as it was stored."""
    return crc32(kept or b"", event_id & _LOW_BITS)


def is_letter_intact(event_id: int, kept: Any, found: Any) -> bool:
    """Whether what is kept of a dead letter is as it was stored."""
    return (kept is None or isinstance(kept, bytes)) and letter_checksum(event_id, kept) == found


def stored_time(value: Any) -> float:
    """Return a time that was stored; now, if that is damaged beyond being a time."""
    is_time = isinstance(value, int | float) and 0 <= value < _LATEST
    return value if is_time else time.time()


def is_event_intact(event_id: Any, lane: Any, body: Any, accepted_at: Any, found: Any) -> bool:
    """Whether a row is as it was stored: SQLite has no checksums of its own."""
    try:
        is_same: bool = checksum(event_id, lane, body, accepted_at) == found
        return is_same
    except (
        AttributeError,
        TypeError,
        ValueError,
        struct.error,
    ):  # of other types than what was stored
        return False


def event_row(record: Record) -> tuple[int, str, bytes, float, int]:
    event_id, lane, body, _, accepted_at = record[:5]
    return event_id, lane, body, accepted_at, checksum(event_id, lane, body, accepted_at)


def refused_row(record: Record) -> tuple[Any, ...]:
    at = record.accepted_at
    return (
        record.id,
        None,
        record.body,
        "",  # it stands in the refusal
        0,
        at,
        at,
        letter_checksum(record.id, record.body),
    )


def letter(row: tuple[Any, ...]) -> DeadLetter:
    event_id, body, refused, reason, attempts, accepted_at, dead_at, found = row
    kept = body if refused is None else refused
    reason = reason if isinstance(reason, str) else ""
    accepted_at, dead_at = stored_time(accepted_at), stored_time(dead_at)
    if not is_letter_intact(event_id, kept, found):
        body, refused, reason = None, None, f"{reason} (what was kept of it is damaged)".lstrip()
    if refused is not None:
        return DeadLetter.refused(f"{event_id:x}", refused, accepted_at)
    return DeadLetter(
        id=f"{event_id:x}",
        body=body,
        reason=reason,
        attempts=attempts if _is_count(attempts) else 0,
        accepted_at=accepted_at,
        dead_at=dead_at,
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < _MOST_ATTEMPTS

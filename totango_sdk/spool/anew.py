"""Anew: what is saved when somebody removed, replaced or cut short the files under a living process."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .paths import key_of, set_aside
from .records import EVENT
from .values import written

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from .log import Log
    from .segment import Row, Segment

    Records = tuple[tuple[str, ...], tuple[str, ...]]


class Known(NamedTuple):
    """What is known of an event without a look into the log."""

    id: int
    records: Records
    body: bytes
    accepted_at: float


def copy_all(own: Log, log: Log, in_lanes: Container[int]) -> dict[int, tuple[Segment, int]]:
    """Copy all that can still be read into a new log; returns where each event stands there. Raises
    `SpoolError`.
    """
    places: dict[int, tuple[Segment, int]] = {}
    for segment in own.segments:
        if segment.is_empty:
            continue
        path = log.files.segment_path(log.next_number)
        copy, theirs = segment.copy(log, path, log.durability, in_lanes)
        log.segments.append(copy)
        places.update((event_id, (copy, at)) for event_id, at in theirs.items())
    return places


def known_of(rows: Iterable[Row], besides: Iterable[int]) -> list[Known]:
    """Return what is known of events that are in no lane yet, besides those that were copied."""
    copied = set(besides)
    return [
        Known(event_id, (about, updates), body, accepted_at)
        for event_id, about, updates, body, accepted_at, *_ in rows
        if event_id not in copied and body is not None
    ]


def rewrite(events: list[Known], active: Segment) -> dict[int, tuple[Segment, int]]:
    """Write what is known, as far as there is room; returns where each event stands."""
    places = {}
    for event_id, records, body, accepted_at in events:
        names = written(*records).encode()
        if active.has_room(len(names) + len(body), 1):
            places[event_id] = active, active.append(event_id, EVENT, names, body, accepted_at)
    return places


def leave(own: Log, ready: Segment | None) -> None:
    """Let go of files that were made anew elsewhere.

    What is still there of them is removed, and what others have put in their place is set aside: a
    copy of a segment would be taken for that of a dead process, with events that have the same ids.
    """
    are_ours = own.files.are_in_place
    for segment in (*own.segments, *([] if ready is None else [ready])):
        found = key_of(segment.file.path) if are_ours else None
        if found is not None and found != segment.file.key and segment.file.is_held:
            set_aside(segment.file.path)
            found = None
        if found is None:
            segment.file.close()
        else:
            segment.file.remove()
    own.files.close(remove=are_ours and own.files.is_lock_in_place)

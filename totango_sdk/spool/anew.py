"""Anew: what is saved when somebody removed, replaced or cut short the files under a living process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .paths import key_of, set_aside
from .records import EVENT
from .values import written

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from .log import Log
    from .segment import Row, Segment


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


def rewrite(rows: Iterable[Row], active: Segment) -> dict[int, tuple[Segment, int]]:
    """Write what is known without a look into a log, as far as there is room; returns where each event
    stands.
    """
    places = {}
    for event_id, about, updates, body, accepted_at, *_ in rows:
        names = written(about, updates).encode()
        if body is not None and active.has_room(len(names) + len(body), 1):
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

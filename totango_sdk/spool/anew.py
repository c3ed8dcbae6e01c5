"""Anew: what is saved when somebody removed, replaced or cut short the files under a living process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .paths import key_of, set_aside
from .records import Record
from .values import written

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .journal import Journal
    from .lanes import Lanes
    from .store import Store


def rescue(journal: Journal, store: Store, remembered: Mapping[int, Record]) -> None:
    """Bring what was alive in a journal into a new store: as it can still be read, or as remembered.

    What is neither is found lost in its turn. Raises `SpoolFull`.
    """
    ids = journal.live_ids()
    if not ids:
        return
    found = [journal.read(event_id) or remembered.get(event_id) for event_id in ids]
    damaged = [
        event_id
        for event_id, record in zip(ids, found, strict=True)
        if record is None and journal.holds(event_id)
    ]
    store.insert([record for record in found if record is not None], damaged, spilled=ids[-1])


def remembered(
    lanes: Lanes,
    fresh: Iterable[tuple[int, tuple[str, ...], tuple[str, ...]]],
    bodies: Mapping[int, tuple[bytes, float]],
) -> dict[int, Record]:
    """Return what is known of events in the journal without a look into it."""
    names = {entry.id: (entry.about, entry.updates) for entry in lanes.entries()}
    names.update((event_id, (about, updates)) for event_id, about, updates in fresh)
    return {
        event_id: Record(event_id, written(*names[event_id]), body, False, accepted_at)
        for event_id, (body, accepted_at) in bodies.items()
        if event_id in names
    }


def leave(journal: Journal, own: Store) -> None:
    """Let go of files that were made anew elsewhere.

    What is still there of them is removed, and what others have put in their place is set aside: a
    copy of a journal would be taken for that of a dead process, with events that have the same ids.
    """
    files, database = own.files, own.database
    known = {"journal": journal.key, "db": None if database is None else database.key}
    are_ours = files.are_in_place
    theirs = [
        suffix for suffix, key in known.items() if key_of(files.path(suffix)) not in (None, key)
    ]
    if are_ours:
        for suffix in theirs:
            set_aside(files.path(suffix))
    journal.close()
    if database is not None:
        database.close(remove=are_ours and "db" not in theirs)
        own.database = None
    if are_ours and "journal" not in theirs:
        files.remove_journal()
    files.close(remove=are_ours and files.is_lock_in_place)

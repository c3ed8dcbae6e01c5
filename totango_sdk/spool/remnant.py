"""What a dead process left, where that is little: it stays in its journal until it is delivered.

A work horse leaves an event or two, and is one of many: a database for each would cost more than all
else that is done with them. What is not quite as expected is a `Store`, which can do everything.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

import attrs

from .letters import DeadLetter
from .paths import disk_error
from .records import (
    LAST,
    NOT_STARTED,
    PAGE_BYTES,
    SETTLED,
    START,
    STARTED,
    STARTED_AT,
    STATE_AT,
    Record,
    parse,
    read_header,
    read_spilled,
)
from .store import Store
from .values import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .sqlite import Database

_LITTLE_BYTES = 64 << 10
_OF_A_DATABASE = ("", "-wal", ".new", ".draft")


class Little(NamedTuple):
    """What is alive in a journal that has little in it, in order, and where each record stands."""

    records: list[tuple[Record, int]]
    last_id: int


@attrs.define(eq=False, kw_only=True, repr=False)
class Remnant(Store):
    """The files of a dead process that was adopted; of little, its journal alone."""

    # What is read already; `None` if all is in the database.
    _events: dict[int, tuple[Record, int]] | None = None
    _refused: list[Record] = attrs.field(factory=list)

    def recover(self) -> int:
        """Read what a dead process left, and return the last id that it gave. Raises `SpoolError`,
        `OSError`.
        """
        path = self.files.path("db")
        if any(os.path.exists(path + suffix) for suffix in _OF_A_DATABASE):
            return super().recover()
        found = read_little(self.files.path("journal"))
        if found is None:
            return super().recover()
        self._events = {each[0].id: each for each in found.records if not each[0].is_letter}
        self._refused = [record for record, _ in found.records if record.is_letter]
        self.behind = self.waiting > 0
        if not found.records:
            self.drop()
        return found.last_id

    def opened(self) -> Database:
        """Return the database; brings into it what is in the journal. Raises `SpoolError`."""
        events = self._events
        if events is not None:
            self.strike()
            self._events, behind = None, self.behind
            try:
                super().recover()
            except OSError as error:
                self._events = events
                raise disk_error(self.files.path("journal"), error) from None
            except BaseException:
                self._events = events
                raise
            self.behind, self._refused = behind, []
        return super().opened()

    @property
    def waiting(self) -> int:
        """Events that are here, with those that are struck off but still there."""
        return super().waiting if self._events is None else len(self._events)

    @property
    def dead(self) -> int:
        """Dead letters that are here."""
        return super().dead if self._events is None else len(self._refused)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing here to look for."""
        return super().is_empty if self._events is None else not (self._events or self._refused)

    def ids_behind(self) -> list[int]:
        """Return the events that are not in their lanes yet."""
        if self._events is None:
            return super().ids_behind()
        return [each for each in self._events if each > self.cursor] if self.behind else []

    def after(self, limit: int, most_bytes: int) -> Page:
        """Return the next events behind the cursor, in order."""
        if self._events is None:
            return super().after(limit, most_bytes)
        ids = self.ids_behind()[:limit]
        rows = [(each, self._events[each][0].lane) for each in ids]
        return Page(rows, self.fetch(ids), has_more=len(ids) == limit)

    def fetch(self, ids: Sequence[int]) -> dict[int, tuple[bytes, float]]:
        """Return bodies and times of acceptance, of those that are here."""
        if self._events is None:
            return super().fetch(ids)
        known = [self._events[each][0] for each in ids if each in self._events]
        return {record.id: (record.body, record.accepted_at) for record in known}

    def oldest(self) -> tuple[int, float] | None:
        """Return the id and the time of acceptance of the oldest event that is not struck off."""
        if self._events is None:
            return super().oldest()
        left = (record for record, _ in self._events.values() if record.id not in self.struck)
        oldest = next(left, None)
        return oldest and (oldest.id, oldest.accepted_at)

    def letters(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""
        if self._events is None:
            return super().letters()
        return [
            DeadLetter.refused(f"{each.id:x}", each.body, each.accepted_at)
            for each in self._refused
        ]

    def move_letters(self, other: Store) -> None:
        """Give the dead letters to another store. Raises `SpoolFull`."""
        if self._events is None:
            super().move_letters(other)
        else:
            other.insert(self._refused)

    def strike(self) -> None:
        """Strike off what was delivered."""
        if self._events is None:
            super().strike()
        elif self.struck and not self.dead and len(self.struck) == len(self._events):
            self.drop()
        elif self.struck:
            self._settle([self._events.pop(each)[1] for each in self.struck])
            self.struck.clear()

    def _settle(self, places: list[int]) -> None:
        path = self.files.path("journal")
        try:
            fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                for at in places:
                    os.pwrite(fd, bytes([SETTLED]), at + STATE_AT)
            finally:
                os.close(fd)
        except OSError as error:
            raise disk_error(path, error) from None

    def tidy(self) -> None:
        """Do what keeps the files small."""
        if self._events is None:
            super().tidy()
        else:
            self.strike()

    def drop(self) -> None:
        """Remove the files, of which nothing is needed any more."""
        if self._events is not None:
            self.files.remove_journal()
            self._events, self._refused = {}, []
            self.struck.clear()
        super().drop()


def read_little(path: str) -> Little | None:
    """Return what is alive in a journal; `None` if it is more than a little, or not all as it should
    be. Raises `OSError`.
    """
    if not os.path.exists(path):
        return None
    with open(path, "rb", buffering=0) as file:
        data = os.pread(file.fileno(), PAGE_BYTES + _LITTLE_BYTES, 0)
        header = read_header(data)
        if header is None or read_spilled(data) != 0:
            return None
        second = PAGE_BYTES + header.segment_bytes
        is_whole = os.fstat(file.fileno()).st_size >= second + header.segment_bytes
        if not is_whole or any(os.pread(file.fileno(), LAST.size + START.size, second)):
            return None
    started, started_second = (STARTED.unpack_from(data, at)[0] for at in STARTED_AT)
    found = _read_first(data, min(len(data), second))
    if found is None or started_second != NOT_STARTED:
        return None
    return found if started == NOT_STARTED or 0 < started <= found.last_id else None


def _read_first(data: bytes, limit: int) -> Little | None:
    """Read the first segment as far as it was written; `None` if that is further than `limit`, or
    if anything is damaged.
    """
    records: list[tuple[Record, int]] = []
    newest, at = 0, PAGE_BYTES + LAST.size
    while at + START.size <= limit:
        if not any(data[at : at + START.size]):
            is_all = newest >= LAST.unpack_from(data, PAGE_BYTES)[0]
            return Little(records, newest) if is_all else None
        is_live, record, end = parse(data, at, limit)
        if record is None:
            return None
        if is_live:
            records.append((record, at))
        newest, at = max(newest, record.id), end
    return None

"""One file of the log: a head, records behind it, and what of them is known in memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from .mapped import PAGE_BYTES, MappedFile
from .paths import open_plain
from .records import (
    BURIED,
    END,
    END_AT,
    EVENT,
    LIVE,
    MOST_REASONS,
    REASON_AT,
    REASON_BYTES,
    REASONS_AT,
    RECORD_BYTES,
    SETTLED,
    STATE_AT,
    TRIED_AT,
    Head,
    Record,
    event_at,
    packed,
    reason_of,
    record_at,
    survey_of,
    walk,
)
from .values import read_back

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Container, Iterator, Sequence

    from .records import Found, Spot

SEGMENT_BYTES = 3 << 20  # a burst of some 10,000 events
LEAST_SEGMENT_BYTES = 1 << 20  # where the disk has no room for that; any one event fits into it
_MOST_READ_BYTES = 256 << 20  # of a file that does not say how long it is
_SPARSE = 8  # of so many records at most one is alive
_LEAST_SPARED = 64 << 10
_LEAST_GIVEN_BACK = 16 << 10
_REASONS = slice(REASONS_AT, REASONS_AT + MOST_REASONS * REASON_BYTES)


# An event on its way from the log to its lanes: its id, the records that it concerns and those that it
# updates, its body (`None` if it is damaged), when it was accepted, where it begins, and where it ends.
# A plain tuple, since one is made for each call of `put`.
Row = tuple[int, tuple[str, ...], tuple[str, ...], bytes | None, float, int, int]
AT: Final = 5
END_OF_ROW: Final = 6


class Segment:
    """A file of the log. Not thread-safe: the spool holds its locks around it.

    The writer counts `events`; the reader what of them it has `pulled` into the lanes, and what is
    `gone`; both count `letters`.
    """

    def __init__(self, log: object, path: str, head: Head) -> None:
        self.log = log  # whose it is
        self.file = MappedFile(path, head.size)
        self._forget(head)

    def _forget(self, head: Head) -> None:
        self.head = head
        self.tail = PAGE_BYTES  # where the next record goes
        self.cursor = PAGE_BYTES  # up to here, all was brought into the lanes
        self._floor = PAGE_BYTES  # before this, nothing is alive
        self.events = self.pulled = self.gone = self.letters = 0
        self._struck = 0  # records that were struck off before it was opened
        self._reasons: dict[str, int] = {}

    @classmethod
    def create(
        cls,
        log: object,
        path: str,
        head: Head,
        durability: str,
        fill: Callable[[Segment], None] = lambda _: None,
    ) -> Segment:
        """Make one, complete with what `fill` writes or not at all. Raises `SpoolFull`."""
        segment = cls(log, path, head)

        def write() -> None:
            segment._begin()
            fill(segment)

        segment.file.create(write, durability)
        return segment

    def _begin(self) -> None:
        END.pack_into(self._view, END_AT, PAGE_BYTES)
        self._write_head()

    def _write_head(self) -> None:
        head = self.head.packed()
        self._view[: len(head)] = head

    @property
    def _view(self) -> mmap.mmap:
        view = self.file.view
        assert view is not None
        return view

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return self.file.size

    def begin_again(self, path: str, base: int) -> None:
        """Use this for what comes next, under another name: nothing is alive in it. Raises
        `OSError`.
        """
        self.file.rename(path)
        self._forget(self.head._replace(base=base))
        self._view[_REASONS] = bytes(MOST_REASONS * REASON_BYTES)
        self._begin()

    def note_base(self, base: int) -> None:
        """Remember up to which id ids may have been given. Raises `SpoolError`."""
        if self.file.open() and self.file.is_whole:
            self.head = self.head._replace(base=max(base, self.head.base))
            self._write_head()

    def give_back(self, durability: str) -> None:
        """Give back the room behind the last record, of one that nobody will write to any more. Raises
        `OSError`.
        """
        if self.file.size - self.tail >= _LEAST_GIVEN_BACK:
            self.head = self.head._replace(size=self.tail)
            self.file.shorten(self.tail, self.head.packed(), durability)

    # -- the writer's side

    def has_room(self, payload_bytes: int, records: int) -> bool:
        """Whether so many records with so many bytes of names and bodies fit behind the last one."""
        return self.tail + payload_bytes + records * RECORD_BYTES <= self.file.size

    def takes(self, payload_bytes: int, records: int) -> bool:
        """Whether there is room for so many records, and the file still reaches so far."""
        end = self.tail + payload_bytes + records * RECORD_BYTES
        return end <= self.file.size and self.file.can_be_written(self.tail, end)

    def append(
        self, event_id: int, kind: int, names: bytes, body: bytes, accepted_at: float
    ) -> int:
        """Write a record, for which there is room; returns where."""
        record = packed(event_id, kind, names, body, accepted_at)
        at, view = self.tail, self.file.view
        assert view is not None
        end = at + len(record)
        view[at:end] = record
        view[at + STATE_AT] = LIVE
        END.pack_into(view, END_AT, end)
        self.tail = end
        if kind == EVENT:
            self.events += 1
        else:
            self.letters += 1
        return at

    def recount(self, at: int, events: int, letters: int) -> list[Spot]:
        """Count what was appended from `at` on, after a signal handler has broken that off; returns
        it.
        """
        found = []
        for spot in walk(self._view, at, self.file.size):
            if spot.at != at or spot.state == SETTLED:
                break
            found.append(spot)
            at = spot.end
        self.tail = at
        END.pack_into(self._view, END_AT, at)
        mine = sum(spot.kind == EVENT for spot in found)
        self.events = events + mine
        self.letters = letters + len(found) - mine
        return found

    # -- the reader's side

    @property
    def alive(self) -> int:
        """How many events wait here or are out."""
        return self.events - self.gone

    @property
    def unread(self) -> int:
        """How many events wait that are in no lane yet."""
        return self.events - self.pulled

    @property
    def is_sparse(self) -> bool:
        """Whether it takes much more room than what is alive in it needs."""
        if self.file.size <= _LEAST_SPARED:
            return False
        return (self.alive + self.letters) * _SPARSE <= self.events + self.letters + self._struck

    @property
    def is_empty(self) -> bool:
        """Whether nothing of this is needed any more."""
        return self.events == self.gone and not self.letters

    def pull(self, upto: int, most: int, most_bytes: int) -> list[Row]:
        """Return the next events behind the cursor, which moves: so many, or of so many bytes."""
        rows: list[Row] = []
        file, begin = self.file, self.cursor
        if not file.open():
            self.cursor = upto
            return rows
        file.measure()
        view, limit = self._view, min(upto, file.limit)
        while len(rows) < most and self.cursor - begin < most_bytes:
            at = self.cursor
            event = event_at(view, at, limit)
            if event is not None:
                event_id, names, body, accepted_at, self.cursor = event
                about, updates = read_back(names)
                rows.append((event_id, about, updates, body, accepted_at, at, self.cursor))
                continue
            spot = next(walk(view, at, limit), None)
            if spot is None:
                self.cursor = upto
                break
            self.cursor = spot.end
            if spot.waits:
                # Of a damaged one nothing can be used, the names of its records neither.
                rows.append((spot.id, (), (), None, 0.0, spot.at, spot.end))
        return rows

    def read(self, at: int) -> Record | None:
        """Return the record at a place; `None` if it is not as it was written."""
        view = self.file.view
        return None if view is None else record_at(view, at, self.file.limit)

    def reach(self, places: Sequence[int]) -> None:
        """See whether the file still reaches as far as these."""
        self.file.reach(min(places), max(places) + STATE_AT + 1)

    def strike(self, at: int) -> None:
        """Strike off an event that is delivered."""
        self.file.write(at + STATE_AT, SETTLED)
        self.gone += 1

    def bury(self, at: int, attempts: int, reason: str) -> None:
        """Make a dead letter of an event where it stands."""
        self.put_off(at, attempts, reason)
        self.file.write(at + STATE_AT, BURIED)
        self.gone += 1
        self.letters += 1

    def strike_letter(self, at: int) -> None:
        """Strike off a dead letter."""
        self.file.write(at + STATE_AT, SETTLED)
        self.letters -= 1

    def put_off(self, at: int, attempts: int, reason: str) -> None:
        """Note how often an event was tried, and why it has to be tried again, for others to see."""
        if at < self.file.limit:
            self.file.write(at + TRIED_AT, min(attempts, 255))
            self.file.write(at + REASON_AT, self._number_of(reason))

    def _number_of(self, reason: str) -> int:
        """Return the number of a reason; where there are too many, the last one stands for several."""
        number = self._reasons.get(reason)
        if number is None:
            number = self._reasons[reason] = min(len(self._reasons) + 1, MOST_REASONS)
            at = REASONS_AT + (number - 1) * REASON_BYTES
            text = reason.encode(errors="replace")[:REASON_BYTES].ljust(REASON_BYTES, b"\0")
            self._view[at : at + REASON_BYTES] = text
            if number == MOST_REASONS:
                self._reasons.popitem()
        return number

    # -- looking

    def spots(self, at: int = PAGE_BYTES) -> Iterator[Spot]:
        """Return what is alive here from `at` on, in order. Raises `SpoolError`."""
        file = self.file
        if not file.open():
            return
        file.measure()
        for spot in walk(self._view, at, min(self.tail, file.limit)):
            if spot.state != SETTLED:
                yield spot

    def oldest(self) -> Record | None:
        """Return the oldest event that waits here or is out, as far as it can be read."""
        if not self.alive:
            return None
        for spot in self.spots(self._floor):
            if spot.waits:
                self._floor = spot.at
                return self.read(spot.at)
        return None

    def next_unread(self) -> int | None:
        """Return the id of the next event that is in no lane yet."""
        if not self.unread:
            return None
        return next((spot.id for spot in self.spots(self.cursor) if spot.waits), None)

    def damaged(self) -> int:
        """Return how many events and letters are not as they were written."""
        return sum(not spot.is_whole for spot in self.spots())

    def letter_records(self) -> Iterator[tuple[int, Record]]:
        """Return the dead letters here, with where they stand."""
        if not self.letters:
            return
        for spot in self.spots():
            record = self.read(spot.at) if spot.is_letter else None
            if record is not None:
                yield spot.at, record

    def survey(self) -> Found:
        """See what a process has left here. Raises `OSError`."""
        with open(self.file.path, "rb", opener=open_plain) as file:
            start = file.read(PAGE_BYTES)
            head = Head.read(start)
            most = _MOST_READ_BYTES if head is None else head.size - PAGE_BYTES
            found = survey_of(start + file.read(most))
        if found.head is not None:
            self.head, self.file.size = found.head, found.head.size
        else:
            self.file.size = os.path.getsize(self.file.path)
            self.head = Head(b"", self.file.size)
        self.tail, self.events, self.letters = found.tail, found.waiting, found.letters
        self._struck = found.records - found.waiting - found.letters
        # The last one stands for several, and may be given to others.
        known = [reason_of(start, number) for number in range(1, MOST_REASONS)]
        self._reasons = {reason: number for number, reason in enumerate(known, 1) if reason}
        return found

    def copy(
        self, log: object, path: str, durability: str, in_lanes: Container[int] = ()
    ) -> tuple[Segment, dict[int, int]]:
        """Write what is alive here into a file of its size; returns where each event stands there.

        Takes the place of what is at `path`; what is damaged is left out. Raises `SpoolFull`,
        `OSError`.
        """
        live = [spot for spot in self.spots() if spot.is_whole]
        size = PAGE_BYTES + sum(spot.end - spot.at for spot in live)
        places: dict[int, int] = {}

        def fill(copy: Segment) -> None:
            for spot in live:
                at = copy._take(self, spot)
                if spot.waits:
                    places[spot.id] = at
                    copy.pulled += spot.id in in_lanes
                if copy.pulled == copy.events:
                    copy.cursor = copy.tail
            copy._take_reasons(self)

        copy = Segment.create(log, path, self.head._replace(size=size), durability, fill)
        return copy, places

    def _take(self, other: Segment, spot: Spot) -> int:
        """Append the record of another segment as it is; returns where."""
        at, self.tail = self.tail, self.tail + spot.end - spot.at
        self._view[at : self.tail] = other._view[spot.at : spot.end]
        END.pack_into(self._view, END_AT, self.tail)
        self.events += spot.waits
        self.letters += spot.is_letter
        return at

    def _take_reasons(self, other: Segment) -> None:
        self._reasons = dict(other._reasons)
        if other.file.view is not None and other.file.limit >= PAGE_BYTES:
            self._view[_REASONS] = other._view[_REASONS]

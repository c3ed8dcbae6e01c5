"""The log of one process: a row of segments, ours or those that a dead process has left.

The last segment is the one that is written; what is before it is sealed. A sealed one with nothing
alive goes, and one that is nearly empty is written anew in its place, so that an event that waits for
hours, or a dead letter, pins no space. Used with the spool's `disk` lock held, but for `recover`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ..errors import SpoolError, SpoolFull
from ..log import tell_once
from .files import owner_text
from .letters import DeadLetter
from .mapped import PAGE_BYTES
from .paths import link_aside, remove_file
from .records import EVENT, GIVEN_UP, REFUSED, GivenUp, Head, Record
from .segment import Segment

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from .files import Files
    from .values import Owner

_FIRST_NUMBER = 1 << 24  # before it there is room for what comes back from the dead
_MOST_OF_ALL = 32  # a segment has at least a so many-th of all bytes, so that there are never many


class Log:
    """A set of files as the spool sees it."""

    def __init__(self, files: Files, owner: Owner, durability: str) -> None:
        self.files = files
        self.owner = owner
        self.durability = durability
        self.segments: list[Segment] = []
        self.last_id = 0

    # -- what a dead process left

    def recover(self) -> None:
        """Read what a dead process left. Raises `SpoolError` or `OSError`, with everything still
        there.

        What is damaged is set aside under another name, and what can be read of it is kept.
        """
        self.files.set_strange_aside()
        self._take_over_earlier()
        given_up: set[int] = set()
        for number in self.files.numbers():
            segment = Segment(self, self.files.segment_path(number), Head(b"", 0))
            found = segment.survey()
            self.last_id = max(self.last_id, found.last_id)
            given_up |= found.given_up
            if found.is_damaged or found.head is None:
                segment = self._mended(segment)
            else:
                self._give_back(segment)
            self.segments.append(segment)
        if given_up:
            self._strike_given_up(given_up)
        for segment in [each for each in self.segments if each.is_empty]:
            self.drop(segment)

    def _give_back(self, segment: Segment) -> None:
        """Have a segment that is written no more take no more room than what is in it: else a process
        that starts again and again during an outage fills the quota with a few events.
        """
        with contextlib.suppress(OSError):  # then it takes the room
            segment.give_back(self.durability)

    def _take_over_earlier(self) -> None:
        if self.files.have_earlier:
            from .earlier import take_over

            take_over(self.files, self.owner, self.new_segment)

    def _mended(self, segment: Segment) -> Segment:
        """Set a damaged file aside, and return one with what can be read of it, in its place."""
        path = segment.file.path
        if not segment.head.text:
            segment.head = Head(owner_text(self.owner), segment.size)
        told = f"the spool file {path} is damaged"
        lost = segment.damaged()
        aside = link_aside(path)
        try:
            mended, _ = segment.copy(self, path, self.durability)
        except SpoolFull as full:
            # Past the damage it can be read as well.
            remove_file(aside)
            tell_once(f"corrupt {path}", f"{told}; it stays where it is: {full}", level="error")
            return segment
        segment.file.close()
        mended.file.rest()
        tell_once(
            f"corrupt {path}",
            f"{told}; it was set aside as {aside}, and what can be read of it is kept "
            f"({mended.events} events; of {lost} more nothing but that they were)",
            level="error",
        )
        return mended

    def _strike_given_up(self, given_up: Container[int]) -> None:
        """Strike off events of which there is a letter: the process was killed between the two."""
        for segment in self.segments:
            for spot in segment.spots() if segment.alive else ():
                if spot.waits and spot.id in given_up:
                    segment.strike(spot.at)
                    segment.pulled += 1

    # -- what is in it

    @property
    def base(self) -> int:
        """The upper half of the ids in it."""
        return self.last_id >> 32

    @property
    def alive(self) -> int:
        """Events that wait here or are out."""
        return sum(segment.alive for segment in self.segments)

    @property
    def letters(self) -> int:
        """Dead letters that are here."""
        return sum(segment.letters for segment in self.segments)

    @property
    def unread(self) -> int:
        """Events that are in no lane yet."""
        return sum(segment.unread for segment in self.segments)

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(segment.size for segment in self.segments)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of this is needed any more."""
        return all(segment.is_empty for segment in self.segments)

    def next_unread(self) -> int | None:
        """Return the id of the next event that is in no lane yet. Raises `SpoolError`."""
        found = (segment.next_unread() for segment in self.segments if segment.unread)
        return next((event_id for event_id in found if event_id is not None), None)

    def oldest_at(self) -> float | None:
        """Return when the oldest event that is here was accepted, as far as that can be read."""
        for segment in self.segments:
            with contextlib.suppress(SpoolError):
                record = segment.oldest()
                if record is not None:
                    return record.accepted_at
        return None

    def dead_letters(self) -> Iterator[DeadLetter]:
        """Return the dead letters."""
        # One that was written elsewhere, by a process that was killed then, is here twice.
        told = set()
        for segment in self.segments:
            for _, record in segment.letter_records():
                if record.id not in told:
                    told.add(record.id)
                    yield letter_of(record)

    # -- segments

    def new_segment(
        self, base: int, size: int, least: int | None = None, number: int | None = None
    ) -> Segment:
        """Make one, behind all others, for so many bytes of records; where the disk has no room for
        that, for the `least` that will do. Raises `SpoolError`.
        """
        if not self.files.are_in_place:
            msg = f"the spool's directory {self.files.directory!r} was removed or replaced"
            raise SpoolError(msg)
        path = self.files.segment_path(self.next_number if number is None else number)
        head = Head(owner_text(self.owner), PAGE_BYTES + size, base)
        try:
            return Segment.create(self, path, head, self.durability)
        except SpoolFull:
            if least is None or size <= least:
                raise
            head = head._replace(size=PAGE_BYTES + least)
            return Segment.create(self, path, head, self.durability)

    @property
    def next_number(self) -> int:
        """The number of the segment that comes behind all others."""
        if not self.segments:
            return _FIRST_NUMBER
        return self.files.number_of(self.segments[-1].file.path) + 1

    def size_for(self, segment_bytes: int) -> int:
        """Return how many bytes the next segment should have: the more there are, the larger."""
        return max(segment_bytes, self.size // _MOST_OF_ALL)

    def drop(self, segment: Segment) -> None:
        """Remove a segment of which nothing is needed any more."""
        self.segments.remove(segment)
        segment.file.remove()

    def write_anew(
        self, segment: Segment, in_lanes: Container[int]
    ) -> dict[int, tuple[Segment, int]]:
        """Write what is alive in a segment into a smaller one in its place; returns where it stands
        now. Raises `SpoolFull`.
        """
        if segment.damaged():
            return {}
        copy, places = segment.copy(self, segment.file.path, self.durability, in_lanes)
        self.segments[self.segments.index(segment)] = copy
        segment.file.close()
        return {event_id: (copy, at) for event_id, at in places.items()}

    # -- letting go

    def close(self, last_id: int = 0) -> None:
        """Let go of all files; those with nothing in them go, and the lock with the last.

        What stays remembers that ids up to the last one may have been given.
        """
        for segment in self.segments:
            if segment.is_empty:
                segment.file.remove()
            else:
                if last_id:
                    with contextlib.suppress(SpoolError):
                        segment.note_base(last_id)
                self._give_back(segment)
                segment.file.close()
        self.segments = []
        self.files.close(remove=not self.files.hold_anything)

    def disown(self) -> None:
        """Let go of what a fork has inherited, or who has our descriptors' numbers by now."""
        self.let_go()
        self.files.abandon()

    def let_go(self) -> None:
        """Close all segments, which stay as they are."""
        for segment in self.segments:
            segment.file.close()
        self.segments = []


def given_up(record: Record) -> Record:
    """Return a letter to be kept elsewhere, of one that was buried where it stood."""
    letter = GivenUp(record.accepted_at, record.attempts, record.reason, record.body)
    return record._replace(kind=GIVEN_UP, body=letter.packed())


def letter_of(record: Record) -> DeadLetter:
    """Return what a record says of a dead letter."""
    if record.kind == REFUSED:
        return DeadLetter.refused(f"{record.id:x}", record.body, record.accepted_at)
    if record.kind == EVENT:  # buried on a full disk, where it stands
        record = given_up(record)
    dead_at, attempts, reason, body = GivenUp.read(record.body)
    return DeadLetter(
        id=f"{record.id:x}",
        reason=reason,
        body=body,
        attempts=attempts,
        accepted_at=record.accepted_at,
        dead_at=dead_at,
    )

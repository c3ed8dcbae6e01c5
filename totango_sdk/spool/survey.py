"""What lies in a spool's directory, whoever left it. For the command line, not for the sender."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from ..errors import SpoolError, SpoolLocked
from .files import Files, head_of, owner_in
from .log import Log
from .paths import NO_SPOOLS, check_directory
from .records import EVENT, RECORD_BYTES, Head, Record
from .segment import Segment
from .values import Owner, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .letters import DeadLetter

    Records = tuple[tuple[str, ...], tuple[str, ...]]


class Left(NamedTuple):
    """One set of files."""

    stem: str
    owner: Owner | None
    is_alive: bool
    waiting: int
    oldest_at: float | None
    bytes: int
    letters: list[DeadLetter] | None  # None if they cannot be read
    trouble: str | None = None
    put_off: tuple[Record, ...] = ()  # those that are to be tried again

    @property
    def dead(self) -> int:
        """How many dead letters can be read."""
        return len(self.letters or ())


def survey(directory: str) -> list[Left]:
    """Return every set of files that lies in `directory`. Raises `SpoolError` if it is not safe to
    look.
    """
    check_directory(directory)
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    stems = sorted(
        {
            name.split(".")[0]
            for name in names
            if name.endswith((".lock", ".log", ".journal", ".db"))
            and not name.startswith(NO_SPOOLS)
        }
    )
    return [_look(directory, stem) for stem in stems]


def _look(directory: str, stem: str) -> Left:
    files = Files(directory, stem)
    owner = _owner(files)
    size = files.size
    try:
        with held(directory, stem, owner) as log:
            return _left(log, size, is_alive=False)
    except SpoolLocked:
        return _living(files, owner, size)
    except (SpoolError, OSError) as error:
        return Left(stem, owner, False, 0, None, size, None, str(error))


def _left(log: Log, size: int, *, is_alive: bool) -> Left:
    put_off = [
        record
        for segment in log.segments
        for spot in (segment.spots() if segment.alive else ())
        if spot.waits and (record := segment.read(spot.at)) is not None and record.reason
    ]
    letters = list(log.dead_letters())
    return Left(
        log.files.stem,
        log.owner,
        is_alive,
        log.alive,
        log.oldest_at(),
        size,
        letters,
        put_off=tuple(put_off),
    )


def _living(files: Files, owner: Owner | None, size: int) -> Left:
    """Look at the log of a process that runs. It goes on meanwhile, so nothing is changed."""
    log = Log(files, owner or Owner("?", "?"), "process")
    try:
        for number in files.numbers():
            segment = Segment(log, files.segment_path(number), Head(b"", 0))
            with contextlib.suppress(FileNotFoundError):
                segment.survey()
                log.segments.append(segment)
        return _left(log, size, is_alive=True)._replace(owner=owner)
    except (SpoolError, OSError) as error:
        return Left(files.stem, owner, True, 0, None, size, [], str(error))
    finally:
        log.let_go()


def _owner(files: Files) -> Owner | None:
    """Return whose events these are, as a segment says."""
    with contextlib.suppress(OSError):
        for number in files.numbers():
            head = head_of(files.segment_path(number))
            owner = None if head is None else owner_in(head.text)
            if owner is not None:
                return owner
        if files.have_earlier:
            from .earlier import owner_of

            return owner_of(files)
    return None


@contextlib.contextmanager
def held(directory: str, stem: str, owner: Owner | None) -> Iterator[Log]:
    """Hold a set of files of a process that is gone, to change what is in it. Raises `SpoolError`."""
    files = Files(directory, stem)
    files.lock()
    if owner is None or not files.is_ours(owner):
        files.close(remove=False)
        msg = f"{files.path('log')} does not say whose it is, or was written by a newer version: it is left alone"
        raise SpoolError(msg)
    log = Log(files, owner, "process")
    try:
        log.recover()
        yield log
    finally:
        log.close()


def requeue(log: Log, letters: list[DeadLetter], records: Callable[[bytes], Records]) -> int:
    """Make dead letters events again, before all others; returns how many. What was never sent has no
    body, and stays.

    `records` says what an event with a body concerns and updates.
    """
    chosen = [letter for letter in letters if letter.body is not None]
    if not chosen:
        return 0
    events = []
    for number, letter in enumerate(chosen, log.last_id + 1):
        body = letter.body or b""
        names = written(*records(body)).encode()
        events.append((number, EVENT, names, body, letter.accepted_at))
    size = sum(RECORD_BYTES + len(names) + len(body) for _, _, names, body, _ in events)
    first = log.files.number_of(log.segments[0].file.path) - 1
    segment = log.new_segment(log.last_id, size, number=first)
    for event in events:
        segment.append(*event)
    log.segments.insert(0, segment)
    log.last_id += len(events)
    _strike(log, {letter.id for letter in chosen})
    return len(events)


def purge(log: Log, letters: list[DeadLetter]) -> int:
    """Delete dead letters for good; returns how many."""
    _strike(log, {letter.id for letter in letters})
    return len(letters)


def _strike(log: Log, ids: set[str]) -> None:
    for segment in log.segments:
        for at, record in segment.letter_records():
            if f"{record.id:x}" in ids:
                segment.strike_letter(at)

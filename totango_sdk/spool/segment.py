"""One file of the log, mapped into memory.

What is written there survives `kill -9`, since the pages belong to the kernel and not to the process;
writing needs no system call, holds no file lock and never gives up the interpreter lock, so `track`
costs microseconds however busy the sender is.

The space is allocated when the file is made: writing to a mapped page for which the disk has no room
would kill the process.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from typing import TYPE_CHECKING, Final

from .. import host
from .paths import create_file, disk_error, open_plain, put_in_place, remove_file, status_of
from .records import (
    BURIED,
    END,
    END_AT,
    EVENT,
    LIVE,
    MOST_REASONS,
    PAGE_BYTES,
    REASON_AT,
    REASON_BYTES,
    REASONS_AT,
    RECORD_BYTES,
    SETTLED,
    STATE_AT,
    TRIED_AT,
    Head,
    Record,
    packed,
    record_at,
    survey_of,
    walk,
    whole_record_at,
)
from .values import read_back

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from .records import Found, Spot

SEGMENT_BYTES = 3 << 20  # a burst of some 10,000 events
LEAST_SEGMENT_BYTES = 1 << 20  # where the disk has no room for that; any one event fits into it
# Of Linux 5.14 and later: it fails where a write to the mapped page would be answered by SIGBUS, since
# somebody cut the file short. A look at the file's size would let go of the interpreter.
_POPULATE_WRITE = 23
_HAS_MADVISE = hasattr(mmap.mmap, "madvise")
_MOST_POPULATED = 256 << 10  # bytes; a look at more pages would take longer than one at the size
_MOST_READ_BYTES = 256 << 20  # of a file that does not say how long it is
_SPARSE = 8  # of so many records at most one is alive
_LEAST_SPARED = 64 << 10
_NO_FALLOCATE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_never_closed: list[mmap.mmap] = []


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
        self.key = (0, 0)  # what identifies the file
        self._fd = -1
        self._map: mmap.mmap | None = None
        self._limit = 0  # how far the file still reaches
        self._forget(path, head)

    def _forget(self, path: str, head: Head) -> None:
        self.path = path
        self.head = head
        self.tail = PAGE_BYTES  # where the next record goes
        self.cursor = PAGE_BYTES  # up to here, all was brought into the lanes
        self._floor = PAGE_BYTES  # before this, nothing is alive
        self.events = self.pulled = self.gone = self.letters = 0
        self._struck = 0  # records that were struck off before it was opened
        self._reasons: dict[str, int] = {}

    # -- files

    @classmethod
    def create(
        cls,
        log: object,
        path: str,
        head: Head,
        durability: str,
        fill: Callable[[Segment], None] = lambda _: None,
    ) -> Segment:
        """Make the file, complete with what `fill` writes or not at all. Raises `SpoolFull`."""
        segment = cls(log, path, head)
        draft = f"{path}.draft"
        try:
            remove_file(draft)
            try:
                segment._make(create_file(draft))
                fill(segment)
                put_in_place(draft, path, durability)
            except BaseException:
                segment.close()
                remove_file(draft)
                raise
        except OSError as error:
            raise disk_error(path, error) from None
        return segment

    def _make(self, fd: int) -> None:
        self._fd = fd
        status = os.fstat(fd)
        self.key = status.st_dev, status.st_ino
        _allocate(fd, self.head.size)
        self._map = mmap.mmap(fd, self.head.size)
        self._limit = self.head.size
        self._begin()

    def _begin(self) -> None:
        assert self._map is not None
        head = self.head.packed()
        END.pack_into(self._map, END_AT, PAGE_BYTES)
        self._map[: len(head)] = head

    def note_base(self, base: int) -> None:
        """Remember up to which id ids may have been given. Raises `SpoolError`."""
        if self.open() and self.is_whole:
            assert self._map is not None
            self.head = self.head._replace(base=max(base, self.head.base))
            head = self.head.packed()
            self._map[: len(head)] = head

    def begin_again(self, path: str, base: int) -> None:
        """Use this for what comes next, under another name: nothing is alive in it. Raises
        `OSError`.
        """
        os.rename(self.path, path)
        self._forget(path, self.head._replace(base=base))
        self._begin()

    def open(self) -> bool:
        """Map what is there; `False` if it was removed. Raises `SpoolError`."""
        if self._map is not None:
            return True
        try:
            if self._fd < 0:
                self._fd = open_plain(self.path, os.O_RDWR)
                status = os.fstat(self._fd)
                self.key = status.st_dev, status.st_ino
            self._limit = min(os.fstat(self._fd).st_size, self.head.size)
            self._map = mmap.mmap(self._fd, self._limit)
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:  # cut short to nothing
            if isinstance(error, OSError):
                raise disk_error(self.path, error) from None
            return False
        return True

    def rest(self) -> None:
        """Take no memory until it is read; what was removed can still be."""
        if self._map is not None and self.is_open:
            self._map.close()
            self._map = None

    def close(self) -> None:
        """Let go of the file, which stays as it is."""
        mapped, self._map = self._map, None
        if mapped is not None and not self.is_open:
            # The mapping has a descriptor of its own, and would close whatever has its number now.
            _never_closed.append(mapped)
        elif mapped is not None:
            # In a child that was forked in the middle of something it may be in use.
            with contextlib.suppress(BufferError):
                mapped.close()
        if self.is_open:
            os.close(self._fd)
        self._fd = -1

    def remove(self) -> None:
        """Let go of the file and remove it; if that fails, the next process finds nothing in it."""
        self.close()
        with contextlib.suppress(OSError):
            remove_file(self.path)

    @property
    def is_open(self) -> bool:
        """Whether the descriptor is still ours: the host may have closed it, with all others."""
        return status_of(self._fd, self.key) is not None

    @property
    def is_held(self) -> bool:
        """Whether this process has had the file open; what a dead one has left is opened late."""
        return self._fd >= 0

    @property
    def is_mapped(self) -> bool:
        """Whether it can be read and written right now."""
        return self._map is not None

    def measure(self) -> bool:
        """See how far the file still reaches: nothing beyond its end is touched any more.

        `False` if nothing tells it any more: the descriptor is not ours.
        """
        status = status_of(self._fd, self.key)
        if status is None:
            return False
        self._limit = min(status.st_size, self._limit)
        return True

    @property
    def is_whole(self) -> bool:
        """Whether the file still has the size that it was made with, as far as can be told."""
        status = status_of(self._fd, self.key)
        return status is not None and status.st_size >= self.head.size

    def sync(self) -> None:
        """Wait until what is written would survive a power cut. Other threads go on meanwhile."""
        if self.is_open and hasattr(os, "fdatasync"):
            # On Linux it writes mapped pages too; `mmap.flush` would hold the interpreter.
            with contextlib.suppress(OSError):  # the host has closed it just now
                os.fdatasync(self._fd)
        elif self._map is not None:  # pragma: no cover - macOS
            self._map.flush()

    # -- the writer's side

    def has_room(self, payload_bytes: int, records: int) -> bool:
        """Whether so many records with so many bytes of names and bodies fit behind the last one."""
        return self.tail + payload_bytes + records * RECORD_BYTES <= self.head.size

    def can_be_written(self, payload_bytes: int, records: int) -> bool:
        """Whether the file still reaches as far as so many records would."""
        if not _HAS_MADVISE or self._map is None:  # pragma: no cover - macOS
            return self.is_whole
        start = self.tail - self.tail % PAGE_BYTES
        size = self.tail + payload_bytes + records * RECORD_BYTES - start
        try:
            self._map.madvise(_POPULATE_WRITE, start, size)
        except OSError as error:
            host.let_pass(error)
            return self.is_whole and error.errno != errno.EFAULT
        return True

    def append(
        self, event_id: int, kind: int, names: bytes, body: bytes, accepted_at: float
    ) -> int:
        """Write a record, for which there is room; returns where."""
        record = packed(event_id, kind, names, body, accepted_at)
        at, mapped = self.tail, self._map
        assert mapped is not None
        end = at + len(record)
        mapped[at:end] = record
        mapped[at + STATE_AT] = LIVE
        END.pack_into(mapped, END_AT, end)
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
        assert self._map is not None
        found = []
        for spot in walk(self._map, at, self.head.size):
            if spot.at != at or spot.state == SETTLED:
                break
            found.append(spot)
            at = spot.end
        self.tail = at
        END.pack_into(self._map, END_AT, at)
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
        if self.head.size <= _LEAST_SPARED:
            return False
        return (self.alive + self.letters) * _SPARSE <= self.events + self.letters + self._struck

    @property
    def is_empty(self) -> bool:
        """Whether nothing of this is needed any more."""
        return self.events == self.gone and not self.letters

    def pull(self, upto: int, most: int, most_bytes: int) -> list[Row]:
        """Return the next events behind the cursor, which moves: so many, or of so many bytes."""
        rows: list[Row] = []
        if not self.open():
            self.cursor = upto
            return rows
        self.measure()
        mapped = self._map
        assert mapped is not None
        size = 0
        for spot in walk(mapped, self.cursor, min(upto, self._limit)):
            self.cursor = spot.end
            if not spot.waits:
                continue
            rows.append(self._row(spot))
            size += spot.end - spot.at
            if len(rows) >= most or size >= most_bytes:
                return rows
        self.cursor = upto
        return rows

    def _row(self, spot: Spot) -> Row:
        if not spot.is_whole:  # nothing of it can be used, the names of its records neither
            return spot.id, (), (), None, 0.0, spot.at, spot.end
        assert self._map is not None
        record = whole_record_at(self._map, spot.at)
        about, updates = read_back(record.names)
        return spot.id, about, updates, record.body, record.accepted_at, spot.at, spot.end

    def read(self, at: int) -> Record | None:
        """Return the record at a place; `None` if it is not as it was written."""
        mapped = self._map
        return None if mapped is None else record_at(mapped, at, min(self._limit, len(mapped)))

    def reach(self, places: Sequence[int]) -> None:
        """See whether the file still reaches as far as these. `measure` would let go of the
        interpreter, which comes back 5 ms later where a thread of the host computes.
        """
        first = min(places)
        start = first - first % PAGE_BYTES
        size = max(places) + STATE_AT + 1 - start
        if size > _MOST_POPULATED or not _HAS_MADVISE or self._map is None:
            self.measure()
            return
        try:
            self._map.madvise(_POPULATE_WRITE, start, size)
        except (OSError, ValueError) as error:  # it is shorter, or the kernel cannot tell
            host.let_pass(error)
            self.measure()

    def strike(self, at: int) -> None:
        """Strike off an event that is delivered."""
        self._write(at + STATE_AT, SETTLED)
        self.gone += 1

    def bury(self, at: int, attempts: int, reason: str) -> None:
        """Make a dead letter of an event where it stands."""
        self.put_off(at, attempts, reason)
        self._write(at + STATE_AT, BURIED)
        self.gone += 1
        self.letters += 1

    def strike_letter(self, at: int) -> None:
        """Strike off a dead letter."""
        self._write(at + STATE_AT, SETTLED)
        self.letters -= 1

    def put_off(self, at: int, attempts: int, reason: str) -> None:
        """Note how often an event was tried, and why it has to be tried again, for others to see."""
        if at < self._limit:
            self._write(at + TRIED_AT, min(attempts, 255))
            self._write(at + REASON_AT, self._number_of(reason))

    def _write(self, at: int, byte: int) -> None:
        if self._map is not None and at < self._limit:
            self._map[at] = byte

    def _number_of(self, reason: str) -> int:
        """Return the number of a reason; where there are too many, the last one stands for several."""
        number = self._reasons.get(reason)
        if number is None and self._map is not None:
            number = self._reasons[reason] = min(len(self._reasons) + 1, MOST_REASONS)
            at = REASONS_AT + (number - 1) * REASON_BYTES
            text = reason.encode(errors="replace")[:REASON_BYTES].ljust(REASON_BYTES, b"\0")
            self._map[at : at + REASON_BYTES] = text
            if number == MOST_REASONS:
                self._reasons.popitem()
        return number or 0

    # -- looking

    def spots(self, at: int = PAGE_BYTES) -> Iterator[Spot]:
        """Return what is alive here from `at` on, in order. Raises `SpoolError`."""
        if not self.open():
            return
        self.measure()
        assert self._map is not None
        for spot in walk(self._map, at, min(self.tail, self._limit)):
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
        with open(self.path, "rb", opener=open_plain) as file:
            start = file.read(PAGE_BYTES)
            head = Head.read(start)
            most = _MOST_READ_BYTES if head is None else head.size - PAGE_BYTES
            found = survey_of(start + file.read(most))
        if found.head is not None:
            self.head = found.head
        self.tail, self.events, self.letters = found.tail, found.waiting, found.letters
        self._struck = found.records - found.waiting - found.letters
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
        assert self._map is not None
        assert other._map is not None
        at, self.tail = self.tail, self.tail + spot.end - spot.at
        self._map[at : self.tail] = other._map[spot.at : spot.end]
        END.pack_into(self._map, END_AT, self.tail)
        self.events += spot.waits
        self.letters += spot.is_letter
        return at

    def _take_reasons(self, other: Segment) -> None:
        assert self._map is not None
        self._reasons = dict(other._reasons)
        if other._map is not None and other._limit >= PAGE_BYTES:
            reasons = slice(REASONS_AT, REASONS_AT + MOST_REASONS * REASON_BYTES)
            self._map[reasons] = other._map[reasons]


def _allocate(fd: int, size: int) -> None:
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most != resource.RLIM_INFINITY and size > most:
        # Where Python is embedded, nobody has had SIGXFSZ ignored, which would end the process.
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    with contextlib.suppress(AttributeError):  # macOS has no such call
        try:
            os.posix_fallocate(fd, 0, size)
            return
        except OSError as error:
            if error.errno not in _NO_FALLOCATE:
                raise
    for at in range(0, size, PAGE_BYTES):
        os.pwrite(fd, bytes(min(PAGE_BYTES, size - at)), at)

"""What can be read of a damaged database, and a sound one made of it.

SQLite is not asked: it stops at the first page that it does not like. The pages are read here, with
those of the write-ahead log in their places, and each row says by its checksum whether it is as it
was stored. What is found goes into a new file; from the moment that this is complete it is the one
that counts, wherever the process may die.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from ..log import tell_once
from .paths import disk_error, put_in_place, set_aside
from .records import Record
from .rows import is_event_intact, letter_checksum
from .sqlite import PAGE_BYTES, SUFFIXES, is_sound, make_draft

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .values import Owner

_EVENTS, _DEAD = 2, 3  # the first pages of our tables, which are the same in every file


def mend(path: str, owner: Owner, durability: str) -> None:
    """Put a sound database in the place of the damaged one. Raises `SpoolFull`, having changed
    nothing.
    """
    draft = f"{path}.draft"
    try:
        events, letters = _salvage(path)
        make_draft(draft, owner, events, letters)
        put_in_place(draft, f"{path}.new", durability)
        finish(path)
    except OSError as error:
        raise disk_error(path, error) from None


def finish(path: str) -> None:
    """Put a mended database in its place, if there is one. Raises `OSError`."""
    if not os.path.exists(f"{path}.new"):
        return
    if not is_sound(f"{path}.new"):  # a power cut can leave its name without its content
        set_aside(f"{path}.new")
        return
    aside = f"{path}.corrupt-{os.urandom(3).hex()}"
    for suffix in reversed(
        SUFFIXES
    ):  # the log goes before its file, or SQLite would read it into the new one
        with contextlib.suppress(FileNotFoundError):
            os.rename(path + suffix, aside + suffix)
    os.rename(f"{path}.new", path)
    tell_once(
        f"corrupt {path}",
        f"the spool file {path} is damaged; it was set aside as {aside}, and what can be read of it is kept",
        level="error",
    )


def _salvage(path: str) -> tuple[list[Record], list[tuple[Any, ...]]]:
    """Return the events and dead letters that are as they were stored. Raises `OSError`."""
    pages = _Pages(path)
    try:
        events = {}
        for event_id, (_, lane, body, accepted_at, checksum) in _rows(pages, _EVENTS, 5):
            row = (event_id, lane, body, _real(accepted_at))
            if is_event_intact(*row, checksum):
                events[event_id] = Record(*row[:3], is_letter=False, accepted_at=row[3])
        letters = {}
        for event_id, (_, *kept, accepted_at, dead_at, checksum) in _rows(pages, _DEAD, 8):
            row = (event_id, *kept, _real(accepted_at), _real(dead_at), checksum)
            if _is_letter_intact(row):
                letters[event_id] = row
    finally:
        pages.close()
    return [events[key] for key in sorted(events)], [letters[key] for key in sorted(letters)]


def _real(value: Any) -> Any:
    return float(value) if isinstance(value, int) else value  # SQLite stores 2.0 as 2


def _is_letter_intact(row: tuple[Any, ...]) -> bool:
    event_id, body, refused, reason, attempts, accepted_at, dead_at, found = row
    kept = body if refused is None else refused
    types = (bytes, str, int, float, float)
    values = (kept, reason, attempts, accepted_at, dead_at)
    return all(map(isinstance, values, types)) and letter_checksum(event_id, kept) == found


# -- the pages of a file, as https://www.sqlite.org/fileformat2.html describes them

_INTERIOR, _LEAF = 5, 13
_MOST_LOCAL = PAGE_BYTES - 35  # bytes of a row in its own page; what is longer goes on in others
_LEAST_LOCAL = (PAGE_BYTES - 12) * 32 // 255 - 23
_INTEGER_BYTES = (0, 1, 2, 3, 4, 6, 8)
_NOT_READABLE = (IndexError, ValueError, struct.error, OverflowError)


class _Pages:
    """The pages of a database with what its log holds."""

    def __init__(self, path: str) -> None:
        self._logged = dict(_committed(f"{path}-wal"))
        self.log_is_whole = _look(_content(f"{path}-wal")).is_whole
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._fd = -1
        size = 0 if self._fd < 0 else os.fstat(self._fd).st_size // PAGE_BYTES
        self.count = max(
            size,
            max(
                (number for number in self._logged if number <= size + len(self._logged)), default=0
            ),
        )

    def read(self, number: int) -> bytes:
        page = self._logged.get(number)
        if page is None and self._fd >= 0 and 0 < number <= self.count:
            page = os.pread(self._fd, PAGE_BYTES, (number - 1) * PAGE_BYTES)
        return page if page is not None and len(page) == PAGE_BYTES else bytes(PAGE_BYTES)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


def _rows(pages: _Pages, root: int, columns: int) -> Iterator[tuple[int, list[Any]]]:
    """Return the rows of a table with their ids, as far as they can be read."""
    for page in _leaves(pages, root):
        for offset in _offsets(page, 8):
            with contextlib.suppress(*_NOT_READABLE):
                event_id, payload = _cell(pages, page, offset)
                values = _values(payload)
                if len(values) == columns:
                    yield event_id, values


def _leaves(pages: _Pages, root: int) -> Iterator[bytes]:
    """Return the leaves of a table; where the way to some is lost, all that are not known to be
    free.
    """
    seen: set[int] = set()
    # In a damaged log, the page that leads to the newest leaves may be one that is lost, and an
    # older one stand for it.
    pending, is_whole = [root], pages.log_is_whole
    while pending:
        number = pending.pop()
        page = pages.read(number)
        if number in seen:
            continue
        seen.add(number)
        if page[0] == _LEAF:
            yield page
        elif page[0] == _INTERIOR:
            pending += [
                int.from_bytes(page[at : at + 4], "big")
                for at in (8, *reversed(_offsets(page, 12)))
            ]
        else:
            is_whole = False
    if not is_whole:
        free = _free(pages)
        for number in range(1, pages.count + 1):
            page = pages.read(number)
            if page[0] == _LEAF and number not in seen and number not in free:
                yield page


def _offsets(page: bytes, start: int) -> tuple[int, ...]:
    """Return where the cells of a page are."""
    count = min(int.from_bytes(page[3:5], "big"), (PAGE_BYTES - start) // 2)
    return struct.unpack_from(f">{count}H", page, start)


def _free(pages: _Pages) -> set[int]:
    """Return the pages of which nothing is in use: what they hold was delivered long ago."""
    free: set[int] = set()
    trunk = int.from_bytes(pages.read(1)[32:36], "big")
    while trunk and trunk not in free:
        free.add(trunk)
        following, count = struct.unpack_from(">2I", pages.read(trunk))
        count = min(count, PAGE_BYTES // 4 - 2)
        free.update(struct.unpack_from(f">{count}I", pages.read(trunk), 8))
        trunk = following
    return free


def _cell(pages: _Pages, page: bytes, at: int) -> tuple[int, bytes]:
    """Return the id of a row, and what is stored of it."""
    length, at = _varint(page, at)
    event_id, at = _varint(page, at)
    if length <= _MOST_LOCAL:
        return event_id, page[at : at + length]
    local = _LEAST_LOCAL + (length - _LEAST_LOCAL) % (PAGE_BYTES - 4)
    local = local if local <= _MOST_LOCAL else _LEAST_LOCAL
    parts = [page[at : at + local]]
    following = int.from_bytes(page[at + local : at + local + 4], "big")
    for _ in range(length // (PAGE_BYTES - 4) + 1):
        if not 0 < following <= pages.count or len(parts) > pages.count:
            break
        more = pages.read(following)
        following = int.from_bytes(more[:4], "big")
        parts.append(more[4:])
    return event_id, b"".join(parts)[:length]


def _values(payload: bytes) -> list[Any]:
    """Return the columns of a row. Raises one of `_NOT_READABLE`."""
    at, types = 0, []
    size, at = _varint(payload, at)
    while at < size:
        kind, at = _varint(payload, at)
        types.append(kind)
    values: list[Any] = []
    for kind in types:
        length = _length(kind)
        content = payload[at : at + length]
        if len(content) < length:
            raise IndexError
        values.append(_value(kind, content))
        at += length
    return values


def _length(kind: int) -> int:
    if kind >= 12:
        return (kind - 12) // 2
    if kind > 7:
        return 0
    return 8 if kind == 7 else _INTEGER_BYTES[kind]


def _value(kind: int, content: bytes) -> Any:
    if kind >= 12:
        return content if kind % 2 == 0 else content.decode()
    if kind in (0, 7):
        return struct.unpack(">d", content)[0] if kind else None
    return kind - 8 if kind in (8, 9) else int.from_bytes(content, "big", signed=True)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for number in range(8):
        byte = data[at + number]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + number + 1
    return value << 8 | data[at + 8], at + 9


# -- the write-ahead log

_MAGIC = b"SQLite format 3\0"
_LOG_MAGIC = (
    0x377F0682,
    0x377F0683,
)  # the last bit says in which order of bytes the checksums are made
_LOG_HEADER = struct.Struct(">8I")  # magic, version, bytes of a page, round, two salts, two sums
_FRAME = struct.Struct(
    ">6I"
)  # page, pages of the file if a transaction ends here, two salts, two sums
_FRAME_BYTES = _FRAME.size + PAGE_BYTES


class _Log(NamedTuple):
    frames: int  # up to the last one that ends a transaction
    is_whole: bool  # whether SQLite would read all of these


def is_damaged(path: str) -> bool:
    """Whether SQLite should not be asked to open this: it may throw away what is in the log.

    It does so if the file is empty, and passes over transactions for damage before them in silence.
    """
    log = _look(_content(f"{path}-wal"))
    try:
        with open(path, "rb") as file:
            return not (log.is_whole and file.read(len(_MAGIC)) == _MAGIC)
    except FileNotFoundError:
        return log.frames > 0


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _look(data: bytes) -> _Log:
    if len(data) < _LOG_HEADER.size + _FRAME_BYTES:
        return _Log(0, is_whole=True)
    magic, _, page_bytes, _, *salts, sum0, sum1 = _LOG_HEADER.unpack_from(data)
    order = ">" if magic & 1 else "<"
    sums = _sums(data[:24], order, (0, 0))
    is_whole = magic in _LOG_MAGIC and page_bytes == PAGE_BYTES and sums == (sum0, sum1)
    if not is_whole:
        salts = _likely_salts(data, salts)
    last = 0
    for number, at in enumerate(
        range(_LOG_HEADER.size, len(data) - _FRAME_BYTES + 1, _FRAME_BYTES), 1
    ):
        _, ends, *found = _FRAME.unpack_from(data, at)
        if found[:2] == salts and ends:
            last = number
    for at in range(_LOG_HEADER.size, _LOG_HEADER.size + last * _FRAME_BYTES, _FRAME_BYTES):
        if not is_whole:
            break
        sums = _sums(data[at : at + 8] + data[at + _FRAME.size : at + _FRAME_BYTES], order, sums)
        is_whole = (
            sums == _FRAME.unpack_from(data, at)[4:]
            and list(_FRAME.unpack_from(data, at)[2:4]) == salts
        )
    return _Log(last, is_whole or not last)


def _likely_salts(data: bytes, told: list[int]) -> list[int]:
    """Return what marks the frames of the latest round, where the header is damaged, and perhaps the
    first frames with it. What an earlier round has left stands behind them.
    """
    places = range(_LOG_HEADER.size, len(data) - _FRAME_BYTES + 1, _FRAME_BYTES)
    found = [list(_FRAME.unpack_from(data, at)[2:4]) for at in places]
    if told in found:
        return told
    return next((salts for salts in found if found.count(salts) > 1), found[0])


def _sums(data: bytes, order: str, start: tuple[int, int]) -> tuple[int, int]:
    """Return SQLite's checksum of the log."""
    first, second = start
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        first = (first + words[at] + second) & 0xFFFFFFFF
        second = (second + words[at + 1] + first) & 0xFFFFFFFF
    return first, second


def _committed(path: str) -> Iterator[tuple[int, bytes]]:
    """Return the pages in the log up to its last transaction, whatever their checksums say."""
    data = _content(path)
    for at in range(
        _LOG_HEADER.size, _LOG_HEADER.size + _look(data).frames * _FRAME_BYTES, _FRAME_BYTES
    ):
        yield _FRAME.unpack_from(data, at)[0], data[at + _FRAME.size : at + _FRAME_BYTES]

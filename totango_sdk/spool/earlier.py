"""Files of schema 1, which had a journal and a database behind it: taken over once, and told.

May go once nobody has such files any more.
"""

from __future__ import annotations

import contextlib
import os
import struct
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from zlib import crc32

from ..errors import SpoolError
from ..log import tell_once
from .files import EARLIER, owner_in
from .mapped import PAGE_BYTES
from .paths import create_file, disk_error, open_plain, remove_file, set_aside
from .records import (
    EVENT,
    FIELDS,
    GIVEN_UP,
    RECORD_BYTES,
    REFUSED,
    SETTLED,
    GivenUp,
    Record,
    record_at,
    walk,
)
from .values import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from sqlite3 import Connection

    from .files import Files
    from .segment import Segment

    NewSegment = Callable[[int, int, None, int], Segment]  # as `Log.new_segment`

_MAGIC = b"TotangoJ"
_HEAD = struct.Struct("<8sIII")  # magic, schema, bytes of a segment, bytes of the text that follows
_FIRST_NUMBER = 1 << 16
_PIECE_BYTES = 8 << 20
_TAKEN = "taken.log"  # says that all of it is in the log
_LOW_BITS = 0xFFFFFFFF


def owner_of(files: Files) -> Owner | None:
    """Return whose events these are, as they say."""
    with contextlib.suppress(OSError), open(files.path("journal"), "rb", opener=open_plain) as file:
        data = file.read(PAGE_BYTES)
        text_bytes = _HEAD.unpack_from(data)[3] if len(data) == PAGE_BYTES else 0
        owner = owner_in(data[_HEAD.size : _HEAD.size + text_bytes])
        if data.startswith(_MAGIC) and owner is not None:
            return owner
    for database in _opened(files, {}):
        told = dict(database.execute("SELECT name, value FROM meta"))
        return Owner(str(told.get("service_id")), str(told.get("endpoint")))
    return None


def take_over(files: Files, owner: Owner, new_segment: NewSegment) -> None:
    """Write what an earlier version has left into segments, before all others. Raises `SpoolError`,
    `OSError`; then all is as it was.
    """
    if not os.path.exists(files.path(_TAKEN)):
        for number in files.numbers():
            if _FIRST_NUMBER <= number < 2 * _FIRST_NUMBER:  # by a process that was killed then
                remove_file(files.segment_path(number))
        found = owner_of(files)
        if found is not None and found != owner:
            msg = f"{files.path('*')} has events for {found.service_id}, not for {owner.service_id}"
            raise SpoolError(msg)
        damaged: dict[str, object] = {}
        count = _write(new_segment, _records(files, damaged))
        os.close(create_file(files.path(_TAKEN)))
        for suffix, why in damaged.items():  # not before: until then it may have to be read again
            _set_aside(files, suffix, why)
        tell_once(
            f"earlier {files.stem}",
            f"{count} events that an earlier version has left were taken over from {files.path('*')}",
            level="info",
        )
    for suffix in EARLIER:
        remove_file(files.path(suffix))
    remove_file(files.path(_TAKEN))


def _write(new_segment: NewSegment, records: Iterator[Record]) -> int:
    """Write records into as many segments as they need; returns how many records."""
    count, number = 0, _FIRST_NUMBER
    piece: list[Record] = []
    size = 0
    for record in records:
        count += 1
        piece.append(record)
        size += RECORD_BYTES + len(record.names.encode()) + len(record.body)
        if size > _PIECE_BYTES:
            _write_piece(new_segment(0, size, None, number), piece)
            piece, size, number = [], 0, number + 1
    if piece:
        _write_piece(new_segment(0, size, None, number), piece)
    return count


def _write_piece(segment: Segment, piece: list[Record]) -> None:
    for event_id, names, body, kind, accepted_at, *_ in piece:
        segment.append(event_id, kind, names.encode(), body, accepted_at)
    segment.file.close()


def _records(files: Files, damaged: dict[str, object]) -> Iterator[Record]:
    """Return what is alive, in order: the dead letters, the database's events, the journal's. Notes
    what is damaged, and why.
    """
    dead: set[int] = set()
    stored: set[int] = set()
    for database in _opened(files, damaged):
        try:
            for record in _letters(database):
                dead.add(record.id)
                yield record
            for record in _events(database):
                stored.add(record.id)
                yield record
        except database.Error as error:
            damaged["db"] = error
    data = b""
    path = files.path("journal")
    with contextlib.suppress(FileNotFoundError), open(path, "rb", opener=open_plain) as file:
        data = file.read()
    found = {}
    for spot in walk(data, PAGE_BYTES, len(data)):
        if spot.state == SETTLED or spot.id in stored or spot.id in dead:
            continue
        record_here = record_at(data, spot.at, len(data))
        if record_here is None:
            damaged["journal"] = "of a record nothing can be read"
        else:
            found[spot.id] = record_here
    for event_id in sorted(found):
        yield found[event_id]


def _opened(files: Files, damaged: dict[str, object]) -> Iterator[Connection]:
    """Open the database, if there is one that can be opened. Notes why it is damaged."""
    path = files.path("db")
    if not os.path.isfile(path):
        return
    try:
        import sqlite3
    except ImportError as error:  # some Pythons lack it
        msg = f"{path} of an earlier version cannot be read: this Python has no sqlite3"
        raise SpoolError(msg) from error
    # The lock file is lock enough.
    address = f"file:{quote(os.fsencode(path))}?vfs=unix-none"
    try:
        database = sqlite3.connect(address, uri=True, isolation_level=None)
        try:
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            database.execute("SELECT count(*) FROM meta").fetchone()
            yield database
        finally:
            database.close()
    except sqlite3.OperationalError as error:
        raise disk_error(path, OSError(str(error))) from None
    except sqlite3.Error as error:
        damaged["db"] = error


def _set_aside(files: Files, suffix: str, why: object) -> None:
    path = files.path(suffix)
    aside = set_aside(path)
    tell_once(
        f"corrupt {path}",
        f"the spool file {path} is damaged ({why}); it was set aside as {aside}, and what can be "
        "read of it is kept",
        level="error",
    )


def _events(database: Connection) -> Iterator[Record]:
    query = "SELECT id, lane, body, accepted_at, checksum FROM events ORDER BY id"
    for event_id, lane, body, accepted_at, found in database.execute(query):
        with contextlib.suppress(AttributeError, TypeError, ValueError, struct.error):
            if _checksum(event_id, lane, body, accepted_at) == found:
                yield Record(event_id, lane, body, EVENT, accepted_at)


def _checksum(event_id: int, lane: str, body: bytes, accepted_at: float) -> int:
    encoded = lane.encode()
    start = FIELDS.pack(False, len(encoded), len(body), event_id, accepted_at)
    return crc32(body, crc32(start + encoded))


def _letters(database: Connection) -> Iterator[Record]:
    for row in database.execute("SELECT * FROM dead ORDER BY id"):
        with contextlib.suppress(TypeError, ValueError, struct.error):
            record = _letter(row)
            if record is not None:
                yield record


def _letter(row: tuple[Any, ...]) -> Record | None:
    event_id, body, refused, reason, attempts, accepted_at, dead_at, found = row
    kept = body if refused is None else refused
    if crc32(kept or b"", event_id & _LOW_BITS) != found:
        return None
    if refused is not None:
        return Record(event_id, "", refused, REFUSED, float(accepted_at))
    letter = GivenUp(float(dead_at), int(attempts), str(reason), body)
    return Record(event_id, "", letter.packed(), GIVEN_UP, float(accepted_at))

"""What SQLite and the system say of a database, as errors of ours."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from .. import host
from ..errors import SpoolCorrupt, SpoolError, SpoolFull, SpoolLocked
from .paths import disk_error

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL = (SpoolFull, "free space on the disk, or raise the quota")
_LOCKED = (SpoolLocked, "another program has it open; close that")
_DENIED = (SpoolError, "give this user the right to read and write it")
_DAMAGED = (SpoolCorrupt, "it is damaged")
# What SQLite says of its file, by its primary codes and some of its extended ones.
_KINDS: dict[int, tuple[type[SpoolError], str]] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _FULL,
    sqlite3.SQLITE_IOERR_READ: _DAMAGED,
    sqlite3.SQLITE_IOERR_SHORT_READ: _DAMAGED,
    sqlite3.SQLITE_IOERR_CORRUPTFS: _DAMAGED,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CANTOPEN: _DENIED,
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_READONLY: _DENIED,
    sqlite3.SQLITE_AUTH: _DENIED,
    # Our statements are right, so it is the file that is not what we wrote.
    sqlite3.SQLITE_ERROR: _DAMAGED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CONSTRAINT: _DAMAGED,
    sqlite3.SQLITE_MISMATCH: _DAMAGED,
    sqlite3.SQLITE_FORMAT: _DAMAGED,
}
_OTHER = (SpoolError, "see what SQLite says")


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.ProgrammingError):  # of ours, not of the file
            kind, advice = _OTHER
        else:  # without a code it is text that is not UTF-8
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            kind, advice = _KINDS.get(code) or _KINDS.get(code & 0xFF) or _OTHER
        msg = f"{path} cannot be used ({error}): {advice}"
        raise kind(msg) from error
    except UnicodeError as error:  # what it says quotes the file, and that is not UTF-8
        host.let_pass(error)
        msg = f"{path} cannot be used ({error}): it is damaged"
        raise SpoolCorrupt(msg) from error


@contextlib.contextmanager
def os_translated(path: str) -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except OSError as error:
        raise disk_error(path, error) from None

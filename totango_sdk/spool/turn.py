"""Whose turn it is among processes that take one stream of events into spools in one directory.

What another has taken before us, and not delivered yet, comes first.
"""

from __future__ import annotations

import contextlib
import os
from zlib import crc32

import attrs

from ..errors import SpoolError, SpoolLocked
from .paths import NO_SPOOLS, LockFile


@attrs.define(eq=False, repr=False)
class Turn:
    """Held while what its process has taken is not delivered. It ends with the process."""

    directory: str
    stream: str  # what tells it from others
    _lock: LockFile | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this holds it."""
        return self._lock is not None and self._lock.is_open

    def take(self) -> bool:
        """Take it at once; `False` if another has it.

        Where no file can be locked, as on a full disk, everybody goes as if alone.
        """
        name = f"{NO_SPOOLS}{crc32(self.stream.encode()):08x}.lock"
        path = os.path.join(self.directory, name)
        try:
            self._lock = _taken(path)
        except SpoolLocked:
            return False
        except (OSError, SpoolError):
            return True
        return True

    def let_go(self) -> None:
        """Leave it to others."""
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):
                lock.release(remove=True)


def _taken(path: str) -> LockFile:
    """Return the lock, of a file that is there or made now. Raises `SpoolLocked`."""
    try:
        return LockFile.take(path, create=True)
    except FileExistsError:
        return LockFile.take(path, create=False)

"""The set of files that one process writes: `SCOPE-NUMBER.lock`, `.journal` and `.db`.

The scope stands for a service and an endpoint, so that nobody opens what is not theirs; the
journal's header and the database name both in full.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING
from zlib import crc32

import attrs

from ..errors import SpoolLocked
from ..log import tell_once
from .journal import PAGE_BYTES, SCHEMA, Journal, Recovered, read_header, recover
from .paths import SUFFIXES, LockFile, create_file, disk_error, put_in_place, remove_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .base import Owner


_MOST_TEXT = 2048  # what a journal has room for
_OWN = tuple(f".{suffix}" for suffix in SUFFIXES)


def _scope(owner: Owner) -> str:
    return f"{crc32('|'.join(owner).encode()):08x}"


@attrs.define(eq=False, repr=False)
class Files:
    """One set of files, and the lock that says whose it is."""

    directory: str
    stem: str
    _lock: LockFile | None = None

    @classmethod
    def create(cls, directory: str, owner: Owner) -> Files:
        """Make a new set, locked. Raises `SpoolError`."""
        try:
            while True:
                files = cls(directory, f"{_scope(owner)}-{os.urandom(4).hex()}")
                # Between making the file and locking it, another process may have taken it for a dead one's.
                with contextlib.suppress(FileExistsError, SpoolLocked):
                    files._lock = LockFile.take(files.path("lock"), create=True)
                    return files
        except OSError as error:
            raise disk_error(directory, error) from None

    @classmethod
    def found(cls, directory: str, owner: Owner) -> Iterator[Files]:
        """Return the sets of this owner that lie here, living and dead. Raises `SpoolError`."""
        prefix = f"{_scope(owner)}-"
        try:
            names = os.listdir(directory)
        except OSError as error:
            raise disk_error(directory, error) from None
        stems = {name.split(".")[0] for name in names if name.startswith(prefix) and name.endswith(_OWN)}
        return (cls(directory, stem) for stem in sorted(stems))

    def path(self, suffix: str) -> str:
        return os.path.join(self.directory, f"{self.stem}.{suffix}")

    @property
    def size(self) -> int:
        """Bytes of the database."""
        try:
            return os.stat(self.path("db")).st_size
        except OSError:
            return 0

    @property
    def hold_anything(self) -> bool:
        """Whether there is more than the lock."""
        return any(os.path.exists(self.path(suffix)) for suffix in ("journal", "db", "db.new"))

    def lock(self) -> None:
        """Take the lock. Raises `SpoolLocked` if the process that has it lives."""
        path = self.path("lock")
        try:
            self._lock = LockFile.take(path, create=not os.path.lexists(path))
        except OSError as error:
            msg = f"{path} cannot be made ({error.strerror})"
            raise SpoolLocked(msg) from None

    def is_ours(self, owner: Owner) -> bool:
        """Whether a set that is locked may be opened; says why not, once."""
        try:
            with open(self.path("journal"), "rb") as file:
                header = read_header(file.read(PAGE_BYTES))
        except OSError:
            return True  # the database says whose it is
        if header is not None and header.schema > SCHEMA:
            tell_once(
                f"newer {self.stem}",
                f"{self.path('journal')} was written by a newer version (schema {header.schema}; this one knows "
                f"{SCHEMA}), so it is left alone: upgrade totango-sdk to deliver it",
            )
            return False
        return header is None or header.text == _text(owner)

    def read_journal(self) -> Recovered:
        """Return what is alive in the journal that a dead process left. Raises `OSError`."""
        try:
            with open(self.path("journal"), "rb") as file:
                return recover(file.read())
        except FileNotFoundError:
            return Recovered([], 0, damaged=False)

    def drop_journal(self, *, damaged: bool) -> None:
        """Remove a journal of which all is elsewhere now; set it aside if it is damaged. Raises `OSError`."""
        path = self.path("journal")
        if not damaged:
            remove_file(path)
            return
        aside = f"{path}.corrupt-{os.urandom(3).hex()}"
        os.rename(path, aside)
        tell_once(
            f"corrupt {path}",
            f"the spool file {path} is damaged; it was set aside as {aside}, and what can be read of it is kept",
            level="error",
        )

    def remove_journal(self) -> None:
        """Remove a journal that is empty; if that fails, the next process finds nothing in it."""
        with contextlib.suppress(OSError):
            remove_file(self.path("journal"))

    def new_journal(self, owner: Owner, segment_bytes: int, durability: str) -> Journal:
        """Make the journal, complete or not at all. Raises `SpoolFull` if the disk has no room for it."""
        path = self.path("journal")
        draft = f"{path}.draft"
        try:
            remove_file(draft)
            fd = create_file(draft)
            try:
                journal = Journal(fd, _text(owner), segment_bytes)
                put_in_place(draft, path, durability)
            except BaseException:
                remove_file(draft)
                raise
        except OSError as error:
            raise disk_error(path, error) from None
        return journal

    def close(self, *, remove: bool) -> None:
        """Let go of the lock; with `remove`, nothing was left that needs it."""
        if self._lock is not None:
            self._lock.release(remove=remove)
            self._lock = None

    def abandon(self) -> None:
        """Close what a fork has inherited, and leave the files to the parent."""
        if self._lock is not None:
            self._lock.abandon()
            self._lock = None


def _text(owner: Owner) -> bytes:
    return "\n".join(owner).encode()[:_MOST_TEXT]


def leak(things: list[object]) -> None:
    """Keep these for ever, even beyond the end of the interpreter: nothing may finalize them."""
    if things:
        import ctypes

        for thing in things:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))

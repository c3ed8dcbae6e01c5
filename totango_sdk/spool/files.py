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
from .journal import Journal
from .paths import (
    SUFFIXES,
    LockFile,
    check_is_held,
    create_file,
    disk_error,
    is_strange,
    key_of,
    put_in_place,
    remove_file,
    set_aside,
)
from .records import PAGE_BYTES, SCHEMA, Recovered, read_header, recover

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from .values import Owner


_MOST_TEXT = 2048  # what a journal has room for
_MOST_READ_BYTES = 256 << 20  # of a journal that does not say how long it is
_PLAIN = (
    *("journal", "journal.draft"),
    *("db", "db-wal", "db-shm", "db-journal", "db.draft", "db.new"),
)
_OWN = tuple(f".{suffix}" for suffix in SUFFIXES)


def _scope(owner: Owner) -> str:
    return f"{crc32('|'.join(owner).encode()):08x}"


def _set_aside_if_strange(path: str) -> None:
    if not is_strange(path):
        return
    aside = set_aside(path)
    tell_once(
        f"strange {path}",
        f"{path} is no plain file, and none of a spool's: it was set aside as {aside}",
        level="error",
    )


@attrs.define(eq=False, repr=False)
class Files:
    """One set of files, and the lock that says whose it is."""

    directory: str
    stem: str
    _lock: LockFile | None = None
    _place: tuple[int, int] | None = None  # the directory in which the lock was taken

    @classmethod
    def create(cls, directory: str, owner: Owner) -> Files:
        """Make a new set, locked. Raises `SpoolError`."""
        try:
            while True:
                files = cls(directory, f"{_scope(owner)}-{os.urandom(4).hex()}")
                # Between making the file and locking it, another process may have taken it for a
                # dead one's.
                with contextlib.suppress(FileExistsError, SpoolLocked):
                    files._lock = LockFile.take(files.path("lock"), create=True)
                    files._place = key_of(directory)
                    files._check()
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
        stems = {
            name.split(".")[0] for name in names if name.startswith(prefix) and name.endswith(_OWN)
        }
        return (cls(directory, stem) for stem in sorted(stems))

    def _check(self) -> None:
        assert self._lock is not None
        try:
            check_is_held(self.directory, self._lock)
        except BaseException:
            self.close(remove=True)
            raise

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
            _set_aside_if_strange(path)
            self._lock = LockFile.take(path, create=not os.path.lexists(path))
            self._place = key_of(self.directory)
        except OSError as error:
            msg = f"{path} cannot be made ({error.strerror})"
            raise SpoolLocked(msg) from None

    @property
    def are_in_place(self) -> bool:
        """Whether the directory is the one in which these files were made."""
        return self._place is not None and key_of(self.directory) == self._place

    @property
    def is_lock_in_place(self) -> bool:
        """Whether the lock that we hold is still the one at its path."""
        return self._lock is not None and self._lock.is_in_place

    def are_open(self, journal: Journal) -> bool:
        """Whether our descriptors are still ours, and with them the lock."""
        return self.is_lock_open and journal.is_open

    @property
    def is_lock_open(self) -> bool:
        """Whether we still have the lock: the host may have closed its descriptor, with all others."""
        return self._lock is not None and self._lock.is_open

    def trouble(self, journal: Journal) -> str | None:
        """Say what somebody has done to the files under us, if anything."""
        if not self.are_in_place:
            return f"the directory {self.directory!r} was removed or replaced"
        if not self.are_open(journal):
            return "the descriptors of the spool's files were closed"
        if not self.is_lock_in_place:
            return f"{self.path('lock')!r} was removed or replaced"
        if key_of(self.path("journal")) != journal.key:
            return f"{self.path('journal')!r} was removed or replaced"
        if not journal.is_whole:
            return f"{self.path('journal')!r} was cut short"
        return None

    def open_journal(self) -> BinaryIO:
        """Open the journal to read it, and no link; of a named pipe nobody waits for the other end."""
        return open(self.path("journal"), "rb", opener=_open_plain)

    def set_strange_aside(self) -> None:
        """Give other names to what has one of ours and is no plain file: a named pipe would hold
        whoever opens it, a link leads elsewhere. Raises `OSError`.
        """
        for suffix in _PLAIN:
            _set_aside_if_strange(self.path(suffix))

    def is_ours(self, owner: Owner) -> bool:
        """Whether a set that is locked may be opened; says why not, once."""
        try:
            with self.open_journal() as file:
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
            with self.open_journal() as file:
                start = file.read(PAGE_BYTES)
                header = read_header(start)
                most = 2 * header.segment_bytes if header is not None else _MOST_READ_BYTES
                return recover(start + file.read(most))
        except FileNotFoundError:
            return Recovered([], 0, damaged=False)

    def drop_journal(self, *, damaged: bool) -> None:
        """Remove a journal of which all is elsewhere now; set it aside if it is damaged. Raises
        `OSError`.
        """
        path = self.path("journal")
        if not damaged:
            remove_file(path)
            return
        aside = set_aside(path)
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
        """Make the journal, complete or not at all. Raises `SpoolFull` if the disk has no room for
        it.
        """
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


def _open_plain(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _text(owner: Owner) -> bytes:
    return "\n".join(owner).encode()[:_MOST_TEXT]


def leak(things: list[object]) -> None:
    """Keep these for ever, even beyond the end of the interpreter: nothing may finalize them."""
    if things:
        import ctypes

        for thing in things:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def base_after(last_id: int) -> int:
    """Return a number from which ids go on after a process of whose ids this is the last that is
    left.

    It may have given many after that, all delivered: an id that a caller has noted must not be
    given twice.
    """
    following = (last_id >> 32) + 1 << 32
    return following if following < 1 << 63 else last_id


def new_base() -> int:
    """Return a number from which the ids of a new set of files go on, and surely no other's."""
    return int.from_bytes(os.urandom(4), "big") >> 1 << 32

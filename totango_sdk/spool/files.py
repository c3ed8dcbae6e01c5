"""The set of files that one process writes: `SCOPE-NUMBER.lock`, and a `.NUMBER.log` for each segment.

The scope stands for a service and an endpoint, so that nobody opens what is not theirs; the first
page of each segment names both in full.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING
from zlib import crc32

import attrs

from ..errors import SpoolLocked
from ..log import tell_once
from .mapped import PAGE_BYTES
from .paths import (
    SUFFIXES,
    LockFile,
    check_is_held,
    disk_error,
    is_strange,
    key_of,
    open_plain,
    remove_file,
    set_aside,
)
from .records import MOST_TEXT, SCHEMA, Head, end_of
from .values import Owner

if TYPE_CHECKING:
    from .segment import Segment

# What the files of schema 1 end with.
EARLIER = (
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
    def found(cls, directory: str, owner: Owner) -> list[Files]:
        """Return the sets of this owner that lie here, living and dead, the oldest first.

        Raises `SpoolError`.
        """
        prefix = f"{_scope(owner)}-"
        try:
            names = os.listdir(directory)
        except OSError as error:
            raise disk_error(directory, error) from None
        stems = {
            name.split(".")[0] for name in names if name.startswith(prefix) and name.endswith(_OWN)
        }
        found = [cls(directory, stem) for stem in stems]
        return sorted(found, key=lambda files: (files.made_at, files.stem))

    @property
    def made_at(self) -> int:
        """When the set was made, as the clock stood then, in nanoseconds: nobody writes to a lock."""
        try:
            return os.stat(self.path("lock"), follow_symlinks=False).st_mtime_ns
        except OSError:  # it has none, or is just being removed
            return 0

    def _check(self) -> None:
        assert self._lock is not None
        try:
            check_is_held(self.directory, self._lock)
        except BaseException:
            self.close(remove=True)
            raise

    def path(self, suffix: str) -> str:
        return os.path.join(self.directory, f"{self.stem}.{suffix}")

    def segment_path(self, number: int) -> str:
        """Return where the segment of this number lies."""
        return self.path(f"{number:08x}.log")

    def number_of(self, path: str) -> int:
        """Return the number of the segment at a path."""
        return int(os.path.basename(path).split(".")[1], 16)

    def numbers(self) -> list[int]:
        """Return the numbers of the segments that are here, in order. Raises `OSError`."""
        found = []
        for name in self._names():
            part = name.split(".")
            if part[-1] == "log" and len(part) == 3:
                with contextlib.suppress(ValueError):
                    found.append(int(part[1], 16))
        return sorted(found)

    def _names(self) -> list[str]:
        prefix = f"{self.stem}."
        return [name for name in os.listdir(self.directory) if name.startswith(prefix)]

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        found = 0
        with contextlib.suppress(OSError):
            for name in self._names():
                found += os.stat(os.path.join(self.directory, name)).st_size
        return found

    @property
    def written(self) -> int:
        """Bytes of what was written, in all segments: what it takes to read them."""
        found = 0
        with contextlib.suppress(OSError):
            found = os.stat(self.path("db")).st_size
        with contextlib.suppress(OSError):
            for number in self.numbers():
                with open(self.segment_path(number), "rb", opener=open_plain) as file:
                    found += end_of(file.read(PAGE_BYTES))
        return found

    @property
    def have_earlier(self) -> bool:
        """Whether a version before this one has left files here."""
        return any(name.split(".", 1)[1] in EARLIER for name in self._names())

    @property
    def hold_anything(self) -> bool:
        """Whether there is more than the lock."""
        try:
            names = self._names()
        except OSError:
            return False
        return any(".corrupt-" not in name and not name.endswith(".lock") for name in names)

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

    @property
    def is_lock_open(self) -> bool:
        """Whether we still have the lock: the host may have closed its descriptor, with all others."""
        return self._lock is not None and self._lock.is_open

    def trouble(self, segments: list[Segment]) -> str | None:
        """Say what somebody has done to the files under us, if anything."""
        if not self.are_in_place:
            return f"the directory {self.directory!r} was removed or replaced"
        if not self.is_lock_open or not all(segment.file.is_open for segment in segments):
            return "the descriptors of the spool's files were closed"
        if not self.is_lock_in_place:
            return f"{self.path('lock')!r} was removed or replaced"
        for segment in segments:
            if key_of(segment.file.path) != segment.file.key:
                return f"{segment.file.path!r} was removed or replaced"
            if not segment.file.is_whole:
                return f"{segment.file.path!r} was cut short"
        return None

    def set_strange_aside(self) -> None:
        """Give other names to what has one of ours and is no plain file: a named pipe would hold
        whoever opens it, a link leads elsewhere. Drafts go. Raises `OSError`.
        """
        for name in self._names():
            path = os.path.join(self.directory, name)
            _set_aside_if_strange(path)
            if name.endswith(".draft"):
                remove_file(path)

    def is_ours(self, owner: Owner) -> bool:
        """Whether a set that is locked may be opened; says why not, once. Raises `OSError`."""
        for number in self.numbers():
            path = self.segment_path(number)
            head = head_of(path)
            if head is not None and head.schema > SCHEMA:
                tell_once(
                    f"newer {self.stem}",
                    f"{path} was written by a newer version (schema {head.schema}; this one knows "
                    f"{SCHEMA}), so it is left alone: upgrade totango-sdk to deliver it",
                )
                return False
            if head is not None and head.text != owner_text(owner):
                return False
        return True

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


def head_of(path: str) -> Head | None:
    """Return what the first page of a segment says; `None` if it cannot be read."""
    with contextlib.suppress(OSError), open(path, "rb", opener=open_plain) as file:
        return Head.read(file.read(PAGE_BYTES))
    return None


def owner_text(owner: Owner) -> bytes:
    """Return whose events they are, as a segment says it."""
    return "\n".join(owner).encode()[:MOST_TEXT]


def owner_in(text: bytes) -> Owner | None:
    """Return whose events they are, of what a file says; `None` if that is too long, or damaged."""
    return Owner(*text.decode().split("\n")) if text.count(b"\n") == 1 else None


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

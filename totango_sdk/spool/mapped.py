"""A file that is mapped into memory, whoever cuts it short, removes it, or closes its descriptor.

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
from typing import TYPE_CHECKING

from .. import host
from .paths import create_file, disk_error, open_plain, put_in_place, remove_file, status_of

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE_BYTES = 4096
# Of Linux 5.14 and later: it fails where a write to the mapped page would be answered by SIGBUS, since
# somebody cut the file short. A look at the file's size would let go of the interpreter.
_POPULATE_WRITE = 23
_HAS_MADVISE = hasattr(mmap.mmap, "madvise")
_MOST_POPULATED = 256 << 10  # bytes; a look at more pages would take longer than one at the size
_NO_FALLOCATE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_never_closed: list[mmap.mmap] = []


class MappedFile:
    """A file of so many bytes. `view` is what is mapped; `None` while it is not."""

    def __init__(self, path: str, size: int) -> None:
        self.path = path
        self.size = size
        self.key = (0, 0)  # what identifies the file
        self.view: mmap.mmap | None = None
        self.limit = 0  # how far the file still reaches
        self._fd = -1

    def create(self, fill: Callable[[], None], durability: str) -> None:
        """Make the file, complete with what `fill` writes or not at all. Raises `SpoolFull`."""
        draft = f"{self.path}.draft"
        try:
            remove_file(draft)
            try:
                self._take(create_file(draft))
                _allocate(self._fd, self.size)
                self.view = mmap.mmap(self._fd, self.size)
                self.limit = self.size
                fill()
                put_in_place(draft, self.path, durability)
            except BaseException:
                self.close()
                remove_file(draft)
                raise
        except OSError as error:
            raise disk_error(self.path, error) from None

    def _take(self, fd: int) -> None:
        self._fd = fd
        status = os.fstat(fd)
        self.key = status.st_dev, status.st_ino

    def open(self) -> bool:
        """Map what is there; `False` if it was removed, or nothing is left. Raises `SpoolError`."""
        if self.view is not None:
            return True
        try:
            if self._fd < 0:
                self._take(open_plain(self.path, os.O_RDWR))
            self.limit = min(os.fstat(self._fd).st_size, self.size)
            if self.limit:
                self.view = mmap.mmap(self._fd, self.limit)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise disk_error(self.path, error) from None
        return self.view is not None

    def rest(self) -> None:
        """Take no memory until it is read; what was removed can still be."""
        if self.view is not None and self.is_open:
            self.view.close()
            self.view = None

    def close(self) -> None:
        """Let go of the file, which stays as it is."""
        view, self.view = self.view, None
        is_open = self.is_open
        if view is not None and not is_open:
            # The mapping has a descriptor of its own, and would close whatever has its number now.
            _never_closed.append(view)
        elif view is not None:
            # In a child that was forked in the middle of something it may be in use.
            with contextlib.suppress(BufferError):
                view.close()
        if is_open:
            os.close(self._fd)
        self._fd = -1

    def shorten(self, size: int, start: bytes, durability: str) -> None:
        """End the file there, where nothing beyond is in use. It begins with `start` from now on, which
        is written first: whoever is killed between the two leaves a file that is merely longer.

        Raises `OSError`.
        """
        fd = os.dup(self._fd) if self.is_open else open_plain(self.path, os.O_RDWR)
        try:
            os.pwrite(fd, start, 0)
            if durability == "power":
                os.fsync(fd)
            os.ftruncate(fd, size)
        finally:
            os.close(fd)
        self.size = size
        self.limit = min(self.limit, size)

    def remove(self) -> None:
        """Let go of the file and remove it; if that fails, the next process finds nothing in it."""
        self.close()
        with contextlib.suppress(OSError):
            remove_file(self.path)

    def rename(self, path: str) -> None:
        """Give it another name. Raises `OSError`."""
        os.rename(self.path, path)
        self.path = path

    @property
    def is_open(self) -> bool:
        """Whether the descriptor is still ours: the host may have closed it, with all others."""
        return status_of(self._fd, self.key) is not None

    @property
    def is_held(self) -> bool:
        """Whether this process has had the file open; what a dead one has left is opened late."""
        return self._fd >= 0

    @property
    def is_whole(self) -> bool:
        """Whether the file still has the size that it was made with, as far as can be told."""
        status = status_of(self._fd, self.key)
        return status is not None and status.st_size >= self.size

    def measure(self) -> None:
        """See how far the file still reaches: nothing beyond its end is touched any more."""
        status = status_of(self._fd, self.key)
        if status is not None:
            self.limit = min(status.st_size, self.limit)

    def can_be_written(self, start: int, end: int) -> bool:
        """Whether the file still reaches as far as `end`."""
        error = self._populate(start, end)
        return error is None or (self.is_whole and error.errno != errno.EFAULT)

    def reach(self, start: int, end: int) -> None:
        """See whether the file still reaches as far as `end`. `measure` would let go of the
        interpreter, which comes back 5 ms later where a thread of the host computes.
        """
        if end - start > _MOST_POPULATED or self._populate(start, end) is not None:
            self.measure()

    def _populate(self, start: int, end: int) -> OSError | None:
        """Have these bytes ready to be written; returns why they cannot be, or nobody can tell."""
        start -= start % PAGE_BYTES
        try:
            if _HAS_MADVISE and self.view is not None and end <= len(self.view):
                self.view.madvise(_POPULATE_WRITE, start, end - start)
                return None
        except OSError as error:
            host.let_pass(error)
            return error
        return OSError(errno.ENOSYS, "")  # pragma: no cover - macOS

    def write(self, at: int, byte: int) -> None:
        """Change one byte, if the file still reaches so far."""
        if self.view is not None and at < self.limit:
            self.view[at] = byte

    def sync(self) -> None:
        """Wait until what is written would survive a power cut. Other threads go on meanwhile."""
        if self.is_open and hasattr(os, "fdatasync"):
            # On Linux it writes mapped pages too; `mmap.flush` would hold the interpreter.
            with contextlib.suppress(OSError):  # the host has closed it just now
                os.fdatasync(self._fd)
        elif self.view is not None:  # pragma: no cover - macOS
            self.view.flush()


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

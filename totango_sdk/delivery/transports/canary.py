"""See: whether the host has closed our descriptors, as one does that becomes a daemon."""

from __future__ import annotations

import _socket
import os
import sys
import weakref

from ... import host

# socket(7), which Python does not name; the same number on all but two forgotten machines.
_SO_COOKIE = 57


class Canary:
    """A descriptor that tells by its end whether the host has closed all. What it opens then gets
    the numbers of ours, which nobody may use or close any more.
    """

    def __init__(self) -> None:
        read, write = _socket.socketpair()
        self.read_fd, self.write_fd = read.detach(), write.detach()
        self._watched = _Watched(fileno=self.read_fd)
        self._known = _identity(self._watched)
        self._end = weakref.finalize(self, _close, self._watched, self.write_fd, self._known)
        self._end.atexit = False

    @property
    def is_alive(self) -> bool:
        """Whether nobody has closed it."""
        return _identity(self._watched) == self._known

    def close(self) -> None:
        """Close it, as its end does too: whoever still looks takes all for closed."""
        self._end()


class _Watched(_socket.socket):
    """A socket that does not close itself at its end: by then its number may be somebody else's."""

    # Instead it tells its number, to nobody. In C: what a signal handler raises within a `__del__` of
    # Python's is lost.
    __del__ = _socket.socket.fileno


def _identity(watched: _socket.socket) -> bytes | int | None:
    """Return what no other descriptor is called: the kernel's own name for a socket, or its inode.

    Unlike `os.fstat`, the first keeps the interpreter: a pool of threads that all let go of it
    before each request gets an eighth less done.
    """
    try:
        if sys.platform == "linux":
            return watched.getsockopt(_socket.SOL_SOCKET, _SO_COOKIE, 8)
    except OSError as error:  # closed, or a file by now, or a kernel that has no such names
        host.let_pass(error)
    try:
        return os.fstat(watched.fileno()).st_ino
    except OSError as error:
        host.let_pass(error)
        return None


def _close(watched: _socket.socket, write_fd: int, known: bytes | int | None) -> None:
    if _identity(watched) == known:
        watched.close()
        os.close(write_fd)

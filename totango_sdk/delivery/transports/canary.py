"""See: whether the host has closed our descriptors, as one does that becomes a daemon."""

from __future__ import annotations

import _socket
import os
import sys
import weakref
from typing import TYPE_CHECKING

from ... import host

if TYPE_CHECKING:
    from collections.abc import Callable

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
        self._identity = _cookie if _cookie(self._watched) else _inode
        self._known = self._identity(self._watched)
        self._end = weakref.finalize(
            self, _close, self._watched, self.write_fd, self._identity, self._known
        )
        self._end.atexit = False

    @property
    def is_alive(self) -> bool:
        """Whether nobody has closed it."""
        return self._identity(self._watched) == self._known

    def close(self) -> None:
        """Close it, as its end does too: whoever still looks takes all for closed."""
        self._end()


class _Watched(_socket.socket):
    """A socket that does not close itself at its end: by then its number may be somebody else's."""

    # Instead it tells its number, to nobody. In C: what a signal handler raises within a `__del__` of
    # Python's is lost.
    __del__ = _socket.socket.fileno


def _cookie(watched: _socket.socket) -> bytes | None:
    """Return the kernel's own name for a socket, which no other ever gets.

    Unlike `os.fstat` this keeps the interpreter: a pool of threads that all let go of it before
    each request gets an eighth less done.
    """
    if sys.platform != "linux":
        return None
    try:
        return watched.getsockopt(_socket.SOL_SOCKET, _SO_COOKIE, 8)
    except OSError as error:
        host.let_pass(error)
        return None


def _inode(watched: _socket.socket) -> int | None:
    try:
        return os.fstat(watched.fileno()).st_ino
    except OSError as error:
        host.let_pass(error)
        return None


def _close(
    watched: _socket.socket,
    write_fd: int,
    identity: Callable[[_socket.socket], object],
    known: object,
) -> None:
    if identity(watched) == known:
        watched.close()
        os.close(write_fd)

"""How threads wait for one another, whatever interrupts them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .. import host
from ..clock import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK_SECONDS = 1.0


class Bell:
    """Wakes one thread. Unlike `threading.Event`, also from a signal handler that interrupts its
    own ringing, and an exception out of one leaves nothing locked.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.hush()

    def ring(self) -> None:
        if self._lock.locked():
            try:
                self._lock.release()
            except RuntimeError as error:  # it rings already
                host.let_pass(error)

    def wait(self, seconds: float) -> None:
        """Wait until it rings, and stop the ringing."""
        self._lock.acquire(timeout=max(0.0, seconds))

    def hush(self) -> None:
        self._lock.acquire(blocking=False)


class Life:
    """One run of the sender's thread: `Thread.join` takes a thread for ended whose waiter was
    interrupted.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._bell = Bell()
        self.ident: int | None = None

    def end(self) -> None:
        self.is_over = True
        self._bell.ring()

    def join(self, timeout: float) -> None:
        until = monotonic() + timeout
        while not self.is_over and (left := until - monotonic()) > 0:
            self._bell.wait(min(left, LOOK_SECONDS))
        if self.is_over:
            self._bell.ring()  # whoever else waits


class Waiter:
    """Somebody who waits until all up to a mark is delivered or dead."""

    def __init__(self, mark: int) -> None:
        self.mark = mark
        self.is_done = False
        self.bell = Bell()


class Waiters:
    """All who wait so. Each may leave at any moment, also while they are told."""

    def __init__(self) -> None:
        self._waiting: list[Waiter] = []

    @property
    def are_there(self) -> bool:
        """Whether anybody waits."""
        return bool(self._waiting)

    def add(self, mark: int) -> Waiter:
        waiter = Waiter(mark)
        self._waiting.append(waiter)
        return waiter

    def tell(self, is_pending: Callable[[int], bool]) -> None:
        """Wake those up to whose mark nothing is pending any more."""
        for waiter in self._waiting[:]:
            if not is_pending(waiter.mark):
                waiter.is_done = True
                waiter.bell.ring()
                self.leave(waiter)

    def leave(self, waiter: Waiter) -> None:
        try:
            self._waiting.remove(waiter)
        except ValueError as error:  # somebody came first
            host.let_pass(error)

"""Threads of our own for what an asynchronous caller must not wait for in its loop.

Not the loop's executor: the host fills that with its own work, and shuts it down before we close.
They are daemons, start as they are needed, and end when there is nothing more to do.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from . import host
from .locks import make_lock

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")
_MOST = 16
_IDLE_SECONDS = 5.0


class Pool:
    """At most 16 threads, which take what waits in order."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._lock = make_lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._wanted = threading.Semaphore(0)
        self._threads = self._idle = 0

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the function returns, from one of the threads; raise what it raises."""
        import asyncio  # whoever awaits has imported it

        loop = asyncio.get_running_loop()
        future: Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            try:
                result = context.run(function, *args, **kwargs)
            except BaseException as error:
                _tell(loop, future, future.set_exception, error)
            else:
                _tell(loop, future, future.set_result, result)

        self._submit(work)
        return await future

    def _submit(self, work: Callable[[], None]) -> None:
        if self._pid != os.getpid():  # a fork has left the threads behind
            self._begin()
        with self._lock:
            self._waiting.append(work)
            is_enough = self._idle >= len(self._waiting) or self._threads >= _MOST
            if not is_enough:
                self._threads += 1
        if not is_enough:
            self._start()
        self._wanted.release()

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name="totango-async", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter is ending
            with self._lock:
                self._threads -= 1
                none_left = self._threads == 0
            if none_left:  # better late than never
                self._waiting.popleft()()

    def _work(self) -> None:
        while True:
            with self._lock:
                self._idle += 1
            is_wanted = self._wanted.acquire(timeout=_IDLE_SECONDS)
            with self._lock:
                self._idle -= 1
                work = self._waiting.popleft() if is_wanted and self._waiting else None
                if work is None and not is_wanted:
                    self._threads -= 1
                    return
            if work is not None:
                work()
                # With all that it belongs to, which must not live until the next one comes.
                del work


def _tell(
    loop: AbstractEventLoop, future: Future[Any], say: Callable[[Any], object], what: object
) -> None:
    def tell() -> None:
        if not future.done():  # else its task was cancelled
            say(what)

    try:
        loop.call_soon_threadsafe(tell)
    except RuntimeError as error:  # the loop has been closed meanwhile; nobody waits any more
        host.swallow(error)

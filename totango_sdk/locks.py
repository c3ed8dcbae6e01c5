"""Locks for `with` blocks that no exception out of a signal handler leaves held.

Up to Python 3.13 a signal is never handled between the end of `__enter__` and the block; since 3.14
it is, where `__enter__` is written in C.
"""

from __future__ import annotations

import _thread
import sys
import threading
from typing import Any

_Native: Any = _thread.RLock


class _Lock(_Native):  # type: ignore[misc]
    """A native lock, but for how it is entered: what strikes there lets go of it again.

    From the return of this function to the block nothing strikes. It is left by `__exit__` in C.
    """

    def __enter__(self) -> Any:
        before = self._recursion_count()
        try:
            return self.acquire()
        except BaseException:
            while self._recursion_count() > before:
                self.release()
            raise


def make_lock() -> Any:
    """Return what `threading.RLock` makes now, which may be gevent's, safe from signals."""
    lock = threading.RLock()
    return _Lock() if sys.version_info >= (3, 14) and type(lock) is _Native else lock


def is_held(lock: Any) -> bool:
    """Whether this very thread holds an `RLock`: then it was interrupted, by a signal handler or a
    `__del__`.
    """
    held: bool = lock._is_owned()
    return held

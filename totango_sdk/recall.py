"""What this process has said: names and attributes ride along only when new, changed or due."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cachetools import LRUCache

from .locks import make_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_REMEMBERED = 50_000


class Recall:
    """Remembers, for each account and user, a mark of what was last said of it, and for how long.

    Bounded: of more than 50,000 the least recently used are forgotten, which costs only that
    their attributes are sent once more.
    """

    def __init__(self, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._ttl = ttl
        self._clock = clock
        # cachetools is not thread-safe. Whoever stores what it has claimed holds the lock from the
        # claim to the store, so that of two claims for one account the later one is also stored
        # later.
        self.lock = make_lock()
        # Mark and time. Not a TTLCache: looking into that costs six times as much, on every track.
        self._said: LRUCache[str, tuple[int, float]] = LRUCache(maxsize=_REMEMBERED)

    def due(self, key: str, mark: int, force: bool) -> bool:
        """Whether this must be said now. A yes claims it: nobody else gets one for the same mark."""
        if self._ttl <= 0:
            return True
        with self.lock:
            now = self._clock()
            if not force:
                said = self._said.get(key)
                if said is not None and said[0] == mark and now - said[1] < self._ttl:
                    return False
            self._said[key] = (mark, now)
            return True

    def is_due(self, key: str, mark: int) -> bool:
        """Whether this would have to be said now. Claims nothing."""
        if self._ttl <= 0:
            return True
        with self.lock:
            said = self._said.get(key)
        return said is None or said[0] != mark or self._clock() - said[1] >= self._ttl

    def forget(self, keys: Iterable[str]) -> None:
        """Count these as not said: the request that carried them was given up."""
        with self.lock:
            for key in keys:
                self._said.pop(key, None)

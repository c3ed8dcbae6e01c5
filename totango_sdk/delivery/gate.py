"""Decide: when the next request may go. Pure: the clock and chance are arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .retry import backoff

if TYPE_CHECKING:
    from collections.abc import Callable

_FAILURES_TO_OPEN = 5
_BURST_SECONDS = 0.1


class Gate:
    """Says when the next request may go, and how many at once.

    Four things can close it: all connections are busy, the collector has asked everybody to wait,
    there is an outage, or the rate is used up.
    """

    def __init__(
        self,
        *,
        max_connections: int = 16,
        max_rate: float | None = None,
        hold: Hold | None = None,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self._max_connections = max_connections
        self._hold = hold or Hold()
        self._breaker = Breaker()
        self._rate = None if max_rate is None else Rate(max_rate)
        self.chance = chance or _chance()

    def free(self, out: int, now: float) -> int:
        """How many may go now, while so many are `out`."""
        if now < self._hold.until:
            return 0
        if self._breaker.is_open:
            return 1 if not out and now >= self._breaker.probe_at else 0
        free = self._max_connections - out
        return free if self._rate is None else min(free, self._rate.allowed(now))

    def opens_at(self, out: int, now: float) -> float | None:
        """When the next may go, while so many are `out`; `None` if only an answer can help."""
        if self.needs_an_answer(out):
            return None
        opens_at = self._hold.until
        if self._breaker.is_open:
            opens_at = max(opens_at, self._breaker.probe_at)
        if self._rate is not None:
            opens_at = max(opens_at, self._rate.next_at(now))
        return opens_at

    def needs_an_answer(self, out: int) -> bool:
        """Whether nothing may go before one of those that are `out` is answered."""
        return out >= self._max_connections or (self._breaker.is_open and out > 0)

    def went(self, requests: int) -> None:
        """So many have gone."""
        if self._rate is not None:
            self._rate.spend(requests)

    def succeeded(self) -> None:
        """The collector has answered."""
        self._breaker.succeeded()

    def failed(self, now: float, told_wait: float | None) -> None:
        """The way has failed; the collector may have asked for so many seconds of peace."""
        self._breaker.failed(now, self.chance())
        if told_wait is not None:
            self._hold.until = max(self._hold.until, now + told_wait)


class Hold:
    """Until when the collector has asked everybody to wait; one for all senders to it in a process."""

    def __init__(self) -> None:
        self.until = 0.0


_holds: dict[str, Hold] = {}


def hold_for(endpoint: str) -> Hold:
    """Return what all senders of this process to this endpoint share."""
    return _holds.setdefault(endpoint, Hold())


class Breaker:
    """Lets one request at a time try whether an outage is over, instead of all of them."""

    def __init__(self) -> None:
        self._failures = 0
        self._probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether there is an outage."""
        return self._failures >= _FAILURES_TO_OPEN

    @property
    def probe_at(self) -> float:
        """When the next request may try."""
        return self._probe_at

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, now: float, chance: float) -> None:
        if self.is_open and now < self._probe_at:
            return  # it was under way when the outage was found, and says nothing new
        self._failures += 1
        if self.is_open:
            # Never at once: chance may be near 0, and an outage must not be asked in a loop.
            wait = backoff(self._failures - _FAILURES_TO_OPEN + 1, 0.5 + chance / 2)
            self._probe_at = now + wait


class Rate:
    """At most so many requests a second, in bursts of no more than a tenth of that."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second * _BURST_SECONDS)
        self._tokens = self._most
        self._at: float | None = None

    def allowed(self, now: float) -> int:
        """How many may go now."""
        if self._at is not None:
            gained = max(0.0, now - self._at) * self._per_second
            self._tokens = min(self._most, self._tokens + gained)
        self._at = now
        return int(self._tokens)

    def spend(self, requests: int) -> None:
        self._tokens -= requests

    def next_at(self, now: float) -> float:
        """When at least one may go."""
        if self.allowed(now):
            return now
        return now + (1 - self._tokens) / self._per_second


def _chance() -> Callable[[], float]:
    from random import random  # milliseconds to import, and not needed before the first event

    return random

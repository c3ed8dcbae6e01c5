"""Send: one step from the spool to the collector. No thread, no socket and no clock of its own."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from ..errors import SpoolError, shown
from ..log import tell_once
from ..spool import Leased, Outcome
from .retry import Breaker, Hold, Verdict, backoff, judge
from .transports import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..spool import Spool
    from .transports import Transport

_BURST_SECONDS = 0.1
_NUMBER = re.compile(r"\d+")


class Sender:
    """Leases what is due, submits it, and settles what is answered."""

    def __init__(
        self,
        spool: Spool,
        transport: Transport,
        *,
        suffix: bytes = b"",
        max_connections: int = 16,
        max_rate: float | None = None,
        hold: Hold | None = None,
        on_dead: Callable[[Outcome], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self._spool = spool
        self._transport = transport
        self._suffix = suffix  # the token, which is never stored with an event
        self._max_connections = max_connections
        self._on_dead = on_dead
        self._clock = clock
        self._wall_clock = wall_clock
        self._chance = chance or _chance()
        self._out: dict[int, Leased] = {}
        self._breaker = Breaker()
        self._hold = hold or Hold()
        self._rate = None if max_rate is None else _Rate(max_rate)
        self.last_failure = ""

    @property
    def in_flight(self) -> int:
        """Requests that wait for an answer."""
        return len(self._out)

    @property
    def is_hungry(self) -> bool:
        """Whether a new event could leave before all that waits."""
        if len(self._out) >= self._max_connections or (self._breaker.is_open and self._out):
            return False
        due = self._spool.next_due()
        return due is None or due > self._clock()

    def collect(self, wait: float) -> list[Answer]:
        """Return the answers that are there; wait up to `wait` seconds for the first."""
        return self._transport.poll(wait) if self._out else []

    def step(self, answers: Sequence[Answer] = ()) -> None:
        """Settle these answers, and submit what may go now."""
        now = self._clock()
        if answers:
            self._settle(answers, now)
        free = self._free(now)
        if free <= 0:
            return
        failed = []
        leased = self._spool.lease(free, now)
        if self._rate is not None:
            self._rate.spend(len(leased))
        submit, suffix = self._transport.submit, self._suffix
        for event in leased:
            event_id = event.id
            self._out[event_id] = event
            try:
                submit(event_id, event.body + suffix)
            except Exception as error:
                failed.append(Answer(event_id, None, error=f"the transport raised {shown(error)}"))
        if failed:
            self._settle(failed, now)

    def give_back(self) -> None:
        """Put what is out back into the spool: nobody waits for its answers any more."""
        outcomes = [Outcome(event, "retry", reason="the client was closed") for event in self._out.values()]
        self._out.clear()
        self._spool.settle(outcomes)

    def idle_for(self) -> float | None:
        """Seconds until a step could submit something; `None` if only an answer or a new event can help."""
        if len(self._out) >= self._max_connections:
            return None
        due = self._spool.next_due()
        if due is None:
            return None
        now = self._clock()
        gates = [due, self._hold.until]
        if self._breaker.is_open:
            if self._out:
                return None
            gates.append(self._breaker.probe_at)
        if self._rate is not None:
            gates.append(self._rate.next_at(now))
        return max(0.0, max(gates) - now)

    def _free(self, now: float) -> int:
        if now < self._hold.until:
            return 0
        if self._breaker.is_open:
            return 1 if not self._out and now >= self._breaker.probe_at else 0
        free = self._max_connections - len(self._out)
        return free if self._rate is None else min(free, self._rate.allowed(now))

    def _settle(self, answers: Sequence[Answer], now: float) -> None:
        outcomes: list[Outcome] = []
        dead: list[Outcome] = []
        wall = self._wall_clock()
        for answer in answers:
            event = self._answered(answer)
            if event is None:
                tell_once("unknown answer", f"the transport gave {shown(answer)}, which answers nothing under way")
                continue
            if type(answer) is Answer and answer.status == 200:  # what `judge` says of nearly every one
                self._breaker.succeeded()
                outcomes.append(Outcome(event, "delivered"))
                continue
            outcome = self._outcome(event, answer, now, wall)
            if outcome.verdict == "dead":
                dead.append(outcome)
            else:
                outcomes.append(outcome)
        try:
            self._spool.settle(outcomes)
        finally:
            for outcome in dead:
                self._bury(outcome, now)

    def _answered(self, answer: Answer) -> Leased | None:
        try:
            return self._out.pop(answer.ticket, None)
        except (AttributeError, TypeError):  # no answer at all, or for a ticket that nobody can have given
            return None

    def _bury(self, outcome: Outcome, now: float) -> None:
        try:
            self._spool.settle([outcome])
        except SpoolError as error:  # a full disk has no room for a dead letter either
            tell_once("bury", f"an event that was given up stays among those that wait: {error}", level="error")
            later = now + backoff(outcome.event.attempts + 1, 1.0)
            self._spool.settle([Outcome(outcome.event, "retry", later, outcome.reason)])
            return
        try:
            self._on_dead(outcome)
        except (Exception, SystemExit) as error:  # a hook may well call sys.exit; others wait behind this one
            tell_once("on_dead", f"what is called with a dead letter raised {shown(error)}")

    def _outcome(self, event: Leased, answer: Answer, now: float, wall: float) -> Outcome:
        try:
            verdict = judge(answer, wall)
        except Exception:  # a transport of the host's own
            verdict = Verdict("retry", f"the transport gave {shown(answer)}, which is no answer")
        if verdict.kind != "retry":
            self._breaker.succeeded()
            return Outcome(event, verdict.kind, reason=verdict.reason)
        self.last_failure = verdict.reason
        # libcurl tells how many milliseconds it waited: the same fault is another text each time.
        kind = _NUMBER.sub("#", verdict.reason) if answer.status is None else str(answer.status)
        tell_once(f"retry {kind}", f"events wait in the spool and are sent again: {verdict.reason}")
        self._breaker.failed(now, self._chance())
        wait = backoff(event.attempts + 1, self._chance())
        if verdict.wait is not None:
            self._hold.until = max(self._hold.until, now + verdict.wait)
            wait = max(wait, verdict.wait)
        return Outcome(event, "retry", now + wait, verdict.reason)


def _chance() -> Callable[[], float]:
    from random import random  # milliseconds to import, and not needed before the first event

    return random


class _Rate:
    """At most so many requests a second, in bursts of no more than a tenth of that."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second * _BURST_SECONDS)
        self._tokens = self._most
        self._at: float | None = None

    def allowed(self, now: float) -> int:
        """How many may go now."""
        if self._at is not None:
            self._tokens = min(self._most, self._tokens + max(0.0, now - self._at) * self._per_second)
        self._at = now
        return int(self._tokens)

    def spend(self, requests: int) -> None:
        self._tokens -= requests

    def next_at(self, now: float) -> float:
        """When at least one may go."""
        return now if self.allowed(now) else now + (1 - self._tokens) / self._per_second

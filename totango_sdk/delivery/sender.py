"""Send: one step from the spool to the collector. No thread, no socket and no clock of its own."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from .. import host
from ..clock import monotonic
from ..errors import SpoolError
from ..log import tell_once
from ..show import shown
from ..spool import Leased, Outcome
from .gate import Gate
from .retry import Verdict, backoff, judge
from .transports import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..spool import Spool
    from .transports import Transport

_DEAF_SECONDS = 0.05
_NUMBER = re.compile(r"\d+")


class Sender:
    """Leases what is due, submits it, and settles what is answered."""

    def __init__(
        self,
        spool: Spool,
        transport: Transport,
        gate: Gate | None = None,
        *,
        suffix: bytes = b"",
        on_dead: Callable[[Outcome], None] = lambda _: None,
        clock: Callable[[], float] = monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._spool = spool
        self._transport = transport
        self._gate = gate or Gate()
        self._suffix = suffix  # the token, which is never stored with an event
        self._on_dead = on_dead
        self._clock = clock
        self._wall_clock = wall_clock
        self._out: dict[int, Leased] = {}
        # Answered, and the spool has not taken it yet.
        self._unsettled: list[Outcome] = []
        self._dying: list[Outcome] = []
        self.last_failure = ""

    @property
    def in_flight(self) -> int:
        """Requests that wait for an answer."""
        return len(self._out)

    @property
    def is_hungry(self) -> bool:
        """Whether a new event could leave before all that waits."""
        if self._gate.needs_an_answer(len(self._out)):
            return False
        due = self._spool.next_due()
        return due is None or due > self._clock()

    @property
    def is_held_up(self) -> bool:
        """Whether something could leave that waits now, once a request under way is answered."""
        return bool(self._out) and self._spool.has_held

    def wake(self) -> None:
        """Make a `collect` that waits return; called by other threads."""
        if self._out:  # else nobody waits in the transport
            wake = getattr(self._transport, "wake", None)
            if wake is not None:
                wake()

    def close(self) -> None:
        """Stop at once. What is out stays so, until `give_back`."""
        self._transport.close()

    def collect(self, wait: float) -> list[Answer]:
        """Return the answers that are there; wait up to `wait` seconds for the first.

        A transport that nothing wakes is not waited in for long.
        """
        if not self._out:
            return []
        if wait > _DEAF_SECONDS and not hasattr(self._transport, "wake"):
            wait = _DEAF_SECONDS
        return self._transport.poll(wait)

    def step(self, answers: Sequence[Answer] = ()) -> int:
        """Settle these answers, and submit what may go now; returns how many that are."""
        now = self._clock()
        if answers or self._unsettled or self._dying:
            self._settle(answers, now)
        free = self._gate.free(len(self._out), now)
        if free <= 0:
            return 0
        leased = self._spool.lease(free, now)
        # First of all: what has left the spool and is not noted here would never be sent.
        self._out.update([(event.id, event) for event in leased])
        self._gate.went(len(leased))
        self._submit(leased, now)
        return len(leased)

    def _submit(self, leased: Sequence[Leased], now: float) -> None:
        failed = []
        submit, suffix = self._transport.submit, self._suffix
        for event in leased:
            try:
                submit(event.id, event.body + suffix)
            except host.FAILURES as error:
                host.swallow(error)
                failed.append(Answer(event.id, None, error=f"the transport raised {shown(error)}"))
        if failed:
            self._settle(failed, now)

    def give_back(self) -> None:
        """Put what is out back into the spool: nobody waits for its answers any more."""
        outcomes = [*self._unsettled, *self._dying]
        known = {outcome.event.id for outcome in outcomes}
        outcomes += [
            Outcome(event, "retry", reason="the client was closed")
            for event in self._out.values()
            if event.id not in known
        ]
        self._unsettled, self._dying, self._out = [], [], {}
        self._settle_each(outcomes)

    def idle_for(self) -> float | None:
        """Seconds until a step could submit something; `None` if only an answer or a new event can
        help.
        """
        if self._unsettled or self._dying:
            return 0.0
        now = self._clock()
        opens_at = self._gate.opens_at(len(self._out), now)
        if opens_at is None:
            return None
        due = self._spool.next_due()
        return None if due is None else max(0.0, max(due, opens_at) - now)

    def _settle(self, answers: Sequence[Answer], now: float) -> None:
        late, self._unsettled = self._unsettled, []
        if late:
            self._settle_each(late)
        for answer in answers:
            event = self._answered(answer)
            if event is None:
                tell_once(
                    "unknown answer",
                    f"the transport gave {shown(answer)}, which answers nothing under way",
                )
                continue
            # What `judge` says of nearly every one.
            if type(answer) is Answer and answer.status == 200 and not answer.headers:
                self._gate.succeeded()
                outcome = Outcome(event, "delivered")
            else:
                outcome = self._outcome(event, answer, now)
            (self._dying if outcome.verdict == "dead" else self._unsettled).append(outcome)
            del self._out[event.id]
        self._strike_off(now)

    def _strike_off(self, now: float) -> None:
        """Settle what was answered. What the spool does not take is kept for the next step."""
        try:
            self._spool.settle(self._unsettled)
            self._unsettled = []
        finally:
            while self._dying:
                self._bury(self._dying[0], now)
                del self._dying[0]

    def _settle_each(self, outcomes: list[Outcome]) -> None:
        """Settle what the spool did not take at first, one by one: some of it may be settled."""
        for at, outcome in enumerate(outcomes):
            try:
                self._spool.settle([outcome])
            except LookupError:
                continue  # it was struck off before the rest failed
            except BaseException:
                self._unsettled = outcomes[at:]
                raise

    def _answered(self, answer: Answer) -> Leased | None:
        try:
            return self._out.get(answer.ticket)
        except host.FAILURES as error:  # no answer at all, or for a ticket that nobody can give
            host.swallow(error)
            return None

    def _bury(self, outcome: Outcome, now: float) -> None:
        try:
            self._spool.settle([outcome])
        except LookupError:
            return  # it was buried before the rest failed
        except SpoolError as error:  # a full disk has no room for a dead letter either
            self._put_off(outcome, error, now)
            return
        try:
            self._on_dead(outcome)
        except host.FAILURES as error:  # others wait behind this one
            host.swallow(error)
            tell_once("on_dead", f"what is called with a dead letter raised {shown(error)}")

    def _put_off(self, outcome: Outcome, error: SpoolError, now: float) -> None:
        tell_once(
            "bury",
            f"an event that was given up stays among those that wait: {error}",
            level="error",
        )
        later = now + backoff(outcome.event.attempts + 1, 1.0)
        self._unsettled.append(Outcome(outcome.event, "retry", later, outcome.reason))

    def _outcome(self, event: Leased, answer: Answer, now: float) -> Outcome:
        try:
            verdict = judge(answer, self._wall_clock())
            kind = self._kind_of(answer, verdict)
        except host.FAILURES as error:  # a transport of the host's own
            host.swallow(error)
            verdict = Verdict("retry", f"the transport gave {shown(answer)}, which is no answer")
            kind = "no answer"
        if verdict.kind != "retry":
            self._gate.succeeded()
            if verdict.kind == "delivered" and verdict.reason:
                tell_once(f"delivered {verdict.reason}", verdict.reason)
            return Outcome(event, verdict.kind, reason=verdict.reason)
        self.last_failure = verdict.reason
        tell_once(f"retry {kind}", f"events wait in the spool and are sent again: {verdict.reason}")
        self._gate.failed(now, verdict.wait)
        wait = max(backoff(event.attempts + 1, self._gate.chance()), verdict.wait or 0.0)
        return Outcome(event, "retry", now + wait, verdict.reason)

    def _kind_of(self, answer: Answer, verdict: Verdict) -> str:
        if answer.status is not None:
            return str(answer.status)
        # libcurl tells how many milliseconds it waited: the same fault is another text each time.
        return _NUMBER.sub("#", verdict.reason)

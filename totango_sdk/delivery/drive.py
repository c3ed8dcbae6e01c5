"""Drive: what the sender's thread does, one turn after another, until it is asked to stop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .. import host, imports
from ..clock import monotonic
from ..errors import DeliveryError
from .bells import Bell, Waiters
from .guard import guarded, surely

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable

    from ..spool import Spool
    from .sender import Sender

HOUSEKEEPING_SECONDS = 60.0
_MAINTAIN_SECONDS = 0.05
# How long the thread rests after something of the host's has raised: twice as long each time, until
# something works again.
_FIRST_REST_SECONDS = 0.02
LONGEST_REST_SECONDS = 1.0
# So long after an event has left, nobody wakes the thread: it looks by itself, and then sends all
# that has come. To be woken by each event of a busy host would cost that host more than to send it.
# The nap is twice as long each time that something has come meanwhile.
_FIRST_NAP_SECONDS, _LONGEST_NAP_SECONDS = 0.01, 0.1


class Drive:
    """Steps the sender, which it makes once there is something to send.

    One thread at a time drives. Others wake it, wait for it, or leave it something to do.
    """

    def __init__(
        self,
        spool: Spool,
        make_sender: Callable[[Spool], Sender],
        late: deque[Callable[[], object]],
    ) -> None:
        self.spool = spool
        self._make_sender = make_sender
        self._late = late
        self.bell = Bell()
        self.waiters = Waiters()
        self.sender: Sender | None = None
        self._last_failure = ""
        self.is_asleep = False
        self.stop_at: float | None = None
        self._nap_until = 0.0
        self._nap_seconds = _FIRST_NAP_SECONDS
        self._rest = _FIRST_REST_SECONDS
        self._looked_at = -HOUSEKEEPING_SECONDS
        self._looked = threading.Event()

    # -- for other threads

    def wake(self) -> None:
        """Make the thread look at the spool again."""
        self.is_asleep = False
        self.bell.ring()
        sender = self.sender
        if sender is not None:
            guarded("transport", sender.wake)

    def look_for_the_dead(self) -> None:
        """Have the next turn look for what processes have left that are gone."""
        self._looked.clear()
        self._looked_at = -HOUSEKEEPING_SECONDS

    def wait_until_looked(self, timeout: float) -> None:
        """Wait up to `timeout` seconds until it has."""
        self._looked.wait(timeout)

    @property
    def last_failure(self) -> str:
        """Why the last request failed that is to be sent again."""
        sender = self.sender
        return self._last_failure if sender is None else sender.last_failure

    def catch_up(self) -> None:
        """Do what has come in the middle of something."""
        while self._late:
            try:
                work = self._late.popleft()
            except IndexError as error:  # another thread was faster
                host.let_pass(error)
                return
            guarded("late call", work)

    # -- in the thread

    def live(self) -> None:
        """Send, and keep the spool's house, until asked to stop."""
        self._looked_at = -HOUSEKEEPING_SECONDS
        while True:
            self.catch_up()
            now = monotonic()
            adopt = now - self._looked_at >= HOUSEKEEPING_SECONDS
            if adopt:
                self._looked_at = now
            guarded("spool", self.spool.maintain, adopt=adopt)
            if adopt:
                self._looked.set()
            house_at = self._looked_at + HOUSEKEEPING_SECONDS
            if not guarded("sender", self._turns, now + _MAINTAIN_SECONDS, house_at):
                self.bell.wait(self._wait_for(self._rest, house_at))
                self._rest = min(2 * self._rest, LONGEST_REST_SECONDS)
            if self._is_over():
                return

    def end_sender(self) -> None:
        """Stop sending. What is out goes back: another thread, or process, sends it."""
        sender = self.sender
        if sender is not None:
            surely("transport", sender.close)
            surely("sender", sender.give_back)
            self._last_failure = sender.last_failure
            self.sender = None

    def _turns(self, until: float, house_at: float) -> None:
        """Send for a while; returns when the spool wants its housekeeping, or all is over."""
        sender = self.sender
        if sender is None:
            sender = self._begin(house_at)
            if sender is None:
                return
        while True:
            self.is_asleep = True  # first, so that nothing slips in between the look and the sleep
            self.tell_waiters()
            # In this order: an event that comes between the two looks is seen by the second.
            is_hungry = sender.is_hungry
            wait = self._wait_for(sender.idle_for(), house_at)
            nap = self._nap() if is_hungry else 0.0
            self.is_asleep = is_hungry and not nap
            # First of all, so that a transport begins with what it was given.
            answers = sender.collect(0.0) if nap else ()
            if not answers:
                wait = min(wait, nap) if nap else wait
                wants_answers = sender.is_held_up if nap else sender.in_flight > 0
                if wait > 0 and not wants_answers:
                    self.bell.wait(wait)
                    wait = 0.0
                answers = sender.collect(wait)
            self.is_asleep = False
            self.bell.hush()
            if sender.step(answers):
                if nap:
                    self._nap_seconds = min(2 * self._nap_seconds, _LONGEST_NAP_SECONDS)
                elif is_hungry:
                    self._nap_seconds = _FIRST_NAP_SECONDS
                self._nap_until = monotonic() + self._nap_seconds
            if answers:
                self._rest = _FIRST_REST_SECONDS
            if self._late or monotonic() >= until or self.stop_at is not None:
                return
            # Or somebody asked to look for what others have left.
            if self.spool.needs_care or not self._looked.is_set():
                return

    def _nap(self) -> float:
        """Return for how long it is not worth to be woken: something has just left, and nobody waits."""
        if self.stop_at is not None or self.waiters.are_there:
            return 0.0
        return max(0.0, self._nap_until - monotonic())

    def _begin(self, house_at: float) -> Sender | None:
        """Make the sender once there is something to send; until then the HTTP library is not
        imported.
        """
        self.is_asleep = True
        self.tell_waiters()
        if self.spool.next_due() is None:
            if self.stop_at is None:
                self.bell.wait(self._wait_for(None, house_at))
            return None
        with imports.no_fork():  # in the middle of an import, a child would find half a module
            import encodings.idna  # noqa: F401 - what looks a name up imports this

            try:
                self.sender = self._make_sender(self.spool)
            except DeliveryError as error:
                self._last_failure = str(error)
                raise
        return self.sender

    def _wait_for(self, idle: float | None, house_at: float) -> float:
        latest = house_at if self.stop_at is None else min(house_at, self.stop_at)
        wait = latest - monotonic()
        return max(0.0, wait if idle is None else min(idle, wait))

    def tell_waiters(self) -> None:
        """Wake those for whom all is delivered or dead."""
        self.waiters.tell(self.spool.pending_before)

    def _is_over(self) -> bool:
        """Whether to stop: when asked to, and nothing more can be delivered in time."""
        if self.stop_at is None:
            return False
        now = monotonic()
        if now >= self.stop_at:
            return True
        try:
            if self.sender is None:
                return self.spool.next_due() is None
            idle = self.sender.idle_for()
        except host.FAILURES as error:  # told of elsewhere; nothing more can be hoped for
            host.swallow(error)
            return True
        return not self.sender.in_flight and (idle is None or now + idle >= self.stop_at)

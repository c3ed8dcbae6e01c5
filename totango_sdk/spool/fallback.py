"""A spool in memory for as long as the one that is wanted cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import host
from ..log import tell_once
from .base import Spool
from .memory import MemorySpool
from .values import Counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .letters import DeadLetter
    from .values import Item, Leased, Outcome, Owner

_FIRST_ID = -(1 << 62)  # of what is in memory: ids of any other spool are positive


class FallbackSpool(Spool):
    """Keeps events in memory until another spool can be opened, which is tried whenever there is
    housekeeping. What is in memory then goes before what comes after.
    """

    def __init__(self, wanted: Spool, owner: Owner, why: str = "") -> None:
        self._wanted = wanted
        self._owner = owner
        self.why = why  # the wanted one cannot be used
        self._memory = MemorySpool(first_id=_FIRST_ID)
        self._is_open = False  # the wanted one

    @property
    def _spools(self) -> tuple[Spool, ...]:
        return (self._memory, self._wanted) if self._is_open else (self._memory,)

    @property
    def durable(self) -> bool:
        """Whether the wanted spool is in use by now, and durable."""
        return self._is_open and self._wanted.durable

    @property
    def needs_care(self) -> bool:
        """Whether the wanted spool does; see `Spool`."""
        return self._is_open and self._wanted.needs_care

    @property
    def is_inside(self) -> bool:
        """Whether this very thread is in the middle of something here; see `Spool`."""
        return self._memory.is_inside or self._wanted.is_inside

    def open(self, owner: Owner) -> None:
        """Try the wanted spool. Never raises."""
        self._owner = owner
        self._try()

    def _try(self) -> bool:
        try:
            self._wanted.open(self._owner)
        except host.FAILURES as error:
            host.swallow(error)
            self.why = str(error)
            return False
        self._is_open = True
        return True

    def close(self) -> None:
        """Let go of the wanted spool; see `Spool`."""
        if self._is_open:
            self._is_open = False
            self._wanted.close()

    def maintain(self, *, adopt: bool) -> None:
        """Try the wanted spool again, with `adopt`, or do what it needs."""
        if adopt and not self._is_open and self._try():
            tell_once("spool again", "events are no longer kept in memory only", level="info")
        if self._is_open:
            self._wanted.maintain(adopt=adopt)

    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        """Store all items in order; see `Spool.put`."""
        return (self._wanted if self._is_open else self._memory).put(items, wait=wait)

    def lease(self, limit: int, now: float) -> list[Leased]:
        """Take out what is due, of what is in memory first; see `Spool.lease`."""
        leased = self._memory.lease(limit, now)
        counts = self._memory.counts()
        if self._is_open and not (counts.queued or counts.in_flight):
            leased += self._wanted.lease(limit - len(leased), now)
        return leased

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Strike off, put off or bury, each where it came from; see `Spool.settle`."""
        here = [outcome for outcome in outcomes if outcome.event.id < 0]
        if here:
            self._memory.settle(here)
        there = [outcome for outcome in outcomes if outcome.event.id >= 0]
        if there:
            self._wanted.settle(there)

    def next_due(self) -> float | None:
        """When the next event may go; see `Spool.next_due`."""
        found = (spool.next_due() for spool in self._spools)
        return min((due for due in found if due is not None), default=None)

    @property
    def has_held(self) -> bool:
        """Whether anything waits for an answer; see `Spool.has_held`."""
        return any(spool.has_held for spool in self._spools)

    def mark(self) -> int:
        """A mark of everything accepted up to now."""
        return (self._wanted if self._is_open else self._memory).mark()

    def pending_before(self, mark: int | None) -> bool:
        """Whether anything up to the mark is still here; see `Spool.pending_before`."""
        if mark is not None and mark < 0:
            return self._memory.pending_before(mark)
        if self._memory.pending_before(None):
            return True
        return self._is_open and self._wanted.pending_before(mark)

    def counts(self) -> Counts:
        """What is in both, and what became of the rest."""
        found = [spool.counts() for spool in self._spools]
        totals = [sum(values) for values in zip(*(counts[:-1] for counts in found), strict=True)]
        oldest = [counts.oldest_at for counts in found if counts.oldest_at is not None]
        return Counts._make([*totals, min(oldest, default=None)])

    def letters(self) -> Iterator[DeadLetter]:
        """The dead letters of both."""
        for spool in self._spools:
            yield from spool.letters()

    def before_fork(self) -> None:
        """Hold both still; see `Spool`."""
        self._memory.before_fork()
        self._wanted.before_fork()

    def after_fork(self, *, in_child: bool) -> None:
        """Go on; the child starts with neither; see `Spool`."""
        self._memory.after_fork(in_child=in_child)
        self._wanted.after_fork(in_child=in_child)
        if in_child:
            self._is_open = False

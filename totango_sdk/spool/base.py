"""Kept safe: what a spool is, and what goes in and comes out.

A spool stores opaque bodies, and knows of each event which records it concerns (an account, a
product account, a user below one) and of which of them it says something: of those it is an update.
Of each record one update is out at a time, in the order in which they were put, and a retry holds
up later updates of that record and nothing else. Everything else starts in the order in which it
was put, and goes side by side; what is behind an update of a record that it concerns waits for that
update's first answer, so that the record is known before its usage. Accounts do not wait for one
another.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .letters import DeadLetter
    from .values import Counts, Item, Leased, Outcome, Owner


class Spool(Protocol):
    """Where events wait. `totango_sdk.testing.check_spool` tests one that you have written.

    Derive from this class: eight methods are yours to write (`open`, `put`, `lease`, `settle`,
    `next_due`, `counts`, `letters`, `close`); the others do nothing, or the safe thing, and can
    be overridden. `put` may be called from any thread. `lease`, `settle`, `next_due` and
    `maintain` are called from one thread at a time, the sender's.
    """

    @abstractmethod
    def open(self, owner: Owner) -> None:
        """Make ready for use in this process. Raises `SpoolError`. Called again after a fork."""

    @abstractmethod
    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        """Store all items in order, and return the id of the last.

        Raises `SpoolFull`. With `wait=False`, returns `None` instead of waiting for the disk.
        """

    @abstractmethod
    def lease(self, limit: int, now: float) -> list[Leased]:
        """Take out up to `limit` events that are due, the oldest first.

        Of each record at most one update is out, and what concerns a record waits for the first
        answer to the updates before it, if none of them is to be tried again.
        """

    @abstractmethod
    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Strike off what was delivered, note what is due again, and bury what is dead.

        Raises `SpoolFull` where a dead letter finds no room; it and those behind it stay out then.
        """

    @abstractmethod
    def next_due(self) -> float | None:
        """When the next event that is not out becomes due; `None` if there is none."""

    @abstractmethod
    def counts(self) -> Counts:
        """What is here, and what became of the rest."""

    @abstractmethod
    def letters(self) -> Iterator[DeadLetter]:
        """The dead letters, the oldest first: made by `DeadLetter.refused` of an item that was put
        as one, and by `DeadLetter.given_up` of an outcome.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go. What was not delivered stays for the next process, if the spool is durable."""

    # -- what a spool need not have

    @property
    def durable(self) -> bool:
        """Whether what `put` has accepted survives the end of this process."""
        return False

    @property
    def needs_care(self) -> bool:
        """Whether `maintain` should be called soon."""
        return False

    @property
    def has_held(self) -> bool:
        """Whether anything waits for the answer to what is out. One that cannot tell says yes."""
        return True

    @property
    def is_inside(self) -> bool:
        """Whether the thread that asks is in the middle of one of these methods, and was
        interrupted there by a signal handler or a `__del__`: then another thread is sent to `put`.
        """
        return False

    def maintain(self, *, adopt: bool) -> None:
        """Do what is better done outside of `put`; with `adopt`, look for what dead processes left."""
        return  # a body without it is abstract to mypy

    def mark(self) -> int:
        """A mark of everything that has been accepted up to now."""
        return self.counts().accepted

    def pending_before(self, mark: int | None) -> bool:
        """Whether anything accepted up to `mark` still waits or is out; without a mark, anything.

        One that cannot tell what came before a mark takes all that waits for it.
        """
        counts = self.counts()
        return counts.queued + counts.retrying + counts.in_flight > 0

    def before_fork(self) -> None:
        """Hold still: the process is about to fork."""
        return  # a body without it is abstract to mypy

    def after_fork(self, *, in_child: bool) -> None:
        """Go on; in the child, let go of everything inherited without touching what it stands for."""
        return  # a body without it is abstract to mypy

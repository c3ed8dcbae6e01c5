"""Kept safe: what a spool is, and what goes in and comes out.

A spool stores opaque bodies. Each belongs to a lane (an account with its products), and within a
lane only the oldest is ever out: the next is leased when it has been delivered or given up. So a
retry never overtakes a later update, and lanes never wait for one another.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import attrs

from ..errors import Readable, SpoolError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class SpoolClosed(SpoolError):
    """The spool is not open in this process (any more)."""


def is_held(lock: Any) -> bool:
    """Whether this very thread holds an `RLock`: then it was interrupted, by a signal handler or a `__del__`."""
    held: bool = lock._is_owned()
    return held


class Owner(NamedTuple):
    """Whose events these are: they are never delivered with another service's token or region."""

    service_id: str
    endpoint: str


class Item(NamedTuple):
    """What is put: an encoded body for a lane, or a `letter` that is dead already (JSON)."""

    lane: str
    body: bytes
    is_letter: bool = False


class Leased(NamedTuple):
    """One event that is out for delivery."""

    id: int
    lane: str
    body: bytes
    attempts: int
    accepted_at: float


class Outcome(NamedTuple):
    """What became of a leased event."""

    event: Leased
    verdict: Literal["delivered", "retry", "dead"]
    due: float = 0.0  # for a retry: not before this time, on the clock that `lease` is given
    reason: str = ""


@attrs.frozen(kw_only=True, repr=False)
class DeadLetter(Readable):
    """An event that was given up, with everything that is needed to mend it.

    `reason` says why in one line. An event that was refused before it was stored has `input`, the
    caller's whole input, and `problems`, each with `field`, `value`, `message` and `severity`. One
    that the collector refused has `body`, as it was sent (without the token), and `attempts`.
    Times are seconds since 1970.
    """

    id: str
    reason: str
    body: bytes | None = attrs.field(default=None, repr=False)
    input: dict[str, Any] | None = None
    problems: tuple[dict[str, str], ...] = ()
    attempts: int = 0
    accepted_at: float
    dead_at: float


def letter_of(
    event_id: str,
    *,
    reason: str,
    body: bytes | None = None,
    refused: bytes | None = None,
    attempts: int = 0,
    accepted_at: float,
    dead_at: float,
) -> DeadLetter:
    """Return the dead letter that is stored so; `refused` is JSON of the caller's input and problems."""
    told = {} if refused is None else _told(refused)
    return DeadLetter(
        id=event_id,
        reason=reason,
        body=body,
        input=told.get("input"),
        problems=tuple(told.get("problems", ())),
        attempts=attempts,
        accepted_at=accepted_at,
        dead_at=dead_at,
    )


def given_up(event: Leased, reason: str) -> DeadLetter:
    """Return the dead letter for an event that went out for the last time just now."""
    return letter_of(
        f"{event.id:x}",
        reason=reason,
        body=event.body,
        attempts=event.attempts + 1,
        accepted_at=event.accepted_at,
        dead_at=time.time(),
    )


def refused_letter(event_id: str, refused: bytes, at: float) -> DeadLetter:
    """Return the dead letter for an event that was refused before it was stored."""
    reason = str(_told(refused).get("reason") or f"unreadable: {shown(refused)}")
    return letter_of(event_id, reason=reason, refused=refused, accepted_at=at, dead_at=at)


def _told(refused: bytes) -> dict[str, Any]:
    import json

    with contextlib.suppress(ValueError, RecursionError):
        told = json.loads(refused)
        if isinstance(told, dict):
            return told
    return {}


class Counts(NamedTuple):
    """What a spool holds and has seen, in events."""

    accepted: int
    queued: int
    retrying: int
    in_flight: int
    delivered: int
    dead: int
    oldest_at: float | None  # seconds since 1970


class Spool(Protocol):
    """Where events wait. `totango_sdk.testing.check_spool` tests one that you have written.

    `put` may be called from any thread. `lease`, `settle`, `next_due` and `maintain` are called
    from one thread at a time, the sender's. A property `is_inside` is asked, where there is one,
    whether the thread that asks is in the middle of one of these methods, and was interrupted there
    by a signal handler or a `__del__`: then another thread is sent to `put`.
    """

    @property
    def durable(self) -> bool:
        """Whether what `put` has accepted survives the end of this process."""

    @property
    def needs_care(self) -> bool:
        """Whether `maintain` should be called soon."""

    def open(self, owner: Owner) -> None:
        """Make ready for use in this process. Raises `SpoolError`. Called again after a fork."""

    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        """Store all items in order, and return the id of the last.

        Raises `SpoolFull`. With `wait=False`, returns `None` instead of waiting for the disk.
        """

    def lease(self, limit: int, now: float) -> list[Leased]:
        """Take out up to `limit` events that are due, at most one of each lane, the oldest first."""

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Strike off what was delivered, note what is due again, and bury what is dead.

        Raises `SpoolFull` where a dead letter finds no room; it and those behind it stay out then.
        """

    def next_due(self) -> float | None:
        """When the next event that is not out becomes due; `None` if there is none."""

    def maintain(self, *, adopt: bool) -> None:
        """Do what is better done outside of `put`; with `adopt`, look for what dead processes left."""

    def pending_before(self, mark: int | None) -> bool:
        """Whether anything accepted up to `mark` still waits or is out; without a mark, anything."""

    def mark(self) -> int:
        """A mark of everything that has been accepted up to now."""

    def counts(self) -> Counts:
        """What is here, and what became of the rest."""

    def letters(self) -> Iterator[DeadLetter]:
        """The dead letters, the oldest first."""

    def close(self) -> None:
        """Let go. What was not delivered stays for the next process, if the spool is durable."""

    def before_fork(self) -> None:
        """Hold still: the process is about to fork."""

    def after_fork(self, *, in_child: bool) -> None:
        """Go on; in the child, let go of everything inherited without touching what it stands for."""

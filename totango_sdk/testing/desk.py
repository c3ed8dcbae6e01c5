"""A spool under test, and short ways to use it."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import attrs

from ..spool import Item, Outcome, Owner, Spool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..spool import Leased

OWNER = Owner("SP-0000-00", "https://collector.invalid/pixel.gif/")
NOW = 1000.0
FAR = 1e9
MOST = 10_000


def must(holds: bool, sentence: str) -> None:
    # Not an assert statement: this has to work under `python -O` too.
    if not holds:
        raise AssertionError(sentence)


@attrs.define
class Desk:
    """A spool, and short ways to use it."""

    spool: Spool
    largest: int

    def put(self, *pairs: tuple[str, bytes]) -> str:
        """Put updates, each of one record."""
        return self.put_items(*(Item(body, (name,), (name,)) for name, body in pairs))

    def put_items(self, *items: Item) -> str:
        event_id = self.spool.put(items)
        must(isinstance(event_id, str), f"put must return an id, not {event_id!r}")
        return str(event_id)

    def lease(self, limit: int = 100, now: float = NOW) -> list[Leased]:
        leased = self.spool.lease(limit, now)
        must(len(leased) <= limit, f"lease was asked for {limit} events and gave {len(leased)}")
        updated = Counter(name for event in leased for name in event.updates)
        must(max(updated.values(), default=1) == 1, "lease gave two updates of one record at once")
        return leased

    def take(self, now: float = NOW) -> list[Leased]:
        """Lease everything that may go."""
        taken: list[Leased] = []
        while leased := self.lease(now=now):
            taken += leased
            must(len(taken) <= MOST, "lease gives events again that are out")
        return taken

    def settle(self, events: Sequence[Leased]) -> None:
        self.spool.settle([Outcome(event, "delivered") for event in events])

    def drain(self, now: float = NOW) -> list[Leased]:
        """Deliver everything that may go, with the housekeeping that a sender does."""
        drained: list[Leased] = []
        while leased := self.take(now):
            self.settle(leased)
            self.spool.maintain(adopt=False)
            self.check_counts()
            drained += leased
            must(len(drained) <= MOST, "what was delivered is given out again")
        return drained

    def check_counts(self) -> None:
        counts = self.spool.counts()
        total = counts.queued + counts.retrying + counts.in_flight + counts.delivered + counts.dead
        must(
            counts.accepted == total and min(counts[:6]) >= 0,
            f"the counts do not add up: {counts}: accepted must be queued + retrying + in_flight + delivered + dead",
        )


def by_record(events: Sequence[Leased]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = defaultdict(list)
    for event in events:
        for name in event.about:
            found[name].append(event.body)
    return dict(found)


def bodies(events: Sequence[Leased]) -> list[bytes]:
    return [event.body for event in events]

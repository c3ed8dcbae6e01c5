"""The spools of this package pass the suite that a user's own can pass too, and broken ones fail it."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

import pytest

from totango_sdk.conformance import check_spool
from totango_sdk.spool import DiskSpool, Item, MemorySpool, Outcome
from totango_sdk.spool.base import letter_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from totango_sdk.spool import DeadLetter, Leased, Owner


def fresh(directory: Path, **sizes: int | str) -> Callable[[], DiskSpool]:
    numbers = count()
    return lambda: DiskSpool(directory / f"spool {next(numbers)}", **sizes)  # type: ignore[arg-type]


def test_the_spool_in_memory_passes() -> None:
    check_spool(MemorySpool)


def test_the_spool_on_disk_passes(tmp_path: Path) -> None:
    check_spool(fresh(tmp_path))


def test_the_spool_on_disk_passes_when_most_of_it_is_in_the_database(tmp_path: Path) -> None:
    check_spool(fresh(tmp_path, segment_bytes=8192), largest=8000)


def test_the_spool_on_disk_passes_with_durability_power(tmp_path: Path) -> None:
    check_spool(fresh(tmp_path, durability="power"))


class Forgets(MemorySpool):
    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        kept = items if self.counts().accepted % 10 != 9 else items[:-1]
        return super().put(kept, wait=wait)


class Repeats(MemorySpool):
    def settle(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            super().settle([outcome])
            if outcome.verdict == "delivered" and outcome.event.id % 10 == 9:
                super().put([Item(outcome.event.lane, outcome.event.body)])


class Reorders(MemorySpool):
    def lease(self, limit: int, now: float) -> list[Leased]:
        self._fresh.reverse()
        return super().lease(limit, now)


class Changes(MemorySpool):
    def lease(self, limit: int, now: float) -> list[Leased]:
        return [event._replace(body=event.body.strip()) for event in super().lease(limit, now)]


class GivesTooMuch(MemorySpool):
    def lease(self, limit: int, now: float) -> list[Leased]:
        return super().lease(limit + 1, now)


class GivesALaneAtOnce(MemorySpool):
    def lease(self, limit: int, now: float) -> list[Leased]:
        leased = super().lease(limit, now)
        return [event._replace(lane="one") for event in leased]


class GivesOutAgain(MemorySpool):
    def lease(self, limit: int, now: float) -> list[Leased]:
        self.last = super().lease(limit, now) or getattr(self, "last", [])
        return self.last


class Overtakes(MemorySpool):
    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        for item in items:
            last = super().put([item._replace(lane=f"{item.lane}/{self.counts().accepted}")], wait=wait)
        return last

    def lease(self, limit: int, now: float) -> list[Leased]:
        self.true_lanes = getattr(self, "true_lanes", {})
        leased = super().lease(limit, now)
        self.true_lanes.update({event.id: event.lane for event in leased})
        return [event._replace(lane=event.lane.split("/")[0]) for event in leased]

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        named = [each._replace(event=each.event._replace(lane=self.true_lanes[each.event.id])) for each in outcomes]
        super().settle(named)


class RetriesAtOnce(MemorySpool):
    def settle(self, outcomes: Sequence[Outcome]) -> None:
        super().settle([outcome._replace(due=0.0) for outcome in outcomes])


class BlocksAll(MemorySpool):
    def lease(self, limit: int, now: float) -> list[Leased]:
        return [] if self.counts().retrying and self.next_due() != now else super().lease(limit, now)


class ForgetsAttempts(MemorySpool):
    def lease(self, limit: int, now: float) -> list[Leased]:
        return [event._replace(attempts=0) for event in super().lease(limit, now)]


class Burns(MemorySpool):
    def letters(self) -> Iterator[DeadLetter]:
        for letter in super().letters():
            yield letter_of("1", reason=letter.reason, accepted_at=letter.accepted_at, dead_at=letter.dead_at)


class Miscounts(MemorySpool):
    def counts(self):  # type: ignore[no-untyped-def]
        counts = super().counts()
        return counts._replace(queued=counts.queued + (counts.delivered > 0))


class FlushesTooEarly(MemorySpool):
    def pending_before(self, mark: int | None) -> bool:
        return self.counts().queued > 0


class SaysNothing(MemorySpool):
    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        super().put(items, wait=wait)
        return None


class TakesApart(MemorySpool):
    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        for item in items:
            last = super().put([item], wait=wait)
            os.sched_yield()
        return last


class SaysItIsDurable(MemorySpool):
    durable = True

    def open(self, owner: Owner) -> None:
        self._reset()


class Inherits(MemorySpool):
    def after_fork(self, *, in_child: bool) -> None:
        self._lock.release()


class FailsInChildren(MemorySpool):
    def after_fork(self, *, in_child: bool) -> None:
        super().after_fork(in_child=in_child)
        if in_child:
            raise RuntimeError("no spool here")


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (Forgets, "only|came out"),
        (Repeats, "came out twice|again"),
        (Reorders, "another order"),
        (Changes, "came back changed"),
        (GivesTooMuch, "was asked for"),
        (GivesALaneAtOnce, "two events of one lane"),
        (GivesOutAgain, "gives events again"),
        (RetriesAtOnce, "before its time"),
        (BlocksAll, "held up another"),
        (ForgetsAttempts, "attempts=0"),
        (Burns, "must keep its body"),
        (Miscounts, "do not add up"),
        (FlushesTooEarly, "is pending"),
        (SaysNothing, "must return an id"),
        (SaysItIsDurable, "must come back"),
        (Inherits, "forked child"),
        (FailsInChildren, "no spool here"),
    ],
)
def test_a_broken_spool_fails_with_a_sentence(kind: type[MemorySpool], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_spool(kind)


def test_a_spool_whose_retries_are_overtaken_fails() -> None:
    with pytest.raises(AssertionError, match=r"two events of one lane"):
        check_spool(Overtakes)

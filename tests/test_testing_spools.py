"""The spools of this package pass the suite that a user's own can pass too, and broken ones fail it."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

import pytest
from spools import OWNER

from totango_sdk.spool import DeadLetter, DiskSpool, Item, MemorySpool, Outcome
from totango_sdk.spool.fallback import FallbackSpool
from totango_sdk.testing import check_spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from totango_sdk.spool import Leased, Owner


def fresh(directory: Path, **sizes: int | str) -> Callable[[], DiskSpool]:
    numbers = count()
    return lambda: DiskSpool(directory / f"spool {next(numbers)}", **sizes)  # type: ignore[arg-type]


def test_the_spool_in_memory_passes() -> None:
    check_spool(MemorySpool)


def test_a_spool_in_the_place_of_another_passes_whether_that_can_be_opened_or_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    hindered = fresh(tmp_path / "file")
    check_spool(lambda: FallbackSpool(hindered(), OWNER))
    unhindered = fresh(tmp_path)
    check_spool(lambda: FallbackSpool(unhindered(), OWNER))


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
                super().put([Item(outcome.event.body, outcome.event.about, outcome.event.updates)])


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


class GivesUpdatesAtOnce(MemorySpool):
    def lease(self, limit: int, now: float) -> list[Leased]:
        leased = super().lease(limit, now)
        return [event._replace(updates=("one",)) for event in leased]


class GivesOneOfARecord(MemorySpool):
    """As it was in earlier versions: whatever concerns one record goes one at a time."""

    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        return super().put([item._replace(updates=item.about[:1]) for item in items], wait=wait)


class WaitsForAllOfAnAccount(MemorySpool):
    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        return super().put([item._replace(updates=item.updates and item.about) for item in items], wait=wait)


class ForgetsWhatAnEventIsAbout(MemorySpool):
    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        return super().put([item._replace(about=item.updates) for item in items], wait=wait)


class KnowsOneUpdatedRecord(MemorySpool):
    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        return super().put([item._replace(updates=item.updates[:1]) for item in items], wait=wait)


class GivesOutAgain(MemorySpool):
    def lease(self, limit: int, now: float) -> list[Leased]:
        self.last = super().lease(limit, now) or getattr(self, "last", [])
        return self.last


class Overtakes(MemorySpool):
    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        for item in items:
            names = tuple(f"{name}/{self.counts().accepted}" for name in item.updates)
            last = super().put([item._replace(updates=names)], wait=wait)
        return last

    def lease(self, limit: int, now: float) -> list[Leased]:
        leased = super().lease(limit, now)
        plain = [tuple(name.split("/")[0] for name in event.updates) for event in leased]
        return [event._replace(updates=names) for event, names in zip(leased, plain, strict=True)]


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
            yield DeadLetter(id="1", reason=letter.reason, accepted_at=letter.accepted_at, dead_at=letter.dead_at)


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
        (GivesUpdatesAtOnce, "two updates of one record"),
        (GivesOneOfARecord, "must go side by side"),
        (WaitsForAllOfAnAccount, "users of an account"),
        (ForgetsWhatAnEventIsAbout, "first answer"),
        (KnowsOneUpdatedRecord, "update of two records"),
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
    with pytest.raises(AssertionError, match=r"two updates of one record"):
        check_spool(Overtakes)

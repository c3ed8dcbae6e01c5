"""Short ways to use a spool on disk, and to see what another process leaves in one."""

from __future__ import annotations

import contextlib
import os
import threading
import traceback
import warnings
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from totango_sdk.spool import DiskSpool, Item, Outcome, Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from totango_sdk.spool import Leased, Spool

OWNER = Owner("SP-0000-01", "https://collector.invalid/pixel.gif/")
OTHER = Owner("SP-0000-02", "https://collector.invalid/pixel.gif/")
NOW = 1000.0
FAR = 1e9


def opened(directory: Path, owner: Owner = OWNER, **sizes: Any) -> DiskSpool:
    spool = DiskSpool(directory, **sizes)
    spool.open(owner)
    return spool


@contextlib.contextmanager
def closing(directory: Path, owner: Owner = OWNER, **sizes: Any) -> Iterator[DiskSpool]:
    spool = opened(directory, owner, **sizes)
    try:
        yield spool
    finally:
        spool.close()


def put(spool: Spool, *bodies: bytes, lane: str = "lane") -> str | None:
    return spool.put([update(lane, body) for body in bodies])


def update(lane: str, body: bytes) -> Item:
    """An update of one record: of those, one is out at a time."""
    return Item(body, (lane,), (lane,))


def lane_of(event: Leased) -> str:
    return event.about[0]


def fill(spool: Spool, count: int, *, lanes: int = 5, name: str = "", size: int = 300) -> list[bytes]:
    """Put so many events, each by itself, and return their bodies."""
    bodies = [f"{name}{number} ".encode().ljust(size, b".") for number in range(count)]
    for number, body in enumerate(bodies):
        put(spool, body, lane=f"lane {number % lanes}")
    return bodies


def deliver(spool: Spool, events: Sequence[Leased]) -> None:
    spool.settle([Outcome(event, "delivered") for event in events])


def retry(spool: Spool, events: Sequence[Leased], due: float = NOW) -> None:
    spool.settle([Outcome(event, "retry", due, "503") for event in events])


def bury(spool: Spool, events: Sequence[Leased], reason: str = "400") -> None:
    spool.settle([Outcome(event, "dead", reason=reason) for event in events])


def drain(spool: Spool, *, adopt: bool = True, now: float = NOW) -> list[Leased]:
    """Deliver everything, as a sender does."""
    drained: list[Leased] = []
    spool.maintain(adopt=adopt)
    while leased := spool.lease(16, now):
        drained += leased
        deliver(spool, leased)
        check_counts(spool)
        spool.maintain(adopt=False)
    return drained


def bodies(events: Sequence[Leased]) -> list[bytes]:
    return [event.body for event in events]


def by_lane(events: Sequence[Leased]) -> dict[str, list[bytes]]:
    lanes: dict[str, list[bytes]] = defaultdict(list)
    for event in events:
        lanes[lane_of(event)].append(event.body)
    return dict(lanes)


def check_counts(spool: Spool) -> None:
    counts = spool.counts()
    assert counts.accepted == counts.queued + counts.retrying + counts.in_flight + counts.delivered + counts.dead, (
        counts
    )
    assert min(counts[:6]) >= 0, counts


def forked(work: Callable[[], object]) -> int:
    """Do something in a forked child, which ends without any tidying up. Returns its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended(child: int) -> int:
    """Wait for a child, and return its exit code, or the negative number of its signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dead(work: Callable[[], object]) -> None:
    """Let another process do something and die, without closing anything."""
    code = ended(forked(work))
    assert code == 0, f"the child failed with {code}"


def leave(directory: Path, count: int, *, owner: Owner = OWNER, name: str = "", **sizes: Any) -> list[bytes]:
    """Let another process put events and die; all are of the same few lanes. Returns the bodies."""
    lanes, size = sizes.pop("lanes", 5), sizes.pop("size", 300)
    dead(lambda: fill(opened(directory, owner, **sizes), count, name=name, lanes=lanes, size=size))
    return [f"{name}{number} ".encode().ljust(size, b".") for number in range(count)]


def leave_each(
    directory: Path, sets: int, count: int, then: Callable[[DiskSpool], object] = lambda _: None, **sizes: Any
) -> list[list[bytes]]:
    """Let so many processes put events and die only when all are there, each with files of its own."""
    told, tell = os.pipe()
    waiting, end = os.pipe()

    def work(number: int) -> None:
        os.close(end)
        spool = opened(directory, **sizes)
        fill(spool, count, name=f"{number}: ")
        then(spool)
        os.write(tell, b"!")
        os.read(waiting, 1)

    children = [forked(lambda number=number: work(number)) for number in range(sets)]  # type: ignore[misc]
    os.close(tell)
    for _ in children:
        assert os.read(told, 1)
    os.close(end)
    assert [ended(child) for child in children] == [0] * sets
    os.close(told)
    os.close(waiting)
    return [[f"{each}: {number} ".encode().ljust(300, b".") for number in range(count)] for each in range(sets)]


def names(directory: Path, part: str = "") -> list[str]:
    return sorted(name for name in os.listdir(directory) if part in name)


def at_once(count: int, work: Callable[[int], object]) -> None:
    """Run the work in so many threads, and raise what any of them raised."""
    raised: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]

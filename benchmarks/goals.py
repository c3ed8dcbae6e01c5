"""Each goal beside the figure that this run reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.book import MISSING, Book, number
from benchmarks.measures import DURABLE
from benchmarks.peers import PEERS
from benchmarks.settings import STORED

BATCHING = [key for key, peer in PEERS.items() if peer.batches]
BARE_HTTPX = ["bare-httpx-16", "bare-httpx-own-16"]
BARE_CURL = [f"bare-curl-{n}" for n in (16, 32, 64, 256)]


@dataclass(frozen=True)
class Goal:
    """What is asked, what was reached, what it is measured by, and whether it holds (None: not measured)."""

    text: str
    reached: str
    against: str
    holds: bool | None

    @property
    def verdict(self) -> str:
        return {True: "holds", False: "**missed**", None: "not measured"}[self.holds]


def _goal(
    text: str, value: float | None, bound: float | None, holds: Callable[[float, float], bool], unit: str
) -> Goal:
    digits = 0 if bound is None or bound >= 500 else 1
    verdict = None if value is None or bound is None else holds(value, bound)
    shown = [f"{number(v, digits)} {unit}" if v is not None else MISSING for v in (value, bound)]
    return Goal(text, shown[0], shown[1], verdict)


def _at_most(text: str, value: float | None, bound: float | None, unit: str) -> Goal:
    return _goal(text, value, bound, lambda v, b: v <= b, unit)


def _under(text: str, value: float | None, bound: float | None, unit: str) -> Goal:
    return _goal(text, value, bound, lambda v, b: v < b, unit)


def _at_least(text: str, value: float | None, bound: float | None, unit: str) -> Goal:
    return _goal(text, value, bound, lambda v, b: v >= b, unit)


def _over(text: str, value: float | None, bound: float | None, unit: str) -> Goal:
    return _goal(text, value, bound, lambda v, b: v > b, unit)


def _times(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _best(book: Book, group: str, cells: list[str]) -> float | None:
    """The best of those cells; None unless all of them were measured, so that no rival is left out unseen."""
    values = [book.median(group, cell, "rate") for cell in cells]
    known = [value for value in values if value is not None]
    return max(known) if known and len(known) == len(values) else None


def _tracking(book: Book) -> Iterator[Goal]:
    names = {
        "track_burst": "in a burst",
        "track_paced": "at 1,000 a second",
        "track_four": "four at once, in a burst",
        "track_four_paced": "four at once, at 1,000 a second each",
    }
    for group, name in names.items():
        p50 = book.median(group, DURABLE, "p50")
        yield _at_most(f"`track`, durable, {name}: p50 no more than segment's, in memory", p50,
                       book.median(group, "segment", "p50"), "µs")  # fmt: skip
        yield _at_most(f"`track`, durable, {name}: p50 no more than posthog's, in memory", p50,
                       book.median(group, "posthog", "p50"), "µs")  # fmt: skip
        yield _under(f"`track`, durable, {name}: p99 under 300 µs", book.median(group, DURABLE, "p99"), 300, "µs")
    share = book.median("track_four", DURABLE, "share")
    yield _at_least(
        "in a burst of four processes, none gets less than half of what another gets", share, 0.5, "of the fastest"
    )
    held, bare = book.median("loop", "ours", "max"), book.median("loop", "bare", "max")
    text = f"asyncio: the loop is never held more than 1 ms (longest step; with bare sleeps {number(bare)} µs)"
    yield _under(text, held, 1000, "µs")


def _delivering(book: Book) -> Iterator[Goal]:
    live = book.median("deliver_0", "ours-curl-32", "rate")
    stored = book.median("deliver_0", STORED, "rate")
    bare = _times(_best(book, "deliver_0", BARE_CURL), 0.5)
    many = _times(book.median("deliver_0", "totango", "rate"), 25)
    yield _over("curl, 0 ms: more than every batching peer", live, _best(book, "deliver_0", BATCHING), "/s")
    # The goal is one from the spool to the collector; whoever tracks at the same time pays for that too.
    for rate, how in ((stored, "from the spool to the collector"), (live, "beyond the goal: with the tracking itself")):
        yield _at_least(f"curl, 0 ms: half of bare CurlMulti at its best, {how}", rate, bare, "/s")
        yield _at_least(f"curl, 0 ms: 25 times totango 0.4.1, {how}", rate, many, "/s")
    yield _over("curl, 20 ms, 512 connections: more than amplitude, and every batching peer",
                book.median("deliver_20", "ours-curl-512", "rate"),
                _best(book, "deliver_20", BATCHING), "/s")  # fmt: skip
    for n in (16, 64, 256):
        yield _at_least(f"curl, 20 ms: 0.8 of connections ÷ latency, {n} connections, with the tracking itself",
                        book.median("deliver_20", f"ours-curl-{n}", "rate"), 0.8 * n / 0.020, "/s")  # fmt: skip
    yield _at_least("curl, 20 ms: 0.8 of connections ÷ latency, 256 connections, from a filled spool",
                    book.median("backlog", "curl-256-at-20", "rate"), 0.8 * 256 / 0.020, "/s")  # fmt: skip
    for ms in (0, 20):
        yield _at_least(f"httpx, {ms} ms: 0.85 of bare httpx with 16 threads, one client or one each, at its best",
                        book.median(f"deliver_{ms}", "ours-httpx-16", "rate"),
                        _times(_best(book, f"deliver_{ms}", BARE_HTTPX), 0.85), "/s")  # fmt: skip
    cpu = book.median("deliver_0", "ours-curl-16", "cpu_us")
    yield _under("curl: CPU for each delivered event under 80 µs, tracking and spool included", cpu, 80, "µs")


def _waiting(book: Book) -> Iterator[Goal]:
    for cell, who in (("fill-1000000", "in which they wait"), ("curl-large", "that delivers them")):
        memory = book.median("backlog", cell, "rss_mb")
        yield _under(f"a backlog of 1,000,000: resident memory under 80 MB, of the process {who}", memory, 80, "MB")
    small = _times(book.median("backlog", "curl-small", "rate"), 0.9)
    rate = book.median("backlog", "curl-large", "rate")
    yield _at_least("a backlog of 1,000,000: delivered as fast as one of 1,000 (0.9 or more of it)", rate, small, "/s")


def _importing(book: Book) -> Iterator[Goal]:
    def ms(cell: str) -> float | None:
        return _less(book.median("import", cell, "ms"), book.median("import", "bare", "ms"))

    peers = [ms(key) for key in PEERS]
    known = [value for value in peers if value is not None]
    ours = ms("ours-client")  # what a program pays; no less than `import totango_sdk`
    over = _less(ours, ms("dependencies"))
    yield _under("`from totango_sdk import Totango`: under 25 ms over attrs, cachetools, sqlite3", over, 25, "ms")
    least = min(known) if known and len(known) == len(peers) else None
    yield _under("`from totango_sdk import Totango`: the least of all peers", ours, least, "ms")


def goals(book: Book) -> list[Goal]:
    replay = Goal("replay of 1,000,000 rows: 100,000/s a core, memory flat", MISSING, MISSING, None)
    return [*_tracking(book), *_delivering(book), *_waiting(book), *_importing(book), replay]

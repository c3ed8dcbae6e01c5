"""Each goal beside the figure that this run reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.book import MISSING, Book, number
from benchmarks.measures import DURABLE
from benchmarks.peers import PEERS
from benchmarks.recorded import SHAPES
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
        p50, segments = book.median(group, DURABLE, "p50"), book.median(group, "segment", "p50")
        share, told = (1.0, "no more than") if group.endswith("paced") else (0.5, "at most half of")
        yield _at_most(f"`track`, durable, {name}: p50 {told} segment's, in memory", p50, _times(segments, share), "µs")
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
    bare = _best(book, "deliver_0", BARE_CURL)
    totango = _times(book.median("deliver_0", "totango", "rate"), 25)
    tracking = "curl, 0 ms, with the tracking itself"
    yield _over(f"{tracking}: more than every batching peer", live, _best(book, "deliver_0", BATCHING), "/s")
    yield _at_least(f"{tracking}: half of bare CurlMulti at its best", live, _times(bare, 0.5), "/s")
    cpu = book.median("deliver_0", "ours-curl-32", "cpu_us")
    segments = _times(book.median("deliver_0", "segment", "cpu_us"), 0.75)
    yield _at_most(f"{tracking}: CPU for each event at most 0.75 of segment's", cpu, segments, "µs")
    yield _at_least("curl, 0 ms, from a full spool: 0.65 of bare CurlMulti at its best", stored, _times(bare, 0.65), "/s")
    yield _at_least("curl, 0 ms, from a full spool: 25 times totango 0.4.1", stored, totango, "/s")
    yield _over("curl, 20 ms, 512 connections: more than every batching peer",
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
    for ms in (0, 20):
        many = _times(book.median(f"deliver_{ms}", "ours-curl-16", "rate"), 0.8)
        for who, told in (("one", "its user known"), ("new", "each of its users new")):
            alone = book.median(f"deliver_{ms}", f"ours-{who}-16", "rate")
            yield _at_least(f"one account alone, {ms} ms: 0.8 of 1,000 accounts, {told}", alone, many, "/s")


def _computing(book: Book) -> Iterator[Goal]:
    rate, speed = (book.median("computing", "ours", field) for field in ("rate", "speed"))
    alone = _times(book.median("computing", "bare", "speed"), 0.85)
    yield _at_least("a host that computes without pause: 2,000/s with curl on 16 connections", rate, 2_000, "/s")
    yield _at_least("a host that computes without pause: 0.85 of its own speed", speed, alone, "turns/s")


def _waiting(book: Book) -> Iterator[Goal]:
    for cell, who in (("fill-1000000", "in which they wait"), ("curl-large", "that delivers them")):
        memory = book.median("backlog", cell, "rss_mb")
        yield _under(f"a backlog of 1,000,000: resident memory under 60 MB, of the process {who}", memory, 60, "MB")
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


def _recorded(book: Book) -> Iterator[Goal]:
    least = {"csv-40": 300_000, "csv-new": 100_000, "ndjson": 70_000, "log": 50_000, "wire": 50_000}
    for kind, bound in least.items():
        rate = book.median("replay", kind, "rate")
        yield _at_least(f"replay, {SHAPES[kind]}: rows read, checked and encoded by one core", rate, bound, "/s")
    rate, tracked = book.median("replay", "replay", "rate"), book.median("replay", "track", "rate")
    yield _at_least("replay, delivered: 1.2 of `track` row by row", rate, _times(tracked, 1.2), "/s")
    live = _times(book.median("deliver_0", "ours-curl-32", "rate"), 0.8)
    yield _at_least("replay, delivered: 0.8 of the delivery benchmark, 32 connections", rate, live, "/s")
    memory, small = book.median("replay", "mixed", "rss_mb"), book.median("replay", "mixed-small", "rss_mb")
    yield _under("replay, one bad row in a hundred: peak memory under 150 MB", memory, 150, "MB")
    yield _under("the same: no more than 20 MB over that of 10,000 rows", _less(memory, small), 20, "MB")
    yield _at_least("the same: every row is in exactly one count", book.median("replay", "mixed", "adds_up"), 1, "")
    seconds, peak = book.median("audit", "planted", "seconds"), book.median("audit", "planted", "rss_mb")
    yield _under("audit of three files with planted faults: under 60 s", seconds, 60, "s")
    yield _under("the same: peak memory under 1 GB", peak, 1000, "MB")
    for what in ("precision", "recall"):
        yield _at_least(f"the same: {what}", book.median("audit", "planted", what), 1, "")


def goals(book: Book) -> list[Goal]:
    return [*_tracking(book), *_delivering(book), *_computing(book), *_waiting(book), *_importing(book), *_recorded(book)]

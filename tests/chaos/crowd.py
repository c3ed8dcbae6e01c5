"""Row 15: two hundred busy threads, and a regular expression that holds the interpreter."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from .collector import Collector
from .drive import make_client, stats_of
from .hosts import Site, finish, python
from .kills import check_finish, check_sums
from .ledger import Ledger, read
from .oracle import Row, judge

if TYPE_CHECKING:
    from pathlib import Path

_LEAST_HOLDS = 3
_MOST_GROWTH_MB = 64  # of which 200 threads and what of the log is mapped are a part


def crowded(directory: Path, *, threads: int = 200, each: int = 50) -> Row:
    """So many threads track and compute, while one holds the interpreter for tenths of a second."""
    with Collector() as collector:
        site = Site(directory, collector)
        config = site.config(threads=threads, each=each)
        ended = finish(python("-m", "chaos.crowd", json.dumps(config)), 240)
        last = site.finish()
        obligations = read(site.ledger)
        row = judge(f"{threads} busy threads", "15", obligations, collector.arrivals(), bound=0)
    row.require(ended.code == 0, f"the host ended with {ended.code}: {ended.log[-800:]}")
    row.require(row.events == threads * each + 1, f"{row.events} of {threads * each + 1} accepted")
    row.require(ended.report.get("flushed"), f"not delivered: {ended.report.get('stats')}")
    grown = ended.report.get("grown_mb", 0.0)
    row.require(grown < _MOST_GROWTH_MB, f"the process grew by {grown:.0f} MB")
    micros = sorted(each.micros for each in obligations if each.stream != "fresh")
    p50, p99 = (micros[len(micros) * part // 100] / 1000 for part in (50, 99))
    held = ended.report.get("held", [])
    row.require(len(held) >= _LEAST_HOLDS, f"the interpreter was held {len(held)} times: too few to prove anything")
    longest = max(held, default=0.0)
    row.note = (
        f"p50 {p50:.2f} ms, p99 {p99:.2f} ms; the interpreter held {len(held)} times, for up to {longest:.1f} s; "
        f"grew by {grown:.0f} MB"
    )
    check_sums(row, ended)
    check_finish(row, last)
    return row


def _hold_the_interpreter(start: threading.Barrier, done: threading.Event, held: list[float]) -> None:
    """Match again and again what takes exponential time: the interpreter is not let go meanwhile."""
    pattern = re.compile(r"(a+)+b")
    start.wait(60)
    while not done.wait(0.02):
        began = time.perf_counter()
        pattern.match("a" * 22)
        held.append(time.perf_counter() - began)


def _be_busy(client: Any, ledger: Ledger, stream: str, count: int, start: threading.Barrier, held: list[float]) -> None:
    start.wait(60)
    for seq in range(count):
        while seq == count - 1 and len(held) < _LEAST_HOLDS:
            sum(range(20_000))  # on a machine where the holder seldom gets its turn
        ledger.send(client, stream, seq, 20)
        sum(range(20_000))  # or a thread might be done before another one gets its turn


def main(config: dict[str, Any]) -> None:
    client, ledger, done = make_client(config), Ledger(config["ledger"]), threading.Event()
    start = threading.Barrier(config["threads"] + 1)
    ledger.send(client, "first", 0, 20)
    client.flush(10)
    before = _megabytes()
    held: list[float] = []
    holder = threading.Thread(target=_hold_the_interpreter, args=(start, done, held))
    busy = [
        threading.Thread(
            target=_be_busy, args=(client, ledger, f"t{number}", config["each"] - (number == 0), start, held)
        )
        for number in range(config["threads"])
    ]
    for thread in (holder, *busy):
        thread.start()
    for thread in busy:
        thread.join()
    done.set()
    holder.join()
    flushed = client.flush(60)
    report = {"flushed": flushed, "stats": stats_of(client), "grown_mb": _megabytes() - before, "held": held}
    print(json.dumps({**report, "ended_at": time.monotonic()}), flush=True)


def _megabytes() -> float:
    """Return the most memory that this program has had; `ru_maxrss` would include that of the process that started it."""
    with open("/proc/self/status", encoding="ascii") as file:
        found = next(line for line in file if line.startswith("VmHWM:"))
    return int(found.split()[1]) / 1024


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

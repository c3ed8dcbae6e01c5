"""Row 1: `kill -9` at a random moment, and start again."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING

from .collector import Collector
from .hosts import Ended, Site, Zygote, start
from .ledger import read
from .oracle import Row, judge

if TYPE_CHECKING:
    from pathlib import Path

_SEGMENTS = (2048, 8192, None)  # small ones, so that many of them are in use
_EVENTS = 120
_ACCOUNTS = 20


def kill_at_random(directory: Path, *, kills: int, spawned: int = 5, seed: int | None = None) -> Row:
    """Kill so many hosts, one after another on one spool; `spawned` of them are whole new interpreters."""
    chance = random.Random(seed)
    with Collector() as collector, Zygote() as zygote:
        site = Site(directory, collector)
        collector.behave("ok", delay=0.002)
        crashes: list[float] = []
        permitted: list[tuple[str, int, int]] = []
        following = 0
        for number in range(kills):
            config = site.config(
                stream="k", start=following, count=_EVENTS, accounts=_ACCOUNTS, rate=3000,
                segment_bytes=chance.choice(_SEGMENTS),
            )  # fmt: skip
            if number * spawned // kills != (number + 1) * spawned // kills:
                _kill_spawned(config, chance)
            else:
                _kill_forked(zygote, config, chance)
            crashes.append(time.monotonic())
            last = max((each.seq for each in read(site.ledger)), default=-1)
            permitted.append(("k", last + 1, _ACCOUNTS))  # accepted perhaps, but killed before it could say so
            following = last + 2
        ended = site.finish()
        obligations = read(site.ledger)
        collector.wait_for(len(obligations), 1)
        arrivals = collector.arrivals()
    row = judge("kill -9", "1", obligations, arrivals, runs=kills, permitted=permitted, crashes=crashes)
    check_finish(row, ended)
    row.require(row.duplicates > 0, "no duplicates seen, so the kills prove nothing")
    return row


def check_finish(row: Row, ended: Ended) -> None:
    """The next process did its work, and its counts add up."""
    row.require(ended.code == 0, f"the next process ended with {ended.code}: {ended.log[-500:]}")
    row.require(ended.report.get("flushed"), f"the next process could not deliver all: {ended.report.get('stats')}")
    check_sums(row, ended)


def check_sums(row: Row, ended: Ended) -> None:
    stats = ended.report.get("stats") or {}
    parts = ("queued", "retrying", "in_flight", "delivered", "dead", "dropped")
    total = sum(stats.get(part, 0) for part in parts)
    row.require(stats.get("accepted") == total, f"the counts do not add up: {stats}")
    row.require(all(stats.get(part, 0) >= 0 for part in parts), f"a count below zero: {stats}")


def _kill_forked(zygote: Zygote, config: dict[str, object], chance: random.Random) -> None:
    zygote.drain()
    zygote.start(config)
    if chance.random() < 0.2:  # while it starts, and takes over what the last one left
        zygote.wait_for_events(10_000, chance.uniform(0, 0.02))
    else:
        zygote.wait_for_events(chance.randrange(1, _EVENTS), 5)
        until = time.perf_counter() + chance.uniform(0, 0.003)
        while time.perf_counter() < until:
            pass
    zygote.kill()


def _kill_spawned(config: dict[str, object], chance: random.Random) -> None:
    before = _size(config)
    process = start(config)
    until = time.monotonic() + 10
    while _size(config) == before and time.monotonic() < until and process.poll() is None:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.03))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def _size(config: dict[str, object]) -> int:
    try:
        return os.stat(str(config["ledger"])).st_size
    except FileNotFoundError:
        return 0

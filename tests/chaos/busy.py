"""Rows 16 and 17: one account with all the traffic, and in it two requests that are answered 500 for ever."""

from __future__ import annotations

import json
from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .collector import Collector
from .hosts import Console, Site
from .kills import check_finish, check_sums
from .ledger import body_of, read
from .oracle import MAX_CONNECTIONS, Row, judge
from .outages import SLOW
from .poison import command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .collector import Arrival

_LATENCY = 0.02
_LEAST = 0.8  # of connections / latency
_DELAY_SECONDS = 2.0


def alone(directory: Path, *, stream: str, events: int = 5000, timed: bool = True) -> Row:
    """One account, activities only: of known users ("plain"), or each of a new user with a name ("named")."""
    with Collector() as collector:
        collector.behave("ok", delay=_LATENCY)
        site = Site(directory, collector)
        ended = site.host(
            stream=stream, count=events, accounts=1, flush=120, timeout=150,
            options={"max_connections": MAX_CONNECTIONS},
        )  # fmt: skip
        arrivals = collector.arrivals()
        row = judge(f"one account alone, {stream}", "16", read(site.ledger), arrivals, bound=0)
    rate = len(arrivals) / (arrivals[-1].at - arrivals[0].at + _LATENCY)
    share = rate * _LATENCY / MAX_CONNECTIONS
    row.note = f"{rate:.0f}/s, {share:.2f} of connections / latency"
    if timed:
        told = f"{rate:.0f}/s are {share:.2f} of connections / latency, not {_LEAST}"
        row.require(share >= _LEAST, f"{SLOW}: {told}")
    most = _most_at_once(arrivals)
    row.require(most >= _LEAST * MAX_CONNECTIONS, f"only {most} were out at once")
    row.require(ended.report.get("flushed"), f"not all delivered: {ended.report.get('stats')}")
    check_sums(row, ended)
    return row


def _most_at_once(arrivals: Sequence[Arrival]) -> int:
    """Return how many came within one latency, at the most: none of them was answered before the last came."""
    times = [each.at for each in arrivals]
    return max(bisect_left(times, start + _LATENCY) - at for at, start in enumerate(times))


def mixed(directory: Path, *, events: int = 5000) -> Row:
    """One account, every tenth event an update of one attribute, a third of all answers 503."""
    with Collector() as collector:
        collector.behave("status", status=503, every=3, delay=_LATENCY)
        site = Site(directory, collector)
        ended = site.host(stream="m", count=events, accounts=1, flush=500, timeout=550)
        collector.behave("ok")
        last = site.finish()
        obligations, arrivals = read(site.ledger), collector.arrivals()
        row = judge("one account alone, a third 503", "16", obligations, arrivals, bound=0)
    final = [each.body for each in arrivals if each.taken and b"&sdr_o.N=m." in each.body][-1]
    newest = max(each.seq for each in obligations if each.stream == "m" and each.seq % 10 == 3)
    row.require(final == body_of("m", newest, 1), f"the last update to arrive was {final!r}")
    row.note = f"{sum(not each.taken for each in arrivals)} answers of 503"
    row.require(ended.report.get("flushed"), f"not all delivered: {ended.report.get('stats')}")
    check_sums(row, ended)
    check_finish(row, last)
    return row


def stuck(directory: Path, *, events: int = 10_000) -> Row:
    """An activity and an update of an account that are answered 500 for ever, among so many of the same account."""
    activity, update = events // 4, 3
    with Collector() as collector:
        collector.poison(f"sdr_a=rare.{activity}&", 500)
        collector.poison(f"sdr_o.N=rare.{update}%20", 500)
        site = Site(directory, collector)
        held = [body_of("rare", seq, 1) for seq in range(1003, events, 1000)]
        with Console(site.config()) as host:
            host.ask("load", stream="rare", count=events, accounts=1)
            row = Row("answered 500 for ever", "17")
            free = events - 2 - len(held)
            row.require(collector.wait_for(free, 60) == free, "what is no update of the account was held up")
            before = collector.arrivals()
            row.require(not any(each.body in held for each in before), "an update overtook the one before it")
            told = json.loads(command(site, "spool", "status", "--json").stdout)
            _check_told(row, [each for left in told for each in left["put_off"]], activity)
            collector.heal()
            host.ask("flush", timeout=120)
            ended = host.end()
        arrivals = collector.arrivals()
        judged = judge(row.fault, row.number, read(site.ledger), arrivals, bound=0)
    judged.failures += row.failures
    taken = [each for each in before if each.taken]
    pause = max((later.at - earlier.at for earlier, later in pairwise(taken)), default=0.0)
    judged.note = f"longest pause {pause:.2f} s"
    judged.require(pause < _DELAY_SECONDS, f"others waited for {pause:.2f} s")
    judged.require(ended.code == 0, f"the host ended with {ended.code}")
    return judged


def _check_told(row: Row, told: list[dict[str, Any]], activity: int) -> None:
    """`totango spool status` shows both, with the reason."""
    kinds = sorted(each["what"] for each in told)
    row.require(kinds == ["an activity", "an update"], f"spool status shows {told}")
    row.require(all("500" in each["reason"] and each["attempts"] for each in told), f"spool status shows {told}")
    row.require(any(each["activity"] == f"rare.{activity}" for each in told), f"spool status shows {told}")

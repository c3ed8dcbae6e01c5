"""Rows 4 and 5: outages, and a collector that asks to wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .collector import Collector
from .hosts import Site, finish, start
from .kills import check_finish, check_sums
from .ledger import read
from .oracle import Row, judge
from .sandboxed import SandboxCollector

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .collector import Arrival

_FAULTS = {"503": "status", "closed": "close", "mute": "mute", "answers lost": "lost"}
MODES = ("refused", "503", "closed", "mute", "answers lost")
_RATE = 500
_WORST_MS = 50.0
_P99_MS = 1.0
_MOST_LINES = 6  # in the log: one for each kind of fault
_QUICK_SECONDS = 0.3  # in which what was under way when the first 429 was answered has arrived
# Only a mute collector is noticed by time alone. Elsewhere the client's own limit stands: where the machine stands
# still for a second, a shorter one would give up healthy requests, which then arrive twice.
_MUTE_SECONDS = 3.0


def outage(directory: Path, mode: str, *, seconds: float, transport: str = "auto", before: float = 0.3) -> Row:
    """Track 500 events a second through an outage of so many seconds."""
    events = int(_RATE * (seconds + 2 * before))
    # The sandbox cannot close its own port.
    with Collector() if mode == "refused" else SandboxCollector() as collector:
        site = Site(directory, collector)
        options = {"transport": transport, **({"timeout": _MUTE_SECONDS} if mode == "mute" else {})}
        config = site.config(stream="o", count=events, rate=_RATE, flush=60, options=options, count_requests=True)
        host = start(config)
        collector.wait_for(int(_RATE * before))
        _begin(collector, mode, seconds)
        (began, ended_at), *_ = collector.wait_for_health()
        ended = finish(host, 90)
        last = site.finish()
        obligations = read(site.ledger)
        arrivals = collector.arrivals()
        lost_answers = sum(arrival.taken and not arrival.status for arrival in arrivals)
        row = judge(f"outage: {mode} ({transport})", "4", obligations, arrivals, bound=lost_answers)
    row.require(row.events == events + 1, f"{row.events} of {events + 1} accepted")
    row.require(ended.code == 0 and "Traceback" not in ended.log, f"code {ended.code}: {ended.log[-500:]}")
    row.require(ended.report.get("flushed"), f"not delivered after the outage: {ended.report.get('stats')}")
    lines = ended.log.splitlines()
    row.require(len(lines) <= _MOST_LINES, f"{len(lines)} lines in the log, such as {lines[1:3]}")
    check_sums(row, ended)
    check_finish(row, last)
    if mode == "answers lost":
        row.require(row.duplicates > 0, "no duplicates seen, though answers were lost")
    else:
        during = _during(arrivals, began, ended_at)
        if mode == "refused":
            during = ended.report["requests"] - sum(arrival.at > 0 for arrival in arrivals) + 1
        normal = _RATE * seconds
        row.require(during < normal / 10, f"{during} requests during the outage, of {normal:.0f} in normal running")
        row.note = f"{during} requests in {seconds:g} s"
    _judge_speed(row, [each.micros for each in obligations if each.stream == "o"])
    return row


def _begin(collector: Collector | SandboxCollector, mode: str, seconds: float) -> None:
    if isinstance(collector, Collector):
        collector.refuse(seconds)
    else:
        collector.behave(_FAULTS[mode], seconds=seconds)


def _during(arrivals: Sequence[Arrival], began: float, ended_at: float) -> int:
    return sum(began <= arrival.at <= ended_at for arrival in arrivals)


def _judge_speed(row: Row, micros: list[int]) -> None:
    later = sorted(micros[1:])  # the first call opens the spool; it counts for the worst, not for the many
    p99 = later[len(later) * 99 // 100] / 1000
    row.worst_ms = max(micros) / 1000
    row.note = f"{row.note}; p99 {p99:.2f} ms".strip("; ")
    row.require(row.worst_ms < _WORST_MS, f"{SLOW}: the worst track took {row.worst_ms:.0f} ms")
    row.require(p99 < _P99_MS, f"{SLOW}: the p99 of track was {p99:.2f} ms")


SLOW = "slow"


def calmly(make: Any, attempts: int = 8) -> Row:
    """Repeat a run in which nothing but the time of a call was wrong: on a shared machine others take their turns.

    A fault of ours would show in each of them.
    """
    for attempt in range(attempts):
        row: Row = make(attempt)
        if not row.failures or not all(failure.startswith(SLOW) for failure in row.failures):
            break
    return row


def asked_to_wait(directory: Path, *, seconds: float, retry_after: int = 2, events: int = 200) -> Row:
    """429 with `Retry-After` for so many seconds: nothing comes before the time, then everything does."""
    with SandboxCollector() as collector:
        site = Site(directory, collector)
        rate = events / seconds
        host = start(site.config(stream="w", count=events, rate=rate, flush=60))
        collector.wait_for(5)
        collector.behave("status", status=429, retry_after=retry_after, seconds=seconds)
        collector.wait_for_health()
        ended = finish(host, 90)
        last = site.finish()
        arrivals = collector.arrivals()
        row = judge("429, Retry-After: 2", "5", read(site.ledger), arrivals, bound=0)
    early, asked = _too_early(arrivals, retry_after)
    row.require(asked > 0, "nothing was answered 429: the harness is wrong")
    row.require(not early, f"{len(early)} requests came before the time: {[round(each, 3) for each in early[:10]]}")
    row.require(ended.report.get("flushed"), f"not delivered: {ended.report.get('stats')}")
    row.note = f"{asked} requests answered 429"
    check_sums(row, ended)
    check_finish(row, last)
    return row


def _too_early(arrivals: Sequence[Arrival], retry_after: float) -> tuple[list[float], int]:
    """Return how long after a 429 each request came that came too early, and the number of 429s."""
    early, asked = [], 0
    burst = latest = float("-inf")
    for arrival in arrivals:
        is_under_way = arrival.at - burst < _QUICK_SECONDS
        if not is_under_way and arrival.at - latest < retry_after:
            early.append(arrival.at - latest)
        if arrival.status == 429:
            asked += 1
            if not is_under_way:
                burst = arrival.at
            latest = arrival.at
    return early, asked

"""Row 2: exit without `close`; and a three-event script in an outage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .collector import Collector
from .hosts import Site
from .kills import check_finish
from .ledger import read
from .oracle import Row, judge

if TYPE_CHECKING:
    from pathlib import Path

HOWS = {"return": 0, "raise": 1, "exit": 3, "_exit": 4, "sigterm": -15}
OUTAGES = ("refusing", "mute")
_CLOSE_SECONDS = 2.0
_INTERPRETER_SECONDS = 1.0  # to end an interpreter on a busy machine


def exit_without_close(directory: Path, how: str, outage: str, *, events: int = 500) -> Row:
    """End a host in this way during this outage; the next process delivers all."""
    with Collector() as collector:
        site = Site(directory, collector)
        _break(collector, outage)
        ended = site.host(stream="e", count=events, end=how)
        before = sum(arrival.taken for arrival in collector.arrivals())
        _mend(collector, outage)
        last = site.finish(distinct=events + 1)
        row = judge(f"exit by {how}, {outage}", "2", read(site.ledger), collector.arrivals(), bound=0)
    row.require(before == 0, f"{before} arrived during the outage: the harness is wrong")
    row.require(ended.code == HOWS[how], f"the host ended with {ended.code}: {ended.log[-500:]}")
    row.require(ended.exit_seconds < _CLOSE_SECONDS + _INTERPRETER_SECONDS, f"the exit took {ended.exit_seconds:.2f} s")
    row.require(row.events == events + 1, f"{row.events} of {events + 1} accepted")
    row.note = f"exit in {ended.exit_seconds:.2f} s"
    check_finish(row, last)
    return row


def _break(collector: Collector, outage: str) -> None:
    if outage == "refusing":
        collector.refuse()
    else:
        collector.behave("mute")


def _mend(collector: Collector, outage: str) -> None:
    if outage == "refusing":
        collector.reopen()
    else:
        collector.behave("ok")


def three_events(directory: Path, outage: str) -> Row:
    """A script of three events ends within 2 s, and the next process delivers them."""
    row = exit_without_close(directory, "return", outage, events=3)
    row.fault = f"three events, {outage}"
    return row


def all_exits(directory: Path, *, events: int) -> Row:
    """Every way to end in every outage, as one line of the table."""
    rows = []
    for how in HOWS:
        for outage in OUTAGES:
            place = directory / f"{how}-{outage}"
            place.mkdir()
            rows.append(exit_without_close(place, how, outage, events=events))
    return together("exit without close", "2", rows)


def together(fault: str, number: str, rows: list[Row]) -> Row:
    """Return one line for several."""
    whole = Row(fault, number)
    whole.runs = sum(row.runs for row in rows)
    whole.events = sum(row.events for row in rows)
    whole.lost = sum(row.lost for row in rows)
    whole.duplicates = sum(row.duplicates for row in rows)
    whole.worst_ms = max((row.worst_ms for row in rows if row.worst_ms is not None), default=None)
    whole.failures = [f"{row.fault}: {failure}" for row in rows for failure in row.failures]
    return whole

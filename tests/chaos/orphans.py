"""What the killed leave to the living: a lock is taken, its holder killed, and another process delivers, once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .collector import Collector
from .hosts import Site, finish, start
from .kills import check_finish
from .ledger import read
from .oracle import Row, judge

if TYPE_CHECKING:
    from pathlib import Path

_SOON = 0.2  # seconds between two looks for what the dead have left; 60 in production
_PATIENCE = 30.0


def _wait_for_ledger(site: Site, count: int) -> None:
    until = time.monotonic() + _PATIENCE
    while len(read(site.ledger)) < count and time.monotonic() < until:
        time.sleep(0.005)


def killed_holder(directory: Path, *, events: int = 200) -> Row:
    """A process that lives on delivers what another left, once; its own backlog waits behind that."""
    with Collector() as collector:
        site = Site(directory, collector)
        collector.refuse()
        holder = start(site.config(stream="holder", count=events, hold=True))
        _wait_for_ledger(site, events)
        heir = start(site.config(stream="heir", count=events, hold=True, housekeeping=_SOON, segment_bytes=8192))
        _wait_for_ledger(site, 2 * events)
        holder.kill()
        holder.communicate()
        collector.reopen()
        arrived = collector.wait_for(2 * events, _PATIENCE)
        alive = heir.poll() is None
        ended = finish(heir)
        last = site.finish(distinct=2 * events + 1)
        row = judge("the lock's holder killed", "-", read(site.ledger), collector.arrivals(), bound=0)
    row.require(arrived == 2 * events and alive, f"the living process delivered only {arrived} of {2 * events}")
    row.require(ended.code == 0, f"the heir ended with {ended.code}: {ended.log[-500:]}")
    check_finish(row, last)
    return row


def many_killed(directory: Path, *, holders: int = 40, events: int = 5) -> Row:
    """One process delivers what a whole server full of others left, without waiting for minutes."""
    with Collector() as collector:
        site = Site(directory, collector)
        collector.refuse()
        living = [start(site.config(stream=f"p{number}", count=events, hold=True)) for number in range(holders)]
        _wait_for_ledger(site, holders * events)
        for process in living:
            process.kill()
        for process in living:
            process.communicate()
        collector.reopen()
        last = site.finish(timeout=_PATIENCE)
        row = judge(f"{holders} processes killed at once", "-", read(site.ledger), collector.arrivals(), bound=0)
    check_finish(row, last)
    row.require(row.events == holders * events + 1, f"{row.events} accepted")
    return row

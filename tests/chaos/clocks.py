"""Row 11: the clock jumps an hour either way, while events wait to be sent again."""

from __future__ import annotations

import glob
import time
from typing import TYPE_CHECKING

from .collector import Collector
from .hosts import Console, Site
from .kills import check_finish, check_sums
from .ledger import read
from .oracle import Row, judge

if TYPE_CHECKING:
    from pathlib import Path

_HOUR = 3600
_OUTAGE = 1.0
_BUSY = 0.5  # the part of one processor that an idle sender may use at the most, on a busy machine


def faketime_library() -> str | None:
    """Return the library that lies to a process about the time, if it is installed."""
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") + glob.glob("/usr/lib/faketime/libfaketimeMT.so.1")
    return found[0] if found else None


class Clock:
    """What time it is for one process: the true time and an offset, which is kept in a file."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "clock"
        self._library = faketime_library()
        self.jump(0)

    def jump(self, seconds: int) -> None:
        # In one step: libfaketime ends the process that finds the file empty.
        draft = self._path.with_suffix(".draft")
        draft.write_text(f"{seconds:+d}")
        draft.replace(self._path)

    @property
    def environment(self) -> dict[str, str]:
        if self._library is None:
            return {"CHAOS_CLOCK": str(self._path)}
        return {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    @property
    def kind(self) -> str:
        return "time.time replaced" if self._library is None else "libfaketime"


def jumps(directory: Path, *, events: int = 100) -> Row:
    """Jump an hour ahead and back, and an hour back and ahead, with an outage at each."""
    clock = Clock(directory)
    with Collector() as collector:
        site = Site(directory, collector)
        row = Row("clock jumps", "11")
        with Console(site.config(stream="c"), clock.environment) as host:
            host.ask("load", count=events)
            row.require(host.ask("flush", timeout=30), "not delivered before any jump")
            for turn, offset in enumerate((_HOUR, 0, -_HOUR, 0), 1):
                collector.behave("status", status=503, seconds=_OUTAGE)
                host.ask("load", count=events, start=turn * events)
                clock.jump(offset)
                off = host.ask("clock") - time.time()
                row.require(abs(off - offset) < 60, f"the clock did not jump: it is off by {off:.0f} s")
                before = host.ask("cpu")
                collector.wait_for_health()
                used = host.ask("cpu") - before
                row.require(used < _BUSY * _OUTAGE, f"{used:.2f} s of processor time in {_OUTAGE} s of waiting")
                row.require(host.ask("flush", timeout=30), f"stuck after a jump to {offset:+d} s: {host.ask('stats')}")
                age = host.ask("stats")["oldest_age"]
                row.require(age is None or age >= 0, f"an age below zero: {age}")
            ended = host.end()
        last = site.finish()
        failures = row.failures
        row = judge("clock jumps", "11", read(site.ledger), collector.arrivals(), bound=0)
    row.failures += failures
    row.note = clock.kind
    row.require(row.events == 5 * events + 1, f"{row.events} accepted")
    check_sums(row, ended)
    check_finish(row, last)
    return row

"""A replay that is killed, whose ledger's disk is full, and whose source grows meanwhile."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from bisect import bisect
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .collector import Collector
from .full import small_disk
from .oracle import BOUND, Row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEAD = "account_id,user_id,user_name,activity,module\n"
_MAIN = "from totango_sdk.cli import main; raise SystemExit(main())"
_PATIENCE = 120.0
_FEWEST_A_KILL = 200  # so many more rows must have arrived before the next kill, at least


def _write(path: Path, rows: range, mode: str = "w") -> None:
    with path.open(mode) as file:
        if mode == "w":
            file.write(_HEAD)
        file.writelines(f"a{row % 50},u{row},User {row},Row {row},App\n" for row in rows)


def _command(collector: Collector, path: Path, *more: str) -> list[str]:
    flags = ["--service-id", "SP-1234-01", "--endpoint", collector.endpoint, "--json", *more]
    return [sys.executable, "-c", _MAIN, "replay", str(path), *flags]


def _finish(collector: Collector, path: Path, *more: str) -> dict[str, Any]:
    done = subprocess.run(_command(collector, path, *more), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the last run ended with {done.returncode}: {done.stderr[-500:]}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _wait(collector: Collector, count: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _PATIENCE
    while collector.count() < count and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)


def _judge(row: Row, collector: Collector, rows: int, report: dict[str, Any], ends: list[int]) -> Row:
    """Every row arrived, none more often than each kill permits, and the last run's counts add up.

    `ends` says how many requests had come when each run was over.
    """
    names = [dict(parse_qsl(arrival.body.decode()))["sdr_a"] for arrival in collector.arrivals()]
    arrived = Counter(names)
    again = Counter(bisect(ends, at) for at, is_repeated in enumerate(_repeated(names)) if is_repeated)
    most = max(again.values(), default=0)
    row.note = f"at most {most} duplicates after one end"
    row.events = rows
    row.lost = sum(f"Row {number}" not in arrived for number in range(rows))
    row.duplicates = sum(arrived.values()) - len(arrived)
    row.require(len(arrived) == rows - row.lost, "something arrived that is no row of the source")
    row.require(row.lost == 0, f"{row.lost} rows did not arrive")
    row.require(most <= BOUND, f"{most} rows arrived twice after one end; {BOUND} may")
    parts = ("delivered", "rejected", "skipped", "earlier", "left")
    row.require(report["rows"] == rows == sum(report[part] for part in parts), f"the counts do not add up: {report}")
    return row


def _repeated(names: list[str]) -> Iterator[bool]:
    seen: set[str] = set()
    for name in names:
        yield name in seen
        seen.add(name)


def killed(directory: Path, *, kills: int, rows: int, seed: int | None = None) -> Row:
    """Kill a replay so many times at a random moment; let the source grow once in between."""
    chance = random.Random(seed)
    row = Row("replay: `kill -9`, and a source that grows", "1")
    path = directory / "events.csv"
    half = rows // 2
    ends: list[int] = []
    _write(path, range(half))
    with Collector() as collector:
        collector.behave("ok", delay=0.002)
        for number in range(kills):
            if number == kills // 2:
                _write(path, range(half, rows), "a")
            process = subprocess.Popen(_command(collector, path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            least = collector.count() + _FEWEST_A_KILL + chance.randrange(rows // kills // 2)
            _wait(collector, least, process)
            process.send_signal(signal.SIGKILL)
            process.wait()
            ends.append(collector.count())
        report = _finish(collector, path)
        row.runs = kills
        _judge(row, collector, rows, report, ends)
    row.require(row.duplicates > 0, "no duplicates seen, so the kills prove nothing")
    return row


def ledger_full(directory: Path, *, rows: int) -> Row | None:
    """Let the disk of the ledger be full until there is room again; `None` where that takes root."""
    row = Row("replay: the ledger's disk is full", "6")
    path = directory / "events.csv"
    _write(path, range(rows))
    with small_disk(directory, "200k") as disk, Collector() as collector:
        if disk is None:
            return None
        ledger = ("--ledger", str(disk / "ledger"))
        first = subprocess.run(_command(collector, path, *ledger), capture_output=True, text=True, check=False)
        row.require(first.returncode == 2, f"the run ended with {first.returncode}")
        row.require("Make room on its disk" in first.stderr, f"it did not say why: {first.stderr[-300:]}")
        arrived = collector.count()
        row.require(0 < arrived < rows, f"{arrived} rows had arrived")
        subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], capture_output=True, check=True)
        report = _finish(collector, path, *ledger)
        row.runs = 1
        _judge(row, collector, rows, report, [arrived])
    return row

"""Runs every row of the failure table at full size, prints the table, and writes docs/reliability.md.

`python -m tests.chaos [--quick] [--only WORD] [--output FILE]`
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import (
    busy,
    clocks,
    corrupt,
    crowd,
    exits,
    forks,
    full,
    hooks,
    interference,
    kills,
    neighbours,
    orphans,
    outages,
    paths,
    poison,
    removed,
    replays,
    servers,
    shortages,
    telltale,
)
from .oracle import BOUND, MAX_CONNECTIONS, UNSTRUCK, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[[Path], Row | None]

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "docs" / "reliability.md"


def plan(*, quick: bool) -> Iterator[tuple[str, Run]]:
    """Every run, with a name to choose it by."""
    yield "kills", partial(kills.kill_at_random, kills=200 if quick else 1000, spawned=5 if quick else 50)
    yield "orphans", orphans.killed_holder
    yield "orphans", orphans.many_killed
    yield "exits", partial(exits.all_exits, events=500)
    for outage in exits.OUTAGES:
        yield "exits", partial(exits.three_events, outage=outage)
    yield from _forks()
    seconds = 1.5 if quick else 5.0
    for mode in outages.MODES:
        for transport in ("httpx", "curl"):
            yield "outages", partial(_calm_outage, mode=mode, transport=transport, seconds=seconds)
    yield "429", partial(outages.asked_to_wait, seconds=2.5 if quick else 5.0)
    for is_poisoned in (False, True):
        yield "full", partial(full.full_disk, poison=is_poisoned)
        yield "full", partial(full.full_quota, poison=is_poisoned)
    yield "corrupt", partial(corrupt.all_mutants, mutants=80 if quick else 600)
    yield "corrupt", corrupt.newer_version
    yield "poison", poison.among_many
    yield "busy", partial(_calmly_alone, stream="plain")
    yield "busy", partial(_calmly_alone, stream="named")
    yield "busy", partial(busy.mixed, events=500 if quick else 5000)
    yield "busy", busy.stuck
    yield "clock", clocks.jumps
    yield "secret", telltale.in_the_host
    yield "secret", telltale.in_the_sandbox
    yield "paths", _unsafe_paths
    yield "paths", paths.link_in_place_of_a_file
    for trouble in removed.TROUBLES:
        yield "removed", partial(removed.taken_away, name=trouble)
    yield "endpoints", lambda _: paths.refused_endpoints()
    yield "endpoints", _redirects
    yield from _interference(quick=quick)
    kills_ = 10 if quick else 50
    yield "replay", partial(replays.killed, kills=kills_, rows=600 * kills_)
    yield "replay", partial(replays.ledger_full, rows=30_000)
    yield "crowd", partial(crowd.crowded, each=20 if quick else 100)


def _forks() -> Iterator[tuple[str, Run]]:
    yield "forks", partial(forks.gunicorn, preload=False)
    yield "forks", partial(forks.gunicorn, preload=True)
    if servers.have_redis():
        yield "forks", forks.celery
        yield "forks", forks.rq
    yield "forks", partial(forks.forker, kind="pools")
    yield "forks", partial(forks.forker, kind="many")


def _interference(*, quick: bool) -> Iterator[tuple[str, Run]]:
    for transport in ("httpx", "curl"):
        for threads in (1, 10):
            count = 20 if quick else 125  # 500 in all
            yield (
                "moments",
                partial(interference.forks_at_any_moment, forks=count, transport=transport, threads=threads),
            )
    for kind in forks.KINDS:
        yield "preload", partial(forks.preloaded, kind=kind, times=2 if quick else 20)
    for transport in ("httpx", "curl"):
        yield "deadlines", partial(interference.deadlines, count=200 if quick else 5000, transport=transport)
    for kind in neighbours.KINDS:
        yield "neighbours", partial(neighbours.on_one_directory, kind=kind, kills=2 if quick else 30)
    for calling in (False, True):
        yield "hooks", partial(hooks.everywhere, calling=calling, events=60 if quick else 1000)
    for how in interference.HOW:
        for mute in (False, True):
            yield "ends", partial(interference.ends, how=how, mute=mute, times=1 if quick else 10)
    for kind in shortages.KINDS:
        yield "shortages", partial(shortages.troubles, kind=kind, short=quick)


def _calm_outage(directory: Path, *, mode: str, transport: str, seconds: float) -> Row:
    def run(attempt: int) -> Row:
        place = directory / str(attempt)
        place.mkdir()
        return outages.outage(place, mode, seconds=seconds, transport=transport, before=seconds / 2)

    return outages.calmly(run)


def _calmly_alone(directory: Path, *, stream: str) -> Row:
    def run(attempt: int) -> Row:
        place = directory / str(attempt)
        place.mkdir()
        return busy.alone(place, stream=stream)

    return outages.calmly(run)


def _unsafe_paths(directory: Path) -> Row:
    rows = []
    for number, name in enumerate(paths.UNSAFE):
        if name != "somebody else's" or os.geteuid() == 0:
            place = directory / str(number)
            place.mkdir()
            rows.append(paths.unsafe_path(place, name))
    for name in paths.PARENTS:
        place = directory / name
        place.mkdir()
        rows.append(paths.open_parent(place, name))
    return exits.together("unsafe paths, and parents that are open", "13", rows)


def _redirects(directory: Path) -> Row:
    rows = []
    for status in (301, 302, 303, 307, 308):
        for transport in ("httpx", "curl"):
            place = directory / f"{status}-{transport}"
            place.mkdir()
            rows.append(paths.redirect(place, status, transport))
    return exits.together("redirects", "14", rows)


def run_all(runs: Iterator[tuple[str, Run]], only: str | None) -> list[Row]:
    """Run what is planned, one after another, and tell of each as it ends."""
    rows = []
    for name, run in runs:
        if only is not None and only != name:
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="chaos-") as place:
            row = run(Path(place))
        if row is None:
            print(f"     {name}: not possible here", flush=True)
            continue
        rows.append(row)
        print(f"{_told(row)}  ({time.monotonic() - began:.0f} s)", flush=True)
        for failure in row.failures:
            print(f"     {failure}", flush=True)
    return rows


def _told(row: Row) -> str:
    verdict = "FAIL" if row.failures else "ok"
    return f"{verdict:4} {row.number:>2}  {row.fault}: {row.events} events, {row.lost} lost, {row.duplicates} twice"


def table(rows: list[Row]) -> str:
    head = ("Row", "Fault", "Runs", "Events", "Lost", "Duplicates", "Worst `track`", "")
    lines = ["| " + " | ".join(head) + " |", "| ---: | --- | ---: | ---: | ---: | ---: | ---: | --- |"]
    for row in rows:
        worst = "" if row.worst_ms is None else f"{row.worst_ms:.1f} ms"
        cells: tuple[Any, ...] = (
            row.number, row.fault, row.runs, row.events, row.lost, row.duplicates, worst, row.note
        )  # fmt: skip
        lines.append("| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def page(rows: list[Row], command: str) -> str:
    """Return docs/reliability.md."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    made = f"{datetime.now(UTC):%Y-%m-%d}, on {cores} cores, Python {platform.python_version()}, {platform.system()}"
    text = (Path(__file__).parent / "reliability.md.in").read_text(encoding="utf-8")
    values = {
        "table": table(rows), "made": made, "command": command,
        "bound": str(BOUND), "connections": str(MAX_CONNECTIONS), "unstruck": str(UNSTRUCK),
    }  # fmt: skip
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the sizes of `make test`; writes nothing by itself")
    parser.add_argument("--only", help="only the runs of this name, such as kills; writes nothing by itself")
    parser.add_argument("--output", type=Path, help="where to write the page")
    arguments = parser.parse_args()
    rows = run_all(plan(quick=arguments.quick), arguments.only)
    print(f"\n{table(rows)}\n")
    failed = [row.fault for row in rows if row.failures]
    whole = not arguments.quick and arguments.only is None
    output = arguments.output or (OUTPUT if whole else None)
    if failed:
        print(f"{len(failed)} of {len(rows)} failed, so nothing is written: {', '.join(failed)}")
    elif output is not None:
        output.write_text(page(rows, "make chaos" if whole else "python -m tests.chaos --quick"), encoding="utf-8")
        print(f"written to {output}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

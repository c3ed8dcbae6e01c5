"""What is measured, group by group: every round takes all subjects in turn, each in a fresh process."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import recorded
from benchmarks.harness import SCRATCH, Result, Sink, Worker, run_worker, running_sink, scratch_directory
from benchmarks.peers import PEERS
from benchmarks.settings import DELIVERIES, OURS, Delivery, Settings

Group = dict[str, list[Result]]
Runs = dict[str, Callable[[], Result]]

DURABLE, MEMORY = "ours-durable", "ours-memory"


def in_turn(name: str, rounds: int, runs: Runs) -> Group:
    """Round-robin: what slows the machine for a while slows everyone."""
    group: Group = {key: [] for key in runs}
    for number in range(1, rounds + 1):
        print(f"{name}: round {number} of {rounds}", file=sys.stderr, flush=True)
        for key, run in runs.items():
            group[key].append(run())
    return group


def _worker(measure: str, subject: str, s: Settings, delay_ms: int = 0, **options: Any) -> Result:
    """One worker with a sink and a spool directory of its own."""
    with running_sink(delay_ms) as sink, scratch_directory() as directory:
        spool = options.pop("spool", str(directory))
        where = {"url": sink.url, "port": sink.port, "spool": spool, "limit": s.limit}
        return run_worker(measure, subject, **{**where, **options})


def _track_options(s: Settings, paced: bool) -> dict[str, Any]:
    burst = {"calls": s.calls, "warm": s.warm, "seconds": s.seconds}
    return {**burst, "calls": s.paced_calls, "pace": s.pace} if paced else burst


def track(s: Settings, paced: bool) -> Group:
    options = _track_options(s, paced)
    runs: Runs = {
        DURABLE: lambda: _worker("track", "ours", s, **options),
        MEMORY: lambda: _worker("track", "ours", s, spool="memory", **options),
    }
    for key in PEERS:
        runs[key] = lambda key=key: _worker("track", key, s, **options)  # type: ignore[misc]
    return in_turn("track, paced" if paced else "track, burst", s.rounds, runs)


def _together(subject: str, s: Settings, paced: bool, processes: int = 4) -> Result:
    """Several processes at once, started by one signal; the slowest process speaks for them."""
    calls = s.paced_calls if paced else s.together_calls
    options = {**_track_options(s, paced), "calls": calls, "gate": True, "big": True, "limit": s.limit}
    with running_sink() as sink, scratch_directory() as directory:
        where = {"url": sink.url, "port": sink.port, "spool": str(directory)}
        workers = [Worker("track", subject, **where, **options) for _ in range(processes)]
        for step in (Worker.wait_ready, Worker.go):
            for worker in workers:
                step(worker)
        results = [worker.result() for worker in workers]
    failed = [result for result in results if "error" in result]
    return failed[0] if failed else _slowest(results)


def _slowest(results: list[Result]) -> Result:
    rates = [result["rate"] for result in results]
    worst = {name: max(result[name] for result in results) for name in ("p50", "p99", "p999", "max")}
    return {**worst, "rate": sum(rates), "slowest": min(rates), "fastest": max(rates), "share": min(rates) / max(rates)}


def together(s: Settings, paced: bool) -> Group:
    runs: Runs = {
        DURABLE: lambda: _together("ours", s, paced),
        "segment": lambda: _together("segment", s, paced),
        "posthog": lambda: _together("posthog", s, paced),
    }
    return in_turn("track, four processes" + (", paced" if paced else ""), s.rounds, runs)


def loop(s: Settings) -> Group:
    options = {"tasks": s.loop_tasks, "calls": 2}
    runs: Runs = {
        "ours": lambda: _worker("loop", "ours", s, **options),
        "bare": lambda: _worker("loop", "bare", s, **options),
    }
    return in_turn("asyncio", s.rounds, runs)


def computing(s: Settings) -> Group:
    seconds = s.seconds if s.rounds > 1 else 1.0
    options = {"seconds": seconds, "count": int(20_000 * seconds), "client": {"max_connections": 16, **OURS["curl"]}}
    runs: Runs = {
        "ours": lambda: _worker("computing", "ours", s, **options),
        "bare": lambda: _worker("computing", "bare", s, **options),
    }
    return in_turn("a host that computes", s.rounds, runs)


IMPORTS = {
    "bare": "pass",
    "dependencies": "import attrs, cachetools, sqlite3",
    "ours": "import totango_sdk",
    "ours-client": "from totango_sdk import Totango",
    **{key: f"import {peer.imports}" for key, peer in PEERS.items()},
    "httpx": "import httpx",
}


def _import_ms(statement: str) -> Result:
    began = time.perf_counter()
    command = [sys.executable, "-c", statement]
    done = subprocess.run(command, cwd=SCRATCH, capture_output=True, text=True, timeout=60, check=False)
    spent = time.perf_counter() - began
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return {"ms": spent * 1000}


def imports(s: Settings) -> Group:
    """The wall time of a whole Python that only imports; one run of each beforehand warms the caches."""
    SCRATCH.mkdir(mode=0o700, parents=True, exist_ok=True)
    for statement in IMPORTS.values():
        _import_ms(statement)
    runs: Runs = {key: lambda text=text: _import_ms(text) for key, text in IMPORTS.items()}  # type: ignore[misc]
    return in_turn("import", s.import_rounds, runs)


def _deliver(row: Delivery, s: Settings, delay_ms: int, events: int) -> Result:
    count = s.count(events)
    if row.measure == "send":
        return _worker("send", row.subject, s, delay_ms, count=count, connections=row.connections)
    client = {"max_connections": row.connections, **OURS[row.transport]} if row.transport else {}
    return _worker("deliver", row.subject, s, delay_ms, count=count, client=client, who=row.who)


def delivery(s: Settings, delay_ms: int) -> Group:
    with running_sink(delay_ms) as sink, scratch_directory() as directory:
        runs: Runs = {}
        for row in DELIVERIES:
            events = row.events(delay_ms)
            if events and row.measure == "drain":
                runs[row.key] = _drained(row, sink, directory, s, delay_ms, events)
            elif events:
                runs[row.key] = lambda row=row, events=events: _deliver(row, s, delay_ms, events)  # type: ignore[misc]
        return in_turn(f"delivery, {delay_ms} ms", s.rounds, runs)


def _drained(
    row: Delivery, sink: Sink, directory: Path, s: Settings, delay_ms: int, events: int
) -> Callable[[], Result]:
    """From the spool to the collector alone, in turn with all that track as well; the spool is filled once."""
    count = s.count(events)
    source, _ = _fill(sink, directory, count, s)
    client = {"max_connections": row.connections, **OURS[row.transport]}
    options = {**_where(sink, s), "count": count, "client": client, "spool": str(directory / "copy")}
    return lambda: _drain(sink, source, delay_ms, options)


def _where(sink: Sink, s: Settings) -> Result:
    return {"url": sink.url, "port": sink.port, "limit": s.limit}


def _fill(sink: Sink, directory: Path, count: int, s: Settings) -> tuple[Path, Result]:
    """Fill a spool while the collector is mute; gives where it is."""
    print(f"filling {count:,}", file=sys.stderr, flush=True)
    sink.mode("hang")
    spool = directory / f"full-{count}"
    spool.mkdir(mode=0o700)
    options = {"spool": str(spool), "count": count, "client": {"timeout": 3600.0}}
    return spool, run_worker("fill", "ours", **_where(sink, s), **options)


def backlog_cells(s: Settings) -> dict[str, tuple[int, int, dict[str, Any]]]:
    """Events waiting, latency in ms, and the client's options."""
    curl = {**OURS["curl"], "max_connections": 16}
    sizes = dict(zip(("small", "medium", "large"), s.backlogs, strict=False))
    cells: dict[str, tuple[int, int, dict[str, Any]]] = {f"curl-{size}": (n, 0, curl) for size, n in sizes.items()}
    cells["curl-256-at-20"] = (sizes["medium"], 20, {**curl, "max_connections": 256})
    cells["httpx-small"] = (sizes["small"], 0, {**OURS["httpx"], "max_connections": 16})
    return cells


def backlog(s: Settings) -> Group:
    """Spools are filled once for each size, while the collector is mute; each run delivers a copy of one."""
    with running_sink() as sink, scratch_directory() as directory:
        filled: Group = {f"fill-{count}": [_fill(sink, directory, count, s)[1]] for count in s.backlogs}
        runs: Runs = {}
        for key, (count, delay_ms, client) in backlog_cells(s).items():
            source = directory / f"full-{count}"
            options = {**_where(sink, s), "count": count, "client": client, "spool": str(directory / "copy")}
            runs[key] = lambda source=source, delay_ms=delay_ms, options=options: _drain(  # type: ignore[misc]
                sink, source, delay_ms, options
            )
        return {**filled, **in_turn("backlog", s.rounds, runs)}


def _drain(sink: Sink, source: Path, delay_ms: int, options: dict[str, Any]) -> Result:
    sink.reset()
    sink.delay(delay_ms)
    shutil.copytree(source, options["spool"])
    try:
        return run_worker("drain", "ours", **options)
    finally:
        shutil.rmtree(options["spool"])


LOSS = {"ours": "totango_sdk, durable", **{key: peer.label for key, peer in PEERS.items() if peer.batches}}


def loss(s: Settings) -> Group:
    """A burst against everyone's own default limits: what arrives, and what was dropped. One round: it counts."""
    options = {"count": s.burst, "defaults": True}
    runs: Runs = {key: lambda key=key: _worker("deliver", key, s, 20, **options) for key in LOSS}  # type: ignore[misc]
    return in_turn("burst", 1, runs)


def _reported(run: Callable[[], Result]) -> Result:
    try:
        return run()
    except Exception as error:  # told in the report, as what a worker says
        return {"error": f"{type(error).__name__}: {error}"}


def integrations(s: Settings) -> Group:
    """Servers and a worker without the SDK, with it and idle, and tracking beside a healthy, mute and absent collector."""
    from benchmarks import web

    runs: Runs = {}
    for kind in web.FRAMEWORKS:
        for cell in web.CELLS:
            runs[f"{kind}-{cell}"] = lambda kind=kind, cell=cell: _reported(lambda: web.serve(kind, cell, s))  # type: ignore[misc]
    for cell in web.CELLS if web.have_celery() else ():
        runs[f"celery-{cell}"] = lambda cell=cell: _reported(lambda: web.work(cell, s))  # type: ignore[misc]
    return in_turn("integrations", s.rounds, runs)


def replay(s: Settings) -> Group:
    """Files of recorded events: read and checked alone, and sent; and one with a bad row in a hundred."""
    with scratch_directory() as directory, running_sink() as sink:
        where = {**_where(sink, s), "spool": "memory"}
        runs: Runs = {}
        for kind in recorded.SHAPES:
            path = recorded.source(kind, s.recorded, directory)
            runs[kind] = lambda path=path: run_worker("prepare", "ours", **where, path=path)  # type: ignore[misc]
        path = recorded.source("csv-40", s.sent, directory)
        for subject in ("replay", "track"):
            runs[subject] = lambda subject=subject, path=path: run_worker(  # type: ignore[misc]
                "replayed", subject, **where, path=path
            )
        group = in_turn("replay", s.rounds, runs)
        for key, count in (("mixed-small", 10_000), ("mixed", s.mixed)):
            path = recorded.source("mixed", count, directory)
            group[key] = [run_worker("replayed", "replay", **where, path=path)]
    return group


def audit(s: Settings) -> Group:
    """Three files with planted faults of every code. One round: it counts."""
    with scratch_directory() as directory:
        options = {"folder": str(directory), "count": s.audited, "limit": max(s.limit, 600.0)}
        return in_turn("audit", 1, {"planted": lambda: run_worker("audited", "ours", **options)})


GROUPS: dict[str, Callable[[Settings], Group]] = {
    "track_burst": lambda s: track(s, paced=False),
    "track_paced": lambda s: track(s, paced=True),
    "track_four": lambda s: together(s, paced=False),
    "track_four_paced": lambda s: together(s, paced=True),
    "loop": loop,
    "computing": computing,
    "import": imports,
    "deliver_0": lambda s: delivery(s, 0),
    "deliver_20": lambda s: delivery(s, 20),
    "backlog": backlog,
    "integrations": integrations,
    "replay": replay,
    "audit": audit,
    "loss": loss,
}

"""The tables, for the terminal and for results.md."""

from __future__ import annotations

import datetime
import os
import platform
import sqlite3
from importlib import metadata
from typing import Any

from benchmarks.book import MISSING, Book, number, table
from benchmarks.goals import goals
from benchmarks.measures import DURABLE, LOSS, MEMORY, backlog_cells
from benchmarks.peers import PEERS
from benchmarks.recorded import SHAPES
from benchmarks.settings import DELIVERIES, Settings

TRACKERS = {DURABLE: "totango_sdk, durable", MEMORY: "totango_sdk, in memory"}
TRACKERS |= {key: peer.label for key, peer in PEERS.items()}
IMPORTED = {"dependencies": "attrs, cachetools, sqlite3", "ours": "totango_sdk", "ours-client": "totango_sdk.Totango"}
IMPORTED |= {**{key: peer.label for key, peer in PEERS.items()}, "httpx": "httpx"}


def about(s: Settings) -> dict[str, Any]:
    """What was measured on what; no names and no paths."""
    import pycurl

    return {
        "run": s.name,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rounds": s.rounds,
        "import_rounds": s.import_rounds,
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "libcurl": pycurl.version_info()[1],
        "packages": {peer.package: metadata.version(peer.package) for peer in PEERS.values()},
    }


def goal_table(book: Book) -> str:
    rows = [[goal.text, goal.reached, goal.against, goal.verdict] for goal in goals(book)]
    return table(["goal", "reached", "measured by", "verdict"], rows)


def track_table(book: Book, group: str) -> str:
    fields = [("p50", 1), ("p99", 1), ("p999", 1), ("rate", 0), ("first", 0)]
    rows = [
        [label, *[book.show(group, key, field, digits) for field, digits in fields]] for key, label in TRACKERS.items()
    ]
    return table(["`track`, µs", "p50", "p99", "p99.9", "calls/s", "first call"], rows)


def together_table(book: Book, group: str) -> str:
    fields = [("p50", 1), ("p99", 1), ("p999", 1), ("rate", 0), ("slowest", 0), ("fastest", 0)]
    shown = {DURABLE: TRACKERS[DURABLE], "segment": "segment", "posthog": "posthog"}
    rows = [
        [label, *[book.show(group, key, field, digits) for field, digits in fields]] for key, label in shown.items()
    ]
    header = ["`track`, µs, of the slowest process", "p50", "p99", "p99.9", "calls/s, all", "slowest", "fastest"]
    return table(header, rows)


def loop_table(book: Book) -> str:
    fields = [("p50", 1), ("p999", 1), ("max", 0)]
    shown = {"ours": "1,000 tasks that track", "bare": "1,000 tasks that only sleep"}
    rows = [[text, *[book.show("loop", key, field, digits) for field, digits in fields]] for key, text in shown.items()]
    return table(["one step of the loop, µs", "p50", "p99.9", "longest"], rows)


def computing_table(book: Book) -> str:
    shown = {"ours": "while events leave", "bare": "alone"}
    fields = [("speed", 0), ("rate", 0)]
    rows = [[text, *[book.show("computing", key, field, digits) for field, digits in fields]] for key, text in shown.items()]
    return table(["a thread that computes without pause", "turns/s", "delivered/s"], rows)


def _import_row(book: Book, key: str, label: str) -> list[str]:
    value, bare = book.median("import", key, "ms"), book.median("import", "bare", "ms")
    if value is None or bare is None:
        return [label, book.show("import", key, "ms"), MISSING]
    least = min(book.values("import", key, "ms")) - min(book.values("import", "bare", "ms"))
    return [label, number(value - bare, 1), number(least, 1)]


def import_table(book: Book) -> str:
    rows = [_import_row(book, key, label) for key, label in IMPORTED.items()]
    return table(["import, ms over bare Python", "median", "least"], rows)


def _delivery_row(book: Book, key: str, label: str) -> list[str]:
    rates = [book.show(group, key, "rate") for group in ("deliver_0", "deliver_20")]
    group = "deliver_0" if book.runs("deliver_0", key) else "deliver_20"
    return [label, *rates, book.show(group, key, "cpu_us"), book.show(group, key, "rss_mb")]


def delivery_table(book: Book) -> str:
    rows = [_delivery_row(book, row.key, row.label) for row in DELIVERIES]
    return table(["delivered", "/s, 0 ms", "/s, 20 ms", "CPU µs an event", "peak MB"], rows)


def backlog_table(book: Book, s: Settings) -> str:
    fields = ("rate", "start_ms", "cpu_us", "rss_mb")
    cells = [cell for cell in book.groups.get("backlog", {}) if not cell.startswith("fill")]
    rows = [[_backlog_label(cell, s), *[book.show("backlog", cell, field) for field in fields]] for cell in cells]
    return table(["backlog", "delivered/s", "ms to the first", "CPU µs an event", "peak MB"], rows)


def _backlog_label(cell: str, s: Settings) -> str:
    count, delay_ms, client = backlog_cells(s)[cell]
    return f"{count:,} events, {client['transport']}, {client['max_connections']} connections, {delay_ms} ms"


def loss_table(book: Book) -> str:
    rows = []
    for key, label in LOSS.items():
        of, arrived = book.median("loss", key, "expected"), book.median("loss", key, "delivered")
        lost = number(of - arrived) if of is not None and arrived is not None else book.show("loss", key, "delivered")
        rows.append([label, book.show("loss", key, "expected"), book.show("loss", key, "delivered"), lost])
    return table(["a burst at 20 ms", "tracked", "arrived", "lost"], rows)


FRAMEWORKS = {"flask": "Flask, gunicorn", "django": "Django, gunicorn", "fastapi": "FastAPI, uvicorn", "celery": "Celery, solo"}
HOSTS = {
    "bare": "without the SDK",
    "idle": "tracks nothing",
    "healthy": "tracks once",
    "mute": "tracks once, collector mute",
    "down": "tracks once, collector down",
}


def _host_row(book: Book, kind: str, cell: str) -> list[str]:
    name, bare = f"{kind}-{cell}", book.median("integrations", f"{kind}-bare", "rate")
    rate = book.median("integrations", name, "rate")
    less = MISSING if cell == "bare" or rate is None or bare is None else f"{(rate / bare - 1) * 100:+.1f} %"
    cpu, bare_cpu = (book.median("integrations", each, "cpu_us") for each in (name, f"{kind}-bare"))
    more = MISSING if cell == "bare" or cpu is None or bare_cpu is None else f"{cpu - bare_cpu:+.0f}"
    rest = [book.show("integrations", name, field, digits) for field, digits in (("p50", 2), ("p99", 2), ("cpu_us", 0))]
    return [f"{FRAMEWORKS[kind]}: {HOSTS[cell]}", book.show("integrations", name, "rate"), less, *rest, more]


def integrations_table(book: Book) -> str:
    rows = [_host_row(book, kind, cell) for kind in FRAMEWORKS for cell in HOSTS]
    return table(["a host", "requests or tasks/s", "against without", "p50, ms", "p99, ms", "CPU µs", "more"], rows)


def replay_table(book: Book) -> str:
    rows = [[f"{text}: read, checked, encoded", book.show("replay", kind, "rate"), book.show("replay", kind, "rss_mb")]
            for kind, text in SHAPES.items()]  # fmt: skip
    sent = {"replay": "sent by replay", "track": "sent by `track`, row by row", "mixed": "one bad row in a hundred, sent"}
    rows += [[text, book.show("replay", key, "rate"), book.show("replay", key, "rss_mb")] for key, text in sent.items()]
    return table(["recorded events", "rows/s", "peak MB"], rows)


def audit_table(book: Book) -> str:
    fields = (("seconds", 1), ("cpu_s", 1), ("rss_mb", 0), ("precision", 4), ("recall", 4), ("faults", 0))
    row = ["three files", *[book.show("audit", "planted", field, digits) for field, digits in fields]]
    return table(["audit", "s", "CPU s", "peak MB", "precision", "recall", "planted"], [row])


def _troubles(book: Book) -> str:
    found = book.troubles()
    return "\n".join(f"- {line}" for line in found) if found else "Nothing failed; nothing was lost or delivered twice."


SECTIONS = """\
## Goals

"Measured by" is the figure of the same run that the goal is held against.

{goals}

## Tracking

Each call is timed by itself, after {warm} calls and half a second to settle, with a live collector. The peers keep
events in memory and lose them on `kill -9`; "durable" survives it.

In a burst, one call right after the other:

{burst}

At {pace:,} calls a second:

{paced}

From four processes at once, on {cores} cores; the peers with queues large enough to drop nothing. In a burst each of
the four takes all the processor it can get, so with fewer cores than that every one of them waits its turn now and
then, for some milliseconds; that is in the p99.

{together}

The same at {pace:,} calls a second each:

{together_paced}

From asyncio, how long one step holds the loop:

{loop}

![track](plots/track.svg)

## Delivering

From the first call of a burst to the arrival of the last event at a collector written in C on loopback, which answers
at once or after 20 ms; one event went ahead. The calls themselves are within that time, and so is the spool on disk.
CPU (user and system, of the whole process) and peak resident memory are those at 0 ms where that was measured.

Totango takes one event a request, and so do we: the peers other than totango 0.4.1 send up to some hundreds in one.
Events belong to 1,000 accounts in turn where nothing else is said. Bare
libraries send bodies that were made before the clock started. The peers' queues are large enough to drop nothing.

{delivery}

![delivered](plots/delivered.svg)

A backlog: a process tracked while the collector was mute, and ended; a new one delivers what it finds, the rate being
that between the first arrival and the last. The process that tracked had at most {filled} MB in memory.

{backlog}

A burst with everyone's own default limits and a latency of 20 ms, waited for as long as anything new
arrives (one round; in the full run only):

{loss}

Events that leave, with curl on 16 connections, while a thread of the host computes without pause:

{computing}

## In a host

A view that reads 50 rows of SQLite and shows them in a template (FastAPI: as JSON), asked on four connections as fast as
it answers by a process beside it: one worker of gunicorn with four threads, or of uvicorn. Celery's task reads the same
rows. The sender runs in the host's process, and its share of the processor is in the figures. "CPU µs" is what the whole
server has of the processor for each request, which other work on the machine does not change.

{hosts}

## Recorded events

What replay reads, checks and encodes in a second of one processor, and what it delivers in a second to the same collector,
beside `track` called for each row of the same file. Then {mixed:,} rows of which one in a hundred is bad, in nine ways.

{replay}

An audit of three files of {audited:,} rows with planted faults of all codes; the planting is in the peak of memory.

{audit}

## Importing

The wall time of a fresh Python that only imports, of {import_rounds} in turn. The goals are held against the
medians; the least shows how much of a median was other work on the machine.

{imports}

## What went wrong

{troubles}
"""

HEAD = """\
# Benchmark results

Made by `make bench` ({run} run) on {date}: {cores} cores, {system}, Python {python}, SQLite {sqlite},
libcurl {libcurl}. Medians of {rounds} rounds, each subject in turn, every run in a fresh process. A dash: not measured.

Peers: {peers}.

"""


def text(book: Book, facts: dict[str, Any], s: Settings) -> str:
    peers = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    sections = SECTIONS.format(
        goals=goal_table(book),
        warm=s.warm,
        pace=s.pace,
        cores=facts["cores"],
        burst=track_table(book, "track_burst"),
        paced=track_table(book, "track_paced"),
        together=together_table(book, "track_four"),
        together_paced=together_table(book, "track_four_paced"),
        loop=loop_table(book),
        delivery=delivery_table(book),
        filled=", ".join(f"{book.show('backlog', f'fill-{count}', 'rss_mb')} ({count:,} events)" for count in s.backlogs),
        backlog=backlog_table(book, s) if book.groups.get("backlog") else MISSING,
        loss=loss_table(book) if book.groups.get("loss") else MISSING,
        computing=computing_table(book),
        hosts=integrations_table(book),
        imports=import_table(book),
        replay=replay_table(book),
        audit=audit_table(book),
        mixed=s.mixed,
        audited=s.audited,
        import_rounds=facts["import_rounds"],
        troubles=_troubles(book),
    )
    return HEAD.format(**facts, peers=peers) + sections

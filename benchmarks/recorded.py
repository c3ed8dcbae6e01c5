"""Replay and audit: recorded events as files, and how fast they are read, checked, sent and compared."""

from __future__ import annotations

import csv
import json
import pathlib
import resource
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import ours
from benchmarks.harness import Result

SHAPES = {
    "csv-40": "CSV, 40 users of 10 accounts",
    "csv-new": "CSV, 7 rows of 10 name a new user",
    "ndjson": "NDJSON, the same",
    "log": "log lines, the same",
    "wire": "wire rows, the same",
}
BAD = (
    "Acme Inc.,u1,Login,App,{now}",  # an ID with a space
    "a1,,Login,App,{now}",  # no user
    "a1,u1,Login,App,2001-01-01T00:00:00Z",
    "a1,u1,Login,App,yesterday",
    "a1,u1,Login,App,2026-01-01T00:00:00",  # no zone
    "a1,u1",
    "a1,u1,Login,App,{now},more",
    '"a1,u1,Login,App,{now}',
    "a1,\udcff,Login,App,{now}",
)
DAYS = 30 * 86400.0


def source(kind: str, count: int, folder: pathlib.Path) -> str:
    """Write the rows of one kind, and return the path."""
    path = folder / f"{kind}-{count}"
    if not path.exists():
        with path.open("w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(_lines(kind, count, int(time.time())))
    return str(path)


def _lines(kind: str, count: int, now: int) -> Iterator[str]:
    if kind in ("csv-40", "csv-new", "mixed"):
        yield "account_id,user_id,activity,module,time\n"
    for at in range(count):
        user = f"user{at % 40 if kind == 'csv-40' or at % 10 >= 7 else at}@example.com"
        account, activity, module = f"acct{at % (10 if kind == 'csv-40' else 1000)}", f"Viewed report {at % 20}", f"Module {at % 5}"
        when = time.gmtime(now - 3600 + at % 3000)
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", when)
        if kind == "mixed" and at % 100 == 50:
            yield BAD[at // 100 % len(BAD)].format(now=text) + "\n"
        elif kind in ("csv-40", "csv-new", "mixed"):
            yield f"{account},{user},{activity},{module},{text}\n"
        elif kind == "ndjson":
            row = {"account_id": account, "user_id": user, "activity": activity, "module": module, "time": text}
            yield json.dumps(row) + "\n"
        else:
            pairs = {"sdr_s": ours.SERVICE, "sdr_o": account, "sdr_u": user, "sdr_a": activity, "sdr_m": module}
            yield json.dumps(pairs) + "\n" if kind == "wire" else _log_line(pairs, when, at)


def _log_line(pairs: dict[str, str], when: time.struct_time, at: int) -> str:
    query = "&".join(f"{name}={value.replace('@', '%40').replace(' ', '%20')}" for name, value in pairs.items())
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", when)
    return f'10.0.0.1 - - [{stamp}] "GET /pixel.gif/?{query}&r={at} HTTP/1.1" 200 43 "-" "Mozilla/5.0"\n'


def _client(o: Result) -> Any:
    from totango_sdk import Totango

    more = {"max_connections": o.get("connections", 32), "transport": "curl"}
    return Totango(ours.SERVICE, endpoint=f"{o['url']}/pixel.gif/", spool="memory", **more)


def prepare(subject: str, o: Result) -> Result:
    """Read, check and encode all rows of a file, and send none: rows for each second of the processor."""
    from totango_sdk.replay import replay, run

    spent: list[float] = []

    def read_only(self: Any) -> bool:
        began = time.process_time()
        while (filled := self._fill()) is not None:
            if filled[1]:
                self._settled(filled[0], 1, None)
        spent.append(time.process_time() - began)
        return True

    run.Run._send = read_only  # type: ignore[method-assign]
    report = replay(o["path"], _client(o), ledger=False, max_age=DAYS)
    return {"rate": report.rows / spent[0], "rejected": report.rejected, "rss_mb": _peak_mb()}


def replayed(subject: str, o: Result) -> Result:
    """Send a file: by `replay`, or row by row by `track`."""
    client = _client(o)
    began = time.monotonic()
    told: Result = {}
    if subject == "replay":
        from totango_sdk.replay import replay

        report = replay(o["path"], client, again=True, max_age=DAYS)
        parts = (report.delivered, report.rejected, report.skipped, report.earlier, report.left)
        told = {"delivered": report.delivered, "rows": report.rows, "adds_up": report.rows == sum(parts), "rejected": report.rejected}
    else:
        with open(o["path"], newline="") as file:
            for row in csv.DictReader(file):
                client.track(row["activity"], row["module"], account=row["account_id"], user=row["user_id"])
        client.flush(o["limit"])
        told = {"delivered": client.stats().delivered}
    spent = time.monotonic() - began
    client.close()
    return {**told, "rate": told["delivered"] / spent, "rss_mb": _peak_mb()}


def audited(subject: str, o: Result) -> Result:
    """Audit three files with planted faults of every code."""
    from tests.plants import Expected, Plants, plain
    from totango_sdk.audit import audit

    plants = Plants(o["count"], max(5, o["count"] // 1000))
    paths = plants.write(pathlib.Path(o["folder"]))
    expected = plants.expected
    del plants
    before = _peak_mb()
    cpu, began = time.process_time(), time.monotonic()
    found = audit(paths, limit=1 << 60)
    told = {"seconds": time.monotonic() - began, "cpu_s": time.process_time() - cpu, "rss_mb": _peak_mb(), "before_mb": before}
    got = set()
    for finding in found.findings:
        more = finding.as_mapping()
        code, file, what, ids, lines = (more.pop(name) for name in ("code", "file", "what", "ids", "lines"))
        if code != "unbound":
            del more["severity"]
        got.add(Expected(code, file, what, tuple(ids), tuple(lines), plain(more)))
    right = len(got & expected)
    return {**told, "precision": right / len(found.findings), "recall": right / len(expected), "faults": len(expected)}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

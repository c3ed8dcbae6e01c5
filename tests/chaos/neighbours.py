"""Row 22: two copies of the package, sub-interpreters, and the same PID in two containers, on one directory."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .collector import Collector
from .hosts import TESTS, Site, environment
from .kills import check_finish
from .ledger import read
from .oracle import Row, judge

if TYPE_CHECKING:
    from collections.abc import Sequence

_ACCOUNTS = 20
_MANY = 10
_BEFORE = 50  # events of each, before a kill
_PATIENCE = 30.0
_SLOW = 0.05  # seconds for an answer: slower than two copies track, so that each kill leaves something
_COPY = "totango_sdk_copy"

# Each of these tracks for ever, in streams that no other has.
TRACKING = """
import json, os, sys, threading
config = json.loads({config!r})
sys.path[:0] = [config["tests"], config["copies"]]
from chaos.ledger import SERVICE_ID, Ledger
from {package} import Totango
client = Totango(SERVICE_ID, endpoint=config["endpoint"], spool=config["spool"], transport="httpx")
ledger = Ledger(config["ledger"])
seq = 0
while True:
    ledger.send(client, "plain-" + config["name"] + "-{name}", seq, 20)
    seq += 1
    threading.Event().wait(0.001)
"""

COPIES = """
import json, sys, threading
codes = json.loads(sys.argv[1])
for code in codes[1:]:
    threading.Thread(target=exec, args=(code, {"__name__": "copy"})).start()
exec(codes[0], {"__name__": "first"})
"""

INTERPRETERS = """
import json, sys, threading, warnings
warnings.simplefilter("ignore")
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
codes = json.loads(sys.argv[1])

def work(code):
    made = interpreters.create("legacy") if sys.version_info >= (3, 13) else interpreters.create(isolated=False)
    failed = interpreters.run_string(made, code)
    if failed is not None:
        print(failed, file=sys.stderr)

for code in codes[1:]:
    threading.Thread(target=work, args=(code,)).start()
exec(codes[0], {"__name__": "first"})
"""

CONTAINED = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
KINDS = ("copies of the package", "sub-interpreters", "the same PID in containers")


def possible(kind: str) -> bool:
    """Whether there can be containers of our own."""
    if kind != KINDS[2]:
        return True
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*CONTAINED, "true"], capture_output=True, check=False).returncode == 0


def on_one_directory(directory: Path, *, kind: str, kills: int) -> Row | None:
    """Two of a kind track on one directory, and are killed at a random moment; so many times."""
    if not possible(kind):
        return None
    import totango_sdk

    copies = directory / "copies"
    shutil.copytree(Path(totango_sdk.__file__).parent, copies / _COPY)
    with Collector() as collector:
        site = Site(directory, collector)
        collector.behave("ok", delay=_SLOW)
        row = Row(f"two {kind}", "22")
        for number in range(kills):
            config = site.config(name=str(number), tests=str(TESTS), copies=str(copies))
            _kill_two(row, site, _commands(kind, config), f"plain-{number}-")
        before = len({each.body for each in collector.arrivals() if each.taken})
        collector.behave("ok")
        last = site.finish()
        obligations = read(site.ledger)
        collector.wait_for(len(obligations), 5)
        permitted = [
            (stream, seq + 1, _ACCOUNTS) for stream, seq in _last_of_each(site).items() if stream.startswith("plain")
        ]
        judged = judge(row.fault, "22", obligations, collector.arrivals(), runs=kills, permitted=permitted)
    judged.failures += row.failures
    check_finish(judged, last)
    # Of a few kills, none may have come where anything waited.
    judged.require(
        kills < _MANY or before < len(obligations) - 1, "nothing was left to the next process: the kills prove nothing"
    )
    judged.note = f"{len(obligations) - before} left to the next process"
    return judged


def _commands(kind: str, config: dict[str, Any]) -> list[list[str]]:
    packages = ("totango_sdk", _COPY if kind == KINDS[0] else "totango_sdk")
    codes = [
        TRACKING.format(config=json.dumps(config), package=package, name=name)
        for package, name in zip(packages, "ab", strict=True)
    ]
    if kind == KINDS[2]:
        return [[*CONTAINED, sys.executable, "-c", code] for code in codes]
    return [[sys.executable, "-c", COPIES if kind == KINDS[0] else INTERPRETERS, json.dumps(codes)]]


def _kill_two(row: Row, site: Site, commands: Sequence[Sequence[str]], streams: str) -> None:
    log = site.directory / "log"
    with log.open("wb") as errors:
        hosts = [
            subprocess.Popen(command, env=environment(), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
            for command in commands
        ]
    try:
        until = time.monotonic() + _PATIENCE
        while (
            len(seen := [each for each, last in _last_of_each(site).items() if streams in each and last > _BEFORE]) < 2
        ):
            if time.monotonic() > until or any(host.poll() is not None for host in hosts):
                break
            time.sleep(0.01)
        row.require(len(seen) == 2, f"only {seen} tracked: {log.read_text(errors='replace')[-800:]}")
        time.sleep(random.uniform(0, 0.3))
    finally:
        for host in hosts:
            host.kill()
        for host in hosts:
            host.wait()


def _last_of_each(site: Site) -> dict[str, int]:
    """Return the last number of each stream in the ledger."""
    last: Counter[str] = Counter()
    for each in read(site.ledger):
        last[each.stream] = max(last[each.stream], each.seq)
    return last

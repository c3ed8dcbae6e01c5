"""Rows 18 to 21 and 24: whatever the host does.

Each run is a program of its own in front of a collector; what it accepted is in its ledger.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .collector import Collector
from .exits import together
from .hosts import TESTS, Site, environment
from .ledger import read
from .oracle import Row
from .outages import SLOW, calmly

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_PATIENCE = 600
_EXIT_SECONDS = 3.0  # 2 of ours, and the interpreter's own end
_QUOTA_BYTES = 500_000  # or threads that track without a pause would leave a hundred thousand events
HOW = ("del", "atexit", "daemon", "daemon, del, atexit")

START = """
import atexit, json, os, random, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")
config = json.loads(sys.argv[1])
count = config["count"]
from chaos.drive import make_client
from chaos.ledger import Ledger
client, ledger = make_client(config), Ledger(config["ledger"])
"""

FORKS = (
    START
    + """
ledger.send(client, "parent", 0, 5)
for number in range(config["threads"] - 1):
    def work(number=number):
        for seq in range(200):
            ledger.send(client, f"thread{os.getpid()}-{number}", seq, 5)
            time.sleep(0.002)
    threading.Thread(target=work, daemon=True).start()
children = []
for number in range(count):
    time.sleep(random.uniform(0, 2.0 / count))
    pid = os.fork()
    if pid == 0:
        ledger = Ledger(config["ledger"])
        ledger.send(client, f"child{number}-{os.getpid()}", 0, 5)
        os._exit(0 if client.flush(60) and client.stats().in_flight == 0 else 1)
    children.append(pid)
failed = sum(os.waitpid(pid, 0)[1] != 0 for pid in children)
print(json.dumps({"failed": failed, "flushed": client.flush(60)}))
client.close()
"""
)

DEADLINES = (
    START
    + """
from deadlines import Deadline, arm

caught = seq = 0
told = []

arm()
while caught < count:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00005, 0.002), 0.5)
        while True:
            chance = random.random()
            if chance < 0.9:
                seq += 1
                if client.track(f"x{seq}", "M", f"A{seq % 5}", "U"):
                    told.append(seq)
            elif chance < 0.95:
                client.identify("A", "V")
            elif chance < 0.98:
                client.flush(0.001)
            else:
                client.close(0.01)
    except Deadline:
        caught += 1
signal.setitimer(signal.ITIMER_REAL, 0)
elsewhere = []
other = threading.Thread(target=lambda: elsewhere.append(client.track("elsewhere", "M", "A", "U")), daemon=True)
other.start()
other.join(20)
ledger.send(client, "after", 0, 5)
flushed = client.flush(120)
stats = client.stats()
client.close()
names = []
for _ in range(1000):
    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("totango")]
    if not names:
        break
    time.sleep(0.01)
print(json.dumps({
    "struck": Deadline.struck, "caught": caught, "elsewhere": bool(elsewhere and elsewhere[0]), "flushed": flushed,
    "left": stats.queued + stats.retrying + stats.in_flight + stats.dropped, "threads": names,
    "durable": stats.durable, "told": told, "stats": repr(stats),
}))
"""
)

ENDS = (
    START
    + """
def work(number):
    seq = 0
    while True:
        client.track(f"busy{number}-{seq}", "M", "A", "U")
        seq += 1

class Last:
    def __del__(self):
        client.track("late", "M", "A", "U")

how = config["how"]
if "atexit" in how:
    from totango_sdk.delivery import process
    ledger.send(client, "first", 0, 5)
    atexit.unregister(process.end)
    atexit.register(client.track, "late", "M", "A", "U")
    atexit.register(process.end)
    atexit.register(client.track, "early", "M", "A", "U")
if "daemon" in how:
    for number in range(3):
        threading.Thread(target=work, args=(number,), daemon=True).start()
if "del" in how:
    sys.last = Last()
ledger.send(client, "main", 0, 5)
time.sleep(random.uniform(0, 0.2))
print(json.dumps({"at": time.monotonic()}), flush=True)
"""
)


def run(program: str, site: Site, **details: Any) -> tuple[dict[str, Any], float]:
    """Run a program to its end; what it told, and when it ended."""
    command = [sys.executable, "-c", program, json.dumps(site.config(**details))]
    done = subprocess.run(
        command, cwd=TESTS, env=environment(), capture_output=True, text=True, timeout=_PATIENCE, check=False
    )  # fmt: skip
    ended = time.monotonic()
    if done.returncode:
        return {"failure": f"ended with {done.returncode}: {done.stderr[-500:]}"}, ended
    return json.loads(done.stdout.splitlines()[-1]), ended


def _lost(site: Site, collector: Collector, also: Collection[str] = ()) -> tuple[int, int, int]:
    """Have the next process deliver the rest; how many were accepted, lost, and came twice."""
    site.finish()
    owed = {each.body for each in read(site.ledger)}
    collector.wait_for(len(owed), 5)
    taken = Counter(arrival.body for arrival in collector.arrivals() if arrival.taken)
    names = {dict(parse_qsl(body.decode())).get("sdr_a") for body in taken}
    lost = len([body for body in owed if body not in taken]) + len(set(also) - names)
    return len(owed) + len(also), lost, sum(taken.values()) - len(taken)


def forks_at_any_moment(directory: Path, *, forks: int, transport: str, threads: int) -> Row:
    """Row 18: fork at every moment of the first two seconds after the first event."""
    with Collector() as collector:
        site = Site(directory, collector)
        told, _ = run(FORKS, site, count=forks, threads=threads, options={"transport": transport})
        events, lost, twice = _lost(site, collector)
    fault = f"fork at any moment: {transport}, {threads} thread{'s' if threads > 1 else ''}"
    row = Row(fault, "18", forks, events, lost, twice)
    row.require("failure" not in told, str(told.get("failure")))
    row.require(not told.get("failed"), f"{told.get('failed')} children did not deliver")
    row.require(told.get("flushed", True), "the parent did not deliver")
    row.require(not lost, f"{lost} lost")
    return row


def deadlines(directory: Path, *, count: int, transport: str) -> Row:
    """Row 19: an exception out of a signal handler, at any line of the calls."""
    with Collector() as collector:
        site = Site(directory, collector)
        told, _ = run(DEADLINES, site, count=count, options={"transport": transport})
        names = {f"x{seq}" for seq in told.get("told", ())}
        events, lost, twice = _lost(site, collector, names)
    row = Row(f"deadlines: {transport}", "19", count, events, lost, twice)
    row.require("failure" not in told, str(told.get("failure")))
    row.require(told.get("struck") == told.get("caught") == count, f"{told.get('caught')} of {told.get('struck')} seen")
    row.require(told.get("elsewhere"), "a lock was left held")
    row.require(told.get("flushed") and not told.get("left"), f"events are left: {told.get('stats')}")
    row.require(not told.get("threads"), f"threads are left: {told.get('threads')}")
    row.require(told.get("durable"), "the spool is in memory")
    row.require(not lost, f"{lost} lost")
    return row


def ends(directory: Path, *, how: str, mute: bool, times: int) -> Row:
    """Row 21: the end of the interpreter."""
    rows = [calmly(partial(_end, directory / str(number), how, mute=mute)) for number in range(times)]
    row = together(f"end: {how}{', mute' if mute else ', refused'}", "21", rows)
    row.note = f"exit within {max(float(each.note) for each in rows):.1f} s"
    return row


def _end(directory: Path, how: str, attempt: int, *, mute: bool) -> Row:
    place = directory / str(attempt)
    place.mkdir(parents=True)
    with Collector() as collector:
        site = Site(place, collector)
        if mute:
            collector.behave("mute")
        else:
            collector.refuse()
        told, ended = run(ENDS, site, count=1, how=how, quota_bytes=_QUOTA_BYTES)
        took = ended - told.get("at", ended)
        collector.behave("ok")
        if not mute:
            collector.reopen()
        row = Row(how, "21", 1, *_lost(site, collector))
    row.note = f"{took:.1f}"
    row.require("failure" not in told, str(told.get("failure")))
    row.require(took < _EXIT_SECONDS, f"{SLOW}: the exit took {took:.1f} s")
    row.require(not row.lost, f"{row.lost} lost")
    return row

"""One measure on one subject, in this process: `python -m benchmarks.worker MEASURE SUBJECT OPTIONS-AS-JSON`.

Prints one line of JSON and leaves at once, without waiting for threads that a subject may have left.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import bare, ours, recorded
from benchmarks.harness import Result, Sink
from benchmarks.peers import PEERS, Tracker, account, marker

_LOOK_SECONDS = 0.5

STALLED = 8.0  # seconds without a new event after which the rest counts as not delivered
SETTLE = 0.5  # seconds for what a first call starts: threads, imports, connections


def quantile(ordered: list[int], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_memory_mb() -> float:
    """The peak resident set of this program; ru_maxrss would count what the parent had before exec."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def make(subject: str, o: Result, big: bool = False) -> Tracker:
    if subject == "ours":
        return ours.tracker(o["url"], o["spool"], o["limit"], o.get("who", "many"), **o.get("client", {}))
    return PEERS[subject].make(o["url"], big)


def track(subject: str, o: Result) -> Result:
    """Each call timed by itself; in a burst, or at `pace` calls a second."""
    tracker = make(subject, o, big=o.get("big", False))
    clock = time.perf_counter_ns
    began = clock()
    tracker.track(0)
    first = clock() - began
    for i in range(1, o["warm"]):
        tracker.track(i)
    time.sleep(SETTLE)
    if o.get("gate"):
        print("ready", flush=True)
        sys.stdin.readline()
    costs, spent = _timed_calls(tracker.track, o)
    ordered = sorted(costs)
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    result = {name: quantile(ordered, share) / 1000 for name, share in shares.items()}
    return {**result, "max": ordered[-1] / 1000, "rate": len(costs) / spent, "first": first / 1000, "calls": len(costs)}


def _timed_calls(call: Callable[[int], object], o: Result) -> tuple[list[int], float]:
    clock, costs = time.perf_counter_ns, []
    start = clock()
    deadline = start + int(o["seconds"] * 1e9)
    step = int(1e9 / o["pace"]) if o.get("pace") else 0
    for n in range(o["calls"]):
        if step:
            time.sleep(max(0, start + n * step - clock()) / 1e9)
        before = clock()
        call(o["warm"] + n)
        after = clock()
        costs.append(after - before)
        if after > deadline:
            break
    return costs, (clock() - start) / 1e9


def _wait_delivered(sink: Sink, expected: int, limit: float, hurry: Callable[[], object]) -> Result:
    """Hurries until the sink has everything, nothing new comes any more, or time is up; gives the sink's counts."""
    deadline = time.monotonic() + limit
    best, since = -1, time.monotonic()
    while True:
        hurry()
        counts = sink.stats()
        now = time.monotonic()
        if counts["unique"] > best:
            best, since = counts["unique"], now
        if best >= expected or now > deadline or now - since > STALLED:
            return counts
        time.sleep(0.01)


def _delivery(counts: Result, o: Result, began: float, cpu: float) -> Result:
    """The figures of a delivery; one that is not complete is a failure, but for limits that were left at defaults."""
    expected, delivered = o["count"], max(1, counts["unique"])
    if counts["unique"] < expected and not o.get("defaults"):
        raise RuntimeError(f"{counts['unique']:,} of {expected:,} events arrived")
    return {
        "rate": delivered / max(1e-6, counts["last"] - began),
        "cpu_us": (cpu_seconds() - cpu) / delivered * 1e6,
        "rss_mb": peak_memory_mb(),
        "delivered": counts["unique"],
        "expected": expected,
        "duplicates": counts["duplicates"],
        "connections": counts["connections"],
    }


def deliver(subject: str, o: Result) -> Result:
    """From the first call of a burst to the arrival of the last event, with the calls themselves.

    One event goes ahead, so that nobody's threads, imports and first connection are within the time.
    """
    sink = Sink(o["port"])
    tracker = make(subject, o, big=not o.get("defaults"))
    tracker.track(o["count"])
    _wait_delivered(sink, 1, o["limit"], tracker.flush)
    sink.reset()
    cpu, began = cpu_seconds(), time.monotonic()
    for i in range(o["count"]):
        tracker.track(i)
    tracked = time.monotonic() - began
    counts = _wait_delivered(sink, o["count"], o["limit"], tracker.flush)
    return {**_delivery(counts, o, began, cpu), "track_rate": o["count"] / tracked}


def send(subject: str, o: Result) -> Result:
    """A bare HTTP library: bodies are ready before the clock starts."""
    sink, waiting = Sink(o["port"]), bare.bodies(o["count"])
    bare.SENDERS[subject](o["url"], waiting[:1], 1)
    sink.reset()
    cpu, began = cpu_seconds(), time.monotonic()
    bare.SENDERS[subject](o["url"], waiting, o["connections"])
    counts = _wait_delivered(sink, o["count"], o["limit"], lambda: None)
    return _delivery(counts, o, began, cpu)


def fill(subject: str, o: Result) -> Result:
    """Tracks into a spool while the collector does not answer, and leaves: a backlog for the next process."""
    tracker = make(subject, o)
    began = time.monotonic()
    for i in range(o["count"]):
        tracker.track(i)
    spent = time.monotonic() - began
    tracker.close()
    return {"track_rate": o["count"] / spent, "rss_mb": peak_memory_mb()}


def drain(subject: str, o: Result) -> Result:
    """A new process delivers a backlog: the rate between the first arrival and the last."""
    sink = Sink(o["port"])
    cpu, began = cpu_seconds(), time.monotonic()
    tracker = make(subject, o)
    counts = _wait_delivered(sink, o["count"], o["limit"], tracker.flush)
    result = _delivery(counts, o, began, cpu)
    spent = max(1e-6, counts["last"] - counts["first"])
    return {**result, "rate": max(0, counts["unique"] - 1) / spent, "start_ms": (counts["first"] - began) * 1000}


def loop(subject: str, o: Result) -> Result:
    """How long one step of an asyncio loop takes while many tasks track, or only sleep (`bare`)."""
    import asyncio

    held: list[int] = []
    run = asyncio.Handle._run
    clock = time.perf_counter_ns

    def timed(handle: asyncio.Handle) -> None:
        before = clock()
        run(handle)
        held.append(clock() - before)

    async def work() -> None:
        if subject == "bare":
            await _in_tasks(lambda i: asyncio.sleep(0), o, held.clear)
            return
        from totango_sdk import AsyncTotango

        async with AsyncTotango(**ours.options(o["url"], o["spool"])) as client:
            await client.track("opened", account="acct-0")
            await asyncio.sleep(SETTLE)
            await _in_tasks(lambda i: client.track(f"opened {marker(i)}", account=account(i)), o, held.clear)
            asyncio.Handle._run = run  # type: ignore[method-assign]

    asyncio.Handle._run = timed  # type: ignore[assignment,method-assign]
    asyncio.run(work())
    ordered = sorted(held)
    return {"p50": quantile(ordered, 0.5) / 1000, "p999": quantile(ordered, 0.999) / 1000, "max": ordered[-1] / 1000}


async def _in_tasks(call: Callable[[int], Any], o: Result, begin: Callable[[], None]) -> None:
    """Many tasks, each of which calls a few times; `begin` is called when they all wait to start."""
    import asyncio

    async def one(task: int) -> None:
        await asyncio.sleep(0.2)
        for n in range(o["calls"]):
            await call(task * o["calls"] + n)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(one(task)) for task in range(o["tasks"])]
    await asyncio.sleep(0.1)
    begin()
    for task in tasks:
        await task


def computing(subject: str, o: Result) -> Result:
    """How much a thread of the host computes without pause, alone (`bare`), or while a full spool leaves."""
    if subject == "bare":
        return {"speed": _computed(o["seconds"], lambda: False) / o["seconds"]}
    sink = Sink(o["port"])
    if sink.stats()["unique"]:
        raise RuntimeError("the sink has the events of another run, and would count none of this one")
    tracker = make(subject, o)
    tracker.track(o["count"])
    _wait_delivered(sink, 1, o["limit"], tracker.flush)
    for i in range(o["count"]):
        tracker.track(i)
    before, began = sink.stats()["unique"], time.monotonic()
    turns = _computed(o["seconds"], lambda: sink.stats()["unique"] > o["count"])
    spent, counts = time.monotonic() - began, sink.stats()
    if counts["unique"] > o["count"]:
        raise RuntimeError(f"all {o['count']:,} events left within {spent:.1f} s: track more")
    return {"speed": turns / spent, "rate": (counts["unique"] - before) / spent}


def _computed(seconds: float, is_over: Callable[[], bool]) -> int:
    """Compute for so long, and return how often; the clock is looked at seldom.

    Whether it is over is asked more seldom still: to ask the sink lets go of the interpreter, which a thread that computes
    without pause never does.
    """
    turns, now = 0, time.monotonic()
    until, look_at = now + seconds, now + _LOOK_SECONDS
    while now < until:
        for _ in range(200):
            sum(number * number for number in range(100))
        turns += 200
        now = time.monotonic()
        if now >= look_at:
            if is_over():
                break
            look_at = now + _LOOK_SECONDS
    return turns


MEASURES: dict[str, Callable[[str, Result], Result]] = {
    "track": track,
    "deliver": deliver,
    "send": send,
    "fill": fill,
    "drain": drain,
    "loop": loop,
    "computing": computing,
    "prepare": recorded.prepare,
    "replayed": recorded.replayed,
    "audited": recorded.audited,
}


def main(measure: str, subject: str, options: str) -> None:
    try:
        result = MEASURES[measure](subject, json.loads(options))
    except Exception as error:  # whatever a subject raises is its result
        result = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(result), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:4])

"""A host that runs out of something, or has a setting that is wrong. Runs as a process of its own.

It tracks while that lasts, tells what it has logged, and goes on once it is mended; or ends, with nothing mended.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from .drive import make_client, stats_of
from .ledger import Ledger, call

if TYPE_CHECKING:
    from collections.abc import Callable

_ACCOUNTS = 20
_NOTICED_SECONDS = 30.0
_STACK_BYTES = 512 << 20
_SPARE_BYTES = 256 << 20


class Lines(logging.Handler):
    """Keeps what is logged under our name."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "totango_sdk":
            self.lines.append(record.getMessage())


def no_descriptors() -> Callable[[], None]:
    """Open files until no more can be."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, most), most))
    held: list[int] = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))

    def mend() -> None:
        while held:
            os.close(held.pop())

    return mend


def no_threads() -> Callable[[], None]:
    """Leave no room for the stack of one more thread; root has no limit on their number."""
    threading.stack_size(_STACK_BYTES)
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _SPARE_BYTES, most))

    def mend() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        threading.stack_size(0)

    return mend


def elsewhere() -> Callable[[], None]:
    """It is wrong from the start, and somebody else mends it: says so, and waits until told that it is done."""

    def mend() -> None:
        print(json.dumps({"mend": True}), flush=True)
        sys.stdin.readline()

    return mend


def the_environment() -> Callable[[], None]:
    """A variable of the environment is wrong from the start: `MENDED` is what it should be."""

    def mend() -> None:
        os.environ.update(json.loads(os.environ["MENDED"]))

    return mend


def none() -> Callable[[], None]:
    """Nothing is wrong."""
    return lambda: None


TROUBLES: dict[str, Callable[[], Callable[[], None]]] = {
    "none": none,
    "descriptors": no_descriptors,
    "threads": no_threads,
    "elsewhere": elsewhere,
    "environment": the_environment,
}


def main(config: dict[str, Any]) -> None:
    lines = Lines()
    logging.getLogger().addHandler(lines)
    client, ledger = make_client(config), Ledger(config["ledger"])
    import_what_calls_need()
    client._core.worker.open()
    stream, before, count = config.get("stream", "starved"), config["before"], config["count"]
    for seq in range(before):
        ledger.send(client, stream, seq, _ACCOUNTS)
    report: dict[str, Any] = {"before": not before or client.flush(60)}
    mend = TROUBLES[config["trouble"]]()
    longest = 0.0
    for seq in range(before, before + count):
        began = time.monotonic()
        ledger.send(client, stream, seq, _ACCOUNTS)
        longest = max(longest, time.monotonic() - began)
    until = time.monotonic() + _NOTICED_SECONDS
    while config["trouble"] != "none" and not lines.lines and time.monotonic() < until:
        time.sleep(0.01)
    report |= {"during": client.flush(config["flush_during"]), "durable": client.stats().durable}
    report |= {"longest": longest, "lines": list(lines.lines)}
    if not config["ends"]:
        mend()
        ledger.send(client, f"{stream}-mended", 0, _ACCOUNTS)
        report |= {"flushed": client.flush(60), "stats": stats_of(client)}
    print(json.dumps({**report, "ended_at": time.monotonic()}), flush=True)


def import_what_calls_need() -> None:
    """Have the harness ready: it is not what is tried."""
    with contextlib.suppress(AttributeError):
        call(None, "x", 3, 1)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

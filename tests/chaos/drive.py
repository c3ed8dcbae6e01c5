"""A host: makes a client, tracks events, and ends in the way it is told. Runs as a process of its own.

Takes one JSON object as its argument, and prints one when it is done.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import Any

from .ledger import SERVICE_ID, Ledger


def make_client(config: dict[str, Any]) -> Any:
    from totango_sdk import Totango

    spool: Any = config["spool"]
    sizes = {name: config[name] for name in ("segment_bytes", "quota_bytes") if config.get(name)}
    if sizes:
        from totango_sdk.spool import DiskSpool

        spool = DiskSpool(spool, **sizes)
    if config.get("housekeeping"):
        from totango_sdk.delivery import drive

        drive.HOUSEKEEPING_SECONDS = config["housekeeping"]
    return Totango(SERVICE_ID, endpoint=config["endpoint"], spool=spool, **config.get("options", {}))


def load(config: dict[str, Any], client: Any, ledger: Ledger) -> None:
    """Track `count` events from number `start` on; each `threads`-th of them in one thread."""
    threads = config.get("threads", 1)
    if threads == 1:
        _track(config, client, ledger, config["stream"], 1)
        return
    started = [
        threading.Thread(target=_track, args=(config, client, ledger, f"{config['stream']}-{number}", threads))
        for number in range(threads)
    ]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


def _track(config: dict[str, Any], client: Any, ledger: Ledger, stream: str, share: int) -> None:
    start, count, accounts = config.get("start", 0), config["count"] // share, config.get("accounts", 20)
    pause = share / config["rate"] if config.get("rate") else 0.0
    at = time.perf_counter()
    for seq in range(start, start + count):
        ledger.send(client, stream, seq, accounts)
        if pause:
            at += pause
            time.sleep(max(0.0, at - time.perf_counter()))


def run(config: dict[str, Any], progress_fd: int | None = None) -> None:
    client = make_client(config)
    ledger = Ledger(config["ledger"], progress_fd)
    count_requests = _count_submits(client) if config.get("count_requests") else None
    load(config, client, ledger)
    report: dict[str, Any] = {"pid": os.getpid()}
    if config.get("flush"):
        report["flushed"] = client.flush(config["flush"])
    report["stats"] = stats_of(client)
    report["letters"] = len(client.dead_letters()) if config.get("letters") else None
    report["requests"] = count_requests() if count_requests else None
    report["ended_at"] = time.monotonic()
    print(json.dumps(report), flush=True)
    if config.get("report"):
        with open(config["report"], "w", encoding="ascii") as file:
            json.dump(report, file)
    if config.get("hold"):
        sys.stdin.read()
    end(config.get("end", "return"), client)


def stats_of(client: Any) -> dict[str, Any]:
    import attrs

    return attrs.asdict(client.stats())


def _count_submits(client: Any) -> Any:
    """Count what is handed to the transport, for a collector that is not there to count it."""
    worker = client._core.worker
    make, submits = worker._drive._make_sender, []

    def counting(spool: Any) -> Any:
        sender = make(spool)
        transport = sender._transport
        submit = transport.submit
        transport.submit = lambda *args: (submits.append(1), submit(*args))
        return sender

    worker._drive._make_sender = counting
    return lambda: len(submits)


def end(how: str, client: Any) -> None:
    if how == "close":
        client.close()
    elif how == "raise":
        msg = "the host's own mistake"
        raise RuntimeError(msg)
    elif how == "exit":
        sys.exit(3)
    elif how == "_exit":
        os._exit(4)
    elif how == "sigterm":
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    elif how == "sigkill":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))

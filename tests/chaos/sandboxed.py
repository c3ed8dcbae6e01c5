"""The sandbox as the collector of an outage: faults on demand, and what came, over its own HTTP interface."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import httpx

from .collector import Arrival

_TOTANGO = "from totango_sdk.cli import main; raise SystemExit(main())"
_POLL_SECONDS = 0.25  # a question takes processor time that the host under test would need
_STATUS = {"closed": 0, "mute": 0, "lost": 0}


class SandboxCollector:
    """Runs `totango sandbox` on a free port for as long as the `with` block lasts; stands in for `Collector`."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", _TOTANGO, "sandbox", "--port", "0", "--json"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        told = httpx.Response(200, text=self._process.stdout.readline()).json()
        self.endpoint: str = told["endpoint"]
        self._http = httpx.Client(base_url=told["url"], timeout=30)
        # Its times are those of the calendar; the ledger's are those of a clock that never steps.
        self._offset = time.time() - time.monotonic()
        self._faults: list[tuple[float, float]] = []

    def __enter__(self) -> SandboxCollector:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def behave(self, mode: str, *, seconds: float, **options: Any) -> None:
        """Misbehave so for so many seconds; see `totango_sdk.sandbox.Faults`."""
        start = time.monotonic()
        answer = self._http.post("/faults.json", json={"mode": mode, "seconds": seconds, **options})
        answer.raise_for_status()
        self._faults.append((start, start + seconds))

    def wait_for(self, distinct: int, timeout: float = 30.0) -> int:
        """Wait until so many requests are taken; return how many are."""
        until = time.monotonic() + timeout
        while True:
            totals = self._http.get("/summary.json").json()["totals"]
            if totals["accepted"] >= distinct or time.monotonic() > until:
                return int(totals["accepted"])
            time.sleep(_POLL_SECONDS)  # between two questions

    def wait_for_health(self, timeout: float = 60.0) -> list[tuple[float, float]]:
        """Wait until a fault that was given for a time is over; return from when to when each was."""
        until = time.monotonic() + timeout
        while self._http.get("/faults.json").json()["mode"] != "none":
            assert time.monotonic() < until, "the fault does not end"
            time.sleep(_POLL_SECONDS)  # between two questions
        return self._faults

    def arrivals(self) -> list[Arrival]:
        """Everything that came, in order."""
        found: list[Arrival] = []
        after = 0
        while True:
            page = self._http.get("/events.json", params={"after": after, "limit": 1000}).json()
            found += [self._arrival(event) for event in page["events"]]
            if page["next"] is None:
                return found
            after = page["next"]

    def _arrival(self, event: dict[str, Any]) -> Arrival:
        at = _seconds(event["time"]) - self._offset
        fault = event["fault"]
        status = 200 if fault is None else _STATUS.get(fault) or (int(fault) if fault.isdigit() else 0)
        return Arrival(at, event["body"].encode(), status, fault in (None, "lost"), event["query"])


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()

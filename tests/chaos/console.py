"""A host that takes one command after another, as lines of JSON, and answers each with one."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any

from .drive import load, make_client, stats_of
from .ledger import Ledger


def _fake_the_clock(path: str) -> None:
    """Add what this file says to the time, where there is no library that does so for the whole process."""
    true_time = time.time

    def fake() -> float:
        with open(path, encoding="ascii") as file:
            return true_time() + int(file.read() or 0)

    time.time = fake


if "CHAOS_CLOCK" in os.environ:  # before the package is imported
    _fake_the_clock(os.environ["CHAOS_CLOCK"])


class Commands:
    """What it can be told to do."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.client = make_client(config)
        self.ledger = Ledger(config["ledger"])

    def load(self, **details: Any) -> float:
        """Track; return how long it took."""
        began = time.perf_counter()
        load({**self.config, **details}, self.client, self.ledger)
        return time.perf_counter() - began

    def flush(self, timeout: float) -> bool:
        return self.client.flush(timeout)

    def close(self, timeout: float = 2.0) -> None:
        self.client.close(timeout)

    def stats(self) -> dict[str, Any]:
        return stats_of(self.client)

    def letters(self) -> list[str]:
        return [letter.reason for letter in self.client.dead_letters()]

    def cpu(self) -> float:
        """Return the seconds of processor time that this process has used."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def clock(self) -> float:
        return time.time()

    def pid(self) -> int:
        return os.getpid()


def main(config: dict[str, Any]) -> None:
    commands = Commands(config)
    for line in sys.stdin:
        details = json.loads(line)
        try:
            answer = {"value": getattr(commands, details.pop("do"))(**details)}
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
    print(json.dumps({"stats": commands.stats(), "ended_at": time.monotonic()}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

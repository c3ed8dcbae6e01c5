"""Starts hosts as processes of their own, and ends them by their pid."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .collector import Collector
    from .sandboxed import SandboxCollector

TESTS = Path(__file__).resolve().parent.parent
_DROPPED = ("TOTANGO_", "COV_CORE", "COVERAGE_")


class Ended(NamedTuple):
    """How a host ended."""

    code: int
    report: dict[str, Any]
    log: str
    exit_seconds: float  # from the last line of its main program to the end of the process
    seconds: float


class Site:
    """A directory with a spool and a ledger, in front of one collector."""

    def __init__(self, directory: Path, collector: Collector | SandboxCollector) -> None:
        self.directory = directory
        self.spool = str(directory / "spool")
        self.ledger = str(directory / "ledger")
        self.collector = collector

    def config(self, **details: Any) -> dict[str, Any]:
        return {"endpoint": self.collector.endpoint, "spool": self.spool, "ledger": self.ledger, **details}

    def host(self, *, timeout: float = 60.0, env: Mapping[str, str] | None = None, **details: Any) -> Ended:
        """Run a host to its end."""
        return finish(start(self.config(**details), env), timeout)

    def finish(self, *, distinct: int | None = None, timeout: float = 60.0, **details: Any) -> Ended:
        """Run one more process: it tracks a fresh event, and delivers all that others left."""
        ended = self.host(stream="fresh", count=1, flush=timeout, timeout=timeout + 30, **details)
        if distinct is not None:
            self.collector.wait_for(distinct, 5)
        return ended


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment without options of ours, proxies or coverage; the package `chaos` can be imported in it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_DROPPED) and not name.lower().endswith("_proxy")
    }
    return {**kept, "PYTHONPATH": str(TESTS), "PYTHONUNBUFFERED": "1", **(extra or {})}


def python(*arguments: str, env: Mapping[str, str] | None = None, **details: Any) -> subprocess.Popen[str]:
    """Start a Python process."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, *arguments], env=environment(env), text=True, **{**pipes, **details})


def start(config: dict[str, Any], env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return python("-m", "chaos.drive", json.dumps(config), env=env)


def finish(process: subprocess.Popen[str], timeout: float = 60.0) -> Ended:
    """Wait for a host's end; one that hangs is killed, which shows in its code."""
    began = time.monotonic()
    try:
        out, log = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        out, log = process.communicate()
        log += f"\n(hung for {timeout} s, and was killed)"
    now = time.monotonic()
    lines = [line for line in out.splitlines() if line.startswith("{")]
    report = json.loads(lines[-1]) if lines else {}
    return Ended(process.returncode, report, log, now - report.get("ended_at", began), now - began)


class Console:
    """A host that does one thing after another, as it is told; see `console`."""

    def __init__(self, config: dict[str, Any], env: Mapping[str, str] | None = None) -> None:
        self.process = python("-m", "chaos.console", json.dumps(config), env=env)

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def ask(self, do: str, **details: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, **details}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            msg = f"the host has ended: {self.process.communicate()[1][-2000:]}"
            raise RuntimeError(msg)
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def end(self) -> Ended:
        """Let it come to the end of its main program."""
        return finish(self.process)


class Zygote:
    """Hosts that start within milliseconds, one at a time."""

    def __init__(self) -> None:
        self._read_fd, write_fd = os.pipe()
        self._log = tempfile.TemporaryFile("w+")  # a pipe that nobody reads would fill up, and stop the hosts
        self._process = python("-m", "chaos.zygote", str(write_fd), pass_fds=(write_fd,), stderr=self._log)
        os.close(write_fd)
        self.pid = 0

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=10)
        self._log.close()
        os.close(self._read_fd)

    def start(self, config: dict[str, Any]) -> int:
        self._say(json.dumps(config))
        self.pid = int(self._hear())
        return self.pid

    def wait_for_events(self, count: int, seconds: float) -> int:
        """Wait until the host has tracked so many more events, or for so long; return how many it has."""
        until = time.monotonic() + seconds
        seen = 0
        while seen < count:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._read_fd], [], [], left)[0]:
                break
            seen += len(os.read(self._read_fd, count - seen))
        return seen

    def kill(self) -> int:
        """Kill the host, which nobody has reaped yet, so the pid is still its own; return its exit code."""
        os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait(self) -> int:
        self._say("")
        return int(self._hear())

    def drain(self) -> None:
        """Forget what is known of the events of hosts that are gone."""
        while select.select([self._read_fd], [], [], 0)[0] and os.read(self._read_fd, 65536):
            pass

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            msg = f"the zygote has ended: {self._log.read()[-2000:]}"
            raise RuntimeError(msg)
        return line

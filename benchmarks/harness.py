"""What runs a measurement: the sink, and one fresh worker process for each run."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "benchmarks" / "build"
SCRATCH = BUILD / "tmp"

Result = dict[str, Any]


class Sink:
    """Talks to a running sink: its counts, its mode, its delay."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stats(self) -> Result:
        return self._control("stats")

    def mode(self, name: str) -> None:
        self._control(f"mode?{name}")

    def delay(self, milliseconds: int) -> None:
        self._control(f"delay?{milliseconds}")

    def reset(self) -> None:
        self._control("reset")

    def close(self) -> None:
        self._connection.close()

    def _control(self, command: str) -> Result:
        self._connection.request("GET", f"/__{command}")
        answer: Result = json.loads(self._connection.getresponse().read())
        return answer


@contextlib.contextmanager
def running_sink(delay_ms: int = 0) -> Iterator[Sink]:
    """A sink on a free loopback port; it ends when its standard input closes, at the latest with this process."""
    command = [str(BUILD / "sink"), "--delay", str(delay_ms)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        sink = Sink(int(process.stdout.readline()))
        yield sink
        sink.close()
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


@contextlib.contextmanager
def scratch_directory() -> Iterator[pathlib.Path]:
    """A private directory on the disk of the checkout: a temporary one may lie in memory, which costs nothing."""
    SCRATCH.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as name:
        yield pathlib.Path(name)


class Worker:
    """One run of one measure on one subject, in a process of its own."""

    def __init__(self, measure: str, subject: str, **options: Any) -> None:
        self.limit = float(options.get("limit", 60)) + 30
        self._said = ""
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in result)
        command = [sys.executable, "-m", "benchmarks.worker", measure, subject, json.dumps(options)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )

    def wait_ready(self) -> None:
        """Waits until the worker says that it could start; an early end shows in the result."""
        assert self._process.stdout is not None
        self._said = self._process.stdout.readline()

    def go(self) -> None:
        """Lets a worker that said it is ready go on."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write("go\n")
            self._process.stdin.flush()

    def result(self) -> Result:
        """Waits for the worker and gives its result; the process is ended if it takes too long."""
        try:
            output, _ = self._process.communicate(timeout=self.limit)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return {"error": f"took more than {self.limit:.0f} s"}
        with self._errors:
            return self._parsed(self._said + output)

    def _parsed(self, output: str) -> Result:
        lines = [line for line in output.splitlines() if line.startswith("{")]
        if lines:
            parsed: Result = json.loads(lines[-1])
            return parsed
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        return {"error": said[-1] if said else f"ended with {self._process.returncode}"}


def run_worker(measure: str, subject: str, **options: Any) -> Result:
    return Worker(measure, subject, **options).result()

"""What an integration costs its host: requests a second and p99 of a real server, tasks a second of a real worker."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Result, running_sink, scratch_directory
from benchmarks.settings import Settings
from benchmarks.sites import fill

FRAMEWORKS = ("flask", "django", "fastapi")
# What the site does, and what the collector does meanwhile.
CELLS = {
    "bare": ("bare", "200"),
    "idle": ("idle", "200"),
    "healthy": ("tracks", "200"),
    "mute": ("tracks", "hang"),
    "down": ("tracks", "down"),
}
CONNECTIONS = 4
UP_SECONDS = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def collector(plan: str) -> Iterator[str]:
    """Gives the address of a collector that answers, never answers, or is not there."""
    if plan == "down":
        yield f"http://127.0.0.1:{free_port()}/pixel.gif/"
        return
    with running_sink() as sink:
        sink.mode(plan)
        yield f"{sink.url}/pixel.gif/"


@contextlib.contextmanager
def program(command: list[str], env: dict[str, str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment(kind: str, how: str, endpoint: str, directory: Path) -> dict[str, str]:
    database = directory / "db.sqlite3"
    if not database.exists():
        fill(str(database))
    return {
        "BENCH_KIND": kind,
        "BENCH_HOW": how,
        "BENCH_DB": str(database),
        "TOTANGO_ENDPOINT": endpoint,
        "TOTANGO_SPOOL": str(directory / "spool"),
    }


def _server(kind: str, port: int) -> list[str]:
    if kind == "fastapi":
        return [sys.executable, "-m", "uvicorn", "benchmarks.sites:app", "--port", str(port), "--no-access-log"]
    bind = ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread", "--threads", str(CONNECTIONS)]
    return [sys.executable, "-m", "gunicorn", "benchmarks.sites:app", "--keep-alive", "30", *bind]


def serve(kind: str, cell: str, s: Settings) -> Result:
    """One server under load from four connections, after a second in which everything starts."""
    how, plan = CELLS[cell]
    port = free_port()
    with collector(plan) as endpoint, scratch_directory() as directory:
        env = _environment(kind, how, endpoint, directory)
        with program(_server(kind, port), env, directory) as process:
            connections = [_connect(port, process, directory) for _ in range(CONNECTIONS)]
            _load(connections, 1.0, 0)
            before = _cpu_seconds(process.pid)
            result = _load(connections, s.seconds, s.requests)
            spent = _cpu_seconds(process.pid) - before
    return {**result, "cpu_us": spent / result["requests"] * 1e6}


def _cpu_seconds(session: int) -> float:
    """What all processes of a server have had of the processor: what else runs on the machine does not change it."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12]) if int(fields[3]) == session else 0
    return total / os.sysconf("SC_CLK_TCK")


def _connect(port: int, process: subprocess.Popen[bytes], directory: Path) -> socket.socket:
    until = time.monotonic() + UP_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), 5)
        time.sleep(0.02)
    raise RuntimeError((directory / "log").read_text()[-500:])


def _load(connections: list[socket.socket], seconds: float, least: int) -> Result:
    """Ask on each connection as soon as it has answered, for so long and at least so often."""
    with selectors.DefaultSelector() as selector:
        for number, connection in enumerate(connections):
            text = f"GET / HTTP/1.1\r\nHost: x\r\nX-Account: A{number}\r\n\r\n".encode()
            selector.register(connection, selectors.EVENT_READ, text)
        began = time.perf_counter()
        asked = {connection: began for connection in connections}
        for connection in connections:
            connection.sendall(selector.get_key(connection).data)
        times, is_over = [], False
        while asked:
            for key, _ in selector.select(10):
                connection: Any = key.fileobj
                _answer(connection)
                now = time.perf_counter()
                times.append(now - asked.pop(connection))
                is_over = is_over or (now - began > seconds and len(times) >= least)
                if not is_over:
                    asked[connection] = time.perf_counter()
                    connection.sendall(key.data)
        spent = time.perf_counter() - began
    times.sort()
    return {"requests": len(times), "rate": len(times) / spent, "p50": times[len(times) // 2] * 1000, "p99": times[int(len(times) * 0.99)] * 1000}


def _answer(connection: socket.socket) -> None:
    data = connection.recv(65536)
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(data[:500])
    length = int(next(line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")))
    while len(body) < length:
        body += connection.recv(65536)


def have_celery() -> bool:
    return shutil.which("redis-server") is not None


def work(cell: str, s: Settings) -> Result:
    """One worker that takes tasks which wait already; from the first one's end to the last one's."""
    how, plan = CELLS[cell]
    count = s.tasks
    with collector(plan) as endpoint, scratch_directory() as directory, _redis(directory) as redis:
        env = _environment("celery", how, endpoint, directory)
        env |= {"BENCH_REDIS": redis, "BENCH_TASKS": str(count), "BENCH_TIMES": str(directory / "times"), "C_FORCE_ROOT": "1"}
        enqueue = f"from benchmarks.sites import app\nfor n in range({count}): app.tasks['work'].delay(n)"
        subprocess.run([sys.executable, "-c", enqueue], cwd=ROOT, env=os.environ | env, check=True, timeout=120)
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.sites:app", "worker", "--pool", "solo"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        with program(command, env, directory):
            times = _times(directory, s.limit)
    began, ended = times["first"], times["last"]
    return {"rate": (count - 1) / (ended[0] - began[0]), "cpu_us": (ended[1] - began[1]) / (count - 1) * 1e6}


def _times(directory: Path, limit: float) -> dict[str, tuple[float, float]]:
    """Wait for the last task; gives the moment at the first and at the last, and the processor's time until then."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            lines = [line.split() for line in (directory / "times").read_text().splitlines()]
            found = {name: (float(moment), float(cpu)) for name, moment, cpu in lines}
            if "last" in found:
                return found
        time.sleep(0.05)
    raise RuntimeError((directory / "log").read_text()[-500:])


@contextlib.contextmanager
def _redis(directory: Path) -> Iterator[str]:
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(directory)]
    with program(["redis-server", *options], {}, directory) as process:
        _connect(port, process, directory).close()
        yield f"redis://127.0.0.1:{port}/0"

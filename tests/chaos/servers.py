"""Real servers on free ports of this machine: Redis, gunicorn, Celery and RQ."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from .hosts import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_UP_SECONDS = 30.0
_TOLD_CHARACTERS = 12_000


def have_redis() -> bool:
    return shutil.which("redis-server") is not None


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextlib.contextmanager
def program(log: Path, *command: str, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server as the leader of a process group of its own; SIGTERM at the end, to it alone.

    Where a test fails meanwhile, it prints what the server has logged, and what each of its threads is at.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment({"PYTHONFAULTHANDLER": "1", **(env or {})}), stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True, cwd=log.parent,
        )  # fmt: skip
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        # A worker of gunicorn's that still boots does not hear of it, and is killed after 30 seconds.
        process.wait(60)
    except BaseException:
        _tell_stacks(process)
        print(f"{' '.join(command[:5])}: {log.read_text(errors='replace')[-_TOLD_CHARACTERS:]}")
        raise
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def _tell_stacks(process: subprocess.Popen[bytes]) -> None:
    """Have each Python in the group of a process end with the stacks of its threads in its log."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGABRT)
        process.wait(5)


def wait_until_open(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _UP_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.02)
    msg = f"nothing listens on port {port}: {log.read_text(errors='replace')[-2000:]}"
    raise RuntimeError(msg)


@contextlib.contextmanager
def redis_server(directory: Path) -> Iterator[str]:
    """Run a Redis that keeps nothing; gives its address."""
    port, log = free_port(), directory / "redis.log"
    command = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
               "--dir", str(directory), "--daemonize", "no")  # fmt: skip
    with program(log, *command) as process:
        wait_until_open(port, process, log)
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def gunicorn(
    directory: Path, config: dict[str, Any], *, workers: int, preload: bool, kind: str = "sync"
) -> Iterator[int]:
    """Run gunicorn with the application of `apps`; gives its port."""
    port, log = free_port(), directory / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", "chaos.apps:app", "--bind", f"127.0.0.1:{port}",
               "--workers", str(workers), "--worker-class", kind, "--worker-tmp-dir", str(directory),
               # A worker that is told to end before it has set its signal handlers never hears of it, and is killed
               # after this time; what it has not delivered is the next process's.
               "--graceful-timeout", "5"]  # fmt: skip
    command += ["--preload"] if preload else []
    with program(log, *command, env={"CHAOS": json.dumps(config)}) as process:
        wait_until_open(port, process, log)
        yield port


def get(port: int) -> str:
    """Make a request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        assert response.status == 200, response.status
        return response.read().decode()
    finally:
        connection.close()


@contextlib.contextmanager
def celery_worker(directory: Path, config: dict[str, Any], redis: str) -> Iterator[None]:
    """Run a Celery worker with the prefork pool."""
    command = (sys.executable, "-m", "celery", "-A", "chaos.apps_celery", "worker", "--pool", "prefork",
               "--concurrency", "2", "--without-gossip", "--without-mingle", "--without-heartbeat")  # fmt: skip
    env = {"CHAOS": json.dumps(config), "CHAOS_REDIS": redis, "C_FORCE_ROOT": "1"}
    with program(directory / "celery.log", *command, env=env):
        yield


def rq_worker(directory: Path, config: dict[str, Any], redis: str) -> None:
    """Run an RQ worker, which forks a work horse for each job, until the queue is empty."""
    command = [sys.executable, "-c", "import chaos.apps; from rq.cli import main; main()", "worker", "--burst",
               "--url", redis, "chaos"]  # fmt: skip
    log = directory / "rq.log"
    with log.open("ab") as output:
        subprocess.run(
            command, env=environment({"CHAOS": json.dumps(config)}), stdin=subprocess.DEVNULL, stdout=output,
            stderr=output, check=True, timeout=120, cwd=directory,
        )  # fmt: skip

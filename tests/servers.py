"""A collector of the tests' own, on raw sockets: it can answer as no proper server would."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 30.0


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait until `condition` holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never happened"
        threading.Event().wait(0.005)
    return found


class Request(NamedTuple):
    at: float
    connection: int
    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.body.decode("ascii"), keep_blank_values=True)

    @property
    def names(self) -> dict[str, str]:
        return dict(self.pairs)


def response(status: int, body: bytes = b"GIF89a", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Told", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


# What a plan may return: a status, bytes to send, or a function that does as it likes with the connection.
Act = int | bytes | Callable[[socket.socket, threading.Event], None]


def close(connection: socket.socket, ended: threading.Event) -> None:
    """Close without an answer."""
    connection.close()


def mute(connection: socket.socket, ended: threading.Event) -> None:
    """Never answer."""
    ended.wait()
    connection.close()


def drip(head: bytes, pause: float = 0.05) -> Act:
    """Answer byte by byte, for ever."""

    def act(connection: socket.socket, ended: threading.Event) -> None:
        connection.sendall(head)
        while not ended.wait(pause):
            connection.sendall(b"x")

    return act


def then_close(content: bytes) -> Act:
    """Answer, and close the connection though the answer did not say so."""

    def act(connection: socket.socket, ended: threading.Event) -> None:
        connection.sendall(content)
        connection.close()

    return act


class Collector:
    """Listens on a free port of this machine, keeps each request, and answers as `plan` says."""

    def __init__(
        self, plan: Callable[[Request], Act] = lambda _: 200, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.plan = plan
        self.requests: list[Request] = []
        self.connections = 0
        self._ended = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server((host, port), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.endpoint = f"http://{host}:{self.port}/pixel.gif/"
        self._start(self._accept)

    def _start(self, run: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            with self._lock:
                self._open.add(connection)
            self._start(self._serve, connection, self.connections)

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                headers = {}
                while (header := stream.readline().strip()) != b"":
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", 0)))
                request = Request(time.monotonic(), number, line.decode().strip(), headers, body)
                with self._lock:
                    self.requests.append(request)
                act = self.plan(request)
                if callable(act):
                    act(connection, self._ended)
                    return
                connection.sendall(act if isinstance(act, bytes) else response(act))
        with self._lock:
            self._open.discard(connection)

    def close_idle(self) -> None:
        """Close every connection that is open, as servers do with those that were idle for long."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def activities(self) -> list[str]:
        with self._lock:
            return [request.names["sdr_a"] for request in self.requests if "sdr_a=" in request.body.decode()]

    def close(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.close_idle()
        for thread in self._threads:
            thread.join(PATIENCE)

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def python_path() -> str:
    """What a server that a test starts imports from: the versions that are tested, the tests, and the project."""
    here = os.path.dirname(os.path.abspath(__file__))
    return os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), here, os.path.dirname(here)]))


def refusing_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def bytes_below(directory: Path) -> bytes:
    """Everything that is stored below a directory."""
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


def activity_of(body: bytes) -> str:
    found = re.search(rb"sdr_a=([^&]*)", body)
    return "" if found is None else found[1].decode()

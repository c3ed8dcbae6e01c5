"""A collector that records what arrives, and misbehaves on command.

`Collector` is the handle that tests hold. The collector itself is this file, run as a program of its own: it takes
commands as lines of JSON on its standard input and ends when that closes, so it never outlives a test.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from typing import Any, NamedTuple

GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
_MOST_HEAD = 64 << 10
_PATH = "/pixel.gif/"


class Arrival(NamedTuple):
    """One request as it came: `taken` says whether the collector keeps it, so that it counts as delivered."""

    at: float  # time.monotonic(), which all processes of one machine share
    body: bytes
    status: int  # 0: no answer
    taken: bool
    target: str


class Collector:
    """Runs a collector on a free port of this machine for as long as the `with` block lasts."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.port: int = self._read()["port"]
        self.endpoint = f"http://127.0.0.1:{self.port}{_PATH}"

    def __enter__(self) -> Collector:
        return self

    def __exit__(self, *_: object) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.close()
        stdout.close()
        self._process.wait(10)

    def ask(self, do: str, **details: Any) -> Any:
        """Give a command, and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **details}) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer.get("value")

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            msg = f"the collector has ended with {self._process.wait(5)}"
            raise RuntimeError(msg)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def behave(self, mode: str, **details: Any) -> None:
        """Answer so from now on: `ok`, `status`, `close`, `lost`, `mute`; with `seconds`, only so long.

        With `every`, only each request of so many gets the status, and with `delay`, each answer takes so long.
        """
        self.ask("behave", mode=mode, **details)

    def refuse(self, seconds: float | None = None) -> None:
        """Close the port, and open it again after so many seconds, or at `reopen`."""
        self.ask("refuse", seconds=seconds)

    def reopen(self) -> None:
        self.ask("reopen")

    def poison(self, marker: str, status: int = 400) -> None:
        """Answer so to each body that contains the marker."""
        self.ask("poison", marker=marker, status=status)

    def heal(self) -> None:
        """Answer 200 again to what was poison."""
        self.ask("heal")

    def wait_for(self, distinct: int, timeout: float = 30.0) -> int:
        """Wait until so many different bodies are taken; return how many are."""
        return int(self.ask("wait_for", distinct=distinct, timeout=timeout))

    def wait_for_requests(self, count: int, timeout: float = 30.0) -> int:
        """Wait until so many requests came, taken or not; return how many did."""
        return int(self.ask("wait_for", requests=count, timeout=timeout))

    def wait_for_health(self, timeout: float = 60.0) -> list[tuple[float, float]]:
        """Wait until a fault that was given for a time is over; return from when to when each was."""
        return [(start, end) for start, end in self.ask("wait_for_health", timeout=timeout)]

    def arrivals(self, since: int = 0) -> list[Arrival]:
        """Everything that came, in order; without the first `since`."""
        return [
            Arrival(at, body.encode("latin-1"), status, taken, target)
            for at, body, status, taken, target in self.ask("arrivals", since=since)
        ]

    def count(self) -> int:
        """How many requests came."""
        return int(self.ask("count"))


# -- the collector's own process


class Behaviour:
    """What it does, what came, and who waits for what."""

    def __init__(self) -> None:
        self.mode: dict[str, Any] = {"mode": "ok"}
        self.poison: list[tuple[bytes, int]] = []
        self.arrivals: list[tuple[float, bytes, int, bool, str]] = []
        self.distinct: set[bytes] = set()
        self.faults: list[list[float]] = []
        self.connections: set[Connection] = set()
        self.changed = asyncio.Event()
        self.server: asyncio.Server | None = None
        self.port = 0

    def decide(self, body: bytes) -> tuple[int, bool]:
        """Return the status to answer, 0 for none, and whether the event is taken."""
        name = self.mode["mode"]
        if name in ("close", "mute"):
            return 0, False
        if name == "lost":
            return 0, True
        if name == "status" and len(self.arrivals) % self.mode.get("every", 1) == 0:
            status = int(self.mode["status"])
            return status, 200 <= status < 300
        for marker, status in self.poison:
            if marker in body:
                return status, False
        return 200, True

    def record(self, target: str, body: bytes) -> int:
        status, taken = self.decide(body)
        self.arrivals.append((time.monotonic(), body, status, taken, target))
        if taken:
            self.distinct.add(body)
        self.changed.set()
        return status

    async def listen(self) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.port))
        sock.listen(512)
        self.port = sock.getsockname()[1]
        self.server = await asyncio.get_running_loop().create_server(lambda: Connection(self), sock=sock)

    def unlisten(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None
        for connection in list(self.connections):
            connection.transport.abort()


class Connection(asyncio.Protocol):
    """One connection; requests on it are answered in order."""

    transport: asyncio.Transport

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.behaviour.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.behaviour.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.data += data
        while True:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                if len(self.data) > _MOST_HEAD:
                    self.transport.abort()
                return
            head = self.data[:end].decode("latin-1")
            size = _length(head)
            if len(self.data) < end + 4 + size:
                return
            body = self.data[end + 4 : end + 4 + size]
            self.data = self.data[end + 4 + size :]
            self.serve(head.split(" ", 2)[1], body)

    def serve(self, target: str, body: bytes) -> None:
        mode = self.behaviour.mode
        status = self.behaviour.record(target, body)
        if status:
            answer = _answer(status, mode.get("headers", {}))
            delay = float(mode.get("delay", 0))
            if delay:
                asyncio.get_running_loop().call_later(delay, self.write, answer)
            else:
                self.transport.write(answer)
        elif mode["mode"] in ("close", "lost"):
            self.transport.abort() if mode.get("abort") else self.transport.close()
        # mute: never

    def write(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)


def _length(head: str) -> int:
    for line in head.split("\r\n"):
        if line[:15].lower() == "content-length:":
            return int(line[15:])
    return 0


def _answer(status: int, headers: dict[str, str]) -> bytes:
    body = GIF if status == 200 else b""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Content-Type: image/gif"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Control:
    """Carries out commands; each ends before the next is read."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.fault_over = asyncio.Event()
        self.fault_over.set()

    async def behave(self, seconds: float | None = None, **mode: Any) -> None:
        self.behaviour.mode = mode
        if seconds is not None:
            self._later(seconds, {"mode": "ok"})

    async def refuse(self, seconds: float | None = None) -> None:
        self.behaviour.unlisten()
        if seconds is not None:
            self._later(seconds, None)

    async def reopen(self) -> None:
        await self.behaviour.listen()

    def _later(self, seconds: float, mode: dict[str, Any] | None) -> None:
        start = time.monotonic()
        self.fault_over.clear()

        async def end() -> None:
            await asyncio.sleep(seconds)
            if mode is None:
                await self.behaviour.listen()
            else:
                self.behaviour.mode = mode
            self.behaviour.faults.append([start, time.monotonic()])
            self.fault_over.set()

        self._ending = asyncio.get_running_loop().create_task(end())

    async def poison(self, marker: str, status: int) -> None:
        self.behaviour.poison.append((marker.encode(), status))

    async def heal(self) -> None:
        self.behaviour.poison.clear()

    async def wait_for(self, timeout: float, distinct: int = 0, requests: int = 0) -> int:
        until = time.monotonic() + timeout
        while len(self.behaviour.distinct) < distinct or len(self.behaviour.arrivals) < requests:
            self.behaviour.changed.clear()
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    await self.behaviour.changed.wait()
            except TimeoutError:
                break
        return len(self.behaviour.distinct) if distinct else len(self.behaviour.arrivals)

    async def wait_for_health(self, timeout: float) -> list[list[float]]:
        async with asyncio.timeout(timeout):
            await self.fault_over.wait()
        return self.behaviour.faults

    async def arrivals(self, since: int) -> list[Any]:
        return [(at, body.decode("latin-1"), *rest) for at, body, *rest in self.behaviour.arrivals[since:]]

    async def count(self) -> int:
        return len(self.behaviour.arrivals)


async def _serve() -> None:
    behaviour = Behaviour()
    await behaviour.listen()
    control = Control(behaviour)
    reader = asyncio.StreamReader(limit=1 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say({"port": behaviour.port})
    while line := await reader.readline():
        details = json.loads(line)
        try:
            _say({"value": await getattr(control, details.pop("do"))(**details)})
        except Exception as error:
            _say({"error": f"{type(error).__name__}: {error}"})
    behaviour.unlisten()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve())

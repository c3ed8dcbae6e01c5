"""Carry with httpx: a pool of threads, each with a connection of its own.

With its engine, httpcore, that is: `httpx.Client` would log a line for each request and keep cookies,
and its time limits are for each read and write, not for a request as a whole. And synchronous, since
the asynchronous client gets slower with each request that is under way.
"""

from __future__ import annotations

import math
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import httpcore
import httpx

from .base import CONTENT_TYPE, MOST_ANSWER_BYTES, Answer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ssl import SSLContext
    from typing import Any

_MAY_HAVE_BEEN_IDLE = (httpcore.ReadError, httpcore.WriteError, httpcore.RemoteProtocolError)
_PIECE_BYTES = 64 << 10


class HttpxTransport:
    """Sends with up to `max_connections` threads, which start as they are needed."""

    def __init__(self, endpoint: str, *, timeout: float, max_connections: int, user_agent: str) -> None:
        url = httpx.URL(endpoint)
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        self._url = httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=port, target=url.raw_path
        )
        self._headers = [
            (b"Host", url.netloc),
            (b"User-Agent", user_agent.encode("ascii")),
            (b"Content-Type", CONTENT_TYPE.encode("ascii")),
        ]
        self._timeout = timeout
        self._most = max_connections
        self._todo: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        self._done: SimpleQueue[Answer | None] = SimpleQueue()
        self._verify: SSLContext | None = httpx.create_ssl_context() if url.scheme == "https" else None
        self._threads = 0
        self._busy = 0
        self._closed = False

    def submit(self, ticket: int, body: bytes) -> None:
        """Begin to POST a form body."""
        if self._busy >= self._threads and self._threads < self._most:
            threading.Thread(target=self._work, name=f"totango-http-{self._threads + 1}", daemon=True).start()
            self._threads += 1
        self._busy += 1
        self._todo.put((ticket, body))

    def poll(self, timeout: float) -> list[Answer]:
        """Return the answers that are there; wait up to `timeout` seconds for the first."""
        answers = []
        try:
            answer = self._done.get(timeout=timeout) if timeout > 0 else self._done.get_nowait()
            while True:
                if answer is not None:
                    answers.append(answer)
                answer = self._done.get_nowait()
        except Empty:
            pass
        self._busy -= len(answers)
        return answers

    def wake(self) -> None:
        """Make a `poll` that waits return."""
        self._done.put(None)

    def close(self) -> None:
        """Stop at once; threads that wait for an answer end with their request."""
        self._closed = True
        for _ in range(self._threads):
            self._todo.put(None)

    def _work(self) -> None:
        line = _Line()
        with httpcore.ConnectionPool(
            ssl_context=self._verify, max_connections=1, keepalive_expiry=None, network_backend=line
        ) as pool:
            while (task := self._todo.get()) is not None and not self._closed:
                self._done.put(self._send(pool, line, *task))

    def _send(self, pool: httpcore.ConnectionPool, line: _Line, ticket: int, body: bytes) -> Answer:
        line.begin(self._timeout)
        try:
            try:
                return self._exchange(pool, ticket, body)
            except _MAY_HAVE_BEEN_IDLE:
                if line.is_new:
                    raise
                # The server may have closed the connection while it was idle.
                return self._exchange(pool, ticket, body)
        except Exception as error:  # whatever it is, the event must come back to the sender
            return Answer(ticket, None, error=f"{type(error).__name__}: {error}")

    def _exchange(self, pool: httpcore.ConnectionPool, ticket: int, body: bytes) -> Answer:
        length = (b"Content-Length", b"%d" % len(body))
        response = pool.handle_request(
            httpcore.Request(b"POST", self._url, headers=[*self._headers, length], content=body)
        )
        try:
            headers = {}
            if response.status != 200:
                headers = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers}
            self._read(response)
        finally:
            response.close()
        return Answer(ticket, response.status, headers)

    @staticmethod
    def _read(response: httpcore.Response) -> None:
        """Read the answer to its end, so that the connection can be used again, but not too much of it."""
        read = 0
        for chunk in response.iter_stream():
            read += len(chunk)
            if read > MOST_ANSWER_BYTES:
                return


class _Line(httpcore.NetworkBackend):
    """What one thread connects through: knows when the whole request must be over."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()
        self._ends_at = math.inf
        self.is_new = False  # whether the request had to connect first

    def begin(self, seconds: float) -> None:
        """Begin a request that may take so long."""
        self._ends_at = time.monotonic() + seconds
        self.is_new = False

    def left(self) -> float:
        """Return the seconds that are left. Raises `ReadTimeout` if there are none."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            msg = "the request took too long"
            raise httpcore.ReadTimeout(msg)
        return left

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        self.is_new = True
        stream = self._backend.connect_tcp(host, port, self.left(), local_address, socket_options)
        return _Stream(stream, self)


class _Stream(httpcore.NetworkStream):
    """A connection on which nothing waits longer than the whole request may."""

    def __init__(self, stream: httpcore.NetworkStream, line: _Line) -> None:
        self._stream = stream
        self._line = line

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._line.left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for at in range(0, len(buffer), _PIECE_BYTES):
            self._stream.write(buffer[at : at + _PIECE_BYTES], self._line.left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._line.left()), self._line)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

"""Carry with httpx: a pool of threads, each with a connection of its own.

Below `httpx.Client`, which would log a line for each request and keep cookies; and synchronous,
since httpx's asynchronous client gets slower with each request that is under way.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import attrs
import httpx

from .base import CONTENT_TYPE, MOST_ANSWER_BYTES, Answer, proxy_for

if TYPE_CHECKING:
    from .base import Settings

# After that long without a request, the connection may be another one than before.
_IDLE_SECONDS = 0.5
_RETRIED_AT_ONCE = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


class HttpxTransport:
    """Sends with up to `max_connections` threads, which start as they are needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._verify = _tls() if settings.endpoint.startswith("https:") else ssl.create_default_context()
        self._proxy = proxy_for(settings)
        self._todo: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        self._done: SimpleQueue[Answer | None] = SimpleQueue()
        self._lines: list[_Line] = []
        self._busy = 0
        self._look_at = 0.0

    def submit(self, ticket: int, body: bytes) -> None:
        """Begin to POST a form body."""
        if self._busy >= len(self._lines) and len(self._lines) < self._settings.max_connections:
            line = _Line(self._settings, self._verify, self._proxy)
            name = f"totango-http-{len(self._lines) + 1}"
            threading.Thread(target=line.work, args=(self._todo, self._done), name=name, daemon=True).start()
            self._lines.append(line)
        self._busy += 1
        self._todo.put((ticket, body))

    def poll(self, timeout: float) -> list[Answer]:
        """Return the answers that are there; wait up to `timeout` seconds for the first."""
        answers: list[Answer] = []
        deadline = time.monotonic() + timeout
        while True:
            now = time.monotonic()
            wait = min(deadline, self._cut_overdue(now)) - now
            woken = self._take(wait, answers)
            if answers or woken or time.monotonic() >= deadline:
                self._busy -= len(answers)
                return answers

    def _take(self, wait: float, answers: list[Answer]) -> bool:
        """Move what is done to `answers`; `True` if woken."""
        woken = False
        with contextlib.suppress(Empty):
            answer = self._done.get(timeout=wait) if wait > 0 else self._done.get_nowait()
            while True:
                if answer is None:
                    woken = True
                else:
                    answers.append(answer)
                answer = self._done.get_nowait()
        return woken

    def _cut_overdue(self, now: float) -> float:
        """Cut the connections of requests that take too long; return when to look again.

        httpx's own limits are for each step: a server that answers a byte at a time would pass them.
        """
        if now >= self._look_at:
            limit = self._settings.timeout
            self._look_at = now + limit / 4
            for line in self._lines:
                started = line.started
                if started is not None and now - started > limit:
                    line.cut()
        return self._look_at

    def wake(self) -> None:
        """Make a `poll` that waits return."""
        self._done.put(None)

    def close(self) -> None:
        """Stop at once; a thread that waits for an answer ends with its connection."""
        for line in self._lines:
            line.closed = True
            self._todo.put(None)
            line.cut()


@attrs.define
class _Line:
    """One thread and its connection."""

    _settings: Settings
    _verify: ssl.SSLContext
    _proxy: str | None
    started: float | None = None
    closed: bool = False
    _socket: Any = None
    _answered_at: float = 0.0

    def work(self, todo: SimpleQueue[tuple[int, bytes] | None], done: SimpleQueue[Answer | None]) -> None:
        proxy = None if self._proxy is None else httpx.Proxy(self._proxy)
        limits = httpx.Limits(max_connections=1)
        with httpx.HTTPTransport(verify=self._verify, limits=limits, proxy=proxy) as carrier:
            used = False
            while (task := todo.get()) is not None and not self.closed:
                ticket, body = task
                self.started = time.monotonic()
                answer = self._send(carrier, ticket, body, used=used)
                self.started = None
                used = answer.status is not None  # else the next request needs a new connection anyway
                done.put(answer)

    def cut(self) -> None:
        """End what is under way, from another thread."""
        held = self._socket
        if held is not None and self.started is not None:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def _send(self, carrier: httpx.HTTPTransport, ticket: int, body: bytes, *, used: bool) -> Answer:
        started = time.monotonic()
        try:
            try:
                return self._exchange(carrier, ticket, body)
            except _RETRIED_AT_ONCE:
                if not used or self.closed or time.monotonic() - started > self._settings.timeout / 2:
                    raise
                # The server may have closed the connection while it was idle.
                return self._exchange(carrier, ticket, body)
        except Exception as error:  # whatever it is, the event must come back to the sender
            self._socket = None
            return Answer(ticket, None, error=f"{type(error).__name__}: {error}")

    def _exchange(self, carrier: httpx.HTTPTransport, ticket: int, body: bytes) -> Answer:
        timeout = self._settings.timeout
        extensions: dict[str, Any] = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout)}
        if self._socket is None or self.started is None or self.started - self._answered_at > _IDLE_SECONDS:
            extensions["trace"] = self._remember_socket  # costs too much for every request
        request = httpx.Request(
            "POST",
            self._settings.endpoint,
            headers=[("User-Agent", self._settings.user_agent), ("Content-Type", CONTENT_TYPE)],
            content=body,
            extensions=extensions,
        )
        response = carrier.handle_request(request)
        try:
            read = 0
            for chunk in response.stream:  # type: ignore[union-attr]
                read += len(chunk)
                if read > MOST_ANSWER_BYTES:
                    self._socket = None
                    break
        finally:
            response.close()
        self._answered_at = time.monotonic()
        if response.status_code == 200:
            if response.headers.get("connection") == "close":
                self._socket = None
            return Answer(ticket, 200)
        self._socket = None
        # httpx gives the names of headers in lower case.
        return Answer(ticket, response.status_code, dict(response.headers))

    def _remember_socket(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._socket = info["return_value"].get_extra_info("socket")


def _tls() -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context

"""Carry with httpx: a pool of threads, each with a connection of its own.

Below `httpx.Client`, which would log a line for each request and keep cookies; and synchronous,
since httpx's asynchronous client gets slower with each request that is under way.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import attrs
import httpx

from ...clock import monotonic
from ...errors import DeliveryError
from .base import (
    CLOSED,
    CONTENT_TYPE,
    MOST_ANSWER_BYTES,
    Answer,
    advice_on,
    missing_descriptor,
    never_closed,
    no_certificates,
    proxy_for,
)
from .canary import Canary

if TYPE_CHECKING:
    from .base import Proxy, Settings

# After that long without a request, the connection may be another one than before.
_IDLE_SECONDS = 0.5
_RETRIED_AT_ONCE = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


class HttpxTransport:
    """Sends with up to `max_connections` threads, which start as they are needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        is_secure = settings.endpoint.startswith("https:")
        self._verify = _tls() if is_secure else ssl.create_default_context()
        self._proxy = _usable(proxy_for(settings))
        # By its full name: gevent may have put its own in its place since this was imported.
        self._todo: queue.SimpleQueue[tuple[int, bytes] | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._canary = Canary()
        self._lines: list[_Line] = []
        self._busy = 0
        self._look_at = 0.0

    def submit(self, ticket: int, body: bytes) -> None:
        """Begin to POST a form body."""
        if not self._canary.is_alive:
            self._begin_again()
        if self._busy >= len(self._lines) and len(self._lines) < self._settings.max_connections:
            self._add_line()
        self._busy += 1
        self._todo.put((ticket, body))

    def _begin_again(self) -> None:
        """Have new lines: the descriptors of these may be somebody else's now."""
        lines, todo = self._lines, self._todo
        self._lines, self._todo, self._canary = [], queue.SimpleQueue(), Canary()
        for line in lines:
            line.let_go()
        with contextlib.suppress(queue.Empty):
            while True:
                self._todo.put(todo.get_nowait())
        for _ in lines:
            todo.put(None)
        if not self._todo.empty():
            self._add_line()

    def _add_line(self) -> None:
        line = _Line(self._settings, self._verify, self._proxy, self._canary)
        name = f"totango-http-{len(self._lines) + 1}"
        thread = threading.Thread(
            target=line.work, args=(self._todo, self._done), name=name, daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # too many threads: the others do it, if there are any
            if not self._lines:
                raise
        else:
            self._lines.append(line)

    def poll(self, timeout: float) -> list[Answer]:
        """Return the answers that are there; wait up to `timeout` seconds for the first."""
        answers: list[Answer] = []
        deadline = monotonic() + timeout
        while True:
            now = monotonic()
            wait = min(deadline, self._cut_overdue(now)) - now
            woken = self._take(wait, answers)
            if answers or woken or monotonic() >= deadline:
                self._busy -= len(answers)
                return answers

    def _take(self, wait: float, answers: list[Answer]) -> bool:
        """Move what is done to `answers`; `True` if woken."""
        woken = False
        with contextlib.suppress(queue.Empty):
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

        httpx's own limits are for each step: a server that answers a byte at a time would pass
        them.
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
            if self._canary.is_alive:
                line.cut()


@attrs.define
class _Line:
    """One thread and its connection."""

    _settings: Settings
    _verify: ssl.SSLContext
    _proxy: Proxy | None
    _canary: Canary
    started: float | None = None
    closed: bool = False
    _socket: Any = None
    _answered_at: float = 0.0

    def work(
        self,
        todo: queue.SimpleQueue[tuple[int, bytes] | None],
        done: queue.SimpleQueue[Answer | None],
    ) -> None:
        used = False
        carrier: httpx.HTTPTransport | None = None
        try:
            while (task := todo.get()) is not None and not self.closed:
                ticket, body = task
                self.started = monotonic()
                try:
                    if not self._canary.is_alive:
                        raise DeliveryError(CLOSED)
                    carrier = carrier or self._new_carrier()
                    answer = self._send(carrier, ticket, body, used=used)
                except BaseException as error:  # each ticket comes back, whatever happens
                    answer = Answer(ticket, None, error=self._told(error))
                self.started = None
                # Else the next request needs a new connection anyway.
                used = answer.status is not None
                done.put(answer)
        finally:
            if carrier is not None and self._canary.is_alive:
                carrier.close()
            else:
                never_closed.append(carrier)

    def _new_carrier(self) -> httpx.HTTPTransport:
        proxy = None if self._proxy is None else httpx.Proxy(self._proxy.address)
        limits = httpx.Limits(max_connections=1)
        return httpx.HTTPTransport(verify=self._verify, limits=limits, proxy=proxy)

    def _told(self, error: BaseException) -> str:
        """Return an error in words, with what to do about it and without a password."""
        text = f"{type(error).__name__}: {error}"
        cause: BaseException | None = error
        while cause is not None:
            is_lookup = isinstance(cause, socket.gaierror)  # which has errors of its own
            text += advice_on(missing_descriptor() if is_lookup else getattr(cause, "errno", None))
            cause = cause.__cause__ or cause.__context__
        return text if self._proxy is None else self._proxy.hide(text)

    def let_go(self) -> None:
        """End, and close nothing: the number of the connection may be somebody else's now."""
        self.closed = True
        if self._socket is not None:
            self._socket.detach()

    def cut(self) -> None:
        """End what is under way, from another thread."""
        held = self._socket
        if held is not None and self.started is not None:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)

    def _send(
        self, carrier: httpx.HTTPTransport, ticket: int, body: bytes, *, used: bool
    ) -> Answer:
        started = monotonic()
        try:
            try:
                return self._exchange(carrier, ticket, body)
            except _RETRIED_AT_ONCE:
                if not used or self.closed or monotonic() - started > self._settings.timeout / 2:
                    raise
                # The server may have closed the connection while it was idle.
                return self._exchange(carrier, ticket, body)
        except Exception as error:  # whatever it is, the event must come back to the sender
            self._socket = None
            return Answer(ticket, None, error=self._told(error))

    def _exchange(self, carrier: httpx.HTTPTransport, ticket: int, body: bytes) -> Answer:
        response = carrier.handle_request(self._request(body))
        try:
            self._read(response)
        finally:
            response.close()
        self._answered_at = monotonic()

        if response.status_code == 200:
            if response.headers.get("connection") == "close":
                self._socket = None
            if not response.headers.get("content-type", "").startswith("text/html"):
                return Answer(ticket, 200)
        self._socket = None
        # httpx gives the names of headers in lower case.
        return Answer(ticket, response.status_code, dict(response.headers))

    def _request(self, body: bytes) -> httpx.Request:
        steps = ("connect", "read", "write", "pool")
        extensions: dict[str, Any] = {"timeout": dict.fromkeys(steps, self._settings.timeout)}
        if self._may_be_new():
            extensions["trace"] = self._remember_socket  # costs too much for every request
        return httpx.Request(
            "POST",
            self._settings.endpoint,
            headers=[("User-Agent", self._settings.user_agent), ("Content-Type", CONTENT_TYPE)],
            content=body,
            extensions=extensions,
        )

    def _may_be_new(self) -> bool:
        """Whether the next request may go by another connection than the one before."""
        if self._socket is None or self.started is None:
            return True
        return self.started - self._answered_at > _IDLE_SECONDS

    def _read(self, response: httpx.Response) -> None:
        """Read an answer to its end, so that its connection can be used again; not a large one."""
        read = 0
        for chunk in response.stream:  # type: ignore[union-attr]
            read += len(chunk)
            if read > MOST_ANSWER_BYTES:
                self._socket = None
                break

    def _remember_socket(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            stream = info["return_value"]
            self._socket = stream.get_extra_info("socket")
            # A name server may have taken longer than all of it may take: what was given up, or
            # is cut off with the next look, would arrive all the same.
            if self.closed or self._is_overdue:
                stream.close()
                msg = "it took too long to connect"
                raise httpx.ConnectTimeout(msg)

    @property
    def _is_overdue(self) -> bool:
        return self.started is not None and monotonic() - self.started > self._settings.timeout


def _tls() -> ssl.SSLContext:
    try:
        context = httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        raise no_certificates(error) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _usable(proxy: Proxy | None) -> Proxy | None:
    """Return a proxy that httpx can go through. Raises `DeliveryError` for another."""
    if proxy is None or not proxy.scheme.startswith("socks"):
        return proxy
    from importlib.util import find_spec

    if proxy.scheme not in ("socks5", "socks5h"):
        msg = (
            f"{proxy.setting} names a {proxy.scheme} proxy, which httpx cannot use: use "
            "socks5://, or transport='curl'"
        )
        raise DeliveryError(msg)
    if find_spec("socksio") is None:
        msg = (
            f"{proxy.setting} names a SOCKS proxy, for which httpx needs socksio: "
            "pip install 'httpx[socks]', or use transport='curl'"
        )
        raise DeliveryError(msg)
    return proxy

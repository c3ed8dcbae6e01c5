"""Carry with httpx: a pool of threads, each with a connection of its own.

Below `httpx.Client`, which would log a line for each request and keep cookies; and synchronous,
since httpx's asynchronous client gets slower with each request that is under way.
"""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import httpx

from .base import CONTENT_TYPE, MOST_ANSWER_BYTES, Answer

if TYPE_CHECKING:
    from ssl import SSLContext

_RETRIED_AT_ONCE = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


class HttpxTransport:
    """Sends with up to `max_connections` threads, which start as they are needed."""

    def __init__(self, endpoint: str, *, timeout: float, max_connections: int, user_agent: str) -> None:
        self._url = httpx.URL(endpoint)
        host = self._url.netloc.decode("ascii")
        self._headers = [("Host", host), ("User-Agent", user_agent), ("Content-Type", CONTENT_TYPE)]
        self._timeout = {phase: timeout for phase in ("connect", "read", "write", "pool")}
        self._most = max_connections
        self._todo: SimpleQueue[tuple[int, bytes] | None] = SimpleQueue()
        self._done: SimpleQueue[Answer | None] = SimpleQueue()
        self._verify: SSLContext | bool = httpx.create_ssl_context() if self._url.scheme == "https" else False
        self._threads = 0
        self._busy = 0
        self._closed = False

    def submit(self, ticket: int, body: bytes) -> None:
        """Begin to POST a form body."""
        self._busy += 1
        if self._busy > self._threads and self._threads < self._most:
            self._threads += 1
            threading.Thread(target=self._work, name=f"totango-http-{self._threads}", daemon=True).start()
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
        with httpx.HTTPTransport(verify=self._verify, limits=httpx.Limits(max_connections=1)) as carrier:
            used = False
            while (task := self._todo.get()) is not None and not self._closed:
                ticket, body = task
                answer = self._send(carrier, ticket, body, used=used)
                used = True
                self._done.put(answer)

    def _send(self, carrier: httpx.HTTPTransport, ticket: int, body: bytes, *, used: bool) -> Answer:
        try:
            try:
                return self._exchange(carrier, ticket, body)
            except _RETRIED_AT_ONCE:
                if not used:
                    raise
                # The server may have closed the connection while it was idle.
                return self._exchange(carrier, ticket, body)
        except Exception as error:  # whatever it is, the event must come back to the sender
            return Answer(ticket, None, error=f"{type(error).__name__}: {error}")

    def _exchange(self, carrier: httpx.HTTPTransport, ticket: int, body: bytes) -> Answer:
        request = httpx.Request(
            "POST", self._url, headers=self._headers, content=body, extensions={"timeout": self._timeout}
        )
        response = carrier.handle_request(request)
        try:
            if response.status_code == 200:
                headers = {}
            else:
                headers = {name.lower(): value for name, value in response.headers.items()}
            self._read(response)
        finally:
            response.close()
        return Answer(ticket, response.status_code, headers)

    @staticmethod
    def _read(response: httpx.Response) -> None:
        """Read the answer to its end, so that the connection can be used again, but not too much of it."""
        read = 0
        for chunk in response.stream:  # type: ignore[union-attr]
            read += len(chunk)
            if read > MOST_ANSWER_BYTES:
                return

"""What every transport must do, checked against a real server on this machine.

`check_transport` is for the transports of this package and for yours.
"""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..delivery.transports import Answer, Transport

_PATIENCE_SECONDS = 20.0
_LARGE = 1 << 20


class _Handler(BaseHTTPRequestHandler):
    """Answers as the body asks: `status=503&…`, `close`, `mute`, `large`, `redirect`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.arrived(self.path, body, self.headers.get("Content-Type", ""))
        word = body.decode("latin-1").partition("&")[0]
        if word in ("close", "half"):
            self.wfile.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" if word == "half" else b""
            )
            self.close_connection = True
        elif word == "mute":
            self.server.released.wait(_PATIENCE_SECONDS)
            self.close_connection = True
        else:
            self._answer(word)

    def do_GET(self) -> None:
        self.server.arrived(self.path, b"", "")
        self._answer("")

    def _answer(self, word: str) -> None:
        status = int(word.removeprefix("status=")) if word.startswith("status=") else 200
        size = _LARGE if word == "large" else 10
        content = b"" if status == 204 else b"x" * size
        self.send_response(302 if word == "redirect" else status)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        if word == "redirect":
            self.send_header("Location", "/elsewhere")
        self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(content)
        # Closed without a word, as servers do with connections that were idle for long.
        self.close_connection = word == "idle"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.released = threading.Event()
        self.requests: list[tuple[str, bytes, str]] = []

    def arrived(self, path: str, body: bytes, content_type: str) -> None:
        self.requests.append((path, body, content_type))

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is no news."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/pixel.gif/"


def check_transport(make: Callable[[str], Transport]) -> None:
    """Raise `AssertionError`, saying which rule is broken, if a transport does not do its work.

    `make(endpoint)` returns a new one, with a time limit of 2 to 10 seconds for a request and at
    least 4 connections. The endpoint is a real server on this machine. Takes a few seconds.
    """
    for check in (
        _checks_one,
        _checks_many,
        _checks_answers,
        _checks_failures,
        _checks_waiting,
        _checks_idle,
    ):
        with _Server() as server:
            serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            serving.start()
            transport = make(server.endpoint)
            try:
                check(transport, server)
            finally:
                server.released.set()
                transport.close()
                server.shutdown()
                serving.join()


def _answers(transport: Transport, count: int) -> list[Answer]:
    """Return so many answers, and see that no more come."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    answers: list[Answer] = []
    while len(answers) < count:
        assert time.monotonic() < deadline, (
            f"only {len(answers)} of {count} tickets came back: the others were swallowed"
        )
        answers += transport.poll(0.5)
    answers += transport.poll(0.05)
    assert len(answers) == count, f"{len(answers)} answers came back for {count} tickets: {answers}"
    return answers


def _checks_one(transport: Transport, server: _Server) -> None:
    assert transport.poll(0) == [], "poll returned an answer before anything was submitted"
    body = b"a=%C3%A9%20%26%3D&m=" + bytes(range(33, 127)).replace(b"&", b"")
    transport.submit(41, body)
    (answer,) = _answers(transport, 1)
    assert answer.ticket == 41, f"ticket 41 came back as {answer.ticket!r}"
    assert answer.status == 200, f"an answer of 200 came back as {answer.status!r} ({answer.error})"
    assert [found[1] for found in server.requests] == [body], (
        "the body did not arrive byte for byte, once"
    )
    path, _, content_type = server.requests[0]
    assert path == "/pixel.gif/", f"the request went to {path!r}, not to the path of the endpoint"
    assert content_type == "application/x-www-form-urlencoded", (
        f"the form was sent as {content_type!r}"
    )


def _checks_many(transport: Transport, server: _Server) -> None:
    count = 300
    tickets = []
    for start in range(0, count, 4):
        for ticket in range(start, start + 4):
            transport.submit(ticket, b"n=%d" % ticket)
        tickets += [answer.ticket for answer in _answers(transport, 4)]
    assert sorted(tickets) == list(range(count)), "not every ticket came back exactly once"
    bodies = sorted(found[1] for found in server.requests)
    assert bodies == sorted(b"n=%d" % ticket for ticket in range(count)), (
        "not every body arrived exactly once"
    )


def _checks_answers(transport: Transport, server: _Server) -> None:
    for status in (204, 400, 404, 429, 500, 503):
        transport.submit(status, b"status=%d&" % status)
        (answer,) = _answers(transport, 1)
        assert answer.status == status, (
            f"an answer of {status} came back as {answer.status!r} ({answer.error})"
        )
        if status >= 400:
            assert answer.headers.get("retry-after") == "7", (
                "the headers of an answer are not there, in lower case"
            )
    transport.submit(1, b"redirect")
    (answer,) = _answers(transport, 1)
    assert answer.status == 302, f"a redirect came back as {answer.status!r}"
    assert all(found[0] != "/elsewhere" for found in server.requests), "a redirect was followed"
    transport.submit(2, b"large")
    (answer,) = _answers(transport, 1)
    assert answer.status == 200, (
        f"a large answer of 200 came back as {answer.status!r} ({answer.error})"
    )


def _checks_failures(transport: Transport, _: _Server) -> None:
    transport.submit(1, b"close")
    (answer,) = _answers(transport, 1)
    assert answer.status is None, (
        f"a connection closed without an answer came back as {answer.status!r}"
    )
    assert answer.error, "a connection closed without an answer came back without an error in words"
    transport.submit(3, b"half")
    (answer,) = _answers(transport, 1)
    assert answer.status is None, f"an answer that broke off came back as {answer.status!r}"
    started = time.monotonic()
    transport.submit(2, b"mute")
    (answer,) = _answers(transport, 1)
    assert answer.status is None, f"a server that never answers came back as {answer.status!r}"
    assert time.monotonic() - started < _PATIENCE_SECONDS, "a request has no time limit"


def _checks_waiting(transport: Transport, _: _Server) -> None:
    transport.submit(1, b"mute")
    started = time.monotonic()
    assert transport.poll(0) == [], "a request that is not answered came back at once"
    assert transport.poll(0.05) == [], "a request that is not answered came back"
    assert time.monotonic() - started < 2, "poll waited much longer than it was told to"
    wake = getattr(transport, "wake", None)
    if wake is not None:
        threading.Timer(0.05, wake).start()
        started = time.monotonic()
        transport.poll(4.0)
        assert time.monotonic() - started < 3.5, "wake() did not make poll return"
    started = time.monotonic()
    transport.close()
    assert time.monotonic() - started < 2, "close waited for a request that is not answered"
    transport.close()


def _checks_idle(transport: Transport, _: _Server) -> None:
    for ticket in range(4):
        transport.submit(ticket, b"idle")
        (answer,) = _answers(transport, 1)
        assert answer.status == 200, (
            f"an event failed after its connection was closed while idle: {answer.error}"
        )

"""Row 10 of the failure table: nothing is ever delivered to a server that is not verified."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from totango_sdk import Totango
from totango_sdk.log import forget_told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Collector(ThreadingHTTPServer):
    """A collector behind TLS. Remembers what arrived, and how many connections brought nothing."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.context = context
        self.bodies: list[bytes] = []
        self.failed = threading.Semaphore(0)

    def finish_request(self, request: Any, client_address: Any) -> None:
        before = len(self.bodies)
        try:
            request.settimeout(5)
            with self.context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except OSError:
            pass
        if len(self.bodies) == before:  # with TLS 1.3, a client that refuses the certificate just goes away
            self.failed.release()

    def handle_error(self, *_: Any) -> None:
        pass

    @property
    def port(self) -> int:
        return self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[ssl.SSLContext], Collector]]:
    servers: list[tuple[Collector, threading.Thread]] = []

    def start(context: ssl.SSLContext) -> Collector:
        server = Collector(context)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def secured(authority: trustme.CA, host: str = "localhost", *, not_after: datetime | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host, not_after=not_after).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    forget_told()


def client(port: int, transport: str, host: str = "localhost", **options: Any) -> Totango:
    endpoint = f"https://{host}:{port}/pixel.gif/"
    return Totango(
        "SP-1234-01", endpoint=endpoint, spool="memory", transport=transport, user="u", module="m", timeout=3, **options
    )


both = pytest.mark.parametrize("transport", ["httpx", "curl"])


@both
def test_a_verified_server_gets_the_event(
    transport: str, serve: Callable[[ssl.SSLContext], Collector], authority: trustme.CA
) -> None:
    server = serve(secured(authority))
    totango = client(server.port, transport)
    totango.track("Login", account="a1")
    assert totango.flush(10)
    assert server.bodies == [b"sdr_s=SP-1234-01&sdr_o=a1&sdr_u=u&sdr_a=Login&sdr_m=m"]
    totango.close()


def expired(authority: trustme.CA) -> ssl.SSLContext:
    return secured(authority, not_after=datetime.now(UTC) - timedelta(days=1))


def other_host(authority: trustme.CA) -> ssl.SSLContext:
    return secured(authority, "collector.example")


def unknown_authority(_: trustme.CA) -> ssl.SSLContext:
    return secured(trustme.CA())


def old_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = secured(authority)
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@both
@pytest.mark.parametrize("fault", [expired, other_host, unknown_authority, old_tls])
def test_a_server_that_cannot_be_verified_gets_nothing_and_the_event_waits(
    transport: str,
    fault: Callable[[trustme.CA], ssl.SSLContext],
    serve: Callable[[ssl.SSLContext], Collector],
    authority: trustme.CA,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = serve(fault(authority))
    totango = client(server.port, transport)
    with caplog.at_level(logging.WARNING, "totango_sdk"):
        totango.track("Login", account="a1")
        for _ in range(2):  # refused, and tried again
            assert server.failed.acquire(timeout=10), "no handshake was tried"
        deadline = time.monotonic() + 10
        while not totango.stats().retrying and time.monotonic() < deadline:
            totango.flush(0.05)
    stats = totango.stats()
    assert server.bodies == []
    assert (stats.delivered, stats.dead, stats.dropped, stats.accepted) == (0, 0, 0, 1)
    told = [record.getMessage() for record in caplog.records if record.name == "totango_sdk"]
    assert len(told) <= 2, told
    assert any("ssl" in line.lower() or "tls" in line.lower() or "certificate" in line.lower() for line in told), told
    totango.close(0)


class Proxy:
    """A proxy that only knows CONNECT, and remembers where to."""

    def __init__(self, *, refuse: bool = False) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.refuse = refuse
        self.targets: list[str] = []
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def serve(self) -> None:
        while True:
            try:
                taken, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.connect, args=(taken,), daemon=True).start()

    def connect(self, taken: socket.socket) -> None:
        with taken:
            head = b""
            while b"\r\n\r\n" not in head:
                head += taken.recv(4096)
            target = head.split()[1].decode()
            self.targets.append(target)
            if self.refuse:
                taken.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            port = int(target.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as onward:
                taken.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=pump, args=(onward, taken), daemon=True)
                back.start()
                pump(taken, onward)
                back.join()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@both
@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_proxy_carries_the_event_and_cannot_read_it(
    transport: str,
    by: str,
    serve: Callable[[ssl.SSLContext], Collector],
    authority: trustme.CA,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A name of its own: what is on this machine is reached without a proxy.
    server = serve(secured(authority, "collector.example"))
    proxy = Proxy()
    if by == "environment":
        monkeypatch.setenv("HTTPS_PROXY", proxy.address)
    totango = client(
        server.port, transport, host="collector.example", **({"proxy": proxy.address} if by == "option" else {})
    )
    totango.track("Login", account="a1")
    assert totango.flush(10), totango.stats()
    assert proxy.targets == [f"collector.example:{server.port}"]
    assert len(server.bodies) == 1
    totango.close()
    proxy.close()


@both
def test_a_proxy_that_wants_a_login_makes_the_event_wait(transport: str) -> None:
    proxy = Proxy(refuse=True)
    totango = client(1, transport, host="collector.example", proxy=proxy.address)
    totango.track("Login", account="a1")
    deadline = time.monotonic() + 10
    while not totango.stats().retrying and time.monotonic() < deadline:
        totango.flush(0.05)
    assert totango.stats().retrying == 1
    totango.close(0)
    proxy.close()

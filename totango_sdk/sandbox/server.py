"""The sandbox on a port: `serve` for a person, `running` for tests and programs."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn

from ..errors import OptionsError, shown
from .app import create_app
from .guard import is_loopback
from .store import Store

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from starlette.applications import Starlette

_BACKLOG = 2048
_URL_LIMIT = 1_000_000
_KEEP_ALIVE = 75
_LAST_PORT = 65535


class Sandbox:
    """A sandbox that is up. `url` is its page, `endpoint` what a client takes as its `endpoint`."""

    def __init__(self, url: str, store: Store) -> None:
        self.url = url
        self.endpoint = f"{url}pixel.gif/"
        self._store = store

    def __repr__(self) -> str:
        return f"Sandbox({self.url!r})"

    def summary(self) -> dict[str, Any]:
        """Return what `GET /summary.json` answers."""
        return self._store.summary()

    def events(self) -> list[dict[str, Any]]:
        """Return every request, in order of arrival, as `GET /events.json` does page by page."""
        return list(self._store.each_event())

    def accounts(self) -> list[dict[str, Any]]:
        """Return every account with its first 100 users, as `GET /accounts.json` does page by page."""
        return list(self._store.each_account())

    def reset(self) -> None:
        """Forget everything."""
        self._store.reset()


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    db: str | os.PathLike[str] | None = None,
    announce: Callable[[Sandbox], None] | None = None,
) -> None:
    """Run a sandbox until SIGINT or SIGTERM; `port` 0 is any free one, `db` None keeps it in memory.

    Prints one line with its addresses when it is up, or calls `announce` instead. Belongs into the
    main thread, which alone gets signals; for any other there is `running`. Raises `OptionsError`
    for a host that is not this machine, a port in use, or a database that cannot be used.
    """
    with _open(host, port, db) as (sandbox, server, sock):
        server.on_up = lambda: (announce or _print)(sandbox)
        with _until_signal(server):
            server.run(sockets=[sock])


def _print(sandbox: Sandbox) -> None:
    line = f"Sandbox on {sandbox.url} - send events to {sandbox.endpoint} - Ctrl-C stops it"
    print(line, flush=True)  # noqa: T201  # whoever started it needs the address


@contextlib.contextmanager
def running(*, port: int = 0, db: str | os.PathLike[str] | None = None) -> Iterator[Sandbox]:
    """Run a sandbox in a thread of its own for as long as the `with` block lasts.

    Raises `OptionsError` for a port in use or a database that cannot be used.
    """
    with _open("127.0.0.1", port, db) as (sandbox, server, sock):
        thread = threading.Thread(target=server.run, args=([sock],), name="totango-sandbox", daemon=True)
        thread.start()
        try:
            yield sandbox
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def _open(host: str, port: int, db: str | os.PathLike[str] | None) -> Iterator[tuple[Sandbox, _Server, socket.socket]]:
    with _bound(host, port) as sock, Store(db) as store:
        sandbox = Sandbox(_url(sock), store)
        yield sandbox, _Server(create_app(store)), sock


class _Server(uvicorn.Server):
    """Says when it is up, and leaves signals to whoever runs it."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(_config(app))
        self.on_up: Callable[[], None] = _nothing

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # uvicorn's own raises the signal anew at the end, so that nothing behind it runs

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.on_up()


def _nothing() -> None: ...


def _config(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        access_log=False,
        backlog=_BACKLOG,
        date_header=False,
        h11_max_incomplete_event_size=_URL_LIMIT,
        lifespan="on",
        log_config=None,
        log_level="error",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=_KEEP_ALIVE,
        ws="none",
    )


@contextlib.contextmanager
def _until_signal(server: _Server) -> Iterator[None]:
    before = {number: signal.signal(number, server.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that already listens: a client may connect before the server is up."""
    if not is_loopback(host):
        msg = (
            f"host: {shown(host)} is not this machine, and a sandbox has no password: whoever reaches it can read "
            "and empty it. Give a loopback address, such as 127.0.0.1"
        )
        raise OptionsError(msg)
    if not 0 <= port <= _LAST_PORT:
        msg = f"port: {port} is not from 0 to {_LAST_PORT}. Give one such as 8035, or 0 for any that is free"
        raise OptionsError(msg)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every answer takes 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as wrong:
        sock.close()
        raise OptionsError(_unbound(host, port, wrong)) from None
    return sock


def _unbound(host: str, port: int, wrong: OSError) -> str:
    if wrong.errno == errno.EADDRINUSE:
        return f"port: {port} is in use by another program. Stop that one, or give --port 0 for any that is free"
    reason = wrong.strerror or wrong
    return f"port: {port} on {host} cannot be used: {reason}. Give another, such as --port 0 for any that is free"


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

"""The sandbox on a port: `serve` for a person, `running` for tests and programs."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from ..endpoint import is_this_machine
from ..errors import OptionsError
from ..identity import check_extra_characters
from ..show import shown
from .app import create_app
from .faults import Faults, FaultSwitch
from .ignored import IgnoreFile
from .pixel import TRANSPORT
from .protocol import protocol_class
from .report import Report, report
from .session import Opening, lines
from .shapes import event_of
from .store import Store

if TYPE_CHECKING:
    import asyncio
    import os
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp, Receive, Scope, Send

    from .arrival import Arrival
    from .faults import Mode

_BACKLOG = 2048
_KEEP_ALIVE = 75
_LAST_PORT = 65535


class Sandbox:
    """A sandbox that is up. `url` is its page, `endpoint` what a client takes as its `endpoint`."""

    def __init__(self, url: str, store: Store, token: str | None = None) -> None:
        self.url = url if token is None else f"{url}?token={token}"
        self.endpoint = f"{url}pixel.gif/"
        self._store = store
        self._switch = FaultSwitch()

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

    def faults(self, mode: Mode = "none", **options: Any) -> None:
        """Make the endpoint misbehave, as `POST /faults.json` does; without arguments, all is well
        again.

        The options are `status`, `retry_after`, `delay`, `share` and `seconds`. Raises
        `OptionsError`.
        """
        self._switch.set(Faults.from_mapping({"mode": mode, **options}))

    def reset(self) -> None:
        """Forget everything."""
        self._store.reset()

    def report(self) -> Report:
        """Return what was found that is not to be ignored: problems by kind, and what will not join
        up.
        """
        return report(self._store)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Keep the session in a file, as `GET /session.ndjson` gives it. Raises `OSError`."""
        with Path(path).open("w", encoding="utf-8") as file:
            file.writelines(lines(self._store))

    def open(self, path: str | os.PathLike[str]) -> int:
        """Put the requests of a saved session behind those that are here, and return how many.

        Raises `OptionsError` for a file that is none, or cannot be read.
        """
        opening, count = Opening(self._store), 0
        try:
            with Path(path).open(encoding="utf-8", errors="replace") as file:
                for text in file:
                    count += opening.take(text)
        except OSError as wrong:
            msg = f"open: {str(path)!r} cannot be read: {wrong.strerror}. Give a saved session"
            raise OptionsError(msg) from None
        return count


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    db: str | os.PathLike[str] | None = None,
    token: str | None = None,
    faults: Faults | None = None,
    ignore: str | os.PathLike[str] | None = None,
    session: str | os.PathLike[str] | None = None,
    extra_id_characters: str = "",
    announce: Callable[[Sandbox], None] | None = None,
    on_arrival: Callable[[Arrival], bool] | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    at_end: Callable[[Sandbox], None] | None = None,
) -> None:
    """Run a sandbox until SIGINT or SIGTERM; `port` 0 is any free one, `db` None keeps it in
    memory.

    Prints one line with its addresses when it is up, or calls `announce` instead. `on_arrival` sees
    each request, and returns whether to stop; `on_event` sees it as `GET /events.json` gives it;
    `at_end` sees the sandbox when it takes no more. `ignore` is a file of findings that are to be
    ignored, `session` a saved one to begin with, `extra_id_characters` what the client has of this
    name. A `host` that others can reach needs a `token`.
    Belongs into the main thread, which alone gets signals; for any other there is `running`. Raises
    `OptionsError` for a host that needs a token, a port in use, or a database that cannot be used.
    """
    with _open(host, port, db, token, extra_id_characters) as (sandbox, server, sock):
        server.on_up = lambda: (announce or _print)(sandbox)
        if faults is not None:
            sandbox._switch.set(faults)
        if ignore is not None:
            sandbox._store.use_ignore_file(IgnoreFile(ignore))
        if session is not None:
            sandbox.open(session)
        sandbox._store.on_arrival = _listener(server, on_arrival, on_event)
        with _until_signal(server):
            server.run(sockets=[sock])
        if at_end is not None:
            at_end(sandbox)


def _listener(
    server: _Server,
    on_arrival: Callable[[Arrival], bool] | None,
    on_event: Callable[[dict[str, Any]], None] | None,
) -> Callable[[Arrival, int], None]:
    def listen(arrival: Arrival, number: int) -> None:
        if on_event is not None:
            on_event(event_of(arrival, number))
        if on_arrival is not None:
            server.stop_if(on_arrival(arrival))

    return listen


def _print(sandbox: Sandbox) -> None:
    line = f"Sandbox on {sandbox.url} - send events to {sandbox.endpoint} - Ctrl-C stops it"
    print(line, flush=True)  # noqa: T201  # whoever started it needs the address


@contextlib.contextmanager
def running(
    *,
    port: int = 0,
    db: str | os.PathLike[str] | None = None,
    extra_id_characters: str = "",
) -> Iterator[Sandbox]:
    """Run a sandbox in a thread of its own for as long as the `with` block lasts.

    `extra_id_characters` is what the client has of this name. Raises `OptionsError` for a port in
    use or a database that cannot be used.
    """
    with _open("127.0.0.1", port, db, None, extra_id_characters) as (sandbox, server, sock):
        thread = threading.Thread(
            target=server.run, args=([sock],), name="totango-sandbox", daemon=True
        )
        thread.start()
        try:
            yield sandbox
        finally:
            server.should_exit = True
            thread.join()


@contextlib.contextmanager
def _open(
    host: str,
    port: int,
    db: str | os.PathLike[str] | None,
    token: str | None,
    extra_id_characters: str,
) -> Iterator[tuple[Sandbox, _Server, socket.socket]]:
    check_extra_characters(extra_id_characters)
    with (
        _bound(host, port, token) as sock,
        Store(db, extra_id_characters=extra_id_characters) as store,
    ):
        sandbox = Sandbox(_url(sock), store, token)
        app = create_app(store, token=token, faults=sandbox._switch)
        http = protocol_class(app.state.pixel.malformed)
        yield sandbox, _Server(_config(_with_transport(app), http), store), sock


def _with_transport(app: ASGIApp) -> ASGIApp:
    async def with_transport(scope: Scope, receive: Receive, send: Send) -> None:
        # ASGI has no way to end a connection without an answer. Here `send` is still uvicorn's own.
        scope.setdefault("state", {})[TRANSPORT] = getattr(
            getattr(send, "__self__", None), "transport", None
        )
        await app(scope, receive, send)

    return with_transport


class _Server(uvicorn.Server):
    """Says when it is up, and leaves signals to whoever runs it."""

    def __init__(self, config: uvicorn.Config, store: Store) -> None:
        super().__init__(config)
        self._store = store
        self.on_up: Callable[[], None] = _nothing

    def stop_if(self, stop: bool) -> None:
        self.should_exit = self.should_exit or stop

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # uvicorn's own raises the signal anew at the end, so that nothing behind it runs

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.on_up()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._store.is_closing = True
        await super().shutdown(sockets=sockets)


def _nothing() -> None: ...


def _config(app: ASGIApp, http: type[asyncio.Protocol]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        access_log=False,
        backlog=_BACKLOG,
        date_header=False,
        http=http,
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
    before = {
        number: signal.signal(number, server.handle_exit)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bound(host: str, port: int, token: str | None) -> socket.socket:
    """Return a socket that already listens: a client may connect before the server is up."""
    if not is_this_machine(host) and not token:
        msg = (
            f"host: {shown(host)} is not this machine alone, and whoever reaches a sandbox can read and empty it. "
            "Give a loopback address, such as 127.0.0.1, or a token, as in --token auto"
        )
        raise OptionsError(msg)
    if not 0 <= port <= _LAST_PORT:
        msg = f"port: {port} is not from 0 to {_LAST_PORT}. Give one such as 8035, or 0 for any that is free"
        raise OptionsError(msg)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every answer takes 40
    # ms.
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

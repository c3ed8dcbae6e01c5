"""Starlette and FastAPI: the client of an app, and the identity of each connection.

totango = AsyncTotango("SP-1234-01")
app.add_middleware(TotangoMiddleware, client=totango, identity=who)

@app.post("/share")
async def share(totango: Annotated[AsyncTotango, Depends(get_totango)]):
    await totango.track("Document shared")
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, NamedTuple

from ..aio import AsyncTotango
from ..client import Totango, adopt
from ..errors import OptionsError
from ..scope import Identity, Scope
from ..show import shown
from . import missing
from .settings import check_identity, check_options

try:
    from starlette.requests import HTTPConnection
except ModuleNotFoundError as error:
    raise missing("starlette", "Starlette", "starlette") from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Send
    from starlette.types import Scope as Connection

_KEY = "totango_sdk"
_CLOSE_SECONDS = 2.0
_USE_AWAIT = (
    "the identity function is async: use await totango.track(...), asnippet(...) or acarry() here"
)
_current: ContextVar[_Request | None] = ContextVar("totango_sdk_starlette", default=None)


class _Request(Scope):
    """One HTTP request, or a websocket for as long as it is open."""

    status = 0

    def __init__(self, connection: Connection, identify: _Identify, client: object) -> None:
        self._connection = connection
        self._identify = identify
        self.client = client

    @property
    def must_be_awaited(self) -> bool:
        """Whether the identity function is a coroutine function."""
        return self._identify.is_awaited

    def hindrance(self) -> str | None:
        """An async function cannot be waited for within a loop."""
        return _USE_AWAIT if self.must_be_awaited and _is_in_loop() else None

    def ask(self) -> object:
        if not self.must_be_awaited:
            return self._identify.call(HTTPConnection(self._connection))
        from anyio import from_thread

        return from_thread.run(self._identify.call, HTTPConnection(self._connection))

    async def ask_later(self) -> object:
        return await self._identify.call(HTTPConnection(self._connection))

    def finished(self) -> list[Callable[..., object]]:
        """Return what is to be stored, now that the status is known."""
        return self.answered(self.status, self._connection["method"])

    def when_done(self, store: Callable[..., object]) -> None:
        if self._connection["type"] == "websocket":  # it has no status
            store()
        else:
            super().when_done(store)


class _Identify(NamedTuple):
    """An identity function, and whether it must be awaited."""

    call: Callable[[HTTPConnection], Any]
    is_awaited: bool

    @classmethod
    def by(cls, function: Callable[[HTTPConnection], Any]) -> _Identify:
        call = getattr(type(function), "__call__", None)  # noqa: B004
        return cls(function, iscoroutinefunction(function) or iscoroutinefunction(call))


def _is_in_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def get_totango(connection: HTTPConnection) -> AsyncTotango:
    """Return the client of the app that a request or websocket is for: a dependency for FastAPI.

    In Starlette, call it with the request. Raises `RuntimeError` without the middleware.
    """
    client = connection.scope.get(_KEY)
    if client is None:
        msg = "this app has no TotangoMiddleware: app.add_middleware(TotangoMiddleware, client=totango)"
        raise RuntimeError(msg)
    found: AsyncTotango = client
    return found


class TotangoMiddleware:
    """Knows whose each request is, and opens and closes the client with the app.

    `client` is an `AsyncTotango` or a `Totango`; without one it is made from the environment.
    `identity` is a function of the `HTTPConnection`, plain or async, that returns an `Identity`, or
    `None` for nobody; a plain one runs in the loop and must not block. It runs when something is
    tracked. Raises `OptionsError`.
    """

    def __init__(
        self,
        app: ASGIApp,
        client: AsyncTotango | Totango | None = None,
        identity: Callable[[HTTPConnection], Any] | None = None,
    ) -> None:
        check_identity(identity, may_be_awaited=True)
        client = _client(client)
        self._app = app
        self._client = AsyncTotango._twin_of(client)
        self._who = client._who
        self._identify = _Identify.by(identity or _anyone)
        self._who.follow(partial(_find, self._who), may_await=self._identify.is_awaited)
        adopt(client)
        if client is not self._client:
            adopt(self._client)

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            if scope["type"] == "lifespan":
                send = partial(self._send_lifespan, send)
            await self._app(scope, receive, send)
            return
        scope[_KEY] = self._client
        request = _Request(scope, self._identify, self._who)
        outer = _current.get()
        _current.set(request)
        try:
            await self._app(scope, receive, partial(self._send, request, outer, send))
        finally:
            # Not by a token: a server may end a stream in another context than it began it in.
            _current.set(outer)

    async def _send_lifespan(self, send: Send, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            await self._client._open()
        elif message["type"] == "lifespan.shutdown.complete":
            await self._client.close(_CLOSE_SECONDS)
        await send(message)

    def _send(
        self, request: _Request, outer: _Request | None, send: Send, message: Message
    ) -> Awaitable[None]:
        # No coroutine of its own where it need not wait: all that the host sends goes through it.
        if message["type"] == "http.response.start":
            request.status = message["status"]
        elif _is_last(message):
            return self._send_last(request, outer, send, message)
        return send(message)

    async def _send_last(
        self, request: _Request, outer: _Request | None, send: Send, message: Message
    ) -> None:
        # The server starts its timer for an idle connection here. With the request in its context
        # all that belongs to the request would live as long as the timer, which is seconds.
        _current.set(outer)
        try:
            await send(message)
        finally:
            _current.set(request)
        for store in request.finished():
            await self._client._stored(store)  # type: ignore[arg-type]


def _is_last(message: Message) -> bool:
    if message["type"] == "http.response.body":
        return not message.get("more_body")
    return bool(message["type"] == "http.response.pathsend")  # the server sends a whole file


def _anyone(_: HTTPConnection) -> Identity:
    """Serve as the identity function of an app that has none: the client's own defaults hold."""
    return Identity()


def _client(given: object) -> AsyncTotango | Totango:
    if given is None:
        return AsyncTotango(**check_options({}, _where))
    if isinstance(given, AsyncTotango | Totango):
        return given
    msg = f"client={shown(given)} is wrong: it is an AsyncTotango or a Totango"
    raise OptionsError(msg)


def _find(who: object) -> Scope | None:
    request = _current.get()
    return request if request is not None and request.client is who else None


def _where(name: str) -> str:
    return f"TOTANGO_{name.upper()}"

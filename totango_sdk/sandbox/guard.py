"""Who may ask: this machine only, and no page of another site may change anything.

A sandbox has no password. What keeps it private is that it listens on the loopback address, and
that a page which a browser has open can neither reach it under another name (DNS rebinding) nor
write to it (cross-site request forgery).
"""

from __future__ import annotations

import re
from functools import lru_cache
from hmac import compare_digest
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse

from ..endpoint import is_this_machine

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

_COOKIE = "totango_sandbox"
_TOTANGO = re.compile(r"sdr(?:-[a-z0-9]+)?\.totango\.com")
_SAME_SITE = ("same-origin", "none", "")


class HostGuard:
    """Answers 400 unless the Host header names this machine, or is one of `hosts`.

    On the paths `endpoints` alone, the names of Totango's own endpoints are taken too: a client
    with a built-in host can be pointed here.
    """

    def __init__(
        self, app: ASGIApp, hosts: Collection[str] = (), endpoints: Collection[str] = ()
    ) -> None:
        self._app = app
        self._endpoints = frozenset(endpoints)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._allowed = lru_cache(maxsize=64)(self._is_allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._takes(scope):
            await self._app(scope, receive, send)
            return
        message = "this sandbox answers only to names of its own machine: use http://127.0.0.1 or http://localhost\n"
        await PlainTextResponse(message, 400)(scope, receive, send)

    def _takes(self, scope: Scope) -> bool:
        host = _host(scope)
        if self._allowed(host):
            return True
        return scope["path"] in self._endpoints and is_totango(host.decode("latin-1"))

    def _is_allowed(self, host: bytes) -> bool:
        name = _without_port(host.decode("latin-1").lower())
        return is_this_machine(name) or name in self._hosts


class TokenGuard:
    """Lets in who knows the token: as `Authorization: Bearer TOKEN`, or by `?token=TOKEN`, which
    becomes a cookie.

    `open` are the paths that anybody may ask for.
    """

    def __init__(self, app: ASGIApp, token: str, open: Collection[str] = ()) -> None:  # noqa: A002
        self._app = app
        self._token = token
        self._open = frozenset(open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        asked = request.query_params.get("token")
        if asked is not None and self._is_it(asked) and request.method == "GET":
            answer: Response = RedirectResponse(scope["path"], 303)
            answer.set_cookie(_COOKIE, self._token, httponly=True, samesite="strict")
            await answer(scope, receive, send)
            return
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if self._is_it(given) or self._is_it(request.cookies.get(_COOKIE, "")):
            await self._app(scope, receive, send)
            return
        message = "this sandbox can be reached from other machines, so it needs its token: open the address that it\n"
        message += "printed when it started, or send the header Authorization: Bearer TOKEN\n"
        await PlainTextResponse(message, 401)(scope, receive, send)

    def _is_it(self, given: str) -> bool:
        return compare_digest(given.encode(), self._token.encode())


def is_totango(host: str) -> bool:
    """Whether a Host header names one of Totango's endpoints: sdr.totango.com and its sisters."""
    return bool(_TOTANGO.fullmatch(_without_port(host.lower())))


def _host(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"host":
            return bytes(value)
    return b""


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def is_cross_site(request: Request) -> bool:
    """Whether a browser says that a page of another site makes this request."""
    origin = request.headers.get("origin")
    if origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host')}":
        return True
    return request.headers.get("sec-fetch-site", "") not in _SAME_SITE

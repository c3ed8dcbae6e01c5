"""Who may ask: this machine only, and no page of another site may change anything.

A sandbox has no password. What keeps it private is that it listens on the loopback address, and
that a page which a browser has open can neither reach it under another name (DNS rebinding) nor
write to it (cross-site request forgery).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

_SAME_SITE = ("same-origin", "none", "")


def is_loopback(name: str) -> bool:
    """Whether a host name or an address means this machine."""
    name = name.removeprefix("[").removesuffix("]")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class HostGuard:
    """Answers 400 unless the Host header names this machine, or is one of `hosts`."""

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._allowed = lru_cache(maxsize=64)(self._is_allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._allowed(_host(scope)):
            await self._app(scope, receive, send)
            return
        message = "this sandbox answers only to names of its own machine: use http://127.0.0.1 or http://localhost\n"
        await PlainTextResponse(message, 400)(scope, receive, send)

    def _is_allowed(self, host: bytes) -> bool:
        name = _without_port(host.decode("latin-1").lower())
        return is_loopback(name) or name in self._hosts


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

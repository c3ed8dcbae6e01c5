"""The sandbox as a web application: the endpoint, what programs ask for, and the page."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from .api import Api
from .browser import browser_routes
from .faults import FaultSwitch
from .guard import HostGuard, TokenGuard
from .page import Pages
from .pixel import Pixel

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from .store import Store

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": _POLICY,
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
# What any page and any client may ask for: to send events is what they are for.
ENDPOINT_PATHS = ("/pixel.gif", "/pixel.gif/")
OPEN_PATHS = (*ENDPOINT_PATHS, "/collector.js")


def create_app(
    store: Store,
    *,
    hosts: Collection[str] = (),
    token: str | None = None,
    faults: FaultSwitch | None = None,
) -> Starlette:
    """Return the sandbox as an ASGI application that keeps what it gets in `store`.

    It answers to loopback names and addresses in the Host header, and to those in `hosts`. With a
    `token`, it answers to every name, and only to those who know the token, but for the endpoint.
    Closing the store is the caller's.
    """
    faults = faults or FaultSwitch()
    pixel = Pixel(store, faults)
    api, pages = Api(store, faults, _HEADERS), Pages(store, _HEADERS)
    guard = (
        Middleware(HostGuard, hosts=hosts, endpoints=ENDPOINT_PATHS)
        if token is None
        else Middleware(TokenGuard, token=token, open=OPEN_PATHS)
    )
    app = Starlette(
        routes=[
            Route("/pixel.gif/", pixel, methods=["GET", "POST"]),
            Route("/pixel.gif", pixel, methods=["GET", "POST"]),
            Route("/", pixel, methods=["POST"]),
            *api.routes(),
            *browser_routes(_HEADERS),
            *pages.routes(),
        ],
        middleware=[guard],
        exception_handlers={HTTPException: api.refused},
        lifespan=_flush_at_end,
    )
    app.router.redirect_slashes = False
    app.state.store, app.state.pixel = store, pixel
    return app


@contextlib.asynccontextmanager
async def _flush_at_end(app: Starlette) -> AsyncIterator[None]:
    yield
    app.state.store.flush()

"""The sandbox as a web application: the endpoint, what programs ask for, and the page."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from .collector import Collector
from .guard import HostGuard, is_cross_site
from .page import STYLE, render

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from starlette.requests import Request

    from .store import Store

_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": _POLICY,
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_BIGGEST = 2**63 - 1


def create_app(store: Store, *, hosts: Collection[str] = ()) -> Starlette:
    """Return the sandbox as an ASGI application that keeps what it gets in `store`.

    It answers to loopback names and addresses in the Host header, and to those in `hosts`. Closing
    the store is the caller's.
    """
    collector, pages = Collector(store), _Pages(store)
    app = Starlette(
        routes=[
            Route("/pixel.gif/", collector, methods=["GET", "POST"]),
            Route("/pixel.gif", collector, methods=["GET", "POST"]),
            Route("/", collector, methods=["POST"]),
            Route("/", pages.page),
            Route("/style.css", pages.style),
            Route("/summary.json", pages.summary),
            Route("/events.json", pages.events),
            Route("/accounts.json", pages.accounts),
            Route("/reset", pages.reset, methods=["POST"]),
        ],
        middleware=[Middleware(HostGuard, hosts=hosts)],
        exception_handlers={HTTPException: _refused},
        lifespan=_flush_at_end,
    )
    app.router.redirect_slashes = False
    app.state.store = store
    return app


@contextlib.asynccontextmanager
async def _flush_at_end(app: Starlette) -> AsyncIterator[None]:
    yield
    app.state.store.flush()


class _Pages:
    """What is answered to people and programs that look."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, request: Request) -> Response:
        text = render(self._store.summary(), self._store.accounts(), self._store.latest(), str(request.base_url))
        return HTMLResponse(text, headers=_HEADERS)

    async def style(self, request: Request) -> Response:
        return Response(STYLE, media_type="text/css", headers=_HEADERS)

    async def summary(self, request: Request) -> Response:
        return _json(self._store.summary())

    async def events(self, request: Request) -> Response:
        found = self._store.events(_number(request, "after", 0), _number(request, "limit", 100))
        return _json({"events": found, "next": found[-1]["id"] if found else None})

    async def accounts(self, request: Request) -> Response:
        found = self._store.accounts(_number(request, "after", 0), _number(request, "limit", 100))
        return _json({"accounts": found, "next": found[-1]["number"] if found else None})

    async def reset(self, request: Request) -> Response:
        if is_cross_site(request):
            raise HTTPException(403, "a page of another site may not empty this sandbox")
        self._store.reset()
        return _json({"reset": True})


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _BIGGEST:
        return int(text)
    raise HTTPException(400, f"{name} is not a whole number from 0 up; write it as in {name}={default}")


def _json(value: Any) -> Response:
    content = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(content, media_type="application/json", headers=_HEADERS)


async def _refused(_request: Request, wrong: Exception) -> Response:
    assert isinstance(wrong, HTTPException)
    response = _json({"error": wrong.detail})
    response.status_code = wrong.status_code
    response.headers.update(wrong.headers or {})
    return response

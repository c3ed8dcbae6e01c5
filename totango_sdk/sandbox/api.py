"""What programs ask for: JSON in and out, described in `/openapi.json`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ..errors import OptionsError, shown
from .binding import findings
from .faults import Faults
from .guard import is_cross_site
from .live import stream
from .openapi import CHOICES, document
from .views import FILTERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from .faults import FaultSwitch
    from .store import Store

_BIGGEST = 2**63 - 1
_MOST_FAULTS_BYTES = 10_000


class Api:
    """The endpoints, on one store."""

    def __init__(self, store: Store, faults: FaultSwitch, headers: Mapping[str, str]) -> None:
        self._store = store
        self._faults = faults
        self._headers = headers

    def routes(self) -> list[Route]:
        """Return the routes of all endpoints."""
        return [
            Route("/events.json", self.events),
            Route("/events/{number}.json", self.event),
            Route("/accounts.json", self.accounts),
            Route("/summary.json", self.summary),
            Route("/problems.json", self.problems),
            Route("/faults.json", self.faults),
            Route("/faults.json", self.set_faults, methods=["POST"]),
            Route("/reset", self.reset, methods=["POST"]),
            Route("/openapi.json", self.openapi),
            Route("/stream", self.stream),
        ]

    async def events(self, request: Request) -> Response:
        """Return requests, page by page."""
        filters = {name: request.query_params[name] for name in FILTERS if request.query_params.get(name)}
        for name, choices in CHOICES.items():
            if filters.get(name, choices[0]) not in choices:
                raise HTTPException(400, f"{name}={shown(filters[name])} is not one of {', '.join(choices)}")
        found = self._store.events(_number(request, "after", 0), _number(request, "limit", 100), filters)
        return self.answer({"events": found, "next": found[-1]["id"] if found else None})

    async def event(self, request: Request) -> Response:
        """Return one request."""
        number = whole(request.path_params["number"])
        found = None if number is None else self._store.event(number)
        if found is None:
            raise HTTPException(404, "there is no such event here; GET /events.json lists those that are")
        return self.answer(found)

    async def accounts(self, request: Request) -> Response:
        """Return accounts, page by page."""
        found = self._store.accounts(_number(request, "after", 0), _number(request, "limit", 100))
        return self.answer({"accounts": found, "next": found[-1]["number"] if found else None})

    async def summary(self, request: Request) -> Response:
        """Return the totals."""
        return self.answer(self._store.summary())

    async def problems(self, request: Request) -> Response:
        """Return what is wrong: with single events, and with what should join up."""
        summary = self._store.summary()
        with self._store.views() as views:
            return self.answer({"problems": summary["problems"], "binding": findings(views)})

    async def faults(self, request: Request) -> Response:
        """Return how the endpoint misbehaves now."""
        return self.answer(attrs.asdict(self._faults.now))

    async def set_faults(self, request: Request) -> Response:
        """Set how the endpoint misbehaves."""
        _refuse_cross_site(request)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_FAULTS_BYTES:
                raise HTTPException(413, f"the body has more than {_MOST_FAULTS_BYTES} bytes")
        try:
            given = json.loads(body)
            if not isinstance(given, dict):
                raise OptionsError("the body is no JSON object")
            self._faults.set(Faults.from_mapping(given))
        except OptionsError as wrong:
            raise HTTPException(400, str(wrong)) from None
        except (ValueError, RecursionError):
            raise HTTPException(400, 'the body is no JSON: send {"mode": "status", "status": 503}') from None
        return await self.faults(request)

    async def reset(self, request: Request) -> Response:
        """Forget everything."""
        _refuse_cross_site(request)
        self._store.reset()
        return self.answer({"reset": True})

    async def openapi(self, request: Request) -> Response:
        """Return the description of all this."""
        return self.answer(document())

    async def stream(self, request: Request) -> Response:
        """Return what comes, as it comes."""
        last = request.headers.get("last-event-id", "")
        after = whole(last)
        content = stream(request, self._store, self._faults, _number(request, "after", 0) if after is None else after)
        return StreamingResponse(content, media_type="text/event-stream", headers=dict(self._headers))

    def answer(self, value: Any) -> Response:
        """Return a value as JSON."""
        content = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return Response(content, media_type="application/json", headers=dict(self._headers))

    async def refused(self, _request: Request, wrong: Exception) -> Response:
        """Answer what raised an `HTTPException`."""
        assert isinstance(wrong, HTTPException)
        response = self.answer({"error": wrong.detail})
        response.status_code = wrong.status_code
        response.headers.update(wrong.headers or {})
        return response


def _refuse_cross_site(request: Request) -> None:
    if is_cross_site(request):
        raise HTTPException(403, "a page of another site may change nothing in this sandbox")


def whole(text: str) -> int | None:
    """Return the number that is written there; `None` if it is not one from 0 to 2⁶³ - 1."""
    fits = text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _BIGGEST
    return int(text) if fits else None


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    found = default if text is None else whole(text)
    if found is None:
        raise HTTPException(400, f"{name} is not a whole number from 0 up; write it as in {name}={default}")
    return found

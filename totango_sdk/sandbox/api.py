"""What programs ask for: JSON in and out, described in `/openapi.json`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ..errors import OptionsError
from ..show import shown
from . import binding, session
from .event import event_copies, event_details
from .faults import Faults
from .guard import is_cross_site
from .live import stream
from .openapi import document
from .resend import MOST as MOST_RESENT
from .resend import Target, resend
from .search import FILTERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request

    from .faults import FaultSwitch
    from .store import Store

_BIGGEST = 2**63 - 1
_TAKEN = 200
_MOST_BYTES = 10_000
_MOST_BYTES_OF_KEYS = 1_000_000
_MOST_LINE = 20_000_000
_MOST_KEYS = 1000
_MOST_FOUND = 10_000
_KEY = re.compile(r"(?=.*\S)[ -~]{1,10000}")
_GONE = "there is no such event here; GET /events.json lists those that are"

_IGNORE_EXAMPLE = '{"add": ["case [\\"Acme\\", \\"acme\\"]"], "remove": []}'
_RESEND_EXAMPLE = '{"ids": [1], "endpoint": "http://127.0.0.1:8036/pixel.gif/"}'


class Api:
    """The endpoints, on one store."""

    def __init__(self, store: Store, faults: FaultSwitch, headers: Mapping[str, str]) -> None:
        self._store = store
        self._faults = faults
        self._headers = headers

    def routes(self) -> list[Route]:
        """Return the routes of all endpoints."""
        post = ["POST"]
        return [
            Route("/events.json", self.events),
            Route("/events.csv", self.events_csv),
            Route("/found.json", self.found),
            Route("/events/{number}.json", self.event),
            Route("/events/{number}/details.json", self.details),
            Route("/accounts.json", self.accounts),
            Route("/summary.json", self.summary),
            Route("/problems.json", self.problems),
            Route("/ignored.json", self.ignored),
            Route("/ignored.json", self.ignore, methods=post),
            Route("/resend", self.resend, methods=post),
            Route("/session.ndjson", self.session),
            Route("/session.ndjson", self.open_session, methods=post),
            Route("/faults.json", self.faults),
            Route("/faults.json", self.set_faults, methods=post),
            Route("/reset", self.reset, methods=post),
            Route("/openapi.json", self.openapi),
            Route("/stream", self.stream),
        ]

    async def events(self, request: Request) -> Response:
        """Return requests, page by page."""
        after, limit = _number(request, "after", 0), _number(request, "limit", 100)
        found = self._found(after, limit, _filters(request))
        return self.answer({"events": found, "next": found[-1]["id"] if found else None})

    def _found(self, after: int, limit: int, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        try:
            return self._store.events(after, limit, filters)
        except OptionsError as wrong:
            raise HTTPException(400, str(wrong)) from None

    def found(self, request: Request) -> Response:
        """Return only the numbers of requests, up to 10,000, for a search in a list at hand."""
        after, filters = _number(request, "after", 0), _filters(request)
        try:
            with self._store.views() as views:
                found = views.found(after, filters, _MOST_FOUND)
        except OptionsError as wrong:
            raise HTTPException(400, str(wrong)) from None
        return self.answer({"ids": found})

    async def events_csv(self, request: Request) -> Response:
        """Return what the filters leave, as a table."""
        filters = _filters(request)
        self._found(0, 1, filters)  # or the answer has begun when a filter is found to be wrong
        headers = {**self._headers, "content-disposition": 'attachment; filename="events.csv"'}
        content = session.as_csv(self._store.each_event(filters))
        return StreamingResponse(content, media_type="text/csv; charset=utf-8", headers=headers)

    async def event(self, request: Request) -> Response:
        """Return one request."""
        number = whole(request.path_params["number"])
        found = None if number is None else self._store.event(number)
        if found is None:
            raise HTTPException(404, _GONE)
        return self.answer(found)

    def details(self, request: Request) -> Response:
        """Return what there is to say of one request, and copies of it for other programs."""
        number = whole(request.path_params["number"])
        endpoint = f"{request.base_url}pixel.gif/"
        with self._store.views() as views:
            found = None if number is None else event_details(views, number)
            if found is None:
                raise HTTPException(404, _GONE)
            found |= event_copies(views, found, endpoint)
        return self.answer(found)

    async def accounts(self, request: Request) -> Response:
        """Return accounts, page by page."""
        found = self._store.accounts(_number(request, "after", 0), _number(request, "limit", 100))
        return self.answer({"accounts": found, "next": found[-1]["number"] if found else None})

    async def summary(self, request: Request) -> Response:
        """Return the totals."""
        return self.answer(self._store.summary())

    def problems(self, request: Request) -> Response:
        """Return what is wrong: with single events, and with what should join up."""
        with self._store.views() as views:
            kinds, found = binding.problem_kinds(views), binding.told(views)
        return self.answer({"problems": kinds, "binding": found})

    async def ignored(self, request: Request) -> Response:
        """Return which findings are to be ignored."""
        with self._store.views() as views:
            return self.answer({"ignored": sorted(views.ignored())})

    async def ignore(self, request: Request) -> Response:
        """Remember, or forget, which findings are to be ignored."""
        given = await _object(request, _IGNORE_EXAMPLE, _MOST_BYTES_OF_KEYS)
        keys = {name: given.get(name, []) for name in ("add", "remove")}
        for name, listed in keys.items():
            if not isinstance(listed, list) or not all(_is_key(key) for key in listed):
                raise HTTPException(
                    400,
                    f"{name} is a list of up to {_MOST_KEYS} keys, which GET /problems.json tells",
                )
        try:
            self._store.ignore(**keys)
        except OSError as wrong:
            raise HTTPException(
                500, f"the file of what is ignored cannot be written: {wrong}"
            ) from None
        return await self.ignored(request)

    async def resend(self, request: Request) -> Response:
        """Send requests again, to another collector."""
        given = await _object(request, _RESEND_EXAMPLE, _MOST_BYTES_OF_KEYS)
        ids = given.get("ids")
        if not isinstance(ids, list) or not ids or len(ids) > MOST_RESENT:
            raise HTTPException(400, f"ids is a list of 1 to {MOST_RESENT} numbers of events")
        try:
            target = Target.of(given.get("endpoint"), given.get("confirm"))
        except OptionsError as wrong:
            raise HTTPException(403, str(wrong)) from None
        found = [self._event(each) for each in ids]
        results = await run_in_threadpool(resend, found, target)
        sent = sum(each["status"] == _TAKEN for each in results)
        return self.answer({"sent": sent, "failed": len(results) - sent, "results": results})

    def _event(self, number: object) -> dict[str, Any]:
        is_number = isinstance(number, int) and not isinstance(number, bool)
        fits = is_number and 0 <= number <= _BIGGEST  # type: ignore[operator]
        found = self._store.event(number) if fits else None  # type: ignore[arg-type]
        if found is None:
            raise HTTPException(404, f"event {shown(number)}: {_GONE}")
        return found

    async def session(self, request: Request) -> Response:
        """Return everything that is kept, as lines of JSON."""
        headers = {**self._headers, "content-disposition": 'attachment; filename="session.ndjson"'}
        return StreamingResponse(
            session.lines(self._store), media_type="application/x-ndjson", headers=headers
        )

    async def open_session(self, request: Request) -> Response:
        """Put the requests of a saved session behind those that are here; with `?replace=1`, in
        their place.
        """
        _refuse_cross_site(request)
        if request.query_params.get("replace") == "1":
            self._store.reset()
        count, opening = 0, session.Opening(self._store)
        try:
            async for text in _lines(request):
                count += opening.take(text)
        except OptionsError as wrong:
            raise HTTPException(400, str(wrong)) from None
        self._store.flush()
        return self.answer({"opened": count})

    async def faults(self, request: Request) -> Response:
        """Return how the endpoint misbehaves now."""
        return self.answer(attrs.asdict(self._faults.now))

    async def set_faults(self, request: Request) -> Response:
        """Set how the endpoint misbehaves."""
        given = await _object(request, '{"mode": "status", "status": 503}')
        try:
            self._faults.set(Faults.from_mapping(given))
        except OptionsError as wrong:
            raise HTTPException(400, str(wrong)) from None
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
        content = stream(
            request,
            self._store,
            self._faults,
            _number(request, "after", 0) if after is None else after,
        )
        return StreamingResponse(
            content, media_type="text/event-stream", headers=dict(self._headers)
        )

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


def _filters(request: Request) -> dict[str, str]:
    asked = request.query_params
    return {name: asked[name] for name in FILTERS if asked.get(name)}


def _is_key(key: object) -> bool:
    return isinstance(key, str) and bool(_KEY.fullmatch(key))


async def _object(request: Request, example: str, most: int = _MOST_BYTES) -> dict[str, Any]:
    """Return the JSON object that a page of our own or a program sends."""
    _refuse_cross_site(request)
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise HTTPException(413, f"the body has more than {most} bytes")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, f"the body is no JSON: send {example}") from None
    if not isinstance(given, dict):
        raise HTTPException(400, f"the body is no JSON object: send {example}")
    return given


async def _lines(request: Request) -> AsyncIterator[str]:
    rest = b""
    async for chunk in request.stream():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "replace")
        if len(rest) > _MOST_LINE:
            raise HTTPException(413, f"a line has more than {_MOST_LINE} bytes")
    yield rest.decode("utf-8", "replace")


def whole(text: str) -> int | None:
    """Return the number that is written there; `None` if it is not one from 0 to 2⁶³ - 1."""
    fits = text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= _BIGGEST
    return int(text) if fits else None


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    found = default if text is None else whole(text)
    if found is None:
        raise HTTPException(
            400, f"{name} is not a whole number from 0 up; write it as in {name}={default}"
        )
    return found

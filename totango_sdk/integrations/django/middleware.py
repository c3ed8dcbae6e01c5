"""The middleware: it remembers the request, and looks at nothing in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import ImproperlyConfigured

from .config import Config, WrongSettings
from .current import totango
from .request import Request, current
from .signals import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest


class TotangoMiddleware:
    """Knows whose each request is. Anywhere in `MIDDLEWARE`, sync and async.

    It reads neither the user nor the session: a request that tracks nothing costs no query and
    gets no `Vary: Cookie`. Raises `ImproperlyConfigured` for a wrong setting.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        try:
            Config.read()
        except WrongSettings as wrong:
            raise ImproperlyConfigured(str(wrong)) from None
        connect()
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Answer the request."""
        if self._is_async:
            return self._answer_later(request)
        scope = _enter(request)
        response = self.get_response(request)
        for store in scope.answered(response.status_code, request.method or "GET"):
            store()
        return response

    async def _answer_later(self, request: HttpRequest) -> Any:
        scope = _enter(request)
        response = await self.get_response(request)
        for store in scope.answered(response.status_code, request.method or "GET"):
            await totango.client.store_later(store)
        return response


def _enter(request: HttpRequest) -> Request:
    scope = Request(request, totango.client.config.identity)
    # No token: a response that streams is closed in another context than this one.
    current.set(scope)
    return scope

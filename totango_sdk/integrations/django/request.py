"""The request that a call belongs to, from the middleware until the response is closed."""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

from ...scope import Identity, Scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

_IS_OVER = "the request is over: use totango.carry() in it, and carried() afterwards"
_USE_AWAIT = "use await totango.atrack(...) here, or asnippet, acarry"

current: ContextVar[Request | None] = ContextVar("totango_sdk_django", default=None)


class Request(Scope):
    """A request of Django's. The identity function is asked when something is tracked, not before:
    then it sees the user whom the view's authenticator has put on the request.

    It does not hold Django's object: a server's timer for an idle connection has the context in which
    it was started, and with it this, for seconds.
    """

    must_be_awaited = True  # a plain function may need the database, which a loop must not touch

    def __init__(self, request: HttpRequest, function: Callable[..., Any] | None) -> None:
        self._request = weakref.ref(request)
        self._function = function

    @property
    def request(self) -> HttpRequest | None:
        """Django's object, which lives until the response is closed."""
        return self._request()

    def _subject(self) -> HttpRequest:
        request = self._request()
        if request is None:
            raise RuntimeError(_IS_OVER)
        return request

    def hindrance(self) -> str | None:
        """An async function cannot be waited for within a loop."""
        if _is_async(self._function) and _is_in_loop():
            return f"the identity function is async: {_USE_AWAIT}"
        return None

    def ask(self) -> object:
        if self._function is None:
            return Identity()
        if _is_async(self._function):
            return async_to_sync(self._function)(self._subject())
        try:
            return self._function(self._subject())
        except SynchronousOnlyOperation:
            raise RuntimeError(f"it needs the database: {_USE_AWAIT}") from None

    async def ask_later(self) -> object:
        if self._function is None:
            return Identity()
        if _is_async(self._function):
            return await self._function(self._subject())
        return await sync_to_async(self._function)(self._subject())


@lru_cache(maxsize=8)  # of the one function that the settings name
def _is_async(function: object) -> bool:
    call = getattr(type(function), "__call__", None)  # noqa: B004
    return iscoroutinefunction(function) or iscoroutinefunction(call)


def _is_in_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

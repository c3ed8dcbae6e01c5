"""A decorator that tracks what a function did: a view, a task, or any other."""

from __future__ import annotations

from functools import wraps
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


class Tracker(Protocol):
    """What is told that a function did something: a client."""

    def _did(self, activity: str, module: str | None) -> None: ...

    async def _did_later(self, activity: str, module: str | None) -> None: ...


def tracked(client: Tracker, activity: str, module: str | None) -> Callable[[F], F]:
    """Return the decorator; see `Face.tracked`."""

    def decorate(function: F) -> F:
        if _is_coroutine_function(function):

            @wraps(function)
            async def later(*args: Any, **kwargs: Any) -> Any:
                result = await function(*args, **kwargs)
                await client._did_later(activity, module)
                return result

            return cast("F", later)

        @wraps(function)
        def now(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if (
                type(result) is CoroutineType
            ):  # of an object that is called, or what a decorator made
                return awaited(result)
            client._did(activity, module)
            return result

        async def awaited(coroutine: CoroutineType[Any, Any, Any]) -> Any:
            result = await coroutine
            await client._did_later(activity, module)
            return result

        return cast("F", now)

    return decorate


def _is_coroutine_function(function: object) -> bool:
    from inspect import iscoroutinefunction

    return iscoroutinefunction(function)

"""The asynchronous face: the same calls, awaited. It never blocks the loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

from .client import Face
from .core import WouldWait
from .events import HEARTBEAT_ACTIVITY

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from .events import Event
    from .identity import AccountLike, ProductLike, UserLike
    from .spool import DeadLetter, Item

P = ParamSpec("P")
T = TypeVar("T")


async def _in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    # Whoever awaits has imported asyncio; `import totango_sdk` alone must not take that long.
    import asyncio

    return await asyncio.to_thread(function, *args, **kwargs)


class AsyncTotango(Face):
    """Sends events to Totango from an asynchronous backend; see `Totango` for options and calls.

    An event is stored within microseconds, in the loop; where storing it would have to wait for the
    disk, a thread does that.
    """

    async def _store(self, admitted: Event | Item | None) -> str | None:
        try:
            return self._core.store(admitted, wait=False)
        except WouldWait:
            return await _in_thread(self._core.store, admitted)

    async def track(
        self,
        activity: str,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Report one activity of a user in a module, below an account."""
        return await self._store(self._admit("track", activity, module, account, user, product))

    async def identify(
        self, account: AccountLike | None = None, user: UserLike | None = None, product: ProductLike | None = None
    ) -> str | None:
        """Become this account, user and product, and send their names and attributes now."""
        self._become(account, user, product)
        return await self._store(self._admit("identify", None, None, account, user, product))

    async def set_account_attributes(self, account: AccountLike) -> str | None:
        """Send an account's name and attributes now; no user is needed."""
        return await self._store(self._admit("account", None, None, account, None, None))

    async def set_user_attributes(self, account: AccountLike | None, user: UserLike) -> str | None:
        """Send a user's name and attributes now, below the account, or its product account."""
        return await self._store(self._admit("user", None, None, account, user, None))

    async def heartbeat(
        self,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Report that the user spends time in a module, as the browser does once a minute."""
        return await self._store(self._admit("heartbeat", HEARTBEAT_ACTIVITY, module, account, user, product))

    async def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was accepted is delivered or dead; `False` after `timeout` seconds."""
        return await _in_thread(self._core.flush, timeout)

    async def close(self, timeout: float = 2.0) -> None:
        """Stop, after at most `timeout` seconds. What is not delivered stays in the spool for the next process."""
        await _in_thread(self._core.worker.close, timeout)

    async def dead_letters(self) -> list[DeadLetter]:
        """Return the events that were given up, the oldest first, each with its reason."""
        return await _in_thread(self._core.letters)

    async def __aenter__(self) -> Self:
        await _in_thread(self._core.worker.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

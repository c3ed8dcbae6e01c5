"""The asynchronous face: the same calls, awaited. It never blocks the loop."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from .client import Face
from .core import WouldWait
from .events import HEARTBEAT_ACTIVITY

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from .events import Kind
    from .identity import AccountLike, ProductLike, UserLike
    from .spool import DeadLetter

P = ParamSpec("P")
T = TypeVar("T")
_TURN_SECONDS = 0.001
_TURN_CALLS = 20


class _Turn(threading.local):
    """How long the calls of this thread's loop may take before others get their turn.

    A loop runs all tasks that are ready before it looks at its timers: a thousand of them that track
    at once would keep it for as long as a thousand events take.
    """

    def __init__(self) -> None:
        self.spent = 0.0
        self._waiting: deque[Future[None]] = deque()
        self._loop: AbstractEventLoop | None = None

    @property
    def is_over(self) -> bool:
        return self.spent > _TURN_SECONDS

    async def next(self) -> None:
        """Wait for a later turn of the loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # one that has ended never comes to those that waited in it
            self._loop, self._waiting = loop, deque()
            loop.call_soon(self._begin, loop)
        future = loop.create_future()
        self._waiting.append(future)
        await future

    def _begin(self, loop: AbstractEventLoop) -> None:
        self.spent = 0.0
        for _ in range(min(len(self._waiting), _TURN_CALLS)):
            future = self._waiting.popleft()
            if not future.done():  # else its task was cancelled
                future.set_result(None)
        if self._waiting:
            loop.call_soon(self._begin, loop)
        else:
            self._loop = None


_turn = _Turn()


async def _in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    # Whoever awaits has imported asyncio; `import totango_sdk` alone must not take that long.
    import asyncio

    return await asyncio.to_thread(function, *args, **kwargs)


class AsyncTotango(Face):
    """Sends events to Totango from an asynchronous backend; see `Totango` for options and calls.

    An event is stored within microseconds, in the loop; where storing it would have to wait for the
    disk, a thread does that.
    """

    async def _call(
        self,
        kind: Kind,
        activity: str | None,
        module: str | None,
        account: AccountLike | None,
        user: UserLike | None,
        product: ProductLike | None,
    ) -> str | None:
        if _turn.is_over:
            await _turn.next()
        started = time.perf_counter()
        try:
            admitted = self._admit(kind, activity, module, account, user, product)
            return self._core.store(admitted, wait=False)
        except WouldWait:
            pass
        finally:
            _turn.spent += time.perf_counter() - started
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
        return await self._call("track", activity, module, account, user, product)

    async def identify(
        self, account: AccountLike | None = None, user: UserLike | None = None, product: ProductLike | None = None
    ) -> str | None:
        """Become this account, user and product, and send their names and attributes now."""
        self._become(account, user, product)
        return await self._call("identify", None, None, account, user, product)

    async def set_account_attributes(self, account: AccountLike) -> str | None:
        """Send an account's name and attributes now; no user is needed."""
        return await self._call("account", None, None, account, None, None)

    async def set_user_attributes(self, account: AccountLike | None, user: UserLike) -> str | None:
        """Send a user's name and attributes now, below the account, or its product account."""
        return await self._call("user", None, None, account, user, None)

    async def heartbeat(
        self,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Report that the user spends time in a module, as the browser does once a minute."""
        return await self._call("heartbeat", HEARTBEAT_ACTIVITY, module, account, user, product)

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
        if not self._core.options.disabled:
            await _in_thread(self._core.worker.open)  # the first event need not wait for the disk
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

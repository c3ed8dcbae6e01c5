"""The asynchronous face: the same calls, awaited. It never blocks the loop."""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from .client import Face, Totango
from .core import WouldWait
from .threads import Pool

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from .calls import Call
    from .events import Kind
    from .identity import AccountLike, ProductLike, UserLike
    from .spool import DeadLetter

# A loop is held for at most 1 ms: the last call of a turn begins within this, and what it awaits and
# the tasks themselves take time too.
_TURN_SECONDS = 0.0007
_TURN_CALLS = 20


class _Turn(threading.local):
    """How long the calls of this thread's loop may take before others get their turn.

    A loop runs all tasks that are ready before it looks at its timers: a thousand of them that
    track at once would keep it for as long as a thousand events take.
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


_pool = Pool()
_in_thread = _pool.run


class AsyncTotango(Face):
    """Sends events to Totango from an asynchronous backend; see `Totango` for options and calls.

    An event is stored within microseconds, in the loop; where storing it would have to wait for the
    disk, a thread does that.
    """

    @property
    def sync(self) -> Totango:
        """The same client for plain functions and threads: the same spool, sender and identity."""
        twin = Totango.__new__(Totango)
        twin._core, twin._who, twin._own_core = self._core, self._who, self._own_core
        self._have_beside(twin)
        return twin

    @classmethod
    def _twin_of(cls, client: Face) -> AsyncTotango:
        """Return the asynchronous client on the same spool, sender and identity as this one."""
        if isinstance(client, AsyncTotango):
            return client
        twin = cls.__new__(cls)
        twin._core, twin._who, twin._own_core = client._core, client._who, client._own_core
        return twin

    async def _open(self) -> None:
        if not self._core.options.disabled:
            await _in_thread(self._core.worker.open)

    async def _did_later(self, activity: str, module: str | None) -> None:
        await self._who.ready(needs_account=True, needs_user=True)
        ready = self._prepare(self._call("track", activity, module))
        if ready is None:
            return
        scope = self._who.scope()
        if scope is None or scope.has_succeeded:
            await self._stored(ready)
        else:
            scope.when_done(ready)

    async def _send(
        self,
        kind: Kind,
        activity: str | None = None,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        if self._who.may_await:
            needs_user = user is None and kind != "account"
            await self._who.ready(needs_account=account is None, needs_user=needs_user)
        return await self._accept(self._call(kind, activity, module, account, user, product))

    def _accept(self, call: Call) -> Awaitable[str | None]:
        return self._stored(partial(self._core.take, call))

    async def _stored(self, store: Callable[..., str | None]) -> str | None:
        """Store without holding the loop: for longer than a moment, in another thread."""
        if _turn.is_over:
            await _turn.next()
        started = time.perf_counter()
        try:
            return store(wait=False)
        except WouldWait as held:
            go_on = held.go_on
        finally:
            _turn.spent += time.perf_counter() - started
        return await _in_thread(go_on)

    async def track(
        self,
        activity: str,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Report one activity of a user in a module, below an account."""
        return await self._send("track", activity, module, account, user, product)

    async def identify(
        self,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Become this account, user and product, and send their names and attributes now."""
        await self._who.ready(needs_account=account is None, needs_user=user is None)
        self._become(account, user, product)
        return await self._send("identify", None, None, account, user, product)

    async def set_account_attributes(self, account: AccountLike) -> str | None:
        """Send an account's name and attributes now; no user is needed."""
        return await self._send("account", account=account)

    async def set_user_attributes(self, account: AccountLike | None, user: UserLike) -> str | None:
        """Send a user's name and attributes now, below the account, or its product account."""
        return await self._send("user", account=account, user=user)

    async def heartbeat(
        self,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Report that the user spends time in a module, as the browser does once a minute."""
        return await self._send("heartbeat", None, module, account, user, product)

    async def asnippet(self, nonce: str | None = None) -> str:
        """Return what `snippet` does, where whose the request is must be awaited first."""
        await self._who.ready(needs_account=True, needs_user=True)
        return self.snippet(nonce)

    async def acarry(self) -> str | None:
        """Return what `carry` does, where whose the request is must be awaited first."""
        await self._who.ready(needs_account=True, needs_user=True)
        return self.carry()

    async def flush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was accepted is delivered or dead; `False` after `timeout` seconds."""
        return await _in_thread(self._core.flush, timeout)

    async def close(self, timeout: float = 2.0) -> None:
        """Stop, after at most `timeout` seconds. What is not delivered stays in the spool for the
        next process.
        """
        await _in_thread(self._core.worker.close, timeout)

    async def dead_letters(self) -> list[DeadLetter]:
        """Return the events that were given up, the oldest first, each with its reason."""
        return await _in_thread(self._core.letters)

    async def __aenter__(self) -> Self:
        await self._open()  # the first event need not wait for the disk
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

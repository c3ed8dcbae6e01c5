"""The client: a `Totango` whose events keep to Django's transactions, with calls to await."""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.db import connections

from ...aio import AsyncTotango
from ...client import Totango
from ...options import Options
from ..outbox import VERSION, dumps
from .request import Request, current

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from ...calls import Call
    from ...core import Ready
    from ...identity import AccountLike, ProductLike, UserLike
    from .config import Config


class DjangoTotango(Totango):
    """Every call of `Totango`, and an `a` form of each that stores, to await in async code.

    Inside `atomic` an event is stored when the transaction commits, and forgotten when it, or the
    savepoint, rolls back. The call then returns `None`.
    """

    config: Config

    @classmethod
    def of(cls, config: Config) -> Self:
        """Make the client that the settings describe. Raises `OptionsError`."""
        client = cls.__new__(cls)
        client._start(Options.resolve(config.options))
        client.config = config
        client._who.follow(current.get)
        return client

    def bind(self, **given: Any) -> Self:
        """Return a client with other defaults, on the same spool and sender."""
        bound = super().bind(**given)
        bound.config = self.config
        return bound

    # -- storing

    def _take(self, call: Call) -> str | None:
        if not self._has_outbox and not _is_in_transaction(connections[self.config.database]):
            return self._core.take(call)
        ready = self._prepare(call)
        return None if ready is None else self._store(ready)

    async def take_later(self, call: Call) -> str | None:
        """Check and store in async code, without holding the loop."""
        if self._has_outbox:
            id_: str | None = await sync_to_async(self._take)(call)
            return id_
        return await AsyncTotango._accept(self._later, call)

    @property
    def _has_outbox(self) -> bool:
        return self.config.outbox and self._own_core is None  # a test's stand-in keeps all itself

    def _store(self, ready: Ready) -> str | None:
        if self._has_outbox:
            return self._insert(ready)
        return self._after_commit(ready, ready)

    def _insert(self, ready: Ready) -> str:
        from .models import OutboxEvent

        row = OutboxEvent.objects.using(self.config.database).create(
            service_id=self._core.options.service_id, v=VERSION, event=dumps(ready.event)
        )
        return str(row.pk)

    def _settled(self, ready: Ready, *, wait: bool = True) -> str | None:
        """Store what `tracked` has made, now that its status is known."""
        return self._insert(ready) if self._has_outbox else ready(wait=wait)

    def _did(self, activity: str, module: str | None) -> None:
        ready = self._prepare(self._call("track", activity, module))
        if ready is None:
            return
        scope = self._who.scope()
        if isinstance(scope, Request):
            self._after_commit(ready, lambda: scope.when_done(partial(self._settled, ready)))
        else:
            self._store(ready)

    async def _did_later(self, activity: str, module: str | None) -> None:
        await self._who.ready(needs_account=True, needs_user=True)
        self._did(activity, module)

    def _after_commit(self, ready: Ready, then: Callable[[], Any]) -> str | None:
        """Do this when the open transaction commits, or now if there is none."""
        connection = connections[self.config.database]
        if not _is_in_transaction(connection):
            id_: str | None = then()
            return id_

        def commit() -> None:  # a function, since Django logs its name if it fails
            then()

        ready.is_open = partial(_is_waiting, connection, weakref.ref(commit))
        connection.on_commit(commit, robust=True)
        return None

    async def store_later(self, store: Callable[..., Any]) -> None:
        """Store in async code, without holding the loop."""
        if self._has_outbox:
            await sync_to_async(store)()
        else:
            await self._later._stored(store)

    # -- awaited

    @property
    def _later(self) -> _Awaited:
        twin = _Awaited._twin_of(self)
        assert isinstance(twin, _Awaited)
        twin.client = self
        return twin

    async def atrack(
        self,
        activity: str,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Report one activity of a user in a module, below an account."""
        return await self._later.track(activity, module, account, user, product)

    async def aidentify(
        self,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Become this account, user and product, and send their names and attributes now."""
        return await self._later.identify(account, user, product)

    async def aset_account_attributes(self, account: AccountLike) -> str | None:
        """Send an account's name and attributes now; no user is needed."""
        return await self._later.set_account_attributes(account)

    async def aset_user_attributes(self, account: AccountLike | None, user: UserLike) -> str | None:
        """Send a user's name and attributes now, below the account, or its product account."""
        return await self._later.set_user_attributes(account, user)

    async def aheartbeat(
        self,
        module: str | None = None,
        account: AccountLike | None = None,
        user: UserLike | None = None,
        product: ProductLike | None = None,
    ) -> str | None:
        """Report that the user spends time in a module, as the browser does once a minute."""
        return await self._later.heartbeat(module, account, user, product)

    async def asnippet(self, nonce: str | None = None) -> str:
        """Return what `snippet` does; the nonce of the settings is the template tag's."""
        return await self._later.asnippet(nonce)

    async def acarry(self) -> str | None:
        """Return who is in force now, as a text that a job can carry; `None` for nobody."""
        return await self._later.acarry()

    async def aflush(self, timeout: float = 10.0) -> bool:
        """Wait until all that was accepted is delivered or dead; `False` after `timeout` seconds."""
        return await self._later.flush(timeout)


class _Awaited(AsyncTotango):
    """The same client, awaited."""

    client: DjangoTotango

    async def _accept(self, call: Call) -> str | None:
        return await self.client.take_later(call)


class IdleTotango(DjangoTotango):
    """A client that does nothing, since its settings are wrong."""

    def _take(self, call: Call) -> str | None:
        return None

    async def take_later(self, call: Call) -> str | None:
        """Do nothing."""
        return None

    def _did(self, activity: str, module: str | None) -> None:
        pass


def _is_waiting(connection: Any, commit: weakref.ref[Callable[[], None]]) -> bool:
    """Whether the open transaction will call this when it commits."""
    return any(function is commit() for _, function, *_ in connection.run_on_commit)


def _is_in_transaction(connection: Any) -> bool:
    """Whether the project has a transaction open; that of a `TestCase` around it is not one."""
    blocks = connection.atomic_blocks if connection.in_atomic_block else ()
    return not all(getattr(block, "_from_testcase", False) for block in blocks)

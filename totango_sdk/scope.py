"""Who a call is about where it does not say: defaults, an identity, and a request that has one.

A request is one object (`Scope`), to which all its threads and tasks point.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import attrs

from . import host
from .identity import (
    Account,
    Product,
    User,
    as_entity,
    exact_str,
    text_problems,
    with_extra,
)
from .locks import make_lock
from .show import Readable, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import Problem
    from .identity import AccountLike, ProductLike, UserLike

E = TypeVar("E", Account, Product, User)

_FAILED = 400  # HTTP statuses from here on
_FIELDS = ("account", "user", "product", "module")


@attrs.frozen(kw_only=True, repr=False)
class Identity(Readable):
    """Who a request is about: what an identity function returns. Each value is as a client takes it."""

    account: AccountLike | None = None
    user: UserLike | None = None
    product: ProductLike | None = None
    module: str | None = None


class Trouble(NamedTuple):
    """Why nobody can be named: `failure` says what went wrong; without one, nobody is meant.

    It is of no matter to a call that names what is lacking itself.
    """

    failure: str | None = None
    lacks_account: bool = True
    lacks_user: bool = True

    def beside(self, account: Any, user: Any) -> Trouble | None:
        """Return what is left of it where these are named."""
        lacks_account = self.lacks_account and account is None
        lacks_user = self.lacks_user and user is None
        return (
            Trouble(self.failure, lacks_account, lacks_user)
            if lacks_account or lacks_user
            else None
        )


class Defaults(NamedTuple):
    """What a call uses where it names nothing of its own; `trouble` if that is not known."""

    account: Account | None = None
    user: User | None = None
    product: Product | None = None
    module: str | None = None
    trouble: Trouble | None = None
    extra_id_characters: str = ""

    def changed(self, account: Any, user: Any, product: Any, module: str | None) -> Defaults:
        """Return these with others for what is not `None`. Never raises."""
        return Defaults(
            self.account if account is None else _converted(Account, account, self.account, "o"),
            self.user if user is None else _converted(User, user, self.user, "u"),
            self.product if product is None else _converted(Product, product, self.product),
            self.module if module is None else module,
            self.trouble and self.trouble.beside(account, user),
            self.extra_id_characters,
        )

    def for_call(self, needs_account: bool, needs_user: bool) -> Defaults:
        """Return these without a trouble that is none to a call that needs no more than this."""
        trouble = self.trouble
        if trouble is None:
            return self
        if (needs_account and trouble.lacks_account) or (needs_user and trouble.lacks_user):
            return self
        return self._replace(trouble=None)

    def is_wrong(self) -> bool:
        """Whether an event of these would be refused, whatever its module."""
        problems: tuple[Problem, ...] = ()
        for entity in (self.account, self.user, self.product):
            if entity is not None:
                problems += entity.problems
        if not problems:
            return False
        told = with_extra(problems, self.extra_id_characters)
        return any(problem.severity == "error" for problem in told)

    def problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with these, of modules first."""
        of_product = None if self.product is None else self.product.module
        found: list[Problem] = []
        for module in (self.module, of_product):
            if module is not None and exact_str(module) != "":
                found += text_problems("module", module)
        for entity in (self.account, self.product, self.user):
            if entity is not None:
                found += entity.problems
        return with_extra(found, self.extra_id_characters)


def _converted(kind: type[E], given: Any, default: E | None, alias: str = "id") -> E | None:
    """Return whom something given stands for, completed as by `_completed`. Never raises."""
    value = given if type(given) is str else _completed(given, default, alias)
    try:
        return as_entity(kind, value)
    except host.FAILURES as error:
        # A mapping that cannot be read is nobody's: the call that uses it says what is wrong.
        host.swallow(error)
        return kind(None)  # type: ignore[arg-type]


def in_force(given: Any, default: Account | User | Product | None, alias: str = "id") -> Any:
    """Return whom a call speaks of that gives this: it, or else the default. Never raises.

    As in the browser, an empty text is nothing given. `alias` is the other key that an ID may have.
    """
    text = given if type(given) is str else exact_str(given)
    if text is not None and default is not None:
        return given if text else default
    return _completed(given, default, alias)


def _completed(given: Any, default: Account | User | Product | None, alias: str = "id") -> Any:
    """Return what is given, or else the default. A mapping without an ID is of the one in force."""
    if given is None:
        return default
    if default is None or not _is_mapping(given):
        return given
    try:
        if _has(given, "id") or _has(given, alias):
            return given
        return {**given, "id": default.id}
    except host.FAILURES as error:
        # What cannot be read is told by the call that uses it.
        host.swallow(error)
        return given


def _is_mapping(value: Any) -> bool:
    try:
        return isinstance(value, Mapping)
    except host.FAILURES as error:  # it raises when it is asked for its class
        host.swallow(error)
        return False


def _has(mapping: Mapping[str, Any], key: str) -> bool:
    value = mapping.get(key)
    return value is not None and not (isinstance(value, str) and not value)


_asking: ContextVar[bool] = ContextVar("totango_sdk_asking", default=False)


class Scope:
    """A request of a framework, whose identity is asked for at the first call that needs it.

    An integration derives from it: `ask` calls the host's identity function, and `ask_later`
    awaits it where that function is a coroutine function.
    """

    # A request that tracks nothing pays for nothing of this: it is made when it is needed.
    known: Defaults | None = None
    has_succeeded: bool | None = None  # `None` until the status is known
    _done: list[Callable[..., object]] | None = None
    _lock: Any = None
    _async_lock: Any = None

    def _own(self, name: str, made: object) -> Any:
        """Keep this below that name, unless another thread was faster; return what is kept."""
        return self.__dict__.setdefault(name, made)

    @property
    def must_be_awaited(self) -> bool:
        """Whether an identity function may have to be awaited."""
        return False

    def hindrance(self) -> str | None:
        """Say why an identity function that must be awaited cannot be called here, if so, and what
        to do.
        """
        return None

    def ask(self) -> object:
        """Return what the identity function returns. May raise anything."""
        return None

    async def ask_later(self) -> object:
        """Return what the identity function returns, awaited."""
        return self.ask()

    def when_done(self, store: Callable[..., object]) -> None:
        """Keep what `tracked` has made until `answered` tells the status; later, go by that."""
        (self._done or self._own("_done", [])).append(store)
        if self.has_succeeded is not None:
            for each in self._taken():
                each()

    def answered(self, status: int, method: str = "GET") -> list[Callable[..., object]]:
        """Return what is to be stored, now that the status is known: nothing if the request failed.

        Nothing for `HEAD` and `OPTIONS` either: nobody did anything.
        """
        self.has_succeeded = status < _FAILED and method not in ("HEAD", "OPTIONS")
        return self._taken()

    def _taken(self) -> list[Callable[..., object]]:
        done = []
        while self._done:
            with contextlib.suppress(IndexError):  # another thread was faster
                done.append(self._done.pop(0))
        return done if self.has_succeeded else []

    def forget(self) -> None:
        """Ask anew at the next call: somebody has signed in or out."""
        self.known = None

    def identity(self, spare: Defaults) -> Defaults:
        """Return who the request is about, over a client's own defaults. Never raises."""
        known = self.known
        if known is not None:  # not behind the lock, for which a loop must not wait
            return known
        if _asking.get():
            return _failed(spare, "the identity function itself tracks")
        if self.must_be_awaited and (hindrance := self.hindrance()):
            return _failed(spare, hindrance)
        with self._lock or self._own("_lock", make_lock()):
            if self.known is not None:
                return self.known
            token = _asking.set(True)
            try:
                return self._learn(self.ask(), spare)
            except host.FAILURES as error:
                host.swallow(error)
                return _failed(spare, f"the identity function raised {shown(error)}")
            finally:
                _asking.reset(token)

    async def identity_later(self, spare: Defaults) -> None:
        """Have the identity known before a call that is awaited."""
        import asyncio

        if self.known is not None or _asking.get():
            return
        async with self._async_lock or self._own("_async_lock", asyncio.Lock()):
            if self.known is None:
                await self._ask_later(spare)

    async def _ask_later(self, spare: Defaults) -> None:
        token = _asking.set(True)
        try:
            self.known = self._learn(await self.ask_later(), spare)
        except host.FAILURES as error:
            host.swallow(error)
            self.known = _failed(spare, f"the identity function raised {shown(error)}")
        finally:
            _asking.reset(token)

    def settle(self) -> None:
        """Keep nobody, and a failure, for no longer than the call that asked."""
        if self.known is not None and self.known.trouble is not None:
            self.known = None

    def _learn(self, found: object, spare: Defaults) -> Defaults:
        if found is None:
            return spare._replace(trouble=Trouble())
        if (
            type(found) is not Identity
            and isinstance(found, Mapping)
            and set(found) <= set(_FIELDS)
        ):
            found = Identity(**found)
        if not isinstance(found, Identity):
            kind = "an Identity, a mapping with account, user, product and module, or None"
            return _failed(
                spare, f"the identity function returned {shown(found)}; it returns {kind}"
            )
        known = spare.changed(found.account, found.user, found.product, found.module)
        if not known.is_wrong():  # else asked again at the next call, as after a failure
            self.known = known
        return known


def _failed(spare: Defaults, reason: str) -> Defaults:
    return spare._replace(trouble=Trouble(reason))

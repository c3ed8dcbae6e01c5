"""Whose call this is: a client's own defaults, a request's identity, and the blocks around a call.

A call's own arguments come first, then the blocks from the innermost out, then the request, then
the client. A request is one object (`Scope`) to which all its threads and tasks point; a block
belongs to the thread or task that entered it.
"""

from __future__ import annotations

import weakref
from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from .scope import Defaults, _completed, _is_mapping

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .identity import Account, Product, User
    from .scope import Scope

    Said = tuple[Account | None, User | None, Product | None, str | None]


class _Mark:
    """Whether what a block says still counts where it was entered.

    An exception out of a signal handler may strike the very first step of `__exit__`, so that
    nobody leaves the block: it counts for as long as somebody has it. What was left in good order
    counts on, for tasks that began within it.
    """

    __slots__ = ("block", "is_left")

    def __init__(self, block: Block) -> None:
        self.block = weakref.ref(block)
        self.is_left = False

    @property
    def counts(self) -> bool:
        return self.is_left or self.block() is not None


class _Layer(NamedTuple):
    """What a block says that a thread or task is in; `alone`: nothing around it counts."""

    mark: _Mark
    said: Said
    alone: bool


def _read(account: Any, user: Any, product: Any, module: str | None) -> Said:
    return Defaults().changed(account, user, product, module)[:4]


# One for all clients: context variables are never freed. Keyed by the client that a block belongs to.
_layers: ContextVar[dict[int, tuple[_Layer, ...]]] = ContextVar("totango_sdk_layers")
_keys = count(1)


class Who:
    """Whom a client speaks of where a call does not say; shared by a client and its twins."""

    def __init__(self, defaults: Defaults) -> None:
        self.defaults = defaults
        # An `id()` could be another client's later, in a context that lives on.
        self._key = next(_keys)
        self._finders: tuple[Callable[[], Scope | None], ...] = ()
        self.may_await = False  # whether `ready` may have anything to do

    def follow(self, find: Callable[[], Scope | None], *, may_await: bool = True) -> None:
        """Look for the request that a call belongs to by `find`, which gives `None` outside of one.

        `may_await`: whether an identity function may have to be awaited there.
        """
        self.may_await |= may_await
        if find not in self._finders:
            self._finders = (*self._finders, find)

    def now(self, *, needs_account: bool = True, needs_user: bool = True) -> Defaults:
        """Return who is in force for a call that lacks an account, or a user. Never raises."""
        layers = _layers.get({}).get(self._key)
        account, user, product, module, is_alone = _merged(layers) if layers else _NOTHING
        base = self.defaults
        scope = self.scope() if self._finders and not is_alone else None
        if scope is not None:
            is_lacking = (needs_account and account is None) or (needs_user and user is None)
            base = scope.identity(base) if is_lacking else scope.known or base
            if base.trouble is not None:
                scope.settle()
        if layers:
            base = base.changed(account, user, product, module)
        return base if base.trouble is None else base.for_call(needs_account, needs_user)

    async def ready(self, *, needs_account: bool, needs_user: bool) -> None:
        """Have an identity function that must be awaited answer, if a call will need it."""
        account, user, _, _, is_alone = _merged(_layers.get({}).get(self._key) or ())
        scope = None if is_alone else self.scope()
        if scope is None or not scope.must_be_awaited:
            return
        if (needs_account and account is None) or (needs_user and user is None):
            await scope.identity_later(self.defaults)

    def scope(self) -> Scope | None:
        """Return the request that this thread or task is in."""
        for find in self._finders:
            scope = find()
            if scope is not None:
                return scope
        return None

    def become(self, account: Any, user: Any, product: Any) -> bool:
        """Be these from now on: in the block that this thread or task is in, else in its request,
        else for the client; `True` if for that, and so for all its threads.

        Also if they are wrong: going on as whoever was there before would misfile what follows.
        """
        if _is_mapping(account) or _is_mapping(user):
            now = self.now(needs_account=account is not None, needs_user=user is not None)
            account = None if account is None else _completed(account, now.account, "o")
            user = None if user is None else _completed(user, now.user, "u")
        said = _read(account, user, product, None)
        layers = self._blocks()
        if layers:
            last = layers[-1]
            merged = Defaults(*last.said).changed(*said)
            self._set((*layers[:-1], last._replace(said=merged[:4])))
            return False
        scope = self.scope()
        if scope is None:
            self.defaults = self.defaults.changed(*said)
            return True
        base = self.now(needs_account=account is None, needs_user=user is None)
        if base.trouble is not None:
            base = self.defaults
        scope.known = base.changed(*said)
        return False

    def _set(self, layers: tuple[_Layer, ...]) -> None:
        found = dict(_layers.get({}))
        found.pop(self._key, None)
        if layers:
            found[self._key] = layers
        _layers.set(found)

    def _blocks(self) -> tuple[_Layer, ...]:
        layers = _layers.get({}).get(self._key, ())
        return tuple([layer for layer in layers if layer.mark.counts])

    def enter(self, layer: _Layer) -> None:
        """Put a block around what follows."""
        self._set((*self._blocks(), layer))

    def leave(self, block: Block) -> None:
        """Take this block away, and no other."""
        # Not by a token: a framework may leave the block in another context than it entered it in.
        layers = list(self._blocks())
        mark = None
        for at in reversed(range(len(layers))):
            if layers[at].mark.block() is block:
                mark = layers.pop(at).mark
                break
        self._set(tuple(layers))
        if mark is not None:
            mark.is_left = True


_NOTHING: tuple[Any, Any, Any, Any, bool] = (None, None, None, None, False)


def _merged(layers: tuple[_Layer, ...]) -> tuple[Any, Any, Any, Any, bool]:
    account = user = product = module = None
    for layer in reversed(layers):
        if not layer.mark.counts:
            continue
        said = layer.said
        account = said[0] if account is None else account
        user = said[1] if user is None else user
        product = said[2] if product is None else product
        module = said[3] if module is None else module
        if layer.alone:
            return account, user, product, module, True
    return account, user, product, module, False


class Block:
    """A `with` block, of threads or tasks, in which a client has other defaults."""

    def __init__(
        self,
        who: Who,
        account: Any = None,
        user: Any = None,
        product: Any = None,
        module: str | None = None,
        *,
        alone: bool = False,
    ) -> None:
        self._who = who
        self._said = _read(account, user, product, module)
        self._alone = alone

    # What a signal handler raises in the middle must not leave the block in force, or what comes
    # next would be booked on its account.

    def __enter__(self) -> None:
        try:
            self._who.enter(_Layer(_Mark(self), self._said, self._alone))
        except BaseException:
            self._who.leave(self)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._who.leave(self)
        except BaseException:
            self._who.leave(self)
            raise

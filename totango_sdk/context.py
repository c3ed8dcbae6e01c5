"""Whose call this is: the defaults of a client, and those of a `with` block around it."""

from __future__ import annotations

from contextvars import ContextVar
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .identity import Account, Product, User, as_account, as_product, as_user

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T")


class Defaults(NamedTuple):
    """What a call uses where it names nothing of its own."""

    account: Account | None = None
    user: User | None = None
    product: Product | None = None
    module: str | None = None

    def changed(self, account: Any, user: Any, product: Any, module: str | None) -> Defaults:
        """Return these with others for what is not `None`. Never raises."""
        return Defaults(
            self.account if account is None else _converted(as_account, Account, account),
            self.user if user is None else _converted(as_user, User, user),
            self.product if product is None else _converted(as_product, Product, product),
            self.module if module is None else module,
        )


def _converted(convert: Callable[[Any], T | None], kind: Callable[[Any], T], value: Any) -> T | None:
    try:
        return convert(value)
    except Exception:  # a mapping that cannot be read is nobody's: the call that uses it says what is wrong
        return kind(None)


class _Block(NamedTuple):
    """A block that a thread or task is in, and the one around it of the same client."""

    defaults: Defaults
    outer: _Block | None


# One for all clients: context variables are never freed. Keyed by the client that a block belongs to.
_blocks: ContextVar[dict[int, _Block]] = ContextVar("totango_sdk_blocks")
_keys = count(1)


def new_key() -> int:
    """Return what stands for a client here. An `id()` could be another's later, in a context that lives on."""
    return next(_keys)


def current(key: int) -> Defaults | None:
    """Return the defaults of the block that this thread or task is in, if it is in one of this client."""
    blocks = _blocks.get(None)
    block = None if blocks is None else blocks.get(key)
    return None if block is None else block.defaults


def become(key: int, defaults: Defaults) -> bool:
    """Change the defaults of the block that this thread or task is in; `False` if it is in none."""
    blocks = _blocks.get({})
    block = blocks.get(key)
    if block is None:
        return False
    _blocks.set({**blocks, key: _Block(defaults, block.outer)})
    return True


class Block:
    """A `with` block, of threads or tasks, in which a client has other defaults."""

    def __init__(self, key: int, base: Defaults, account: Any, user: Any, product: Any, module: Any) -> None:
        self._key = key
        self._base = base
        self._given = (account, user, product, module)

    def __enter__(self) -> None:
        blocks = _blocks.get({})
        outer = blocks.get(self._key)
        defaults = (self._base if outer is None else outer.defaults).changed(*self._given)
        _blocks.set({**blocks, self._key: _Block(defaults, outer)})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not by a token: a framework may leave the block in another context than it entered it in.
        blocks = dict(_blocks.get({}))
        block = blocks.pop(self._key, None)
        if block is not None and block.outer is not None:
            blocks[self._key] = block.outer
        _blocks.set(blocks)

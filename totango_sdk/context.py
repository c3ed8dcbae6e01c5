"""Whose call this is: the defaults of a client, and those of a `with` block around it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import attrs

from .identity import Account, Product, User, as_account, as_product, as_user

if TYPE_CHECKING:
    from contextvars import Token
    from types import TracebackType


@attrs.frozen
class Defaults:
    """What a call uses where it names nothing of its own."""

    account: Account | None = None
    user: User | None = None
    product: Product | None = None
    module: str | None = None

    def changed(self, account: Any, user: Any, product: Any, module: str | None) -> Defaults:
        """Return these with others for what is not `None`."""
        return Defaults(
            as_account(account) or self.account,
            as_user(user) or self.user,
            as_product(product) or self.product,
            self.module if module is None else module,
        )


# One for all clients: context variables are never freed. Keyed by the client that a block belongs to.
_blocks: ContextVar[dict[int, Defaults]] = ContextVar("totango_sdk_defaults")


def current(client: object) -> Defaults | None:
    """Return the defaults of the block that this thread or task is in, if it is in one of `client`."""
    blocks = _blocks.get(None)
    return None if blocks is None else blocks.get(id(client))


def become(client: object, defaults: Defaults) -> bool:
    """Change the defaults of the block that this thread or task is in; `False` if it is in none."""
    if current(client) is None:
        return False
    _blocks.set({**_blocks.get({}), id(client): defaults})
    return True


class Block:
    """A `with` block, of threads or tasks, in which a client has other defaults."""

    def __init__(self, client: object, base: Defaults, account: Any, user: Any, product: Any, module: Any) -> None:
        self._client = client  # kept alive, so that its id stays its own
        self._base = base
        self._given = (account, user, product, module)
        self._tokens: list[Token[dict[int, Defaults]]] = []

    def __enter__(self) -> None:
        base = current(self._client) or self._base
        blocks = {**_blocks.get({}), id(self._client): base.changed(*self._given)}
        self._tokens.append(_blocks.set(blocks))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _blocks.reset(self._tokens.pop())

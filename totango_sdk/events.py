"""What happened: one call of the host, checked as a whole.

An `Event` that exists is one that Totango will understand: making a wrong one raises
`InvalidEvent` with every problem at once, and nobody checks an ID again after this step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs
from cachetools import LRUCache

from .errors import InvalidEvent
from .identity import (
    Account,
    Product,
    User,
    as_account,
    as_product,
    as_user,
    exact_str,
    joined_problems,
    rules,
    text_problems,
    with_extra,
)
from .locks import make_lock
from .show import Readable, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .errors import Problem

Kind = Literal["track", "heartbeat", "identify", "account", "user"]

HEARTBEAT_ACTIVITY = "__heartbeat"
HEARTBEAT_MODULE = "__system"
_ACTIVITIES = ("track", "heartbeat")
_JOINS_REMEMBERED = 10_000


# What leaves an ID that can be joined to another.
_JOINABLE = frozenset(
    [rules.ID_CHARACTERS.name]
    + [name for name, rule in rules.RULES.items() if rule.severity == "warning"]
)


def _as_text(value: str | None) -> str | None:
    if value is None or type(value) is str:
        return value
    return exact_str(value) or value  # what is no str is kept as given, for `problems` to show


@attrs.frozen(kw_only=True, repr=False)
class Event(Readable):
    """One event, right by construction. `attrs.evolve(event, …)` gives a changed one, checked
    again.

    `kind` says which call made it. `where` is the ID of the account, or product account, that it is
    recorded against. `problems` holds warnings: the event is sent, and they are told.
    """

    kind: Kind = "track"
    account: Account | None = attrs.field(default=None, converter=as_account)
    user: User | None = attrs.field(default=None, converter=as_user)
    product: Product | None = attrs.field(default=None, converter=as_product)
    activity: str | None = attrs.field(default=None, converter=_as_text)
    module: str | None = attrs.field(default=None, converter=_as_text)
    account_optional: bool = attrs.field(default=False, repr=False)
    extra_id_characters: str = attrs.field(default="", repr=False)
    where: str | None = attrs.field(init=False, eq=False, repr=False)
    problems: tuple[Problem, ...] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        left_out = self._leave_nobody_out() if self.account_optional else ()
        problems = (*left_out, *_problems(self))
        if problems and self.extra_id_characters:
            problems = with_extra(problems, self.extra_id_characters)
        if problems and any(problem.severity == "error" for problem in problems):
            raise InvalidEvent(problems)
        product = None if self.kind == "account" else self.product
        object.__setattr__(self, "where", _where(self.account, product))
        object.__setattr__(self, "problems", problems)

    def _leave_nobody_out(self) -> tuple[Problem, ...]:
        """Take out an account without an ID, where that may be; tell what was said of it."""
        account = self.account
        if account is None or not _is_nobody(account):
            return ()
        object.__setattr__(self, "account", None)
        if not account.said.mark:
            return ()
        message = (
            "what is said of the account is left out, since it has no ID and there is none in force. "
            "Give its id too"
        )
        return (rules.ACCOUNT_LEFT_OUT.broken("account", None, message),)


def _is_nobody(account: Account) -> bool:
    return account.id is None or account.id == ""


def _problems(event: Event) -> list[Problem]:
    found: list[Problem] = []
    account, user, product = event.account, event.user, event.product
    if account is not None:
        found += account.problems
    elif (
        not event.account_optional
        or event.kind == "account"
        or (event.kind == "identify" and user is None)
    ):
        message = "an account is missing: Totango drops an event without one. Give account=, here or to the client"
        found.append(rules.ACCOUNT_MISSING.broken("account", None, message))
    if product is not None:
        found += product.problems
        if account is not None:
            found += _product_account_problems(account, product)
        elif event.account_optional:
            message = f"{shown(product.id)} is left out, since there is no account to join it to. Give account= too"
            found.append(rules.PRODUCT_LEFT_OUT.broken("product", product.id, message))
    if user is not None:
        found += user.problems
    elif event.kind in (*_ACTIVITIES, "user"):
        message = "a user is missing: Totango drops an activity without one. Give user=, here or to the client"
        found.append(rules.USER_MISSING.broken("user", None, message))
    if event.kind in _ACTIVITIES:
        found += text_problems("activity", event.activity)
        found += text_problems("module", event.module)
    return found


def _product_account_problems(account: Account, product: Product) -> Iterator[Problem]:
    if product.account_id is not None:
        if type(account.id) is str and exact_str(product.account_id) == account.id:
            message = f"{account.id!r} cannot be a product account of itself; leave account_id out, or the product"
            yield rules.PRODUCT_ACCOUNT_ITSELF.broken("product.account_id", account.id, message)
    elif not any(
        problem.field in ("account", "product") and problem.rule not in _JOINABLE
        for problem in (*account.problems, *product.problems)
    ):
        yield from joined_problems(f"{account.id}_{product.id}")


def _where(account: Account | None, product: Product | None) -> str | None:
    if product is None or account is None:
        return None if account is None else account.id
    return product.account_id or f"{account.id}_{product.id}"


def is_joined_one_way(event: Event) -> bool:
    """Whether no other account and product make the same ID of a product account."""
    product, where = event.product, event.where
    if product is None or where is None:
        return True
    return product.account_id is None and where.count("_") == 1


class Joins:
    """Remembers which account and product each product-account ID stands for (the last 10,000).

    Joining with `_` is ambiguous: account `A_B` with product `C`, and account `A` with product
    `B_C`, both give `A_B_C`, and Totango would merge the two customers for good.
    """

    def __init__(self) -> None:
        self._lock = make_lock()
        self._seen: LRUCache[str, tuple[str, str]] = LRUCache(maxsize=_JOINS_REMEMBERED)

    def check(self, event: Event) -> None:
        """Raise `InvalidEvent` if this process used the same product-account ID for another pair."""
        account, product, where = event.account, event.product, event.where
        if account is None or product is None or where is None or is_joined_one_way(event):
            return
        pair = (account.id, product.id)
        with self._lock:
            seen = self._seen.setdefault(where, pair)
        if seen != pair:
            message = (
                f"{where!r} stands for account {account.id!r} with product {product.id!r}, but this process has "
                f"already used it for account {seen[0]!r} with product {seen[1]!r}: Totango would merge the two. "
                "Give one of the products an account_id of its own"
            )
            problem = rules.PRODUCT_ACCOUNT_AMBIGUOUS.broken("account", where, message)
            raise InvalidEvent([*event.problems, problem])

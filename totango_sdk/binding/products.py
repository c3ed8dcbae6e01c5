"""Product accounts that belong to nobody, or to two."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ..show import shown
from .telling import finding, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .people import Known, People
    from .telling import Finding

_USE_OTHERS = (
    "An account ID and a product ID are joined with _, which both may have in them. Give one of "
    "the products an account_id of its own, or use IDs without _"
)


def orphan(people: People) -> Iterator[Finding]:
    """Yield product accounts that name no parent."""
    for known in people.seen.values():
        if known.product is None or known.parent is not None:
            continue
        head = _head(known.id, known.product)
        sides = [known.side(f"product {shown(known.product)}, and no parent_id", known.said)]
        if head is not None and head in people.accounts:
            sides.append(people.accounts[head].side())
        account = "ACCOUNT_ID" if head is None else shown(head)
        advice = (
            "Send parent_id, the ID of the account, beside product_id: in the SDK, "
            f"account={account} with product={shown(known.product)}"
        )
        title = f"The product account {shown(known.id)} belongs to no account"
        yield finding(title, sides, advice)


def ambiguous(people: People) -> Iterator[Finding]:
    """Yield IDs that stand for two product accounts, or for one and a plain account."""
    for account, others in people.products.items():
        known, said = people.seen[account], others
        if known.product is not None:
            said = {known.product: known.said or known.event, **others}
        if len(said) > 1:
            sides = [known.side(_parts(account, product), event) for product, event in said.items()]
            title = (
                f"{shown(account)} stands for {len(sides)} product accounts, "
                "which Totango would merge"
            )
            yield finding(title, sides, _USE_OTHERS)
    yield from _with_products(people)


def _with_products(people: People) -> Iterator[Finding]:
    """Yield product accounts that have products of their own."""
    below_of = {each.parent: each for each in people.seen.values() if each.product is not None}
    for parent, below in below_of.items():
        known = people.seen.get(parent or "", below)
        if known is below or known.id != f"{known.parent}_{known.product}":
            continue
        sides = [
            known.side(_parts(known.id, known.product or "")),
            below.side(f"below the account {shown(known.id)}"),
        ]
        title = f"{shown(known.id)} is a product account, and also an account that has products"
        yield finding(title, sides, _USE_OTHERS)


def two_parents(people: People) -> Iterator[Finding]:
    """Yield accounts that are said to be below two others."""
    for account, others in people.parents.items():
        known = people.seen[account]
        if account in people.products or known.parent is None:
            continue
        parents = {**others, known.parent: known.event}
        sides = [known.side(f"below {shown(parent)}", event) for parent, event in parents.items()]
        title = f"{shown(account)} has {len(parents)} parents: {listed(parents)}"
        advice = (
            "An account is below one other, and the parent that came last counts, so it moves to "
            "and fro. Send one parent_id from everywhere. If it was moved once, nothing is wrong"
        )
        yield {**finding(title, sides, advice), "about": [account]}


def product_usage(people: People) -> Iterator[Finding]:
    """Yield accounts whose page records usage on the account, and the backend on its products."""
    products: defaultdict[str, list[Known]] = defaultdict(list)
    for known in people.product_accounts:
        if known.usage:
            products[known.root].append(known)

    for root, below in products.items():
        account = people.seen.get(root)
        if account is None or account.usage != {"browser"}:
            continue
        if any("browser" in known.usage for known in below):
            continue
        sides = [known.side("usage recorded on the product account") for known in below]
        sides.insert(0, account.side("usage recorded on the account"))
        title = (
            f"Usage of {shown(root)} from the browser is on the account, and from the backend on "
            f"{listed(known.id for known in below)}"
        )
        advice = (
            "The browser's collector of version 2 knows no product, so what it counts is missing "
            "from the product. Give the page the product account's ID as account.id, or leave the "
            "product out in the backend. If the page is no part of the product, nothing is wrong"
        )
        yield {**finding(title, sides, advice), "about": [root]}


def _head(account: str, product: str) -> str | None:
    """Return the account that the joined ID begins with, if it ends in the product."""
    tail = f"_{product}"
    return account.removesuffix(tail) if account.endswith(tail) else None


def _parts(account: str, product: str) -> str:
    head = _head(account, product)
    told = f"product {shown(product)}"
    return told if head is None else f"account {shown(head)} with {told}"

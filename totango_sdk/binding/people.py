"""Every account ID and user ID that was seen, and what was seen of each: put together from the
sightings, in linear time.
"""

from __future__ import annotations

import re
from copy import copy
from typing import TYPE_CHECKING, Any

import attrs

from ..show import shown
from .keys import is_placeholder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .seen import Seen, SeenAccount, Sighting

MOST_SIDES = 10

_FOREIGN_KEY = re.compile(r"foreignkeyid|ofid|(?:.*[ _])?account[ _]id", re.IGNORECASE | re.DOTALL)
_ALSO_FOREIGN_KEY = re.compile(r".+_id", re.IGNORECASE | re.DOTALL)
_PLACES = {"browser": "the browser", "sdk": "the SDK", "other": "another client"}
# Few and shared: twenty thousand sets of their own would take longer to make than all the rest.
_SOURCES = {one: frozenset((one,)) for one in _PLACES}
_NOWHERE: frozenset[str] = frozenset()
_NO_KEYS: Mapping[str, str] = {}


def is_foreign_key(name: str) -> bool:
    """Whether an attribute holds the account's ID in another system, as its name says."""
    return bool(_FOREIGN_KEY.fullmatch(name) or _ALSO_FOREIGN_KEY.fullmatch(name))


def is_own_key(name: str, value: str) -> bool:
    """Whether two accounts may not share this key: `plan_id` may be many accounts'."""
    is_key = _FOREIGN_KEY.fullmatch(name) and not name.casefold().startswith(("parent", "owner"))
    return bool(is_key and value.strip() and not is_placeholder(value))


@attrs.define(eq=False)
class Known:
    """An account's ID, and what is known of it."""

    id: str
    name: str | None = None
    parent: str | None = None
    product: str | None = None
    keys: Mapping[str, str] = _NO_KEYS
    sources: frozenset[str] = _NOWHERE
    usage: frozenset[str] = _NOWHERE  # those of the sources that reported usage
    count: int = 0
    event: int = 0
    said: int = 0  # the last event that says which product it is for
    via: str | None = None  # the product account that names it, where nothing else does

    @property
    def root(self) -> str:
        """The account that usage of it belongs to: of a product account, its parent."""
        return self.id if self.product is None or self.parent is None else self.parent

    @property
    def is_product_account(self) -> bool:
        """Whether usage of it belongs to another account."""
        return self.root != self.id

    def side(self, detail: str = "", event: int = 0) -> dict[str, Any]:
        """Return it as one side of a finding."""
        told = self._told()
        return {
            "what": "account",
            "id": self.id,
            "name": self.name,
            "sources": sorted(self.sources),
            "detail": f"{detail}; {told}" if detail else told,
            "event": event or self.event,
        }

    def _told(self) -> str:
        if self.via:
            return f"named as the parent of {shown(self.via)}"
        if self.sources:
            told = f"seen from {' and '.join(_PLACES[source] for source in sorted(self.sources))}"
        else:
            told = "seen earlier"

        if self.count > 1:
            return f"{told}, {self.count} events"
        return f"{told}, one event" if self.count else told


class People:
    """Every account and every user, by ID."""

    def __init__(self, seen: Seen) -> None:
        self.seen: dict[str, Known] = {each.id: _known(each) for each in seen.accounts}
        # Of those that were said to be for more than one product: which, and in which event.
        self.products: dict[str, dict[str, int]] = {}
        # Of those that were said to be below more than one account: the others, and the last event.
        self.parents: dict[str, dict[str, int]] = {}
        # Where each user was, from where, and in which event.
        self.users: dict[str, list[tuple[str, str | None, int]]] = {}
        self.product_accounts: list[Known] = []
        # Pairs of accounts that a finding has told of.
        self._told: set[frozenset[str]] = set()

        for sighting in seen.sightings:
            self._saw(sighting)
        self.accounts = self._accounts()

    def _saw(self, sighting: Sighting) -> None:
        account, user, source, product, event, times, parent, used = sighting
        if account is None or not account.strip():
            return
        known = self.seen.get(account)
        if known is None:
            known = self.seen[account] = _guessed(account, product)

        if source is not None:
            one = _SOURCES[source]
            known.sources = known.sources | one if known.sources else one
            if used:
                known.usage = known.usage | one if known.usage else one
        known.count += times
        known.event = max(known.event, event)
        if product is not None:
            self._saw_product(known, product, event)
        if parent and parent != known.parent:
            self._saw_parent(known, parent, event)
        if user is not None and user.strip():
            self.users.setdefault(user, []).append((account, source, event))

    def _saw_parent(self, known: Known, parent: str, event: int) -> None:
        if known.parent is None:
            known.parent = parent
        else:
            _add_last(self.parents.setdefault(known.id, {}), parent, event)

    def _saw_product(self, known: Known, product: str, event: int) -> None:
        if product == known.product:
            known.said = max(known.said, event)
        else:
            _add_last(self.products.setdefault(known.id, {}), product, event)

    def _accounts(self) -> dict[str, Known]:
        """Return accounts alone, each with what was seen of its product accounts too."""
        found: dict[str, Known] = {}
        for known in self.seen.values():
            if known.is_product_account:
                self.product_accounts.append(known)
            else:
                found[known.id] = copy(known)
        for known in self.product_accounts:
            root = found.get(known.root)
            if root is None:
                root = found[known.root] = Known(known.root, via=known.id)
            root.sources = root.sources | known.sources
            root.count += known.count
            root.event = root.event or known.event
        return found

    def are_related(self, one: Known, other: Known) -> bool:
        """Whether one is the other's parent, or both have the same one."""
        if one.id == other.parent or other.id == one.parent:
            return True
        return one.parent is not None and one.parent == other.parent

    def tell(self, accounts: Iterable[Known]) -> None:
        """Remember that these were told of together."""
        ids = [known.root for known in accounts][:MOST_SIDES]
        self._told.update(frozenset((one, other)) for one in ids for other in ids if one != other)

    def were_told(self, accounts: list[Known]) -> bool:
        """Whether a finding has shown each of these beside the first."""
        first = accounts[0].root
        return all(
            other.root == first or frozenset((first, other.root)) in self._told
            for other in accounts[1:]
        )

    def roots_of(self, user: str) -> set[str]:
        """Return the accounts that a user was below."""
        return {self.seen[account].root for account, _, _ in self.users[user]}


def _known(account: SeenAccount) -> Known:
    return Known(
        account.id, account.name, account.parent, account.product, account.keys, event=account.event
    )


def _guessed(account: str, product: str | None) -> Known:
    """Return an account that was only seen: what else it said is not kept."""
    known = Known(account)
    if product and account.endswith(f"_{product}"):
        known.product, known.parent = product, account[: -len(product) - 1]
    return known


def _add_last(events: dict[str, int], key: str, event: int) -> None:
    events[key] = max(events.get(key, 0), event)

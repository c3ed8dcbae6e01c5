"""Every account ID and user ID that came, and what was seen of each."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import shown
from ..wire import LEFTOVERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .views import Views

MOST_SIDES = 10
_SEEN = """
SELECT account, user, source, product, max(id), count(*) FROM requests
WHERE fault IS NULL OR fault = 'lost' GROUP BY account, user, source, product
"""
_ACCOUNTS = "SELECT id, name, ofid, parent_id, product_id, attributes, last_request FROM accounts ORDER BY number"
# Those whose requests are all forgotten.
_OLDER_USERS = """
SELECT account, id, last_request FROM users WHERE last_request < (SELECT coalesce(min(id), 1 << 62) FROM requests)
"""
_NAME = "SELECT json_extract(attributes, '$.name') FROM users WHERE account = ? AND id = ?"

_FOREIGN_KEY = re.compile(r"foreignkeyid|ofid|(?:.*[ _])?account[ _]id", re.IGNORECASE | re.DOTALL)
_ALSO_FOREIGN_KEY = re.compile(r".+_id", re.IGNORECASE | re.DOTALL)
_PLACES = {"browser": "the browser", "sdk": "the SDK", "other": "another client"}
# Few and shared: twenty thousand sets of their own would take longer to make than all the rest.
_SOURCES = {one: frozenset((one,)) for one in _PLACES}
_NOWHERE: frozenset[str] = frozenset()
_NO_KEYS: dict[str, str] = {}


@attrs.define(eq=False)
class Seen:
    """An ID, and what was seen of it."""

    id: str
    name: str | None = None
    parent: str | None = None
    product: str | None = None
    keys: dict[str, str] = _NO_KEYS
    sources: frozenset[str] = _NOWHERE
    count: int = 0
    event: int = 0
    said: int = 0  # the last event that says which product it is for
    via: str | None = None  # the product account that names it, where nothing else does

    @property
    def root(self) -> str:
        """The account that usage of it belongs to: of a product account, its parent."""
        return self.id if self.product is None or self.parent is None else self.parent

    def side(self, detail: str = "", event: int = 0) -> dict[str, Any]:
        """Return it as one side of a finding."""
        sources = sorted(self.sources)
        if self.via:
            told = f"named as the parent of {shown(self.via)}"
        else:
            told = f"seen from {' and '.join(_PLACES[source] for source in sources)}" if sources else "seen earlier"
            told += f", {self.count} events" if self.count > 1 else ", one event" if self.count else ""
        detail = f"{detail}; {told}" if detail else told
        return {
            "what": "account",
            "id": self.id,
            "name": self.name,
            "sources": sources,
            "detail": detail,
            "event": event or self.event,
        }


def foreign_keys(ofid: str | None, attributes: dict[str, str]) -> dict[str, str]:
    """Return what names an account in other systems."""
    found = {name: value for name, value in attributes.items() if is_foreign_key(name)}
    return found if ofid is None else {"ofid": ofid, **found}


def is_foreign_key(name: str) -> bool:
    """Tell whether an attribute holds the account's ID in another system, as its name says."""
    return bool(_FOREIGN_KEY.fullmatch(name) or _ALSO_FOREIGN_KEY.fullmatch(name))


def is_own_key(name: str, value: str) -> bool:
    """Tell whether two accounts may not share this key: `plan_id` may be many accounts'."""
    is_key = _FOREIGN_KEY.fullmatch(name) and not name.casefold().startswith(("parent", "owner"))
    return bool(is_key and value.strip() and value not in LEFTOVERS)


class People:
    """Every account ID and user ID that came, also with requests that Totango would drop."""

    def __init__(self, views: Views) -> None:
        self.seen: dict[str, Seen] = {}
        self.products: dict[str, dict[str, int]] = {}  # of those that were said to be for more than one
        self.users: dict[str, list[tuple[str, str | None, int]]] = {}  # where each was, from where, in which event
        self.joined: set[frozenset[str]] = set()  # pairs of accounts that a finding has told of
        self._views = views
        for account, name, ofid, parent, product, attributes, last in views.all(_ACCOUNTS):
            keys = foreign_keys(ofid, json.loads(attributes)) if ofid or attributes != "{}" else _NO_KEYS
            self.seen[account] = Seen(account, name, parent, product, keys, event=last)
        for row in views.all(_SEEN):
            self._saw(*row)
        for account, user, last in views.all(_OLDER_USERS):
            if account in self.seen:
                self.users.setdefault(user, []).append((account, None, last))
        self.accounts = self._accounts()

    def _saw(self, account: str | None, user: str | None, source: str, product: str | None, last: int, n: int) -> None:
        if account is None or not account.strip():
            return
        seen = self.seen.get(account)
        if seen is None:
            seen = self.seen[account] = Seen(account)
            if product and account.endswith(f"_{product}"):  # dropped: what else it said is not kept
                seen.product, seen.parent = product, account[: -len(product) - 1]
        seen.sources = _SOURCES[source] if not seen.sources else seen.sources | _SOURCES[source]
        seen.count += n
        seen.event = max(seen.event, last)
        if product is not None and product == seen.product:
            seen.said = last
        elif product is not None:
            self.products.setdefault(account, {})[product] = last
        if user is not None and user.strip():
            self.users.setdefault(user, []).append((account, source, last))

    def _accounts(self) -> dict[str, Seen]:
        """Return accounts alone, each with what was seen of its product accounts too."""
        found: dict[str, Seen] = {}
        for seen in self.seen.values():
            if seen.root == seen.id:
                found[seen.id] = attrs.evolve(seen)
        for seen in self.seen.values():
            if seen.root != seen.id:
                root = found.get(seen.root)
                if root is None:
                    root = found[seen.root] = Seen(seen.root, via=seen.id)
                root.sources |= seen.sources
                root.count += seen.count
                root.event = root.event or seen.event
        return found

    def user_name(self, user: str) -> str | None:
        """Return what is shown of a user."""
        for account, _, _ in self.users[user][:MOST_SIDES]:
            if (found := self._views.all(_NAME, (account, user))) and found[0][0]:
                return str(found[0][0])
        return None

    def are_related(self, one: Seen, other: Seen) -> bool:
        """Tell whether one is the other's parent, or both have the same one."""
        parents = {each.parent for each in (one, other)} - {None}
        return (
            one.id in parents or other.id in parents or (len(parents) == 1 and None not in (one.parent, other.parent))
        )

    def tell(self, accounts: Iterable[Seen]) -> None:
        """Remember that these were told of together."""
        ids = [seen.root for seen in accounts][:MOST_SIDES]
        self.joined.update(frozenset((one, other)) for one in ids for other in ids if one != other)

    def were_told(self, accounts: list[Seen]) -> bool:
        """Tell whether a finding has shown each of these beside the first."""
        first = accounts[0].root
        return all(other.root == first or frozenset((first, other.root)) in self.joined for other in accounts[1:])

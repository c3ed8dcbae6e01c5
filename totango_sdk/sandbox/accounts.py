"""Accounts with those below them, and what is known of each."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from ..binding import is_foreign_key
from . import sql
from .binding import foreign_keys
from .series import BUCKETS, empty_series

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .views import Views

    Node = dict[str, Any]
    Key = tuple[str, str]  # the service ID, and the account's

_MOST_USERS = 500
_NODES_PER_ROOT = 4
_DEEPEST = 50


def account_tree(views: Views, text: str = "", limit: int = 500) -> list[Node]:
    """Return accounts with those below them; with `text`, the branches whose IDs or names have it.

    At most `limit` roots, and four times as many accounts in all.
    """
    tree = _Tree(views.all(sql.TREE))
    wanted = tree.matching(text.casefold()) if text else None
    chosen = tree.chosen(wanted, limit)
    nodes = _nodes(views, [account for account, _ in chosen])
    roots: list[Node] = []
    for account, parent in chosen:  # each parent comes ahead of its children
        node = nodes[account]
        node["children"] = []
        siblings = roots if parent is None else nodes[parent]["children"]
        siblings.append(node)
    return roots


class _Tree:
    """Which account is below which; an account that is only named as a parent is there too."""

    def __init__(self, rows: Iterable[tuple[str, str, str | None, str | None, str | None]]) -> None:
        listed = list(rows)
        self._text = {
            (service, account): f"{account}\n{name or ''}\n{service}".casefold()
            for service, account, name, _, _ in listed
        }
        self._parent: dict[Key, Key] = {}
        self._children: defaultdict[Key, list[Key]] = defaultdict(list)
        for service, account, _, above, _ in listed:
            if above:
                self._text.setdefault((service, above), f"{above}\n{service}".casefold())
                self._parent[service, account] = (service, above)
        self._break_circles()
        for key, parent in self._parent.items():
            self._children[parent].append(key)

    def _break_circles(self) -> None:
        """Make a root of an account that is above itself, and of one that is too far below its own."""
        depth: dict[Key, int] = {}
        for account in self._text:
            path: list[Key] = []
            on_path: set[Key] = set()
            at: Key | None = account
            while at is not None and at not in depth and at not in on_path:
                path.append(at)
                on_path.add(at)
                at = self._parent.get(at)
            if at in on_path:
                del self._parent[path[-1]]
                at = None
            level = -1 if at is None else depth[at]
            for each in reversed(path):
                level += 1
                if level >= _DEEPEST:
                    self._parent.pop(each, None)
                    level = 0
                depth[each] = level

    def matching(self, text: str) -> set[Key]:
        """Return the accounts that match, with those above and below them."""
        found: set[Key] = set()
        below = [account for account, said in self._text.items() if text in said]
        for account in below:
            at: Key | None = account
            while at is not None and at not in found:
                found.add(at)
                at = self._parent.get(at)
        seen = set(below)
        while below:
            for child in self._children.get(below.pop(), ()):
                if child not in seen:
                    seen.add(child)
                    below.append(child)
        return found | seen

    def chosen(self, wanted: set[Key] | None, limit: int) -> list[tuple[Key, Key | None]]:
        """Return accounts, each with the one that it is shown below, level by level."""
        roots = [
            each
            for each in self._text
            if each not in self._parent and (wanted is None or each in wanted)
        ]
        found: list[tuple[Key, Key | None]] = []
        level: list[tuple[Key, Key | None]] = [(each, None) for each in roots[:limit]]
        while level and len(found) < limit * _NODES_PER_ROOT:
            found += level
            level = [
                (child, above)
                for above, _ in level
                for child in self._children.get(above, ())
                if wanted is None or child in wanted
            ]
        return found[: limit * _NODES_PER_ROOT]


def _nodes(views: Views, keys: list[Key]) -> dict[Key, Node]:
    """Return what is known of each account, without its children."""
    listed = json.dumps(keys)
    found = {key: _only_named(*key) for key in keys}
    for service, account, name, ofid, product, said, users in views.all(sql.NODES, (listed,)):
        attributes = json.loads(said)
        found[service, account] |= {
            "name": name,
            "kind": "account" if product is None else "product",
            "ofid": ofid,
            "foreign_keys": foreign_keys(None, attributes),
            "attributes": {
                name: value for name, value in attributes.items() if not is_foreign_key(name)
            },
            "users": users,
        }
    for service, account, source, count in views.all(sql.EVENTS_OF_ACCOUNTS, (listed,)):
        if (service, account) in found:
            found[service, account]["events"] += count
            found[service, account]["sources"].append(source)
    for node in found.values():
        node["sources"].sort(reverse=True)
    return found


def _only_named(service: str, account: str) -> Node:
    """Return an account that another names as its parent, and that has said nothing itself."""
    return {
        "service": service,
        "id": account,
        "name": None,
        "kind": "parent?",
        "ofid": None,
        "foreign_keys": {},
        "attributes": {},
        "users": 0,
        "events": 0,
        "sources": [],
    }


def account_details(
    views: Views, account_id: str, service: str | None = None
) -> dict[str, Any] | None:
    """Return one account with its first 500 users and its events over time; `None` if there is no
    such account. Without a `service`, of the one that named it first.
    """
    key = _key(views, account_id, service)
    if key is None:
        return None
    users = views.all(sql.USERS_OF_ACCOUNT, (*key, _MOST_USERS))
    return {
        **_nodes(views, [key])[key],
        "user_list": [{"id": user, "attributes": json.loads(said)} for user, said in users],
        "series": _series(views, key),
    }


def _key(views: Views, account: str, service: str | None) -> Key | None:
    if service is None:
        for query in (sql.SERVICE_OF_ACCOUNT, sql.SERVICE_OF_CHILD):
            if found := views.all(query, (account,)):
                return found[0][0], account
        return None
    key = (service, account)
    is_there = views.all(sql.FIRST_OF_ACCOUNT, key) or views.all(sql.IS_PARENT, key)
    return key if is_there else None


def _series(views: Views, key: Key) -> dict[str, Any]:
    """Return how many events came in each sixtieth of the time from the first to the last."""
    series = empty_series(*views.all(sql.SPAN_OF_ACCOUNT, key)[0])
    asked = (*key, series["from"], series["step_ms"], BUCKETS - 1)
    for bucket, count in views.all(sql.SERIES_OF_ACCOUNT, asked):
        series["counts"][bucket] = count
    return series

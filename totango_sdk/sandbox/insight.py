"""What a person asks of an event, an account and a user: what came, what it did, and what is there now."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from ..errors import shown
from ..wire import Sorted, read
from .arrival import parameters
from .mend import mend
from .people import foreign_keys, is_foreign_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..wire import Reading
    from .views import Views

    Node = dict[str, Any]

_MOST_READ = 2000  # earlier requests of the account that are looked through for what was said before
_MOST_WHY = 5
_MOST_LISTED = 100
_MOST_USERS = 500
_NODES_PER_ROOT = 4
_DEEPEST = 50
_BUCKETS = 60
_SHORTEST_MS = 60_000

_EARLIER = """
SELECT query, body FROM requests WHERE account IS ? AND id < ? AND accepted ORDER BY id DESC LIMIT ?
"""
_ACCOUNT = "SELECT first_request FROM accounts WHERE id = ?"
_USER = "SELECT first_request FROM users WHERE account = ? AND id = ?"
_TREE = "SELECT id, name, parent_id, product_id FROM accounts ORDER BY number"
_NODES = """
SELECT id, name, ofid, parent_id, product_id, attributes, (SELECT count(*) FROM users WHERE account = accounts.id)
FROM accounts WHERE id IN (SELECT value FROM json_each(?))
"""
_EVENTS_OF_ACCOUNTS = """
SELECT account, source, count(*) FROM requests
WHERE account IN (SELECT value FROM json_each(?)) AND accepted GROUP BY account, source
"""
_SPAN = "SELECT min(time), max(time) FROM requests WHERE account = ? AND accepted"
_SERIES = """
SELECT min(CAST((time * 1000 - ?2) / ?3 AS INTEGER), ?4), count(*) FROM requests
WHERE account = ?1 AND accepted GROUP BY 1
"""
_IS_PARENT = "SELECT 1 FROM accounts WHERE parent_id = ? LIMIT 1"
_USERS_OF_ACCOUNT = "SELECT id, attributes FROM users WHERE account = ? ORDER BY first_request, id LIMIT ?"
_USERS = """
SELECT id, account, json_extract(attributes, '$.name') FROM users ORDER BY last_request DESC, id
"""
_SAID_OF_USERS = """
SELECT id, account, attributes FROM users WHERE id IN (SELECT value FROM json_each(?)) ORDER BY last_request
"""
_EVENTS_OF_USERS = """
SELECT user, source, count(*), max(time) FROM requests
WHERE user IN (SELECT value FROM json_each(?)) AND accepted GROUP BY user, source
"""
_SPAN_OF_USERS = """
SELECT min(time), max(time) FROM requests WHERE user IN (SELECT value FROM json_each(?)) AND accepted
"""
_SERIES_OF_USERS = """
SELECT user, min(CAST((time * 1000 - ?2) / ?3 AS INTEGER), ?4), count(*) FROM requests
WHERE user IN (SELECT value FROM json_each(?1)) AND accepted GROUP BY 1, 2
"""


# -- one event


def event_details(views: Views, event_id: int) -> dict[str, Any] | None:
    """Return one event, how Totango understands it, what it did, and how to mend it; `None` if it is not here."""
    event = views.event(event_id)
    if event is None:
        return None
    reading = read(event["params"])
    mended = mend(event)
    return {
        **event,
        "understood": _understood(event["params"], reading),
        "effects": _Effects(views, event, reading).listed(),
        "mend": None if mended is None else {"why": mended.why, "python": mended.python},
    }


def _understood(params: Iterable[tuple[str, str]], reading: Reading) -> list[dict[str, str | None]]:
    kept = _kept(reading)
    came = dict(Sorted(params).values())
    service = [("service_id", reading.service_id)] if reading.service_id is not None else []
    return [{"field": field, "came": value, "kept": kept.get(field)} for field, value in [*service, *came.items()]]


def _kept(reading: Reading) -> dict[str, str]:
    """Return what Totango keeps of each field; what is refused is not there."""
    wrong = {problem.field for problem in reading.problems if problem.severity == "error"}
    one = {
        "service_id": reading.service_id,
        "account": reading.account_id,
        "user": reading.user_id,
        "activity": reading.activity,
        "module": reading.module,
    }
    return {name: value for name, value in one.items() if value is not None and name not in wrong} | _said(reading)


def _said(reading: Reading) -> dict[str, str]:
    """Return names and attributes, each by the field that it is for."""
    found = {"account.name": reading.account_name, "account.ofid": reading.ofid}
    found |= {f"account.{name}": value for name, value in reading.account_attributes.items()}
    found |= {f"user.{name}": value for name, value in reading.user_attributes.items()}
    wrong = {problem.field for problem in reading.problems if problem.severity == "error"}
    return {name: value for name, value in found.items() if value is not None and name not in wrong}


def _effect(
    kind: str, text: str, field: str | None = None, before: str | None = None, after: str | None = None
) -> dict[str, str | None]:
    return {"kind": kind, "text": text, "field": field, "from": before, "to": after}


class _Effects:
    """What one event did, worked out from the requests before it."""

    def __init__(self, views: Views, event: Mapping[str, Any], reading: Reading) -> None:
        self._views = views
        self._event = event
        self._reading = reading
        self._is_new_account = self._is_first(_ACCOUNT, reading.account_id)
        self._is_new_user = self._is_first(_USER, reading.account_id, reading.user_id)

    def listed(self) -> list[dict[str, str | None]]:
        """Return each effect."""
        if not self._event["accepted"]:
            return [_effect("dropped", self._why_dropped())]
        found = [*self._new(), *self._changes(), *self._activity()]
        return found or [_effect("nothing", "Nothing in it was new: Totango knows all of it already")]

    def _is_first(self, query: str, *ids: str | None) -> bool:
        first = None if None in ids else self._views.all(query, ids)
        return bool(first) and first[0][0] == self._event["id"]  # type: ignore[index]  # what is true has one

    def _why_dropped(self) -> str:
        fault = self._event["fault"]
        if fault is not None and fault != "lost":
            return f"The sandbox refused it on demand ({fault}), so it was not taken; a client sends it again"
        errors = [problem for problem in self._event["problems"] if problem["severity"] == "error"]
        told = "; ".join(f"{problem['field']}: {problem['message']}" for problem in errors[:_MOST_WHY])
        more = f"; and {len(errors) - _MOST_WHY} more" if len(errors) > _MOST_WHY else ""
        return f"Totango drops it, though it answers 200: {told}{more}"

    def _new(self) -> list[dict[str, str | None]]:
        reading = self._reading
        found = []
        account = shown(reading.account_id)
        if self._is_new_account and reading.product_id is not None:
            whose = "no account" if reading.parent_id is None else f"account {shown(reading.parent_id)}"
            text = f"A new product account, {account}: product {shown(reading.product_id)} of {whose}"
            found.append(_effect("new_product_account", text, "account", None, reading.account_id))
        elif self._is_new_account:
            found.append(_effect("new_account", f"A new account, {account}", "account", None, reading.account_id))
        if self._is_new_user:
            text = f"A new user, {shown(reading.user_id)}, below {account}"
            found.append(_effect("new_user", text, "user", None, reading.user_id))
        return found

    def _changes(self) -> list[dict[str, str | None]]:
        said = _said(self._reading)
        if self._is_new_account and self._reading.product_id is not None:
            said = {field: value for field, value in said.items() if field not in _PARTS}
        before = self._before(said)
        found = []
        for field, value in said.items():
            if before.get(field) != value:
                kind = "name" if field in ("account.name", "user.name") else "attribute"
                found.append(_effect(kind, _change(field, before.get(field), value), field, before.get(field), value))
        return found

    def _before(self, wanted: Iterable[str]) -> dict[str, str]:
        """Return what was last said before of each field, in the latest 2,000 requests."""
        left = {field for field in wanted if not (self._is_new_user and field.startswith("user."))}
        found: dict[str, str] = {}
        if self._is_new_account or not left:
            return found
        account, number = self._reading.account_id, self._event["id"]
        for query, body in self._views.all(_EARLIER, (account, number, _MOST_READ)):
            came = Sorted(parameters(query, body))
            if left.isdisjoint(field for field, _ in came.values()):
                continue  # nearly every one: to read it would take ten times as long
            earlier = read(parameters(query, body))
            own_user = earlier.user_id == self._reading.user_id
            for field, value in _said(earlier).items():
                if field in left and (own_user or not field.startswith("user.")):
                    found[field] = value
                    left.discard(field)
            if not left:
                break
        return found

    def _activity(self) -> list[dict[str, str | None]]:
        reading = self._reading
        if reading.activity is None:
            return []
        who = f"for user {shown(reading.user_id)} on account {shown(reading.account_id)}"
        if reading.heartbeat:
            return [_effect("heartbeat", f"Time spent in module {shown(reading.module)} is counted {who}")]
        text = f"Activity {shown(reading.activity)} in module {shown(reading.module)} is counted {who}"
        return [_effect("activity", text, "activity", None, reading.activity)]


_PARTS = ("account.parent_id", "account.product_id")


def _change(field: str, before: str | None, after: str) -> str:
    entity, _, name = field.partition(".")
    what = f"The {entity}'s name" if name == "name" else f"{shown(name)[1:-1]} of the {entity}"
    if before is None:
        return f"{what} is set to {shown(after)}"
    return f"{what} changes from {shown(before)} to {shown(after)}"


# -- accounts


def account_tree(views: Views, text: str = "", limit: int = 500) -> list[Node]:
    """Return accounts with those below them; with `text`, the branches whose IDs or names have it.

    At most `limit` roots, and four times as many accounts in all.
    """
    tree = _Tree(views.all(_TREE))
    wanted = tree.matching(text.casefold()) if text else None
    chosen = tree.chosen(wanted, limit)
    nodes = _nodes(views, [account for account, _ in chosen])
    roots: list[Node] = []
    for account, parent in chosen:  # each parent comes ahead of its children
        node = nodes[account]
        node["children"] = []
        (roots if parent is None else nodes[parent]["children"]).append(node)
    return roots


class _Tree:
    """Which account is below which; an account that is only named as a parent is there too."""

    def __init__(self, rows: Iterable[tuple[str, str | None, str | None, str | None]]) -> None:
        listed = list(rows)
        self._text = {account: f"{account}\n{name or ''}".casefold() for account, name, _, _ in listed}
        self._parent: dict[str, str] = {}
        self._children: defaultdict[str, list[str]] = defaultdict(list)
        for account, _, parent, _ in listed:
            if parent:
                self._text.setdefault(parent, parent.casefold())
                self._parent[account] = parent
        self._break_circles()
        for account, parent in self._parent.items():
            self._children[parent].append(account)

    def _break_circles(self) -> None:
        """Make a root of an account that is above itself, and of one that is too far below its own."""
        depth: dict[str, int] = {}
        for account in self._text:
            path: list[str] = []
            on_path: set[str] = set()
            at: str | None = account
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

    def matching(self, text: str) -> set[str]:
        """Return the accounts that match, with those above and below them."""
        found: set[str] = set()
        below = [account for account, said in self._text.items() if text in said]
        for account in below:
            at: str | None = account
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

    def chosen(self, wanted: set[str] | None, limit: int) -> list[tuple[str, str | None]]:
        """Return accounts, each with the one that it is shown below, level by level."""
        roots = [each for each in self._text if each not in self._parent and (wanted is None or each in wanted)]
        found: list[tuple[str, str | None]] = []
        level: list[tuple[str, str | None]] = [(each, None) for each in roots[:limit]]
        while level and len(found) < limit * _NODES_PER_ROOT:
            found += level
            level = [
                (child, above)
                for above, _ in level
                for child in self._children.get(above, ())
                if wanted is None or child in wanted
            ]
        return found[: limit * _NODES_PER_ROOT]


def _nodes(views: Views, ids: list[str]) -> dict[str, Node]:
    """Return what is known of each account, without its children."""
    listed = json.dumps(ids)
    found: dict[str, Node] = {}
    for account, name, ofid, _, product, attributes, users in views.all(_NODES, (listed,)):
        said = json.loads(attributes)
        found[account] = {
            "id": account,
            "name": name,
            "kind": "account" if product is None else "product",
            "ofid": ofid,
            "foreign_keys": foreign_keys(None, said),
            "attributes": {key: value for key, value in said.items() if not is_foreign_key(key)},
            "users": users,
            "events": 0,
            "sources": [],
        }
    for account in ids:
        found.setdefault(account, _only_named(account))
    for account, source, count in views.all(_EVENTS_OF_ACCOUNTS, (listed,)):
        found[account]["events"] += count
        found[account]["sources"].append(source)
    for node in found.values():
        node["sources"].sort(reverse=True)
    return found


def _only_named(account: str) -> Node:
    """Return an account that another names as its parent, and that has said nothing itself."""
    return {
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


def account_details(views: Views, account_id: str) -> dict[str, Any] | None:
    """Return one account with its first 500 users and its events over time; `None` if there is no such account."""
    if not views.all(_ACCOUNT, (account_id,)) and not views.all(_IS_PARENT, (account_id,)):
        return None
    users = views.all(_USERS_OF_ACCOUNT, (account_id, _MOST_USERS))
    return {
        **_nodes(views, [account_id])[account_id],
        "user_list": [{"id": user, "attributes": json.loads(said)} for user, said in users],
        "series": _series(views, account_id),
    }


def _series(views: Views, account: str) -> dict[str, Any]:
    """Return how many events came in each sixtieth of the time from the first to the last."""
    series = _empty_series(*views.all(_SPAN, (account,))[0])
    for bucket, count in views.all(_SERIES, (account, series["from"], series["step_ms"], _BUCKETS - 1)):
        series["counts"][bucket] = count
    return series


def _empty_series(first: float | None, last: float | None) -> dict[str, Any]:
    start = int((first or 0) * 1000)
    step = math.ceil(max((last or 0) * 1000 - start, _SHORTEST_MS) / _BUCKETS)
    return {"from": start, "step_ms": step, "counts": [0] * _BUCKETS}


# -- users


def user_list(views: Views, text: str = "", limit: int = 500) -> list[dict[str, Any]]:
    """Return users, the one seen last first, each once for all accounts; with `text`, those that have it.

    Their `series` are all over the same time, so that one can be compared with another.
    """
    text = text.casefold()
    chosen: dict[str, None] = {}
    for user, account, name in views.all(_USERS):
        if user not in chosen and text in f"{user}\n{account}\n{name or ''}".casefold():
            chosen[user] = None
            if len(chosen) == limit:
                break
    listed = json.dumps(list(chosen))
    span = views.all(_SPAN_OF_USERS, (listed,))[0]
    found = {user: {**_user(user), "series": _empty_series(*span)} for user in chosen}
    start, step = (_empty_series(*span)[name] for name in ("from", "step_ms"))
    for user, bucket, count in views.all(_SERIES_OF_USERS, (listed, start, step, _BUCKETS - 1)):
        found[user]["series"]["counts"][bucket] = count
    for user, account, said in views.all(_SAID_OF_USERS, (listed,)):  # what was said last counts
        found[user]["attributes"] |= json.loads(said)
        if len(found[user]["accounts"]) < _MOST_LISTED:
            found[user]["accounts"].append(account)
    for user, source, count, last in views.all(_EVENTS_OF_USERS, (listed,)):
        found[user]["events"] += count
        found[user]["sources"].append(source)
        found[user]["last_ms"] = max(found[user]["last_ms"] or 0, int(last * 1000))
    for each in found.values():
        each["name"] = each["attributes"].pop("name", None)
        each["sources"].sort(reverse=True)
    return list(found.values())


def _user(user: str) -> dict[str, Any]:
    return {
        "id": user,
        "name": None,
        "accounts": [],
        "attributes": {},
        "events": 0,
        "last_ms": None,
        "sources": [],
    }

"""Users, each once for all accounts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import sql
from .series import BUCKETS, empty_series

if TYPE_CHECKING:
    from .views import Views

_MOST_LISTED = 100


def user_list(views: Views, text: str = "", limit: int = 500) -> list[dict[str, Any]]:
    """Return users, the one seen last first, each once for all accounts of a service; with `text`,
    those that have it.

    Their `series` are all over the same time, so that one can be compared with another.
    """
    chosen = _chosen(views, text.casefold(), limit)
    listed = json.dumps(chosen)
    span = views.all(sql.SPAN_OF_USERS, (listed,))[0]
    found = {key: {**_user(*key), "series": empty_series(*span)} for key in chosen}
    start, step = (empty_series(*span)[name] for name in ("from", "step_ms"))
    asked = (listed, start, step, BUCKETS - 1)
    for service, user, bucket, count in views.all(sql.SERIES_OF_USERS, asked):
        found[service, user]["series"]["counts"][bucket] = count
    _add_said(views, listed, found)
    _add_events(views, listed, found)
    return list(found.values())


def _chosen(views: Views, text: str, limit: int) -> list[tuple[str, str]]:
    chosen: dict[tuple[str, str], None] = {}
    for service, user, account, name in views.all(sql.USERS):
        if (service, user) in chosen:
            continue
        if text in f"{user}\n{account}\n{name or ''}\n{service}".casefold():
            chosen[service, user] = None
            if len(chosen) == limit:
                break
    return list(chosen)


def _add_said(views: Views, listed: str, found: dict[tuple[str, str], dict[str, Any]]) -> None:
    for service, user, account, said in views.all(sql.SAID_OF_USERS, (listed,)):
        each = found[service, user]
        each["attributes"] |= json.loads(said)  # what was said last counts
        if len(each["accounts"]) < _MOST_LISTED:
            each["accounts"].append(account)
    for each in found.values():
        each["name"] = each["attributes"].pop("name", None)


def _add_events(views: Views, listed: str, found: dict[tuple[str, str], dict[str, Any]]) -> None:
    for service, user, source, count, last in views.all(sql.EVENTS_OF_USERS, (listed,)):
        each = found[service, user]
        each["events"] += count
        each["sources"].append(source)
        each["last_ms"] = max(each["last_ms"] or 0, int(last * 1000))
    for each in found.values():
        each["sources"].sort(reverse=True)


def _user(service: str, user: str) -> dict[str, Any]:
    return {
        "service": service,
        "id": user,
        "name": None,
        "accounts": [],
        "attributes": {},
        "events": 0,
        "last_ms": None,
        "sources": [],
    }

"""What can be read from the sandbox's database, as JSON takes it."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from .arrival import parameters

if TYPE_CHECKING:
    import sqlite3

_MOST_LISTED = 1000
_MOST_USERS = 100
_PAGE_CHARACTERS = 8_000_000

_EVENTS = "SELECT * FROM requests WHERE id > ? ORDER BY id LIMIT ?"
_LATEST = "SELECT * FROM requests ORDER BY id DESC LIMIT ?"
_ACCOUNTS = "SELECT * FROM accounts WHERE number > ? ORDER BY number LIMIT ?"
_USERS = "SELECT id, attributes FROM users WHERE account = ? ORDER BY first_request, id LIMIT ?"
_PRODUCT_ACCOUNTS = """
SELECT id, parent_id, product_id, name FROM accounts
WHERE parent_id IS NOT NULL AND product_id IS NOT NULL ORDER BY number LIMIT ?
"""
_COUNTS = """
SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM users),
       (SELECT count(*) FROM accounts WHERE parent_id IS NOT NULL AND product_id IS NOT NULL)
"""


class Views:
    """Reads the database. The lock is the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def last_id(self) -> int:
        """Return the id of the last request, 0 if there is none."""
        (last,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM requests").fetchone()
        return int(last)

    def summary(self, *, lost: int) -> dict[str, Any]:
        """Return the totals, and lists of no more than 1,000."""
        return {
            "totals": self._totals(lost),
            "activities": self._activities(),
            "product_accounts": self._product_accounts(),
            "problems": self._problems(),
        }

    def _totals(self, lost: int) -> dict[str, int]:
        counted = Counter(dict(self._connection.execute("SELECT name, count FROM totals")))
        accounts, users, product_accounts = self._connection.execute(_COUNTS).fetchone()
        return {
            "requests": counted["accepted"] + counted["dropped"],
            "accepted": counted["accepted"],
            "dropped": counted["dropped"],
            "lost": lost,
            "accounts": accounts - product_accounts,
            "product_accounts": product_accounts,
            "users": users,
            "activities": counted["activities"],
            "heartbeats": counted["heartbeats"],
        }

    def _activities(self) -> dict[str, dict[str, int]]:
        listed: defaultdict[str, dict[str, int]] = defaultdict(dict)
        rows = self._connection.execute("SELECT * FROM activities ORDER BY module, activity LIMIT ?", (_MOST_LISTED,))
        for module, activity, count in rows:
            listed[module][activity] = count
        return dict(listed)

    def _product_accounts(self) -> list[dict[str, Any]]:
        rows = self._connection.execute(_PRODUCT_ACCOUNTS, (_MOST_LISTED,))
        return [dict(zip(("id", "parent_id", "product_id", "name"), row, strict=True)) for row in rows]

    def _problems(self) -> list[dict[str, Any]]:
        rows = self._connection.execute(
            "SELECT field, severity, kind, count, example FROM problems ORDER BY count DESC, rowid LIMIT ?",
            (_MOST_LISTED,),
        )
        return [
            {"field": field, "severity": severity, "kind": kind, "count": count, "example": json.loads(example)}
            for field, severity, kind, count, example in rows
        ]

    def events(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return requests in order of arrival, at least one if there is any, and no more than 8 million characters."""
        found: list[dict[str, Any]] = []
        size = 0
        for row in self._connection.execute(_EVENTS, (after, limit)):
            found.append(_event(row))
            size += len(row[4]) + len(row[5])
            if size > _PAGE_CHARACTERS:
                break
        return found

    def latest(self, limit: int) -> list[dict[str, Any]]:
        """Return the last requests, the latest first."""
        return [_event(row) for row in self._connection.execute(_LATEST, (limit,))]

    def accounts(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return accounts in the order in which they were first seen, each with its first 100 users."""
        rows = self._connection.execute(_ACCOUNTS, (after, limit)).fetchall()
        return [self._account(row) for row in rows]

    def _account(self, row: tuple[Any, ...]) -> dict[str, Any]:
        number, account, name, ofid, parent_id, product_id, attributes, first, last = row
        users = self._connection.execute(_USERS, (account, _MOST_USERS))
        (count,) = self._connection.execute("SELECT count(*) FROM users WHERE account = ?", (account,)).fetchone()
        return {
            "number": number,
            "id": account,
            "name": name,
            "ofid": ofid,
            "parent_id": parent_id,
            "product_id": product_id,
            "attributes": json.loads(attributes),
            "first_event": first,
            "last_event": last,
            "user_count": count,
            "users": [{"id": user, "attributes": json.loads(said)} for user, said in users],
        }


def _event(row: tuple[Any, ...]) -> dict[str, Any]:
    number, time, method, source, query, body, accepted, account, user, activity, module, problems = row
    return {
        "id": number,
        "time": dt.datetime.fromtimestamp(time, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "method": method,
        "source": source,
        "accepted": bool(accepted),
        "account": account,
        "user": user,
        "activity": activity,
        "module": module,
        "params": [list(pair) for pair in parameters(query, body)],
        "query": query,
        "body": body,
        "problems": json.loads(problems),
    }

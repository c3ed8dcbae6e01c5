"""What can be read from the sandbox's database, as JSON takes it."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from .arrival import parameters

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from .arrival import Row

_MOST_LISTED = 1000
_MOST_USERS = 100
_PAGE_CHARACTERS = 8_000_000

_TEXT = "coalesce(account,'')||' '||coalesce(user,'')||' '||coalesce(activity,'')||' '||coalesce(module,'')"
# What `GET /events.json` can ask for, and how it is found.
FILTERS = {
    "text": f"instr(lower({_TEXT}||' '||query||' '||body), lower(?)) > 0",
    "account": "account = ?",
    "user": "user = ?",
    "kind": "kind = ?",
    "source": "source = ?",
    "problem": "CASE ? WHEN 'any' THEN severity IS NOT NULL WHEN 'none' THEN severity IS NULL ELSE severity = ? END",
}
_ROWS = """
SELECT id, CAST(time * 1000 AS INTEGER), substr(account, 1, 300), substr(product, 1, 300), substr(user, 1, 300),
       substr(activity, 1, 300), substr(module, 1, 300), source, severity, kind, fault
FROM requests ORDER BY id DESC LIMIT ?
"""
_SIZE = "SELECT count(*), coalesce(sum(length(query) + length(body)), 0) FROM requests"
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

    def size(self) -> tuple[int, int]:
        """Return how many requests there are, and the characters in them."""
        count, size = self._connection.execute(_SIZE).fetchone()
        return int(count), int(size)

    def rows(self, limit: int) -> list[Row]:
        """Return the latest requests as the log shows them, the oldest first."""
        return self._connection.execute(_ROWS, (limit,)).fetchall()[::-1]

    def all(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return what a query finds."""
        return self._connection.execute(query, parameters).fetchall()

    def forget(self, requests: int, most_people: int) -> int:
        """Delete the oldest requests, and those accounts and users not seen for longest where there are too many."""
        last = self.all("SELECT id FROM requests ORDER BY id LIMIT 1 OFFSET ?", (requests,))
        bound = last[0][0] if last else self.last_id() + 1
        gone = self._connection.execute("DELETE FROM requests WHERE id < ?", (bound,)).rowcount
        for table in ("accounts", "users"):
            older = f"SELECT last_request FROM {table} ORDER BY last_request DESC LIMIT 1 OFFSET ?"
            statement = f"DELETE FROM {table} WHERE last_request <= ({older})"  # names of ours
            self._connection.execute(statement, (most_people,))
        return gone

    def summary(self, *, lost: int) -> dict[str, Any]:
        """Return the totals, and lists of no more than 1,000."""
        return {
            "totals": self.totals(lost),
            "activities": self._activities(),
            "product_accounts": self._product_accounts(),
            "problems": self._problems(),
        }

    def totals(self, lost: int) -> dict[str, int]:
        """Return how many of each there are; `lost` could not be written."""
        counted = Counter(dict(self._connection.execute("SELECT name, count FROM totals")))
        accounts, users, product_accounts = self._connection.execute(_COUNTS).fetchone()
        return {
            "requests": counted["accepted"] + counted["dropped"] + counted["faults"],
            "accepted": counted["accepted"],
            "dropped": counted["dropped"],
            "problems": counted["problems"],
            "faults": counted["faults"],
            "forgotten": counted["forgotten"],
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

    def events(self, after: int, limit: int, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return requests in order of arrival, at least one if there is any, and no more than 8 million characters."""
        found: list[dict[str, Any]] = []
        size = 0
        wanted = ["id > ?1"]
        values: list[int | str] = [after, limit]
        for name, value in filters.items():
            values.append(value)
            wanted.append(FILTERS[name].replace("?", f"?{len(values)}"))
        query = f"SELECT * FROM requests WHERE {' AND '.join(wanted)} ORDER BY id LIMIT ?2"  # ours
        for row in self._connection.execute(query, values):
            found.append(_event(row))
            size += len(row[4]) + len(row[5])
            if size > _PAGE_CHARACTERS:
                break
        return found

    def event(self, number: int) -> dict[str, Any] | None:
        """Return one request, if it is still here."""
        rows = self.all("SELECT * FROM requests WHERE id = ?", (number,))
        return _event(rows[0]) if rows else None

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
    number, time, method, source, query, body, accepted, account, user, activity, module, problems = row[:12]
    kind, severity, fault = row[13:]
    return {
        "id": number,
        "time": dt.datetime.fromtimestamp(time, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "method": method,
        "source": source,
        "kind": kind,
        "severity": severity,
        "fault": fault,
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

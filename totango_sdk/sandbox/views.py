"""What can be read from the sandbox's database, as JSON takes it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from . import sql
from .forms import parameters
from .search import Condition, conditions
from .shapes import shown_time

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from .arrival import Row

_MOST_LISTED = 1000
_MOST_USERS = 100
_PAGE_CHARACTERS = 8_000_000
_FORGET = (sql.FORGET_ACCOUNTS, sql.FORGET_USERS, sql.FORGET_ACTIVITIES, sql.FORGET_NAMES)


class Views:
    """Reads the database. The lock is the caller's."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def last_id(self) -> int:
        """Return the id of the last request, 0 if there is none."""
        (last,) = self._connection.execute(sql.LAST_ID).fetchone()
        return int(last)

    def size(self) -> tuple[int, int]:
        """Return how many requests there are, and the characters in them."""
        count, size = self._connection.execute(sql.SIZE).fetchone()
        return int(count), int(size)

    def rows(self, limit: int) -> list[Row]:
        """Return the latest requests as the log shows them, the oldest first."""
        return self._connection.execute(sql.ROWS, (limit,)).fetchall()[::-1]

    def all(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return what a query finds."""
        return self._connection.execute(query, parameters).fetchall()

    def forget(self, requests: int, most_people: int) -> int:
        """Delete the oldest requests, and those accounts and users not seen for longest where there
        are too many.
        """
        last = self.all(sql.NTH_OLDEST, (requests,))
        bound = last[0][0] if last else self.last_id() + 1
        gone = self._connection.execute(sql.FORGET, (bound,)).rowcount
        self._connection.execute(sql.FORGET_HEADS)
        for statement in _FORGET:
            self._connection.execute(statement, (most_people,))
        return gone

    def seen_accounts(self) -> list[Any]:
        """Return each account with its service, its ID, its name, its `ofid`, its parent, its
        product, its attributes and its last request.
        """
        return self.all(sql.SEEN_ACCOUNTS)

    def sightings(self) -> list[Any]:
        """Return what was accepted: each service, account, user, source and product that came
        together, with the last request of them and how many there are, the parent, and how many of
        them were usage.
        """
        return self.all(sql.SIGHTINGS)

    def users_without_requests(self) -> list[Any]:
        """Return each service, account, user and last request whose requests are all forgotten."""
        return self.all(sql.USERS_WITHOUT_REQUESTS)

    def head(self, number: int) -> str:
        """Return the request line and the headers of a request."""
        return str(self.all(sql.HEAD, (number,))[0][0])

    def names(self) -> list[Any]:
        """Return each name of an attribute, as service, what it is, name, count, last request."""
        return self.all(sql.NAMES)

    def activities(self) -> list[Any]:
        """Return each activity, as service, module, name, count, last request."""
        return self.all(sql.ALL_ACTIVITIES)

    def services(self) -> list[dict[str, Any]]:
        """Return the service IDs of what was accepted, the one with most events first."""
        return [
            {"service": service, "events": count, "last_event": last, "sources": sources.split(",")}
            for service, count, last, sources in self.all(sql.SERVICES)
        ]

    def tabs(self) -> dict[str, int]:
        """Return how many accounts and users there are as the page lists them: product accounts
        below theirs, accounts that are only named as parents too, and each user once.
        """
        accounts, users = self.all(sql.TAB_COUNTS)[0]
        return {"accounts": accounts, "users": users}

    def ignored(self) -> set[str]:
        """Return the keys of the findings that are to be ignored."""
        return {key for (key,) in self.all(sql.IGNORED)}

    def user_names(self, users: list[str]) -> dict[str, str]:
        """Return the names of those users that have one."""
        found = self.all(sql.NAMES_OF_USERS, (json.dumps(users),))
        return {user: name for user, name in found if name}

    def summary(self, *, lost: int) -> dict[str, Any]:
        """Return the totals, and lists of no more than 1,000."""
        return {
            "totals": self.totals(lost),
            "activities": self._activities(),
            "product_accounts": self._product_accounts(),
            "problems": self.problems(),
            "services": self.services(),
        }

    def totals(self, lost: int) -> dict[str, int]:
        """Return how many of each there are; `lost` could not be written."""
        counted = Counter(dict(self._connection.execute(sql.TOTALS)))
        accounts, users, product_accounts = self._connection.execute(sql.COUNTS).fetchone()
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
        rows = self._connection.execute(sql.ACTIVITIES, (_MOST_LISTED,))
        for module, activity, count in rows:
            listed[module][activity] = count
        return dict(listed)

    def _product_accounts(self) -> list[dict[str, Any]]:
        rows = self._connection.execute(sql.PRODUCT_ACCOUNTS, (_MOST_LISTED,))
        names = ("id", "parent_id", "product_id", "name")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def problems(self) -> list[dict[str, Any]]:
        """Return each kind of problem, how often it came, and the first example."""
        rows = self._connection.execute(sql.PROBLEMS, (_MOST_LISTED,))
        return [
            {
                "field": field,
                "severity": severity,
                "rule": rule,
                "count": count,
                "example": json.loads(example),
            }
            for field, severity, rule, count, example in rows
        ]

    def events(self, after: int, limit: int, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return requests in order of arrival, at least one if there is any, and no more than 8
        million characters.
        """
        found: list[dict[str, Any]] = []
        size = 0
        asked = [Condition("id > ?", (after,)), *conditions(filters)]
        values = [value for each in asked for value in each.values]
        query = sql.requests([each.text for each in asked])
        for row in self._connection.execute(query, (*values, limit)):
            found.append(_event(row))
            size += len(row[4]) + len(row[5])
            if size > _PAGE_CHARACTERS:
                break
        return found

    def found(self, after: int, filters: Mapping[str, str], most: int) -> list[int]:
        """Return the ids of requests behind the one with the id `after` that pass the filters."""
        asked = [Condition("id > ?", (after,)), *conditions(filters)]
        values = [value for each in asked for value in each.values]
        query = sql.ids([each.text for each in asked])
        return [number for (number,) in self._connection.execute(query, (*values, most))]

    def event(self, number: int) -> dict[str, Any] | None:
        """Return one request, if it is still here."""
        rows = self.all(sql.REQUEST, (number,))
        return _event(rows[0]) if rows else None

    def requests(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return requests as a session keeps them: as they came."""
        names = ("id", "ms", "method", "query", "body", "agent", "head", "malformed", "fault")
        return [dict(zip(names, row, strict=True)) for row in self.all(sql.SESSION, (after, limit))]

    def accounts(self, after: int, limit: int) -> list[dict[str, Any]]:
        """Return accounts in the order in which they were first seen, each with its first 100
        users.
        """
        rows = self._connection.execute(sql.ACCOUNTS, (after, limit)).fetchall()
        return [self._account(row) for row in rows]

    def _account(self, row: tuple[Any, ...]) -> dict[str, Any]:
        number, service, account, name, ofid, parent_id, product_id, attributes, first, last = row
        users = self.all(sql.USERS_OF_ACCOUNT, (service, account, _MOST_USERS))
        ((count,),) = self.all(sql.USER_COUNT, (service, account))
        return {
            "number": number,
            "service": service,
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
    found = dict(zip(_EVENT, row, strict=False))
    return {
        **found,
        "time": shown_time(found["time"]),
        "accepted": bool(found["accepted"]),
        "params": [list(pair) for pair in parameters(found["query"], found["body"])],
        "problems": json.loads(found["problems"]),
    }


_EVENT = (
    *("id", "time", "method", "source", "query", "body", "accepted", "account", "user"),
    *("activity", "module", "problems", "kind", "severity", "fault", "service", "agent"),
)

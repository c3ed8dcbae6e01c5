"""A batch of requests as rows: what each adds to the accounts, users, activities and problems."""

from __future__ import annotations

import json
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ..identity import rules
from ..show import shown
from .words import meant_by

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from ..errors import Problem
    from ..wire.read import Reading
    from .arrival import Arrival

_MOST_PROBLEMS = 100
_SHOWN = 200

_REQUEST = f"INSERT INTO requests VALUES ({', '.join('?' * 21)})"
_HEAD = "INSERT OR IGNORE INTO heads VALUES (?, ?, ?)"
_ACCOUNT = """
INSERT INTO accounts
    (service, id, name, ofid, parent_id, product_id, attributes, first_request, last_request)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) ON CONFLICT (service, id) DO UPDATE SET
    name = coalesce(excluded.name, name), ofid = coalesce(excluded.ofid, ofid),
    parent_id = coalesce(excluded.parent_id, parent_id), product_id = coalesce(excluded.product_id, product_id),
    attributes = CASE excluded.attributes WHEN '{}' THEN attributes
                 ELSE json_patch(attributes, excluded.attributes) END,
    last_request = excluded.last_request
"""
_USER = """
INSERT INTO users VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (service, account, id) DO UPDATE SET
    attributes = CASE excluded.attributes WHEN '{}' THEN attributes
                 ELSE json_patch(attributes, excluded.attributes) END,
    last_request = excluded.last_request
"""
_ACTIVITY = """
INSERT INTO activities VALUES (?, ?, ?, ?, ?) ON CONFLICT (service, module, activity) DO UPDATE SET
    count = count + excluded.count, last_request = excluded.last_request
"""
_NAME = """
INSERT INTO names VALUES (?, ?, ?, ?, ?) ON CONFLICT (service, what, name) DO UPDATE SET
    count = count + excluded.count, last_request = excluded.last_request
"""
_PROBLEM = """
INSERT INTO problems VALUES (?, ?, ?, ?, ?)
ON CONFLICT (field, severity, rule) DO UPDATE SET count = count + excluded.count
"""
_TOTAL = "INSERT INTO totals VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET count = count + excluded.count"

Kind = tuple[str, str, str]


class Batch:
    """Requests that are written together, numbered from `first_id` on."""

    def __init__(self, first_id: int, arrivals: Sequence[Arrival]) -> None:
        self.next_id = first_id + len(arrivals)
        self._requests: list[tuple[Any, ...]] = []
        self._heads: dict[int, tuple[str, str]] = {}
        self._accounts: list[tuple[Any, ...]] = []
        self._users: list[tuple[Any, ...]] = []
        self._activities: Counter[tuple[str, str, str]] = Counter()
        self._names: Counter[tuple[str, str, str]] = Counter()
        self._last: dict[tuple[str, str, str], int] = {}
        self._problems: Counter[Kind] = Counter()
        self._examples: dict[Kind, str] = {}
        self._totals: Counter[str] = Counter()
        for number, arrival in enumerate(arrivals, first_id):
            self._add(number, arrival)

    def _add(self, number: int, arrival: Arrival) -> None:
        reading = arrival.reading
        accepted = arrival.accepted
        became = "dropped" if arrival.taken else "faults"
        self._totals["accepted" if accepted else became] += 1
        self._totals["problems"] += bool(reading.problems) and arrival.taken
        head = number_of(arrival.agent, arrival.head)
        self._heads[head] = arrival.agent, arrival.head
        self._requests.append(_request_row(number, arrival, accepted, head))
        for problem in reading.problems[:_MOST_PROBLEMS] if arrival.taken else ():
            self._add_problem(number, problem)
        if accepted:
            self._add_effects(number, reading)

    def _add_effects(self, number: int, reading: Reading) -> None:
        service = reading.service_id or ""
        if reading.account_id is not None:
            self._accounts.append(_account_row(number, service, reading))
            if reading.user_id is not None:
                said = _json(reading.user_attributes)
                self._users.append((service, reading.account_id, reading.user_id, said, number))
        for what, attributes in (
            ("account attribute", reading.account_attributes),
            ("user attribute", reading.user_attributes),
        ):
            for name in attributes:
                self._count(self._names, (service, what, name), number)

        if reading.heartbeat:
            self._totals["heartbeats"] += 1
        elif reading.activity is not None:
            self._totals["activities"] += 1
            named = (service, reading.module or "", reading.activity)
            self._count(self._activities, named, number)

    def _count(
        self, counts: Counter[tuple[str, str, str]], key: tuple[str, str, str], number: int
    ) -> None:
        counts[key] += 1
        self._last[key] = number

    def _add_problem(self, number: int, problem: Problem) -> None:
        kind = (problem.field[:_SHOWN], problem.severity, problem.rule)
        self._problems[kind] += 1
        if kind not in self._examples:
            self._examples[kind] = _json({"event": number, **_shown_problem(problem)})

    def write(self, connection: sqlite3.Connection) -> None:
        """Write everything. The transaction is the caller's."""
        connection.executemany(_REQUEST, self._requests)
        connection.executemany(_HEAD, ((number, *head) for number, head in self._heads.items()))
        connection.executemany(_ACCOUNT, self._accounts)
        connection.executemany(_USER, self._users)
        connection.executemany(
            _ACTIVITY,
            ((*key, count, self._last[key]) for key, count in self._activities.items()),
        )
        connection.executemany(
            _NAME, ((*key, count, self._last[key]) for key, count in self._names.items())
        )
        connection.executemany(
            _PROBLEM,
            ((*kind, count, self._examples[kind]) for kind, count in self._problems.items()),
        )
        connection.executemany(_TOTAL, self._totals.items())


def number_of(agent: str, head: str) -> int:
    """Return a number that stands for what is before the body: of one client, it is nearly always the same."""
    said = f"{agent}\n{head}".encode(errors="surrogatepass")
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big", signed=True)


def _request_row(number: int, arrival: Arrival, accepted: bool, head: int) -> tuple[Any, ...]:
    reading = arrival.reading
    return (
        number,
        arrival.time,
        arrival.method,
        arrival.source,
        arrival.query,
        arrival.body,
        accepted,
        reading.account_id,
        reading.user_id,
        reading.activity,
        reading.module,
        _json(shown_problems(reading.problems)) if reading.problems else "[]",
        reading.product_id,
        arrival.kind,
        arrival.severity,
        arrival.fault,
        reading.service_id,
        reading.parent_id,
        head,
        arrival.malformed,
        meant_by(arrival),
    )


def _account_row(number: int, service: str, reading: Reading) -> tuple[Any, ...]:
    attributes = {
        name: value
        for name, value in reading.account_attributes.items()
        if name not in ("parent_id", "product_id")
    }
    return (
        service,
        reading.account_id,
        reading.account_name,
        reading.ofid,
        reading.parent_id,
        reading.product_id,
        _json(attributes),
        number,
    )


def shown_problems(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    """Return the first hundred problems, as JSON takes them."""
    listed = [_shown_problem(problem) for problem in problems[:_MOST_PROBLEMS]]
    if len(problems) > _MOST_PROBLEMS:
        message = f"and {len(problems) - _MOST_PROBLEMS} more"
        listed.append(
            {
                "field": "request",
                "severity": "warning",
                "rule": rules.REQUEST_MORE.name,
                "value": None,
                "message": message,
            }
        )
    return listed


def _shown_problem(problem: Problem) -> dict[str, Any]:
    value = (
        problem.value
        if problem.value is None or isinstance(problem.value, str)
        else shown(problem.value)
    )
    return {
        "field": problem.field[:_SHOWN],
        "severity": problem.severity,
        "rule": problem.rule,
        "value": value if value is None else value[:_SHOWN],
        "message": problem.message,
    }


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if value else "{}"

"""A request as programs see it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from .forms import parameters
from .tally import shown_problems

if TYPE_CHECKING:
    from .arrival import Arrival


def event_of(arrival: Arrival, number: int) -> dict[str, Any]:
    """Return a request as `GET /events.json` does."""
    read = arrival.reading
    return {
        "id": number,
        "time": shown_time(arrival.time),
        "method": arrival.method,
        "source": arrival.source,
        "query": arrival.query,
        "body": arrival.body,
        "accepted": arrival.accepted,
        "account": read.account_id,
        "user": read.user_id,
        "activity": read.activity,
        "module": read.module,
        "problems": shown_problems(read.problems),
        "kind": arrival.kind,
        "severity": arrival.severity,
        "fault": arrival.fault,
        "service": read.service_id,
        "agent": arrival.agent,
        "params": [list(pair) for pair in parameters(arrival.query, arrival.body)],
    }


def shown_time(seconds: float) -> str:
    """Return a time as JSON has it: ISO 8601 in UTC, with milliseconds."""
    at = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

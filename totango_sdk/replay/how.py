"""How a replay is to be made, and what can be said of the time of arrival."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..tables import Reading
    from .report import Report
    from .values import Rules

_ARRIVAL = (
    "Totango registers an event when it arrives: its own time cannot be sent. The oldest of these "
    "is from {} UTC and would count as happening now."
)
TO_SEND_ALL = (
    " To send them all the same: --arrival-time-is-fine. To keep their times: "
    "totango export --to usage"
)


@attrs.frozen(kw_only=True)
class How:
    """How a replay is to be made, beside its source and its client."""

    reading: Reading
    rules: Rules
    dry_run: bool = False
    ledger: Any = None
    again: bool = False
    verify: bool = False
    rate: float | None = None
    unique: bool = False
    rejected: str | None = None
    limit: int | None = None
    from_line: int | None = None
    on_progress: Callable[[Report], None] | None = None
    say: Callable[[str], None] = lambda _: None
    stop: Callable[[], bool] = lambda: False


def arrival(oldest: dt.datetime) -> str:
    """Return what is said of the arrival of rows of which this is the oldest time."""
    return _ARRIVAL.format(f"{oldest:%Y-%m-%d %H:%M}")


def oldest_told(report: Report) -> str:
    """Return what is said of the arrival, where a time is known."""
    return "" if report.oldest is None else arrival(dt.datetime.fromisoformat(report.oldest))

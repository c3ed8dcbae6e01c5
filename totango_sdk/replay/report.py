"""What became of every row."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import attrs

from ..tables import iso
from ..wire.apart import activity_of, where_and_who
from ..wire.redact import redact

if TYPE_CHECKING:
    import datetime as dt

    from .values import Meant, Rejected

_EXAMPLES = 3
_COUNTED = 100_000
_PACE_SECONDS = 0.1
_MOMENTS = 200


class Pace:
    """How many rows were delivered when: at most 200 moments, further apart the longer it lasts."""

    def __init__(self) -> None:
        self._moments: list[tuple[float, int]] = []
        self._apart = _PACE_SECONDS

    def note(self, now: float, delivered: int) -> None:
        """Note a moment, if the one before is long enough ago."""
        moments = self._moments
        if moments and now - moments[-1][0] < self._apart:
            return
        moments.append((now, delivered))
        if len(moments) >= _MOMENTS:
            del moments[1::2]
            self._apart *= 2

    def rates(self) -> list[tuple[float, float]]:
        """Return for each moment the seconds since the first, and the rows delivered a second."""
        moments = self._moments
        return [
            (round(now - moments[0][0], 2), (delivered - before) / (now - then))
            for (then, before), (now, delivered) in pairwise(moments)
        ]


@attrs.define(kw_only=True)
class Report:
    """Every row is in exactly one count:

    `rows == delivered + rejected + skipped + earlier + left`.
    """

    dry_run: bool = False
    sources: list[dict[str, Any]] = attrs.field(factory=list)
    rows: int = 0
    delivered: int = 0
    rejected: int = 0
    skipped: int = 0
    earlier: int = 0
    left: int = 0
    reread: int = 0
    requests: int = 0
    by_code: dict[str, int] = attrs.field(factory=dict)
    examples: list[dict[str, Any]] = attrs.field(factory=list)
    warnings: dict[str, int] = attrs.field(factory=dict)
    unused_columns: list[str] = attrs.field(factory=list)
    accounts: int = 0
    users: int = 0
    activities: list[list[Any]] = attrs.field(factory=list)
    oldest: str | None = None
    seconds: float = 0.0
    rejected_files: list[str] = attrs.field(factory=list)
    finished: bool = False
    stopped: bool = False
    notes: list[str] = attrs.field(factory=list)
    calls: list[dict[str, Any]] = attrs.field(factory=list)
    share: float | None = None  # how much of the source that is being sent is read, 0 to 1
    pace: Pace = attrs.field(factory=Pace, repr=False, eq=False)
    trouble: str = ""  # why the last request failed that is to be sent again

    def as_mapping(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        left_out = {"stopped", "share", "trouble", "pace"} | (set() if self.dry_run else {"calls"})
        fields = attrs.asdict(self, recurse=False)
        return {"replay": 1, **{name: fields[name] for name in fields if name not in left_out}}

    @property
    def exit_code(self) -> int:
        """0 all delivered, skipped or sent earlier; 1 some rejected or left; 130 stopped."""
        if self.stopped:
            return 130
        is_cut = any(source.get("cut") for source in self.sources)
        return 1 if self.rejected or self.left or is_cut else 0


class Tally:
    """Counts what a report needs while rows pass; its memory is bounded."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._accounts: set[int] = set()
        self._users: set[int] = set()
        self._activities: dict[tuple[str, str], list[int]] = {}
        self._warnings: Counter[str] = Counter()
        self._oldest: dt.datetime | None = None
        self.is_arrival_told = False
        self.timed = 0  # grows where a row has a time

    def meant(self, meant: Meant) -> None:
        """Count a call."""
        self.at(meant.time)
        where, user_id = who(meant)
        if where is not None and len(self._accounts) < _COUNTED:
            self._accounts.add(hash(where))
        if user_id is not None:
            self.user(user_id)
        counter = self.counter(meant)
        if counter is not None:
            counter[0] += 1
        for problem in () if meant.event is None else meant.event.problems:
            self._warnings[problem.field] += 1

    def at(self, time: dt.datetime | None) -> None:
        """Note the time of a row."""
        if time is None:
            return
        self.timed += 1
        if self._oldest is None or time < self._oldest:
            self._oldest = time

    def user(self, user_id: str) -> None:
        """Count a user."""
        if len(self._users) < _COUNTED:
            self._users.add(hash(user_id))

    def counter(self, meant: Meant) -> list[int] | None:
        """Return how often there was an activity, to be counted on; `None` if it is none."""
        key = _activity(meant)
        if key is None:
            return None
        found = self._activities.get(key)
        if found is None and len(self._activities) < _COUNTED:
            found = self._activities[key] = [0]
        return found

    def warn(self, field: str, count: int = 1) -> None:
        """Count a warning that no event has."""
        self._warnings[field] += count

    def rejected(self, line: int, rejected: Rejected) -> None:
        """Count a rejected row."""
        report = self.report
        report.rejected += 1
        count = report.by_code[rejected.code] = report.by_code.get(rejected.code, 0) + 1
        self.at(rejected.time)
        if count <= _EXAMPLES:
            found: dict[str, Any] = {"line": line, "code": rejected.code}
            if rejected.fields:
                found["fields"] = list(rejected.fields)
            report.examples.append({**found, "reason": redact(rejected.reason)})

    def close(self) -> None:
        """Write the sums into the report."""
        report = self.report
        report.accounts, report.users = len(self._accounts), len(self._users)
        counts = [(key, count) for key, [count] in self._activities.items() if count]
        report.activities = [
            [module, activity, count]
            for (module, activity), count in sorted(counts, key=lambda each: -each[1])[:100]
        ]
        report.warnings = dict(self._warnings)
        report.oldest = None if self._oldest is None else iso(self._oldest)


def who(meant: Meant) -> tuple[str | None, str | None]:
    """Return the account, or product account, and the user that a call is about."""
    event = meant.event
    if event is not None:
        return event.where, None if event.user is None else event.user.id
    return where_and_who(dict(meant.params or ()))


def _activity(meant: Meant) -> tuple[str, str] | None:
    event = meant.event
    if event is not None:
        return (event.module or "", event.activity or "") if event.kind == "track" else None
    return activity_of(dict(meant.params or ()))

"""One oracle for all faults: what was accepted against what arrived."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .collector import Arrival
    from .ledger import Obligation

MAX_CONNECTIONS = 16
UNSTRUCK = 100
BOUND = MAX_CONNECTIONS + UNSTRUCK  # duplicates that one crash may make
_SHOWN = 5


@attrs.define
class Row:
    """What one fault came to: a line of the table, and every promise that was broken."""

    fault: str
    number: str = ""
    runs: int = 1
    events: int = 0
    lost: int = 0
    duplicates: int = 0
    worst_ms: float | None = None
    note: str = ""
    failures: list[str] = attrs.field(factory=list)

    def require(self, holds: object, otherwise: str) -> None:
        """Note a broken promise."""
        if not holds:
            self.failures.append(otherwise)

    def check(self) -> None:
        """Raise `AssertionError` with all that was broken."""
        assert not self.failures, f"{self.fault}: " + "; ".join(self.failures)


def judge(
    fault: str,
    number: str,
    obligations: Sequence[Obligation],
    arrivals: Sequence[Arrival],
    *,
    runs: int = 1,
    permitted: Iterable[tuple[str, int, int]] = (),
    excused: frozenset[bytes] = frozenset(),
    also: frozenset[bytes] = frozenset(),
    crashes: Sequence[float] = (),
    bound: int | None = None,
    ordered: bool = True,
    once: str | None = None,
) -> Row:
    """Hold what arrived against what was accepted.

    `permitted` are events that may have been accepted just before their process was killed, so that nobody was told;
    `excused` are bodies that need not arrive (struck by damage, or refused for ever by the collector); `also` are
    bodies that may arrive beside the obligations. `crashes` are the times of kills, for the bound on duplicates; a
    `bound` without crashes is one for the whole run. Of the streams that begin with `once`, nothing may come twice.
    """
    from .ledger import Obligation, body_of

    row = Row(fault, number, runs, len(obligations))
    row.worst_ms = max((each.micros for each in obligations), default=0) / 1000
    maybe = [Obligation(*each, "", 0) for each in permitted]
    owed = {each.body: each for each in obligations}
    known = {**owed, **{body_of(each.stream, each.seq, each.accounts): each for each in maybe}}
    taken = [arrival for arrival in arrivals if arrival.taken]
    counts = Counter(arrival.body for arrival in taken)

    missing = [each for body, each in owed.items() if not counts[body] and body not in excused]
    row.lost = len(missing)
    row.require(not missing, f"{len(missing)} of {len(owed)} lost, such as {_names(missing)}")
    strange = [arrival.body for arrival in arrivals if arrival.body not in known and arrival.body not in also]
    row.require(not strange, f"{len(strange)} that nobody sent arrived, such as {strange[:_SHOWN]}")
    ids = Counter(each.id for each in obligations)
    row.require(len(ids) == len(obligations), f"ids given twice: {[each for each, n in ids.items() if n > 1][:_SHOWN]}")
    row.require(len(owed) == len(obligations), "the ledger names an event twice: the harness is wrong")
    if ordered:
        wrong = _out_of_order(taken, known)
        row.require(not wrong, f"{len(wrong)} out of order, such as {wrong[:_SHOWN]}")

    if once is not None:
        twice = [each for body, each in owed.items() if counts[body] > 1 and each.stream.startswith(once)]
        row.require(not twice, f"{len(twice)} sent twice that may come only once, such as {_names(twice)}")
    row.duplicates = sum(count - 1 for count in counts.values())
    if crashes:
        worst = _worst_window(taken, crashes)
        row.require(worst <= BOUND, f"{worst} duplicates after one crash; at most {BOUND} are allowed")
        row.note = f"at most {worst} duplicates after one crash"
    if bound is not None:
        row.require(row.duplicates <= bound, f"{row.duplicates} duplicates; at most {bound} are allowed")
    return row


def _names(obligations: Sequence[Obligation]) -> list[str]:
    return [f"{each.stream}.{each.seq}" for each in obligations[:_SHOWN]]


def _out_of_order(taken: Sequence[Arrival], known: dict[bytes, Obligation]) -> list[str]:
    """Return updates that first arrived before an earlier update of their account and process."""
    from .ledger import is_attributes

    last: dict[tuple[str, str], int] = {}
    seen: set[bytes] = set()
    wrong = []
    for arrival in taken:
        each = known.get(arrival.body)
        if each is None or arrival.body in seen or not is_attributes(each.stream, each.seq):
            continue
        seen.add(arrival.body)
        key = (each.stream, each.account)
        if each.seq < last.get(key, -1):
            wrong.append(f"{each.stream}.{each.seq} after {last[key]}")
        last[key] = max(each.seq, last.get(key, -1))
    return wrong


def _worst_window(taken: Sequence[Arrival], crashes: Sequence[float]) -> int:
    """Return the largest number of duplicates that came between one crash and the next."""
    from bisect import bisect

    seen: set[bytes] = set()
    windows: Counter[int] = Counter()
    for arrival in taken:
        if arrival.body in seen:
            windows[bisect(crashes, arrival.at)] += 1
        seen.add(arrival.body)
    return max(windows.values(), default=0)

"""Row 20: the host's own code raises where we call it, or calls us back from there."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from . import exits
from .collector import Collector
from .hooked import CALLING, RAISING
from .hosts import Site, finish, python
from .kills import check_finish, check_sums
from .ledger import read
from .oracle import Row, judge

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PATIENCE = 60.0
# What a host tracks beside its ledger; and what it could not be told the id of, since it tracked in the middle of
# another call.
_BESIDE = re.compile(rb"sdr_a=(warned|odd|back\.)|sdr_o.N=back\.")


def at_one_place(directory: Path, place: str, *, events: int) -> Row:
    """Track so many events in front of a collector that answers 503 to a third, and refuses some for ever."""
    with Collector() as collector:
        collector.behave("status", status=503, every=3)
        collector.poison("sdr_a=hooked.5")  # such as hooked.50: an eighth of all
        site = Site(directory, collector)
        config = site.config(place=place, count=events, patience=_PATIENCE)
        ended = finish(python("-m", "chaos.hooked", json.dumps(config)), 3 * _PATIENCE)
        collector.behave("ok")
        last = site.finish()
        obligations, arrivals = read(site.ledger), collector.arrivals()
        refused = frozenset(each.body for each in arrivals if each.status == 400)
        beside = frozenset(each.body for each in arrivals if _BESIDE.search(each.body))
        row = judge(place, "20", obligations, arrivals, excused=refused, also=beside)
    told = ended.report
    row.require(ended.code == 0, f"the host ended with {ended.code}: {ended.log[-800:]}")
    row.require(not told.get("raised"), f"track raised {told.get('raised')}")
    row.require(told.get("called"), "nothing of the host's was called: the harness is wrong")
    row.require(told.get("flushed"), f"not delivered in {_PATIENCE:.0f} s: {told.get('stats')}")
    row.require(told.get("back", 0) <= 3 * events, f"{told.get('back')} events came of {events}: a loop")
    row.require(not (told.get("stats") or {}).get("in_flight"), f"events stay in flight: {told.get('stats')}")
    check_sums(row, ended)
    check_finish(row, last)
    return row


def everywhere(directory: Path, *, calling: bool, events: int) -> Row:
    """Every place, as one line of the table."""
    places: Iterable[str] = CALLING if calling else RAISING
    rows = []
    for number, place in enumerate(places):
        site = directory / str(number)
        site.mkdir()
        rows.append(at_one_place(site, place, events=events))
    row = exits.together(f"host code that {'calls back' if calling else 'raises'}, at {len(rows)} places", "20", rows)
    row.note = "nothing left in flight"
    return row

"""Names that were not meant to be many: spelled in two ways, or with a number in each."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from ..show import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..binding import Finding
    from .views import Views

_MOST = 50
_MOST_SIDES = 10
_FEWEST_ALIKE = 5
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
# What changes from one event to the next: addresses, UUIDs, and whatever has a digit in it.
_PARTICULAR = re.compile(rf"\S+@\S+|{_UUID}|[^\s/#:()]*[0-9][^\s/#:()]*", re.IGNORECASE)


class _Name(NamedTuple):
    what: str
    where: str
    name: str
    times: int
    event: int


def habits(views: Views, service: str) -> list[Finding]:
    """Return the findings on names of one service ID; at most 50."""
    names = [
        _Name(what, "", name, count, event)
        for found, what, name, count, event in views.names()
        if found == service
    ]
    activities = [
        _Name("activity", module, name, count, event)
        for found, module, name, count, event in views.activities()
        if found == service
    ]
    spelled = _spelled([*names, *activities, *_modules(activities)])
    return [*spelled, *_never_repeated(activities)][:_MOST]


def _modules(activities: Iterable[_Name]) -> list[_Name]:
    counts: defaultdict[str, int] = defaultdict(int)
    events: defaultdict[str, int] = defaultdict(int)
    for each in activities:
        counts[each.where] += each.times
        events[each.where] = max(events[each.where], each.event)
    return [_Name("module", "", name, counts[name], events[name]) for name in counts]


def _spelled(names: Iterable[_Name]) -> Iterator[Finding]:
    """Yield names that differ only in letter case or spaces."""
    groups: defaultdict[tuple[str, str], dict[str, _Name]] = defaultdict(dict)
    for each in names:
        key = (each.what, " ".join(each.name.split()).casefold())
        before = groups[key].get(each.name)
        times = each.times + (before.times if before else 0)
        groups[key][each.name] = each._replace(times=times)

    for (what, _), group in groups.items():
        if len(group) > 1:
            spelled = sorted(group.values(), key=lambda name: -name.times)
            plural = "activities" if what == "activity" else f"{what}s"
            title = f"{_listed(spelled)} are two {plural} that differ only in letter case or spaces"
            if len(spelled) > 2:
                title = title.replace("are two", f"are {len(spelled)}")
            advice = (
                f"Totango counts them apart. Choose one spelling, such as {shown(spelled[0].name)}, "
                "and send it from everywhere"
            )
            yield _finding("name_spelling", title, spelled, advice)


def _never_repeated(activities: Iterable[_Name]) -> Iterator[Finding]:
    """Yield activities that have a number or an address in them, so that none comes again."""
    groups: defaultdict[tuple[str, str], list[_Name]] = defaultdict(list)
    for each in activities:
        pattern = _PARTICULAR.sub("…", each.name)
        if pattern != each.name:
            groups[each.where, pattern].append(each)

    for (module, pattern), group in groups.items():
        if len(group) >= _FEWEST_ALIKE and sum(each.times for each in group) < 2 * len(group):
            title = (
                f"{len(group)} activities in module {shown(module)} are {shown(pattern)} with "
                "something else in each"
            )
            advice = (
                "An activity that never comes again counts nothing. Name what was done, such as "
                f"{shown(_general(pattern))}, and send what it was done with as an attribute"
            )
            found = _finding("one_off_activity", title, group, advice)
            yield {**found, "about": [module, pattern]}


def _general(pattern: str) -> str:
    return " ".join(pattern.replace("…", " ").split()).strip(" #:/()-") or "Report opened"


def _listed(names: list[_Name]) -> str:
    return " and ".join(shown(each.name) for each in names[:3])


def _finding(kind: str, title: str, names: list[_Name], advice: str) -> Finding:
    sides: list[dict[str, Any]] = [
        {
            "what": each.what,
            "id": each.name,
            "name": None,
            "sources": [],
            "detail": f"{each.times} event{'s' if each.times != 1 else ''}"
            + (f" in module {shown(each.where)}" if each.where else ""),
            "event": each.event,
        }
        for each in names[:_MOST_SIDES]
    ]
    return {"kind": kind, "title": title, "sides": sides, "advice": advice}

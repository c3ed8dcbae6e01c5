"""What a session has found, for a program that runs in CI: whether it failed, and why."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, get_args
from xml.etree import ElementTree as ET

import attrs

from ..errors import OptionsError
from ..show import shown
from .binding import problem_kinds, told

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from .store import Store

Level = Literal["error", "warning", "binding"]
LEVELS: tuple[Level, ...] = get_args(Level)

# What lets each level fail: an event that is dropped joins nothing, so it fails all of them.
_FAILS: dict[Level, tuple[Level, ...]] = {
    "error": ("error",),
    "warning": ("error", "warning"),
    "binding": ("error", "binding"),
}
_NONE_FOUND = {
    "error": "Totango would register every event",
    "warning": "No event has anything doubtful",
    "binding": "Every ID joins up",
}
_NOT_IN_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST_ANNOTATIONS = 50


@attrs.frozen
class Point:
    """One thing that was found, and is not to be ignored."""

    level: Level
    title: str
    text: str
    key: str


@attrs.frozen(kw_only=True)
class Report:
    """What was found in all, and the totals."""

    points: tuple[Point, ...]
    totals: dict[str, int]
    ignored: int

    def failing(self, levels: Collection[Level]) -> list[Point]:
        """Return what lets a session fail that fails on these levels."""
        fatal = {fails for level in levels for fails in _FAILS[level]}
        return [point for point in self.points if point.level in fatal]


def level(text: str) -> Level:
    """Read a level. Raises `OptionsError`."""
    for each in LEVELS:
        if text == each:
            return each
    msg = f"fail-on: {shown(text)} is not one of {', '.join(LEVELS)}: as in --fail-on error"
    raise OptionsError(msg)


def report(store: Store) -> Report:
    """Return what was found, the worst first."""
    with store.views() as views:
        kinds, findings = problem_kinds(views), told(views)
        totals = views.totals(store.lost)
    points = [_of_problem(each) for each in kinds if not each["ignored"]]
    points += [_of_finding(each) for each in findings if not each["ignored"]]
    ignored = sum(each["ignored"] for each in (*kinds, *findings))
    points.sort(key=lambda point: LEVELS.index(point.level))
    return Report(points=tuple(points), totals=totals, ignored=ignored)


def _of_problem(each: dict[str, Any]) -> Point:
    example = each["example"]
    times = "once" if each["count"] == 1 else f"{each['count']} times"
    text = f"{each['field']}: {example['message']}\n{times}, first in event {example['event']}"
    return Point(each["severity"], f"{each['field']}: {example['message']}", text, each["key"])


def _of_finding(each: dict[str, Any]) -> Point:
    sides = (f"- {side['what']} {side['id']!r}: {side['detail']}" for side in each["sides"])
    text = "\n".join([each["title"], *sides, f"What to do: {each['advice']}"])
    return Point("binding", each["title"], text, each["key"])


def summary(found: Report) -> str:
    """Return what was found, as lines for a person."""
    totals = found.totals
    head = (
        f"{totals['requests']} requests: {totals['accepted']} accepted, "
        f"{totals['dropped']} that Totango would drop, {totals['faults']} hit by a fault"
    )
    counts = {each: sum(point.level == each for point in found.points) for each in LEVELS}
    kinds = (
        f"{counts['error']} kinds of error, {counts['warning']} of warning, "
        f"{counts['binding']} that will not join up, {found.ignored} ignored"
    )
    return "\n".join([head, kinds, *(f"{each.level}: {each.title}" for each in found.points)])


def junit(found: Report, levels: Collection[Level]) -> str:
    """Return a report as JUnit's XML: a suite for each level, a test for each thing found.

    What does not fail on these `levels` is told as the output of a test that passed.
    """
    failing = set(found.failing(levels))
    root = ET.Element("testsuites", name="totango sandbox")
    for each in LEVELS:
        points = [point for point in found.points if point.level == each]
        failures = sum(point in failing for point in points)
        suite = ET.SubElement(root, "testsuite", name=f"totango.{each}")
        _count(suite, max(len(points), 1), failures)
        for point in points:
            _add_case(suite, point, is_failure=point in failing)
        if not points:
            ET.SubElement(suite, "testcase", _named(each, _NONE_FOUND[each]))
    _count(root, sum(int(suite.attrib["tests"]) for suite in root), len(failing))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _count(element: ET.Element, tests: int, failures: int) -> None:
    counts = {"tests": tests, "failures": failures, "errors": 0, "skipped": 0, "time": 0}
    element.attrib.update({name: str(count) for name, count in counts.items()})


def _named(level: str, name: str) -> dict[str, str]:
    return {"classname": f"totango.{level}", "name": _xml(name), "time": "0"}


def _add_case(suite: ET.Element, point: Point, *, is_failure: bool) -> None:
    case = ET.SubElement(suite, "testcase", _named(point.level, point.title))
    text = f"{point.text}\nTo ignore it: {point.key}"
    if is_failure:
        failure = ET.SubElement(case, "failure", type=point.level, message=_xml(point.title))
        failure.text = _xml(text)
    else:
        ET.SubElement(case, "system-out").text = _xml(text)


def _xml(text: str) -> str:
    """Return text that XML may have in it."""
    return _NOT_IN_XML.sub("\ufffd", text)


def github_lines(found: Report, levels: Collection[Level]) -> Iterator[str]:
    """Yield the lines by which GitHub's workflows show what was found."""
    failing = set(found.failing(levels))
    for point in found.points[:_MOST_ANNOTATIONS]:
        command = "error" if point in failing else "warning"
        title = _escaped(f"Totango: {point.level}").replace(":", "%3A").replace(",", "%2C")
        yield f"::{command} title={title}::{_escaped(point.text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")

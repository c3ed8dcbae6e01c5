"""Who is above whom: circles, and the account at the top."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def cycles(parents: Mapping[str, str]) -> list[list[str]]:
    """Return the circles, each as the accounts in the order of the chain, from child to parent.

    A circle begins with the one of it that comes first in `parents`. An account that is its own
    parent is a circle of one.
    """
    found: list[list[str]] = []
    seen: set[str] = set()
    order = {account: at for at, account in enumerate(parents)}
    for account in parents:
        path: dict[str, int] = {}
        at: str | None = account
        while at is not None and at not in seen and at not in path:
            path[at] = len(path)
            at = parents.get(at)
        if at is not None and at in path:
            circle = list(path)[path[at] :]
            first = min(range(len(circle)), key=lambda place: order[circle[place]])
            found.append(circle[first:] + circle[:first])
        seen.update(path)
    return sorted(found, key=lambda circle: order[circle[0]])


def tops(parents: Mapping[str, str]) -> dict[str, str]:
    """Return the account at the top of each that has a parent; of a circle, the first of it."""
    top = {each: circle[0] for circle in cycles(parents) for each in circle}
    for account in parents:
        path: list[str] = []
        at = account
        while at not in top and at in parents:
            path.append(at)
            at = parents[at]
        end = top.get(at, at)
        top.update(dict.fromkeys(path, end))
    return top

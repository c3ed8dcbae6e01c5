"""What the findings have in common: how they are grouped and worded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ..show import shown
from .people import MOST_SIDES

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from .people import Known

Finding = dict[str, Any]
T = TypeVar("T")
_MOST_NAMED = 3


def finding(title: str, sides: list[dict[str, Any]], advice: str) -> Finding:
    """Return a finding with its first ten sides."""
    more = len(sides) - MOST_SIDES
    title = f"{title}; {more} more are not shown" if more > 0 else title
    return {"title": title, "sides": sides[:MOST_SIDES], "advice": advice}


def grouped(pairs: Iterable[tuple[Hashable, T]]) -> list[list[T]]:
    """Return what has the same key as something else, together."""
    first: dict[Hashable, T] = {}
    groups: dict[Hashable, list[T]] = {}
    for key, value in pairs:
        if first.setdefault(key, value) is not value:
            groups.setdefault(key, [first[key]]).append(value)
    return list(groups.values())


def listed(texts: Iterable[str]) -> str:
    """Return the first three of these, as a title names them."""
    named = [shown(text) for text in texts]
    if len(named) <= _MOST_NAMED:
        return " and ".join(named)
    return f"{', '.join(named[:_MOST_NAMED])} and {len(named) - _MOST_NAMED} more"


def ids(accounts: Iterable[Known]) -> str:
    """Return the IDs of accounts, as a title names them."""
    return listed(known.id for known in accounts)

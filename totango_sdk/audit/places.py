"""Where an ID stands in an object: under a key of any dress, at a path, or in the browser's shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..tables import plain_name

# What a column can mean, by the names that it may have; the first one is the meaning's own.
NAMES = {
    "account": ("account_id", "account", "account.id"),
    "name": ("account_name", "account.name"),
    "parent": ("parent_id", "parent", "account.parent", "account.parent_id"),
    "product": ("product_id", "product", "product.id"),
    "foreignkeyid": ("foreignkeyid", "account.foreignkeyid"),
    "ofid": ("ofid", "account.ofid"),
    "user": ("user_id", "user", "user.id"),
    "collection": ("collection_id", "collection"),
    "salesforce": ("salesforce_id", "salesforce"),
    "activity": ("activity", "action", "event"),
}
# The same within an account that is an object.
_WITHIN = {
    "name": ("name",),
    "parent": ("parent", "parentid"),
    "foreignkeyid": ("foreignkeyid",),
    "ofid": ("ofid",),
}


class Place(NamedTuple):
    """A key of an object, which may be one within the row."""

    inside: Any
    key: str

    @property
    def value(self) -> Any:
        """What stands there."""
        return self.inside.get(self.key)


Find = Callable[[Mapping[str, Any]], Place | None]


def by_names(meaning: str) -> Find:
    """Return what finds a meaning in a row by its names."""
    plain = {plain_name(each) for each in NAMES[meaning]}
    within = {plain_name(each) for each in _WITHIN.get(meaning, ())}
    of_account = {plain_name(each) for each in NAMES["account"]}

    def find(row: Mapping[str, Any]) -> Place | None:
        found = _under(row, plain)
        if found is not None or not within:
            return found
        for key, value in row.items():
            if isinstance(value, Mapping) and plain_name(key) in of_account:
                return _under(value, within)
        return None

    return find


def _under(row: Mapping[str, Any], plain: set[str]) -> Place | None:
    for key, value in row.items():
        if plain_name(key) in plain:
            return Place(value, "id") if isinstance(value, Mapping) else Place(row, key)
    return None


def by_path(path: str) -> Find:
    """Return what finds a path such as `org.id` in a row. A key that has the dots itself wins."""

    def find(row: Mapping[str, Any], path: str = path) -> Place | None:
        if path in row:
            return Place(row, path)
        first, dot, rest = path.partition(".")
        while dot:
            inner = row.get(first)
            if isinstance(inner, Mapping) and (found := find(inner, rest)) is not None:
                return found
            more, dot, rest = rest.partition(".")
            first = f"{first}.{more}"
        return None

    return find

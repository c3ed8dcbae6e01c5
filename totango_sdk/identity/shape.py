"""The browser's own shape of an account, a product and a user: what each key of a mapping means.

Each name stands here once, for the way there and for the way back. Every key that stands for no
field is an attribute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .texts import exact_str


class Names(NamedTuple):
    """The keys that one field is read from: the first that has a value counts.

    Those `beside` are short ones, which a page may also put beside the account or user, at the top
    of its options.
    """

    within: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


class Shape:
    """What the keys of one kind of entity mean.

    A field is written under its own name. `placed` is a field that is read and written as an
    attribute is, so that it keeps its place among them.
    """

    def __init__(self, *, placed: str | None = None, **fields: Names) -> None:
        self.fields = {field: names.within + names.beside for field, names in fields.items()}
        self.beside = tuple(key for names in fields.values() for key in names.beside)
        self._known = frozenset(key for keys in self.fields.values() for key in keys)
        self._known |= {"attributes"}
        self._placed = placed

    def is_field(self, key: str) -> bool:
        """Whether a key stands for a field, and neither for an attribute nor for all of them."""
        return key != "attributes" and (key in self._known or key == self._placed)

    def read(self, mapping: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the value of each field, and the attributes with the field that is placed there.

        The attributes are those of `attributes`, then all other keys.
        """
        values = {field: _first(mapping, keys) for field, keys in self.fields.items()}
        nested = mapping.get("attributes")
        found: dict[str, Any] = dict(nested) if isinstance(nested, Mapping) else {}
        if nested is not None and not isinstance(nested, Mapping):
            found["attributes"] = nested
        known = self._known
        found.update((key, value) for key, value in mapping.items() if key not in known)
        return values, found

    def write(self, values: Mapping[str, Any], attributes: Mapping[str, str]) -> dict[str, Any]:
        """Return the mapping from which `read` gets these values and attributes."""
        written = {field: value for field, value in values.items() if value}
        hidden = {key: value for key, value in attributes.items() if key in self._known}
        if hidden:
            written["attributes"] = hidden
        return written | {key: value for key, value in attributes.items() if key not in hidden}


def is_empty(value: Any) -> bool:
    """Whether a value is an empty text. By type first: some, such as pandas' NA, have no truth."""
    return exact_str(value) == ""


def unless_empty(value: Any) -> Any:
    """Return `value`, or `None` for an empty text."""
    return None if is_empty(value) else value


def _first(mapping: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    """Return the first value that is there, as the browser does: an empty one counts as absent."""
    found = None
    for key in keys:
        value = mapping.get(key)
        if unless_empty(value) is not None:
            return value
        if found is None:
            found = value
    return found


# Totango's own collector reads these, and the documentation names them (203639605).
ACCOUNT = Shape(
    id=Names(("id",), ("o",)),
    name=Names(("name",), ("odn", "account_name")),
    ofid=Names((), ("fid", "ofid")),
    parent=Names(("parent",)),
    foreign_keys=Names(("foreign_keys",)),
    placed="foreignkeyid",
)
PRODUCT = Shape(
    id=Names(("id",)),
    name=Names(("name",)),
    account_id=Names(("account_id",)),
    module=Names(("module",)),
)
USER = Shape(
    id=Names(("id",), ("u",)),
    contact=Names(("contact",)),
    key_contact=Names(("key_contact",)),
    placed="name",
)

"""What columns mean, by their names."""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ..errors import OptionsError
from ..show import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_DRESS = re.compile(r"[ _-]")
MOST_COLUMNS = 1000


@lru_cache(maxsize=4096)
def plain_name(name: str) -> str:
    """Return a name as names are compared: without letter case, spaces, `_` and `-`."""
    return _DRESS.sub("", name).casefold()


def _by_plain_name(names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {plain_name(name): meaning for meaning, all_ in names.items() for name in all_}


# The names of each meaning, where no map says otherwise.
NAMES: dict[str, Sequence[str]] = {
    "account.id": ("account_id", "account"),
    "account.name": ("account_name",),
    "account.parent": ("parent_id", "parent"),
    "account.foreignkeyid": ("foreignkeyid",),
    "account.ofid": ("ofid",),
    "product.id": ("product_id", "product"),
    "product.name": ("product_name",),
    "product.account_id": ("product_account_id",),
    "product.module": ("product_module",),
    "user.id": ("user_id", "user"),
    "user.name": ("user_name",),
    "user.contact": ("contact",),
    "user.key_contact": ("key_contact",),
    "activity": ("activity", "action", "event"),
    "module": ("module", "category"),
    "time": ("timestamp", "time", "event_time", "occurred_at"),
    "call": ("call",),
}
_FIELDS = {
    "account": ("id", "name", "parent", "foreignkeyid", "ofid"),
    "product": ("id", "name", "account_id", "module"),
    "user": ("id", "name", "contact", "key_contact"),
}
_MEANINGS = _by_plain_name(NAMES)
_DOTTED = {
    entity: {plain_name(field): field for field in fields} for entity, fields in _FIELDS.items()
}
_DOTTED["account"]["parentid"] = "parent"


class Meaning(NamedTuple):
    """What a column means: a field of `NAMES`, or with `is_attribute` an entity's attribute."""

    name: str
    is_attribute: bool = False

    @property
    def entity(self) -> str:
        """`account`, `product`, `user`; or the field itself where it is of no entity."""
        return self.name.partition(".")[0]

    @property
    def field(self) -> str:
        """The attribute's name, or the entity's field."""
        return self.name.partition(".")[2]


def meaning_of(column: str) -> Meaning | None:
    """Return what a column of this name means; `None` if nothing."""
    known = _MEANINGS.get(plain_name(column))
    if known is not None:
        return Meaning(known)
    before, dot, name = column.partition(".")
    entity = plain_name(before)
    if not dot or entity not in _DOTTED or not name:
        return None
    field = _DOTTED[entity].get(plain_name(name))
    return Meaning(f"{entity}.{field or name}", field is None)


def recognised(columns: Iterable[str]) -> dict[int, Meaning]:
    """Return the meaning of each column that has one, by its place.

    Raises `OptionsError` if two columns have one meaning; it names both.
    """
    found: dict[int, Meaning] = {}
    first: dict[Meaning, str] = {}
    for at, column in enumerate(columns):
        meaning = meaning_of(column)
        if meaning is None:
            continue
        if meaning in first:
            msg = (
                f"two columns mean {meaning.name}: {shown(first[meaning])} and {shown(column)}. "
                "Rename one, or say in a --map which is meant"
            )
            raise OptionsError(msg)
        first[meaning] = column
        found[at] = meaning
    return found


def duplicates(columns: Sequence[str]) -> list[str]:
    """Return the names that are there more than once."""
    return sorted({name for name in columns if name and columns.count(name) > 1})


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?` for the nearest known name, or an empty text."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {shown(found[0])}?" if found else ""

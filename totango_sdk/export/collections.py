"""Rows that say which account is in which collection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import OptionsError
from ..identity import Account, check_id, salesforce_id
from ..identity.texts import canonical_id
from ..replay.layout import Layout
from ..replay.values import Rejected, Skipped
from ..tables import Map, MapSource, Unfit, meaning_of, plain_name
from .said import Record

if TYPE_CHECKING:
    from ..tables import Source

_NAMES = {
    "collectionid": "id", "collection": "id", "collection.id": "id",
    "collectiontype": "type", "collection.type": "type",
}  # fmt: skip
# In a map, [collection] says whose it is, else [account] does.
_MAPPED = (
    ("account", "account.id"),
    ("account", "collection.account"),
    ("id", "collection.id"),
    ("type", "collection.type"),
)


class _Columns(NamedTuple):
    layout: Layout
    sources: dict[str, MapSource]  # id, type, account
    attributes: dict[str, MapSource]


class Collections:
    """Reads rows of one source as collections' IDs, each with its account and its type."""

    def __init__(self, source: Source, map_: Map | None) -> None:
        self.warnings: Counter[str] = Counter()
        self._map = map_
        self._layouts: dict[tuple[str, ...], _Columns] = {}
        self._columns = None if source.columns is None else self._found(source.columns)
        if self._columns is not None and "id" not in self._columns.sources:
            msg = (
                f"{source.name} has no usable column: name it collection_id, or say in the map's "
                "[collection] which it is"
            )
            raise OptionsError(msg)

    @property
    def unused(self) -> list[str]:
        """The columns that mean nothing here."""
        if self._columns is None:
            return []
        sources = (*self._columns.sources.values(), *self._columns.attributes.values())
        used = {source.column for source in sources} | set(self._columns.layout.where)
        return [name for name in self._columns.layout._columns if name not in used]

    def verdict(self, row: Any) -> Record | Rejected | Skipped:
        """Return what a row says."""
        columns = self._columns
        if columns is None:
            columns = self._found_for(row)
        if columns.layout.where and not columns.layout.is_wanted(row):
            return Skipped("the map leaves it out")
        try:
            given = {name: _read(columns, source, row) for name, source in columns.sources.items()}
            attributes = {
                name: _read(columns, source, row) for name, source in columns.attributes.items()
            }
        except Unfit as unfit:
            return Rejected("value", str(unfit), ("collection",))
        return self._checked(given, attributes)

    def _checked(self, given: dict[str, Any], attributes: dict[str, Any]) -> Record | Rejected:
        account: Any = given.get("account")
        if isinstance(account, Mapping):
            account = account.get("id")
        kept = {name: value for name, value in attributes.items() if value not in (None, "")}
        said = Account(account, attributes=kept)
        problems = [*said.problems, *check_id("collection", given.get("id"))]
        if given.get("type") not in (None, ""):
            problems += check_id("collection", given["type"])
        errors = [each for each in problems if each.severity == "error"]
        if errors:
            fields = tuple(dict.fromkeys(each.field for each in errors))
            return Rejected("invalid", "; ".join(map(str, errors)), fields)
        self.warnings.update(each.field for each in problems)
        kind, found = (canonical_id(given.get(name)) or "" for name in ("type", "id"))
        return Record((kind, str(said.id), found), tuple(said.said.pairs))

    def _found_for(self, row: Any) -> _Columns:
        keys = tuple(row)
        found = self._layouts.get(keys)
        if found is None:
            if len(self._layouts) >= 1000:
                self._layouts.clear()
            found = self._layouts[keys] = self._found(keys, is_mapping=True)
        return found

    def _found(self, columns: tuple[str, ...], *, is_mapping: bool = False) -> _Columns:
        layout = Layout(columns, self._map, lambda _: None, is_mapping=is_mapping)
        map_ = self._map if self._map is not None and self._map.names_columns else None
        if map_ is None:
            return _Columns(layout, *_by_names(columns))
        sources = {
            name: map_.sources[meaning] for name, meaning in _MAPPED if meaning in map_.sources
        }
        return _Columns(layout, sources, dict(map_.attributes.get("collection", {})))


def _by_names(columns: tuple[str, ...]) -> tuple[dict[str, MapSource], dict[str, MapSource]]:
    sources: dict[str, MapSource] = {}
    attributes: dict[str, MapSource] = {}
    for column in columns:
        meaning = meaning_of(column)
        name = _NAMES.get(plain_name(column))
        before, dot, after = column.partition(".")
        if meaning is not None and meaning.name == "account.id":
            sources.setdefault("account", MapSource(column=column))
        elif name is not None:
            sources.setdefault(name, MapSource(column=column))
        elif dot and after and plain_name(before) == "collection":
            attributes[after] = MapSource(column=column)
    return sources, attributes


def _read(columns: _Columns, source: MapSource, row: Any) -> Any:
    given = None if source.column is None else columns.layout.at(row, source.column)
    return source.read(given, salesforce_id)

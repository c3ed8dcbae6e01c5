"""Which columns or keys of a row say what, by their names or by a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from ..errors import OptionsError
from ..show import shown
from ..tables import Map, MapSource, at_path, duplicates, recognised, written
from .parts import Field, Part

if TYPE_CHECKING:
    from collections.abc import Iterable

Pick = Callable[[Any], tuple[Any, ...]]
_ENTITIES = ("account", "product", "user")
_EVENT = ("activity", "module", "time", "call")
_NOTHING = MapSource(value=None)


class Layout:
    """How rows with these columns, or keys, are read. `is_usable`: some of them mean something."""

    def __init__(
        self,
        columns: tuple[str, ...],
        map_: Map | None,
        told: Callable[[str], None],
        *,
        is_mapping: bool,
    ) -> None:
        self._is_mapping = is_mapping
        self._columns = columns
        self._map = map_ if map_ is not None and map_.names_columns else None
        if map_ is not None and not is_mapping:
            map_.check_columns(columns)
        self.event: dict[str, MapSource] = {}
        fields: dict[str, list[Field]] = {entity: [] for entity in _ENTITIES}
        if self._map is None:
            self._by_names(fields)
        else:
            self._by_map(self._map, fields)
        self.is_usable = bool(self.event) or any(fields.values())
        if map_ is not None and map_.call is not None:
            self.event["call"] = map_.call
        self.where = {} if map_ is None else dict(map_.where)
        self.has = {entity: bool(fields[entity]) for entity in _ENTITIES}
        self.parts = {entity: Part(entity, fields[entity], told) for entity in _ENTITIES}
        self.picks = {
            entity: self.pick([field.source for field in fields[entity]]) for entity in _ENTITIES
        }
        self.event_sources = [self.event.get(name, _NOTHING) for name in _EVENT]
        self.pick_event = self.pick(self.event_sources)
        self.is_event_plain = all(
            source is _NOTHING or source.is_plain for source in self.event_sources
        )

    def all_sources(self) -> list[MapSource]:
        """Where all that counts comes from."""
        fields = [field.source for part in self.parts.values() for field in part.fields]
        return [*fields, *self.event.values()]

    @property
    def unused(self) -> list[str]:
        """The columns that mean nothing."""
        if self._map is None:
            used = set(recognised(self._columns))
            names = (name for at, name in enumerate(self._columns) if at not in used)
            return list(dict.fromkeys(name for name in names if name not in self.where))
        taken = {source.column for _, source in self._map.all_sources()} | set(self._map.where)
        return list(dict.fromkeys(name for name in self._columns if name not in taken))

    def notes(self, name: str) -> list[str]:
        """Return what is to be said of names that several columns of a source have."""
        several = ", ".join(map(shown, duplicates(self._columns)))
        return [f"{name}: several columns are named {several}; none is used"] if several else []

    def _by_names(self, fields: dict[str, list[Field]]) -> None:
        for at, meaning in recognised(self._columns).items():
            source = MapSource(column=self._columns[at])
            if meaning.entity in _ENTITIES:
                kind = "attribute" if meaning.is_attribute else "field"
                fields[meaning.entity].append(Field(meaning.field, kind, source))
            else:
                self.event[meaning.name] = source

    def _by_map(self, map_: Map, fields: dict[str, list[Field]]) -> None:
        for name, source in map_.sources.items():
            entity, _, field = name.partition(".")
            if entity in _ENTITIES:
                fields[entity].append(Field(field, "field", source))
            elif entity in _EVENT:
                self.event[name] = source
        for entity in _ENTITIES:
            for name, source in map_.attributes.get(entity, {}).items():
                fields[entity].append(Field(name, "attribute", source))
        for name, source in map_.foreign_keys.items():
            fields["account"].append(Field(name, "foreign_key", source))

    def pick(self, sources: Iterable[MapSource]) -> Pick:
        """Return what picks the values for these sources out of a row."""
        names = [source.column for source in sources]
        if all(name in self._columns for name in names if name is not None):
            return self._plain_pick(names)
        return lambda row: tuple(None if name is None else self.at(row, name) for name in names)

    def _plain_pick(self, names: list[str | None]) -> Pick:
        if not names:
            return lambda _: ()
        places: list[Any] = [
            name if self._is_mapping or name is None else self._columns.index(name)
            for name in names
        ]
        if None not in places:
            if len(places) == 1:
                only = places[0]
                return lambda row: (row[only],)
            return itemgetter(*places)
        return lambda row: tuple(None if at is None else row[at] for at in places)

    def at(self, row: Any, name: str) -> Any:
        """Return what a row has in a column, or at a path."""
        mapping = row if self._is_mapping else dict(zip(self._columns, row, strict=True))
        return at_path(mapping, name)

    def is_wanted(self, row: Any) -> bool:
        """Whether a row has the values that the map's `[where]` asks for."""
        return all(written(self.at(row, name)) in wanted for name, wanted in self.where.items())


def check_usable(layout: Layout, name: str) -> None:
    """Raise `OptionsError` if no column of a source means anything."""
    if not layout.is_usable:
        msg = (
            f"{name} has no usable column: name them account_id, user_id, activity and so on, "
            "or say with --map what they mean"
        )
        raise OptionsError(msg)


def is_mapping(row: Any) -> bool:
    """Whether a row is an object with keys."""
    return isinstance(row, Mapping)

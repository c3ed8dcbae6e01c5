"""The files of an audit: which columns they have, and their IDs with the lines they stand on."""

from __future__ import annotations

import csv
import os
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import attrs

from ..binding import keys
from ..errors import OptionsError
from ..show import shown
from ..tables import Broken, Reading, Unfit, at_path, open_source, plain_name, written
from .places import NAMES, by_names, by_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..tables import Batch, Map, MapSource, Source
    from .places import Find

KINDS = ("accounts", "users", "events", "collections")
MEANINGS = tuple(NAMES)
_BY_NAME = {plain_name(name): meaning for meaning, names in NAMES.items() for name in names}
_MAPPED = {
    "account": (("id", "account"), ("name", "name"), ("parent", "parent"),
                ("foreignkeyid", "foreignkeyid"), ("ofid", "ofid")),
    "product": (("id", "product"),),
    "user": (("id", "user"),),
    "collection": (("id", "collection"), ("account", "account")),
}  # fmt: skip


_PLACES = tuple(map(itemgetter, range(1000)))


class Ids(dict[str, list[int]]):
    """Distinct values in the order of the file, each with its lines."""

    def add(self, value: str, line: int) -> None:
        """Note one more line of a value."""
        lines = self.get(value)
        if lines is None:
            self[value] = [line]
        else:
            lines.append(line)


@attrs.define
class File:
    """One file: its rows as tuples of the columns that it has, and how many could not be read."""

    name: str
    path: str | None
    kind: str
    columns: tuple[str, ...]
    foreign_keys: tuple[str, ...]
    rows: int = 0
    rejected: int = 0
    lines: list[int] = attrs.field(factory=list)
    values: dict[str, list[str | None]] = attrs.field(factory=dict)
    accounts: int = 0  # those that others can be bound to, of home
    formats: dict[str, int] = attrs.field(factory=dict)  # how many account IDs have each
    spilled: str | None = None  # where its rows are, if they are too many for memory

    def has(self, meaning: str) -> bool:
        """Whether it has a column with this meaning."""
        return meaning in self.columns

    def column(self, meaning: str) -> list[str | None]:
        """Return the values of a column, row by row; `None` for what is not given."""
        found = self.values.get(meaning)
        return [None] * len(self.lines) if found is None else found

    def ids(self, meaning: str) -> Ids:
        """Return the distinct values of a column that are IDs, if wrong ones, with their lines."""
        found = Ids()
        for line, value in zip(self.lines, self.column(meaning), strict=True):
            if value is not None and is_an_id(value):
                found.add(value, line)
        return found

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns with foreign keys."""
        given = tuple(name for name in ("foreignkeyid", "ofid") if name in self.columns)
        return (*given, *self.foreign_keys)

    @property
    def lists_products(self) -> bool:
        """Whether product accounts stand in it by their own ID, as in Totango's importer."""
        return self.kind == "accounts" and self.has("parent")


def is_an_id(value: str) -> bool:
    """Whether a value may be an ID at all: it is not empty, and no placeholder."""
    return not value.isspace() and value != "" and not keys.is_placeholder(value)


def read_file(
    name: str,
    source: Any,
    *,
    columns: Mapping[str, str],
    kind: str | None,
    map: Map | None,  # noqa: A002  # the word of the contract
    reading: Reading,
    spill: Callable[[File], Spill | None],
) -> File:
    """Read one file. Raises `OptionsError` for what concerns the whole file."""
    if kind is not None and kind not in KINDS:
        raise OptionsError.of("kinds", kind, f"it is one of {', '.join(KINDS)}", "'accounts'")
    opened = open_source(source, reading)
    try:
        getters = _getters(name, opened, columns, map)
        foreign = tuple(each for each in getters if each not in MEANINGS)
        known = tuple(each for each in getters if each in MEANINGS)
        path = os.fspath(source) if isinstance(source, str | os.PathLike) else None
        file = File(name, path, kind or _kind(known), known, foreign)
        is_mapped = map is not None and map.names_columns
        rows = _Rows(file, getters if is_mapped else None, wanted_of(opened, map))
        _fill(file, opened, getters, spill, rows)
    finally:
        opened.close()
    return file


def _kind(columns: Sequence[str]) -> str:
    for meaning, kind in (("collection", "collections"), ("activity", "events"), ("user", "users")):
        if meaning in columns:
            return kind
    return "accounts"


def _getters(
    name: str,
    source: Source,
    columns: Mapping[str, str],
    map: Map | None,  # noqa: A002
) -> dict[str, Callable[[Any], Any]]:
    """Return how each meaning is read from a row."""
    if map is not None and source.columns is not None:
        map.check_columns(source.columns)
    if map is not None and map.names_columns:
        return _mapped(source, map)
    if source.columns is None:
        return {each: _value_at(find) for each, find in _finders(columns).items()}
    found = _places(name, source.columns, columns)
    return {meaning: itemgetter(at) for meaning, at in found.items()}


def _value_at(find: Find) -> Callable[[Any], Any]:
    def read(row: Any) -> Any:
        place = find(row)
        return None if place is None else place.value

    return read


def _finders(columns: Mapping[str, str]) -> dict[str, Find]:
    named = {_meaning(each): by_path(column) for each, column in columns.items()}
    return {each: named.get(each) or by_names(each) for each in MEANINGS}


def column_places(
    source: Source,
    columns: Mapping[str, str],
    map: Map | None,  # noqa: A002
) -> dict[str, Any]:
    """Return where each meaning stands in a row: a place, or what finds it in a mapping."""
    if map is not None and map.names_columns:
        mapped = [(each, found.column) for each, found in _sources_of(map) if found.column]
        if source.columns is None:
            return {meaning: by_path(column) for meaning, column in mapped}
        names = source.columns
        return {meaning: names.index(column) for meaning, column in mapped if column in names}
    if source.columns is not None:
        return dict(_places(source.name, source.columns, columns))
    return dict(_finders(columns))


def _places(name: str, names: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    named = {_meaning(each): column for each, column in columns.items()}
    found: dict[str, int] = {}
    for meaning, column in named.items():
        if column not in names:
            msg = f"{name} has no column {shown(column)}: it has {', '.join(map_shown(names))}"
            raise OptionsError(msg)
        if names.count(column) > 1:
            raise OptionsError(f"{name}: two columns have the name {shown(column)}: rename one")
        found[meaning] = names.index(column)
    taken = set(found.values())
    for at, column in enumerate(names):
        meaning = _BY_NAME.get(plain_name(column), "")
        if meaning and at not in taken and meaning not in named:
            if meaning in found:
                msg = (
                    f"{name}: two columns mean {meaning}: {shown(names[found[meaning]])} and "
                    f"{shown(column)}. Rename one, or say which by --column"
                )
                raise OptionsError(msg)
            found[meaning] = at
    if not found:
        msg = (
            f"{name} has no column that an audit can use: name one by "
            f"--column {name}:account=COLUMN. It has {', '.join(map_shown(names))}"
        )
        raise OptionsError(msg)
    return found


def map_shown(names: Sequence[str]) -> list[str]:
    """Return some names as an error message shows them."""
    return [shown(each) for each in names[:20]]


def _meaning(name: str) -> str:
    found = _BY_NAME.get(plain_name(name)) or (name if name in MEANINGS else None)
    if found is None:
        raise OptionsError.of(
            "columns", name, f"a meaning is one of {', '.join(MEANINGS)}", "{'salesforce': 'Id'}"
        )
    return found


def _mapped(source: Source, map: Map) -> dict[str, Callable[[Any], Any]]:  # noqa: A002
    """Return how each meaning of a map is read; a value that does not fit raises `Unfit`."""
    given = dict(_sources_of(map))
    return {meaning: _of_map(each, source.columns) for meaning, each in given.items()}


def _sources_of(map: Map) -> Iterator[tuple[str, MapSource]]:  # noqa: A002
    for entity, fields in _MAPPED.items():
        for field, meaning in fields:
            if f"{entity}.{field}" in map.sources:
                yield meaning, map.sources[f"{entity}.{field}"]
    for label, each in map.foreign_keys.items():
        yield f"foreignkeyid {label}", each
    if "activity" in map.sources:
        yield "activity", map.sources["activity"]


def _of_map(each: MapSource, columns: Sequence[str] | None) -> Callable[[Any], Any]:
    from ..identity import salesforce_id

    column = each.column
    get = (lambda _: None) if column is None else _getter(column, columns)
    return lambda row: each.read(get(row), salesforce_id)


def _getter(column: str, columns: Sequence[str] | None) -> Callable[[Any], Any]:
    if columns is None:
        return lambda row: at_path(row, column)
    if column not in columns:  # a path into a column that holds objects
        return lambda row: at_path(dict(zip(columns, row, strict=True)), column)
    return itemgetter(columns.index(column))


def wanted_of(source: Source, map: Map | None) -> Callable[[Any], bool] | None:  # noqa: A002
    """Return what says whether a row has the values that a map's `[where]` asks for."""
    if map is None or not map.where:
        return None
    asked = [(_getter(name, source.columns), values) for name, values in map.where.items()]
    return lambda row: all(written(get(row)) in values for get, values in asked)


def _fill(
    file: File,
    source: Source,
    getters: Mapping[str, Callable[[Any], Any]],
    spill: Callable[[File], Spill | None],
    read_rows: _Rows,
) -> None:
    """Read the rows into memory, and those beyond a number into a file."""
    gets = getters if read_rows.mapped is None else dict(zip(getters, _PLACES, strict=False))
    read = [(get, file.values.setdefault(meaning, [])) for meaning, get in gets.items()]
    there: set[str] = set()
    out: Spill | None = None
    is_text = source.format == "csv" and read_rows.mapped is None
    for batch in source.batches():
        lines, rows = read_rows.of(batch)
        file.lines += lines
        for get, values in read:
            if is_text and type(get) is itemgetter:
                values += [value or None for value in map(get, rows)]
            else:
                values += [_text(get(row)) for row in rows]
        out = out or spill(file)
        if out is not None:
            there |= _there(file)
            out.take(file)
    there |= _there(file)
    if out is not None:
        out.close()
    if source.columns is None:
        _forget_empty(file, there)


class _Rows:
    """Gives the rows of a file that are to be checked; with a map, as it reads them."""

    def __init__(
        self,
        file: File,
        mapped: Mapping[str, Callable[[Any], Any]] | None,
        is_wanted: Callable[[Any], bool] | None,
    ) -> None:
        self._file = file
        self.mapped = mapped
        self._is_wanted = is_wanted

    def of(self, batch: Batch) -> tuple[Sequence[int], Sequence[Any]]:
        """Count the rows of a batch, and return those that could be read with their lines."""
        self._file.rows += len(batch.rows)
        is_plain = self.mapped is None and self._is_wanted is None
        if is_plain and not any(type(row) is Broken for row in batch.rows):
            return batch.lines, batch.rows
        whole = [
            (line, read)
            for line, row in zip(batch.lines, batch.rows, strict=True)
            if (read := self._read(row)) is not None
        ]
        return [line for line, _ in whole], [row for _, row in whole]

    def _read(self, row: Any) -> Any:
        """Return a row as it is to be checked; `None` if it is not, and counted if it is wrong."""
        if type(row) is Broken:
            self._file.rejected += 1
            return None
        if self._is_wanted is not None and not self._is_wanted(row):
            return None
        if self.mapped is None:
            return row
        try:
            return [get(row) for get in self.mapped.values()]
        except Unfit:
            self._file.rejected += 1
            return None


def _there(file: File) -> set[str]:
    return {name for name, values in file.values.items() if any(v is not None for v in values)}


class Spill:
    """Writes the rows of a file that are too many for memory."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._out = open(path, "w", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: SIM115
        self._writer = csv.writer(self._out, lineterminator="\n")
        self._row = 0

    def take(self, file: File) -> None:
        """Write the rows that a file has, and take them out of it."""
        rows = zip(file.lines, *file.values.values(), strict=True)
        self._writer.writerows((at, *row) for at, row in enumerate(rows, self._row))
        self._row += len(file.lines)
        file.lines.clear()
        for values in file.values.values():
            values.clear()
        file.spilled = self.path

    def close(self) -> None:
        """All is written."""
        self._out.close()


def _forget_empty(file: File, there: set[str]) -> None:
    """Of mappings, a meaning that no row has is no column."""
    file.columns = tuple(name for name in file.columns if name in there)
    if file.spilled is None:
        file.values = {name: values for name, values in file.values.items() if name in there}
    file.kind = file.kind if file.kind != "collections" else _kind(file.columns)


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else str(value)

"""`--map`: a TOML file that says which column means what, and how its values are to be changed."""

from __future__ import annotations

import datetime as dt
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import OptionsError
from ..show import shown
from .columns import nearest
from .times import NoZone, Unfit, iso, zone

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENTITIES: dict[str, tuple[str, ...]] = {
    "account": ("id", "name", "parent", "foreignkeyid", "ofid", "attributes", "foreign_keys"),
    "product": ("id", "name", "account_id", "module", "attributes"),
    "user": ("id", "name", "contact", "key_contact", "attributes"),
    "event": ("activity", "module", "time"),
    "collection": ("id", "type", "account", "attributes"),
}
_FLAGS = ("format", "delimiter", "encoding", "timezone")
_SOURCE_KEYS = (
    "column", "value", "default", "values", "strip", "case", "salesforce", "number", "date",
    "timezone",
)  # fmt: skip
_CASES: dict[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper}
_HAS_TIME = re.compile(r"%[HIMSpfXcs]")
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")

# Given 15 or 18 characters of a Salesforce ID, returns the 18. Raises `ValueError`.
Salesforce = Callable[[str], str]


def _no_salesforce(text: str) -> str:
    return text


@attrs.frozen(kw_only=True)
class Source:
    """Where a value comes from: a column (or a path into an object), or a constant."""

    column: str | None = None
    value: Any = None
    default: Any = None
    values: Mapping[str, Any] = attrs.field(factory=dict)
    strip: bool = False
    case: str | None = None
    salesforce: bool = False
    number: str | None = None
    date: str | None = None
    timezone: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether a value stays what it is."""
        return self == Source(column=self.column)

    def read(self, given: Any, salesforce: Salesforce = _no_salesforce) -> Any:
        """Return what a given value becomes; `None` is not given. Raises `Unfit`."""
        if self.column is None:
            return self.value
        if isinstance(given, str):
            given = self._text(given)
        if given is None or given == "":
            return self.default
        if self.values:
            given = self.values.get(written(given), given)
        if self.salesforce:
            given = _as_salesforce(given, salesforce)
        if self.number is not None:
            given = _number(given, self.number)
        return given if self.date is None else self._date(given)

    def _text(self, given: str) -> str:
        text = given.strip() if self.strip else given
        return _CASES[self.case](text) if self.case else text

    def _date(self, given: Any) -> str:
        assert self.date is not None
        if type(given) is int:
            given = str(given)
        try:
            time = dt.datetime.strptime(given, self.date)  # noqa: DTZ007  # its zone is judged below
        except (ValueError, TypeError):
            raise Unfit(f"{shown(given)} does not fit the date format {self.date!r}") from None
        if not _HAS_TIME.search(self.date):
            return time.date().isoformat()
        if time.tzinfo is None:
            if self.timezone is None:
                msg = f"{shown(given)} names no time zone: add timezone = to its date in the map"
                raise NoZone(msg)
            time = time.replace(tzinfo=zone(self.timezone))
        try:
            return iso(time)
        except OverflowError:
            raise Unfit(f"{shown(given)} is beyond the times there are") from None


def written(value: Any) -> str:
    """Return a value as a map writes it: JSON's `true` is `true`, and what is not given is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _as_salesforce(given: Any, salesforce: Salesforce) -> str:
    try:
        return salesforce(given)
    except ValueError as error:
        raise Unfit(str(error)) from None


def _number(given: Any, mark: str) -> Any:
    """Return a number written with this decimal mark, as text with a point."""
    if not isinstance(given, str):
        return given
    groups = "." if mark == "," else ","
    text = re.sub(rf"[\s'\u2019\u00a0\u202f{re.escape(groups)}]", "", given).replace(mark, ".")
    try:
        if _NUMBER.fullmatch(text):
            return format(Decimal(text), "f")
    except InvalidOperation:
        pass
    raise Unfit(f"{shown(given)} is no number with the decimal mark {mark!r}")


@attrs.frozen(kw_only=True)
class Map:
    """A map, read and checked. `text` is as it was given.

    `sources` has a `Source` for each meaning: `account.id`, `activity`, `collection.id` and so on;
    `attributes` those of each entity, and `foreign_keys` the account's, in the order of the map.
    """

    text: str = ""
    call: Source | None = None
    flags: Mapping[str, str] = attrs.field(factory=dict)
    sources: Mapping[str, Source] = attrs.field(factory=dict)
    attributes: Mapping[str, Mapping[str, Source]] = attrs.field(factory=dict)
    foreign_keys: Mapping[str, Source] = attrs.field(factory=dict)
    where: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    pages: bool = False

    @property
    def names_columns(self) -> bool:
        """Whether it says what columns mean, and so replaces the automatic names."""
        return bool(self.sources or self.foreign_keys or any(self.attributes.values()))

    def all_sources(self) -> Iterable[tuple[str, Source]]:
        """Every source with the field that it is for."""
        yield from self.sources.items()
        for entity, sources in self.attributes.items():
            yield from ((f"{entity}.{name}", source) for name, source in sources.items())
        yield from ((f"account.{name}", source) for name, source in self.foreign_keys.items())
        if self.call is not None:
            yield "call", self.call

    def check_columns(self, columns: tuple[str, ...]) -> None:
        """Raise `OptionsError` if a column that the map names is not among these."""
        wanted = [source.column for _, source in self.all_sources() if source.column is not None]
        for column in (*wanted, *self.where):
            if column not in columns and column.partition(".")[0] not in columns:
                hint = nearest(column, columns)
                msg = f"the map names the column {shown(column)}, which is not there{hint}"
                raise OptionsError(msg)
            if columns.count(column) > 1:
                raise OptionsError(f"two columns have the name {shown(column)}, which the map uses")


def read_map(given: Any) -> Map:
    """Read a map: a path, TOML text, or a mapping of the same shape. Raises `OptionsError`."""
    text = "" if isinstance(given, Mapping) else _text_of(given)
    try:
        tables = given if isinstance(given, Mapping) else tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OptionsError(f"the map is no TOML: {error}") from None
    _check_keys("the map", tables, ("call", *_FLAGS, *_ENTITIES, "where", "segment"))
    sources: dict[str, Source] = {}
    attributes: dict[str, dict[str, Source]] = {}
    for entity, keys in _ENTITIES.items():
        table = _table(tables, entity)
        _check_keys(f"[{entity}]", table, keys)
        for key in keys:
            if key in table and key not in ("attributes", "foreign_keys"):
                name = key if entity == "event" else f"{entity}.{key}"
                sources[name] = _source(name, table[key])
        attributes[entity] = _sources(entity, _table(table, "attributes"))
    _check_keys("[segment]", _table(tables, "segment"), ("pages",))
    call = tables.get("call")
    return Map(
        text=text,
        call=_call(call),
        flags={name: _flag(name, tables[name]) for name in _FLAGS if name in tables},
        sources=sources,
        attributes=attributes,
        foreign_keys=_sources("account", _table(_table(tables, "account"), "foreign_keys")),
        where={name: _wanted(name, value) for name, value in _table(tables, "where").items()},
        pages=_pages(_table(tables, "segment").get("pages", False)),
    )


def _text_of(given: Any) -> str:
    if isinstance(given, str) and ("\n" in given or "=" in given or not given.strip()):
        return given
    if not isinstance(given, str | os.PathLike):
        raise OptionsError(f"map={shown(given)} is wrong: give a path, or TOML text")
    try:
        with open(given, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise OptionsError(f"the map {shown(given)} cannot be read: {why}") from None


def _check_keys(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in table:
        if key not in known:
            hint = nearest(key, known) or f": it has {', '.join(known)}"
            raise OptionsError(f"{where} has the key {shown(key)}, which is not known{hint}")


def _table(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = tables.get(name, {})
    if not isinstance(found, Mapping):
        raise OptionsError(f"{name} = {shown(found)} is wrong in the map: it is a table")
    return found


def _sources(entity: str, table: Mapping[str, Any]) -> dict[str, Source]:
    return {name: _source(f"{entity}.{name}", given) for name, given in table.items()}


def _call(given: Any) -> Source | None:
    if given is None:
        return None
    return Source(value=given) if isinstance(given, str) else _source("call", given)


def _source(name: str, given: Any) -> Source:
    if isinstance(given, str):
        return Source(column=given)
    if not isinstance(given, Mapping):
        msg = f"{name} = {shown(given)} is wrong in the map: give a column's name, or a table"
        raise OptionsError(msg)
    _check_keys(name, given, _SOURCE_KEYS)
    if ("column" in given) == ("value" in given):
        raise OptionsError(f"{name} needs one of column and value in the map")
    found = Source(**given)
    _check_source(name, found)
    return found


def _check_source(name: str, source: Source) -> None:
    if source.case not in (None, *_CASES):
        raise OptionsError(f"{name}: case = {shown(source.case)} is wrong: it is lower or upper")
    if source.number not in (None, ",", "."):
        raise OptionsError(f"{name}: number = {shown(source.number)} is wrong: it is , or .")
    if not isinstance(source.values, Mapping):
        raise OptionsError(f"{name}: values = {shown(source.values)} is wrong: it is a table")
    for key in ("column", "date", "timezone"):
        value = getattr(source, key)
        if not isinstance(value, str | None):
            raise OptionsError(f"{name}: {key} = {shown(value)} is wrong: it is a text")
    for key in ("strip", "salesforce"):
        if not isinstance(getattr(source, key), bool):
            raise OptionsError(f"{name}: {key} is true or false")
    if source.timezone is not None:
        zone(source.timezone)
    if source.date is not None and _needs_zone(source.date) and source.timezone is None:
        msg = f"{name}: date = {source.date!r} names no zone: add timezone, such as 'UTC'"
        raise OptionsError(msg)


def _needs_zone(form: str) -> bool:
    return _HAS_TIME.search(form) is not None and "%z" not in form and "%s" not in form


def _flag(name: str, given: Any) -> str:
    if not isinstance(given, str):
        raise OptionsError(f"{name} = {shown(given)} is wrong in the map: it is a text")
    return given


def _wanted(name: str, given: Any) -> tuple[str, ...]:
    values = [given] if isinstance(given, str) else given
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise OptionsError(f"[where] {name} is wrong in the map: give a list of texts")
    return tuple(values)


def _pages(given: Any) -> bool:
    if not isinstance(given, bool):
        raise OptionsError(f"[segment] pages = {shown(given)} is wrong: it is true or false")
    return given


def at_path(row: Mapping[str, Any], path: str) -> Any:
    """Return what an object has at a path such as `properties.plan.code`; `None` if nothing.

    A key that has the dots itself wins.
    """
    if path in row:
        return row[path]
    first, dot, rest = path.partition(".")
    while dot:
        inner = row.get(first)
        if isinstance(inner, Mapping) and (found := at_path(inner, rest)) is not None:
            return found
        more, dot, rest = rest.partition(".")
        first = f"{first}.{more}"
    return None

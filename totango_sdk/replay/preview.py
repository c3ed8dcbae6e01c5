"""What a source means, row by row, without sending anything."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import OptionsError
from ..events import HEARTBEAT_MODULE
from ..show import shown
from ..tables import Broken, Map, Reading, iso, open_source, read_map, read_time, zone
from .meaning import Meaning
from .values import Meant, Rejected, Rules, Skipped, Verdict

if TYPE_CHECKING:
    from ..events import Event

_STATUS = re.compile(r"([1-5]\d\d)(?:-([1-5]\d\d))?")
_FIELDS = {
    "account": ("name", "parent", "foreignkeyid", "foreign_keys", "ofid", "attributes"),
    "product": ("name", "account_id", "module", "attributes"),
    "user": ("name", "contact", "key_contact", "attributes"),
}


class Preview(Iterator[dict[str, Any]]):
    """Each call, rejection or skipped row. `reread` and `left_out` grow as it is read."""

    def __init__(self, source: Any, reading: Reading, rules: Rules) -> None:
        self._source = open_source(source, reading)
        self._meaning = Meaning(self._source, rules)
        self._rows = self._told()

    def __iter__(self) -> Preview:
        return self

    def __next__(self) -> dict[str, Any]:
        return next(self._rows)

    @property
    def reread(self) -> int:
        """How many rows were read again behind a broken one."""
        return self._source.reread

    @property
    def left_out(self) -> list[str]:
        """The attributes that are lists, and so are left out."""
        return list(self._meaning.left_out)

    def close(self) -> None:
        """Close the source before its end."""
        self._rows.close()

    def _told(self) -> Any:
        try:
            for line, row in self._source.rows():
                if isinstance(row, Broken):
                    yield told(line, Rejected(row.code, row.reason))
                    continue
                for verdict in self._meaning.verdicts(row):
                    yield told(line, verdict)
        finally:
            self._source.close()


def preview(
    source: Any,
    *,
    service_id: str,
    now: Any = None,
    account: Any = None,
    user: Any = None,
    product: Any = None,
    module: str | None = None,
    map: Any = None,  # noqa: A002  # the contract's name
    format: str | None = None,  # noqa: A002  # the contract's name
    encoding: str | None = None,
    delimiter: str | None = None,
    escape: str | None = None,
    null: str | None = None,
    timezone: str | None = None,
    status: Any = None,
    max_age: float = 86400,
    arrival_time_is_fine: bool = False,
) -> Preview:
    """Return what each row of a source means, in order, as plain mappings; nothing is sent.

    A call has `line`, `call` and its parts; a rejected row `line`, `code`, `fields` and `reason`; a
    skipped one `line` and `skipped`. `now` is a `datetime`, ISO 8601 or seconds since 1970. Raises
    `OptionsError` for what concerns the whole source.
    """
    map_ = None if map is None else read_map(map)
    reading = reading_of(
        map_, format=format, encoding=encoding, delimiter=delimiter, escape=escape, null=null
    )
    rules = Rules(
        service_id=service_id,
        now=seconds(now),
        account=account,
        user=user,
        product=product,
        module=module,
        map=map_,
        timezone=zone_of(map_, timezone),
        status=statuses(status),
        max_age=max_age,
        arrival_time_is_fine=arrival_time_is_fine,
    )
    return Preview(source, reading, rules)


def reading_of(map_: Map | None, **flags: str | None) -> Reading:
    """Return how to read: the flags, and what a map says where they say nothing."""
    of_map = {} if map_ is None else map_.flags
    named = ("format", "encoding", "delimiter")
    return Reading(**{**flags, **{name: flags.get(name) or of_map.get(name) for name in named}})


def seconds(now: Any) -> float:
    """Return a time in seconds since 1970; without one, that of the clock."""
    if now is None:
        return time.time()
    if isinstance(now, int | float):
        return float(now)
    return read_time(now, dt.UTC).timestamp()


def zone_of(map_: Map | None, name: str | None) -> str | None:
    """Return the zone's name that a flag gives, or else the map.

    Raises `OptionsError` if there is none of that name.
    """
    name = name or (map_.flags.get("timezone") if map_ else None)
    if name is not None:
        zone(name)
    return name


def statuses(given: Any) -> tuple[int, int] | None:
    """Return the first and the last of `500-599`, or of `503` alone."""
    if given is None:
        return None
    found = _STATUS.fullmatch(str(given))
    if found is None:
        raise OptionsError(f"status={shown(given)} is wrong: give one, or a range such as 500-599")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        msg = f"status={shown(given)} is wrong: it begins behind its end. Give {last}-{first}"
        raise OptionsError(msg)
    return first, last


def told(line: int, verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as a plain mapping."""
    if isinstance(verdict, Skipped):
        return {"line": line, "skipped": verdict.why}
    if isinstance(verdict, Rejected):
        found: dict[str, Any] = {"line": line, "code": verdict.code}
        if verdict.fields and verdict.code in ("value", "invalid"):
            found["fields"] = list(verdict.fields)
        return {**found, "reason": verdict.reason}
    return {"line": line, **call_told(verdict)}


def call_told(meant: Meant) -> dict[str, Any]:
    """Return a call as a plain mapping."""
    when = {} if meant.time is None else {"time": iso(meant.time)}
    if meant.event is None:
        return {"call": "send", "params": [list(pair) for pair in meant.params or ()], **when}
    return {**_event_told(meant.event), **when}


def _event_told(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = {"call": event.kind}
    for name in ("account", "product", "user"):
        entity = getattr(event, name)
        if entity is not None:
            found[name] = _entity_told(name, entity)
    if event.kind == "track":
        found["activity"] = event.activity
    if event.kind in ("track", "heartbeat") and event.module != HEARTBEAT_MODULE:
        found["module"] = event.module
    return found


def _entity_told(name: str, entity: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"id": entity.id}
    if name == "user" and entity.name is None and "name" in entity.attributes:
        # The browser's shape has the name among the attributes, whose order it keeps.
        others = {key: value for key, value in entity.attributes.items() if key != "name"}
        entity = attrs.evolve(entity, name=entity.attributes["name"], attributes=others)
    for field in _FIELDS[name]:
        value = getattr(entity, field)
        if isinstance(value, Mapping):
            value = {key: _plain(each) for key, each in value.items() if each is not None}
        if value is not None and value not in ("", {}):
            found[field] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; dates and times as on the wire."""
    if isinstance(value, dt.datetime):
        return iso(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if isinstance(value, str | int | float | bool | dict) else str(value)

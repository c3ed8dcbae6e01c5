"""Rows of a known shape: Segment's messages, dead letters, requests, and lines of a web log."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..calls import Call
from ..identity import Account, Product, User
from ..identity.values import format_value
from ..show import shown
from ..tables import Unfit, iso, meaning_of, read_time
from ..wire import decode
from ..wire.read import as_sent, names_service, parameter_name, read
from .parts import Memory, flat
from .values import Fault, Meant, Rejected, Skipped, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .values import Judge

_SEGMENT = ("track", "identify", "group", "page", "screen", "alias")
_WHO = ("userId", "anonymousId", "groupId")
_TIMES = ("timestamp", "originalTimestamp", "sentAt")
_LOG_TIME = "%d/%b/%Y:%H:%M:%S %z"
_USUAL_LOG_TIME = re.compile(
    r"([0-3][0-9])/([A-Z][a-z]{2})/([0-9]{4}):([0-9]{2}:[0-9]{2}:[0-9]{2}) ([+-][0-9]{2})([0-9]{2})"
)
_NAMES_OF_MONTHS = (
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
)
_MONTHS = {name: f"{at:02d}" for at, name in enumerate(_NAMES_OF_MONTHS, 1)}
_PIXEL = ("/pixel.gif", "/pixel.gif/")
_IDS = {parameter_name(field): field for field in ("service_id", "account", "user")}
# What the browser adds for itself, and what never matters to what a request means.
BESIDE = ("r", "sdrurl")


class Shapes:
    """Reads rows of the four shapes."""

    def __init__(self, owner: Judge) -> None:
        self._owner = owner
        map_ = owner.rules.map
        self.are_on = map_ is None or not map_.names_columns
        self._known: Memory[tuple[tuple[str, str], ...], Verdict] = Memory()
        self._pages = map_ is not None and map_.pages

    def may_be(self, columns: Iterable[str]) -> bool:
        """Whether rows of a table with these columns may have a shape."""
        names = set(columns)
        return names_service(names) or ("type" in names and not names.isdisjoint(_WHO))

    def other(self, keys: Iterable[str]) -> str | None:
        """Return `other` if a mapping with these keys may have a shape that is no request."""
        names = set(keys)
        is_message = "type" in names and not names.isdisjoint(_WHO)
        return "other" if is_message or "batch" in names or {"id", "reason"} <= names else None

    def of_mapping(self, row: Mapping[str, Any]) -> list[Verdict] | None:
        """Return the verdicts on a row that has a shape; `None` if it has none."""
        if "type" in row and row["type"] in _SEGMENT and not row.keys().isdisjoint(_WHO):
            return [self._guarded(self._segment, row)]
        if "batch" in row and isinstance(row["batch"], list):
            return [self._of_batch(each) for each in row["batch"]] or [Skipped("an empty batch")]
        if names_service(row):
            return [self._guarded(self._request, row)]
        if "reason" in row and "id" in row and ("params" in row or "input" in row):
            return [self._guarded(self._letter, row)]
        return None

    def _of_batch(self, message: Any) -> Verdict:
        if isinstance(message, Mapping) and message.get("type") in _SEGMENT:
            return self._guarded(self._segment, message)
        return Rejected("not-object", f"a batch holds {shown(message)}, which is no message")

    def _guarded(self, read_shape: Any, row: Mapping[str, Any]) -> Verdict:
        try:
            verdict: Verdict = read_shape(row)
        except Fault as fault:
            return fault.rejected
        return verdict

    # -- requests as they are

    def _request(self, row: Mapping[str, Any]) -> Verdict:
        time = None
        for name in row:
            meaning = meaning_of(str(name))
            if meaning is not None and meaning.name == "time":
                time = self._owner.time(row[name])
        pairs = [
            (str(name), _text(name, value)) for name, value in row.items() if value is not None
        ]
        return self._as_it_is(pairs, time)

    def _as_it_is(self, pairs: list[tuple[str, str]], time: dt.datetime | None) -> Verdict:
        known = as_sent(pairs)
        verdict = self._known.get(tuple(known))
        if verdict is None:
            verdict = self._checked(known)
            self._known.put(tuple(known), verdict)
        if isinstance(verdict, Skipped):
            return verdict
        timed = verdict._replace(time=time)
        return self._owner.aged(timed) if isinstance(timed, Meant) else timed

    def _checked(self, known: list[tuple[str, str]]) -> Verdict:
        rules = self._owner.rules
        reading = read(
            known,
            allow_empty_accounts=rules.allow_empty_accounts,
            extra_id_characters=rules.extra_id_characters,
        )
        named = reading.service_id
        if named is not None and rules.service_id and named != rules.service_id:
            reason = f"it names the service {shown(reading.service_id)}, not {rules.service_id}"
            return Rejected("other-service", reason, ("service_id",))
        if not reading.accepted:
            errors = [each for each in reading.problems if each.severity == "error"]
            fields = tuple(dict.fromkeys(each.field for each in errors))
            return Rejected("invalid", "; ".join(map(str, errors)), fields)
        return Meant(None, known)

    def of_log(self, row: Mapping[str, Any]) -> Verdict:
        """Return the verdict on a line of a web log."""
        query = query_of(row, self._owner.rules.status)
        if not isinstance(query, str):
            return query
        try:
            time = log_time(row["time"])
        except (ValueError, OverflowError):
            return Rejected("time", f"{shown(row['time'])} is no time of a log", ("time",))
        return self._as_it_is(decode(query), time)

    def _letter(self, row: Mapping[str, Any]) -> Verdict:
        params = row.get("params")
        if params is not None:
            if not isinstance(params, list) or not all(map(_is_pair, params)):
                raise Fault("invalid", f"params={shown(params)} is no list of pairs", "params")
            return self._as_it_is([(name, value) for name, value in params], None)
        given = row.get("input")
        if not isinstance(given, Mapping):
            raise Fault("invalid", f"input={shown(given)} is no call", "input")
        try:
            call = Call.from_mapping(given)
        except ValueError as error:
            raise Fault("call", str(error)) from None
        return self._owner.call(call, None, alone=True)

    # -- Segment

    def _segment(self, row: Mapping[str, Any]) -> Verdict:
        kind = row["type"]
        if kind in ("screen", "alias") or (kind == "page" and not self._pages):
            return Skipped(f"Segment's {kind}")
        time = self._owner.time(next((row[key] for key in _TIMES if row.get(key)), None))
        call = getattr(self, f"_{kind}")(row)
        call = call._replace(default_module=self._owner.rules.module)
        return self._owner.call(call, time, alone=True)

    def _track(self, row: Mapping[str, Any]) -> Call:
        category = _object(row, "properties").get("category")
        return Call("track", row.get("event"), category, _account(row), _user(row))

    def _page(self, row: Mapping[str, Any]) -> Call:
        properties = _object(row, "properties")
        category = row.get("category") or properties.get("category")
        name = row.get("name") or properties.get("name")
        words = ["Viewed", *(str(word) for word in (category, name) if word), "Page"]
        return Call("track", " ".join(words), category, _account(row), _user(row))

    def _identify(self, row: Mapping[str, Any]) -> Call:
        name, attributes = self._traits(row)
        user = None
        if row.get("userId") is not None:
            user = User(row["userId"], name=name, attributes=attributes)
        return Call("user", account=_account(row), user=user)

    def _group(self, row: Mapping[str, Any]) -> Call:
        name, attributes = self._traits(row)
        totango = _object(_object(row, "integrations"), "Totango")
        group, parent, product = row.get("groupId"), totango.get("parent"), totango.get("product")
        account = None
        if group is not None:
            account = Account(group, name=name, parent=parent or None, attributes=attributes)
        if product is not None and not isinstance(product, Mapping):
            product = Product(product)
        user = _user(row)
        kind: Any = "account" if user is None and product is None else "identify"
        return Call(kind, account=account, user=user, product=product)

    def _traits(self, row: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        traits = _object(row, "traits")
        created = next((key for key in ("created", "createdAt") if traits.get(key)), None)
        found: dict[str, Any] = {}
        for key, value in traits.items():
            if key == created:
                found["Create Date"] = _created(value)
            elif key not in ("id", "name"):
                found.update(flat(key, value, self._leave_out))
        return traits.get("name") or None, found

    def _leave_out(self, name: str) -> None:
        self._owner.left_out[name] = None


def query_of(row: Mapping[str, Any], status: tuple[int, int] | None) -> str | Skipped:
    """Return the query of a line that is a request to a collector; or why it is none."""
    method, _, rest = (row["request"] or "").partition(" ")
    target = rest.rpartition(" ")[0] or rest
    path, _, query = target.partition("?")
    if not path.endswith(_PIXEL):
        return Skipped("no request of a collector")
    if method != "GET":
        return Skipped("a POST, whose event no log has" if method == "POST" else "no GET")
    if status is not None and not status[0] <= int(row["status"]) <= status[1]:
        return Skipped("another status")
    return query


@lru_cache(maxsize=4096)
def log_time(text: str) -> dt.datetime:
    """Return the time of a log's line, in UTC. Raises `ValueError` and `OverflowError`."""
    usual = _USUAL_LOG_TIME.fullmatch(text)
    if usual is not None and usual[2] in _MONTHS:
        day, month, year, clock, hours, minutes = usual.groups()
        iso_text = f"{year}-{_MONTHS[month]}-{day}T{clock}{hours}:{minutes}"
        return dt.datetime.fromisoformat(iso_text).astimezone(dt.UTC)
    return dt.datetime.strptime(text, _LOG_TIME).astimezone(dt.UTC)


def _text(name: str, value: Any) -> str:
    """Return a value of JSON as a request has it. Raises `Fault`."""
    if isinstance(value, str):
        return value
    if name in _IDS and type(value) is not int:
        raise Fault("invalid", f"{name}={shown(value)} is no ID: give its text", _IDS[name])
    try:
        return format_value(value)
    except ValueError as error:
        raise Fault("invalid", f"{name}: {error}", name) from None


def _is_pair(pair: Any) -> bool:
    return (
        isinstance(pair, list | tuple)
        and len(pair) == 2
        and all(isinstance(each, str) for each in pair)
    )


def _object(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = row.get(key)
    return found if isinstance(found, Mapping) else {}


def _account(row: Mapping[str, Any]) -> Account | None:
    group = _object(row, "context").get("groupId") or row.get("groupId")
    return None if group is None else Account(group)


def _user(row: Mapping[str, Any]) -> User | None:
    return None if row.get("userId") is None else User(row["userId"])


def _created(value: Any) -> Any:
    """Return a date of creation in ISO 8601; one that is no time with a zone stays as it is."""
    try:
        return iso(read_time(value, None))
    except Unfit:
        return value

"""Attribute names and values, as they are written on the wire (wire.md, "Values")."""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .. import host
from ..show import shown
from . import rules
from .ids import id_problems
from .salesforce import record_warning
from .texts import exact_str, has_control, unencodable, uuid_text

if TYPE_CHECKING:
    from decimal import Decimal
    from uuid import UUID

    from ..errors import Problem
    from .rules import Rule

    Value = str | bool | int | float | Decimal | dt.date | enum.Enum | UUID | None

_NAME_LIMIT = 100
_CACHED = 128
_MOST_DIGITS = 512  # what an attribute holds; a user's holds 255
_USUAL_NAME = re.compile(r"[A-Za-z0-9_ ]+")
# Totango reads these as the event itself or as who it is about, so no attribute may have their
# name.
_RESERVED = re.compile(r"(?i:sdr[_.].*|api-token)|id|account_name")
_YES_NO = ("Contact", "Key Contact")
# Named account attributes that have a type (203639845 and 204456359).
_DATES = frozenset(("Create Date", "Contract Renewal Date", "Contract Start Date"))
_NUMBERS = frozenset(("Contract Value", "Licenses"))
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_IDS = {"parent_id": "account", "product_id": "product"}
_STATUSES = {status.lower(): status for status in ("Free", "Paying", "Canceled")}


class Unfit(ValueError):
    """A value that cannot be written: the rule that it breaks, and the message that says why."""

    def __init__(self, rule: Rule, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def format_value(value: object, *, yes_no: bool = False, most: int = _MOST_DIGITS) -> str:
    """Return the text that stands for `value` on the wire. Raises `Unfit`, never guesses.

    A number has at most `most` digits before its point: cut short, it would be another number.
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]
    if isinstance(value, enum.Enum):
        return format_value(value.value, yes_no=yes_no, most=most)
    if isinstance(value, bool):
        words = ("no", "yes") if yes_no else ("false", "true")
        return words[value]
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return _int(value, most)
    if isinstance(value, float):
        return _float(value, most)
    if isinstance(value, dt.datetime):
        return _datetime(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    return _rarer(value, most)


def _int(value: int, most: int) -> str:
    # Asked of the bits first: writing a huge int takes long, and Python refuses it beyond some 600
    # digits.
    text = int.__repr__(value) if value.bit_length() <= most * 3.33 else ""
    if not text or len(text) > most:
        raise _too_many_digits(value, most)
    return text


def _too_many_digits(value: object, most: int) -> Unfit:
    return Unfit(
        rules.VALUE_DIGITS,
        f"{shown(value)} needs more than {most} characters, and cut short it would be another number. "
        "Give it as a text of your own making, or leave the attribute out",
    )


def _float(value: float, most: int) -> str:
    if not math.isfinite(value):
        msg = f"{float.__repr__(value)} is not a number that can be sent; leave the attribute out, or give None"
        raise Unfit(rules.VALUE_NUMBER, msg)
    if value.is_integer():
        return _int(int(value), most)
    text = float.__repr__(value)
    if "e" in text:
        from decimal import Decimal

        text = format(Decimal(text), "f")
    return text


def _datetime(value: dt.datetime) -> str:
    if value != value:  # noqa: PLR0124  # pandas' NaT is a datetime, and as much a time as NaN is a number
        msg = f"{shown(value)} is not a time; leave the attribute out, or give None"
        raise Unfit(rules.VALUE_TIME, msg)
    if value.utcoffset() is None:
        msg = (
            f"{value.isoformat()} has no time zone; give one that has, such as "
            "datetime.now(timezone.utc), since a guess could be hours off"
        )
        raise Unfit(rules.VALUE_TIME_ZONE, msg)
    try:
        utc = value.astimezone(dt.UTC)
    except OverflowError:
        msg = f"{value.isoformat()} is outside the years 1 to 9999 in UTC; give a time within them, or None"
        raise Unfit(rules.VALUE_TIME, msg) from None
    return f"{utc.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def _is_nothing(value: object) -> bool:
    """Whether a value is `None`, or a member of an `Enum` whose value is."""
    return value is None or (isinstance(value, enum.Enum) and value.value is None)


def _rarer(value: object, most: int) -> str:
    if text := uuid_text(value):
        return text
    # As with a UUID: whoever holds a Decimal has imported its module.
    decimal: Any = getattr(sys.modules.get("decimal"), "Decimal", ())
    if isinstance(value, decimal):
        return _decimal(value, most)
    msg = (
        f"{shown(value)} is of type {type(value).__name__}; give a str, bool, int, float, Decimal, date, datetime, "
        "Enum or UUID, or None to leave it out"
    )
    raise Unfit(rules.VALUE_TYPE, msg)


def _decimal(value: Decimal, most: int) -> str:
    if not value.is_finite():
        msg = f"{shown(value)} is not a number that can be sent; leave the attribute out, or give None"
        raise Unfit(rules.VALUE_NUMBER, msg)
    if value.is_zero():
        return format(value.copy_abs(), "f") if -most <= value.adjusted() < 0 else "0"
    # Its power of ten is looked at first: 1E+999999 takes a megabyte to write out.
    if not -most <= value.adjusted() < most:
        raise _too_many_digits(value, most)
    text = format(value, "f")
    if len(text.partition(".")[0]) > most:
        raise _too_many_digits(value, most)
    return text


@lru_cache(maxsize=2048)
def _name_verdict(name: str) -> tuple[Rule, str] | None:
    """Return the rule that an attribute's name breaks, and what is to be said of it."""
    told = f"the attribute name {shown(name)}"
    if not name.strip():
        return rules.NAME_EMPTY, f"{told} is empty; give 1 to {_NAME_LIMIT} characters"
    if len(name) > _NAME_LIMIT:
        message = f"{told} has {len(name)} characters; give it at most {_NAME_LIMIT}"
        return rules.NAME_LENGTH, message
    if found := has_control(name):
        return rules.NAME_CONTROL, f"{told} has the control character {found!a}; remove it"
    if wrong := unencodable(name):
        return rules.NAME_SURROGATE, f"the attribute name {wrong}"
    if _RESERVED.fullmatch(name):
        message = f"the name {name!r} is Totango's own, so no attribute may have it"
        return rules.NAME_RESERVED, f"{message}; {_instead(name)}"
    if not _USUAL_NAME.fullmatch(name):
        message = f"{told} is sent as it is, but letters, digits, _ and space are safe"
        return rules.NAME_CHARACTERS, message
    return None


def _instead(name: str) -> str:
    instead = {
        "id": "give it as id=",
        "account_name": "give the account's name as name=",
        "api-token": "use api_token=",
    }
    return instead.get(name.lower(), "rename it")


def _named_rule(entity: str, name: str, text: str) -> tuple[Rule, str] | None:
    """Return the rule that a value of one of Totango's named attributes breaks, and what to say."""
    if entity == "user":
        if name not in _YES_NO or text in ("yes", "no"):
            return None
        message = (
            f"{shown(text)} is not understood as {name}: Totango takes yes or no, in lower case"
        )
        return rules.VALUE_YES_NO, message
    if not text:
        return None
    if name in _DATES and not _is_date(text):
        message = (
            f"{shown(text)} is no date; give a date or a datetime, or a text such as 2026-12-31"
        )
        return rules.VALUE_DATE, message
    if name in _NUMBERS and not _PLAIN_NUMBER.fullmatch(text):
        message = f"{shown(text)} is no number; give a number, or its digits alone, such as 1000"
        return rules.VALUE_PLAIN_NUMBER, message
    if name == "Status" and text not in _STATUSES.values():
        return rules.VALUE_STATUS, _status_message(text)
    return None


def _status_message(text: str) -> str:
    meant = _STATUSES.get(text.lower())
    if meant is not None:
        return f"{text!r} is not {meant!r}: every value is case sensitive"
    return (
        f"{shown(text)} is none of {', '.join(_STATUSES.values())}, which Totango knows as Status"
    )


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        dt.datetime.fromisoformat(text)
    except ValueError as error:
        host.let_pass(error)
        return False
    return True


class AttributeList:
    """Collects the attributes of one entity as text, in order, and every problem with them."""

    def __init__(self, entity: str, limit: int) -> None:
        self.entity = entity
        self.limit = limit
        self.pairs: dict[str, str] = {}
        self.problems: list[Problem] = []

    def add(self, name: object, value: object, *, limit: int | None = None) -> None:
        """Add one attribute, cut to its limit. `None` leaves it out."""
        if value is None:
            return
        if type(name) is not str:
            text = exact_str(name)
            if text is None:
                message = f"the attribute name {shown(name)} is of type {type(name).__name__}; give it as a str"
                self._tell(rules.NAME_TYPE, f"{self.entity}.{shown(name)}", value, message)
                return
            name = text
        field = f"{self.entity}.{name}"
        verdict = _name_verdict(name) if len(name) <= _CACHED else _name_verdict.__wrapped__(name)
        if verdict is not None:
            rule, message = verdict
            self._tell(rule, field, value, message)
            if rule.severity == "error":
                return
        if name in self.pairs:
            message = f"{name!r} is given twice; give it once, either by its own keyword or here"
            self._tell(rules.NAME_TWICE, field, value, message)
            return
        text = self.text(
            field, value, limit or self.limit, yes_no=self.entity == "user" and name in _YES_NO
        )
        if text is not None:
            self.pairs[name] = text
            self._read_as_totango_would(field, name, text, value)

    def add_all(self, given_as: str, values: object) -> None:
        """Add every attribute of a mapping that was given under the name `given_as`."""
        field = f"{self.entity}.{given_as}"
        try:
            pairs = list(values.items()) if isinstance(values, Mapping) else None
        except host.FAILURES as failure:
            host.let_pass(failure)
            message = (
                f"{shown(values)} cannot be read: it raises {shown(failure)}. Give it as a dict"
            )
            self._tell(rules.VALUE_UNWRITABLE, field, values, message)
            return
        if pairs is None:
            message = f"{shown(values)} is of type {type(values).__name__}; give a mapping of names to values"
            self._tell(rules.VALUE_MAPPING, field, values, message)
            return
        for name, value in pairs:
            self.add(name, value)

    def text(self, field: str, value: object, limit: int, *, yes_no: bool = False) -> str | None:
        """Return the text of a value, cut to `limit` with a warning; `None` where it has none."""
        try:
            if _is_nothing(value):
                return None
            text = format_value(value, yes_no=yes_no, most=limit)
        except Unfit as unfit:
            self._tell(unfit.rule, field, value, str(unfit))
            return None
        except host.FAILURES as failure:
            # A time zone, an Enum or a Decimal of the host's own may raise anything.
            host.let_pass(failure)
            message = (
                f"{shown(value)} cannot be written: it raises {shown(failure)}. Give it as a str"
            )
            self._tell(rules.VALUE_UNWRITABLE, field, value, message)
            return None
        if wrong := unencodable(text):
            self._tell(rules.VALUE_SURROGATE, field, value, wrong)
            return None
        if len(text) > limit:
            message = f"{shown(text)} has {len(text)} characters and is cut to {limit}, the most that Totango keeps"
            self._tell(rules.VALUE_LENGTH, field, value, message)
            text = text[:limit]
        return text

    def _read_as_totango_would(self, field: str, name: str, text: str, value: object) -> None:
        if self.entity == "account" and name in _IDS:
            self.problems += id_problems(_IDS[name], value, field)
            return
        named = _named_rule(self.entity, name, text)
        if named is not None:
            self._tell(named[0], field, text, named[1])
        elif name != "foreignkeyid" and (warning := record_warning(self.entity, text)):
            self._tell(rules.SALESFORCE_FORM, field, text, warning)

    def _tell(self, rule: Rule, field: str, value: object, message: str) -> None:
        self.problems.append(rule.broken(field, value, message))

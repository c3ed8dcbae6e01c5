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

from ..errors import shown
from .ids import Problem, exact_str, has_control, id_problems, unencodable, uuid_text

if TYPE_CHECKING:
    from decimal import Decimal
    from uuid import UUID

    Value = str | bool | int | float | Decimal | dt.date | enum.Enum | UUID | None

_NAME_LIMIT = 100
_CACHED = 128
_MOST_DIGITS = 512  # what an attribute holds; a user's holds 255
_USUAL_NAME = re.compile(r"[A-Za-z0-9_ ]+")
# Totango reads these as the event itself or as who it is about, so no attribute may have their name.
_RESERVED = re.compile(r"(?:sdr[_.].*|api-token|id|account_name)", re.IGNORECASE)
_YES_NO = ("Contact", "Key Contact")
_IDS = {"parent_id": "account", "product_id": "product"}
_STATUSES = {status.lower(): status for status in ("Free", "Paying", "Canceled")}


class Unfit(ValueError):
    """A value that cannot be written; the message says why."""


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
        return ("yes" if value else "no") if yes_no else ("true" if value else "false")
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
    # Asked of the bits first: writing a huge int takes long, and Python refuses it beyond some 600 digits.
    text = int.__repr__(value) if value.bit_length() <= most * 3.33 else ""
    if not text or len(text) > most:
        raise _too_many_digits(value, most)
    return text


def _too_many_digits(value: object, most: int) -> Unfit:
    return Unfit(
        f"{shown(value)} needs more than {most} characters, and cut short it would be another number. "
        "Give it as a text of your own making, or leave the attribute out"
    )


def _float(value: float, most: int) -> str:
    if not math.isfinite(value):
        msg = f"{float.__repr__(value)} is not a number that can be sent; leave the attribute out, or give None"
        raise Unfit(msg)
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
        raise Unfit(msg)
    if value.utcoffset() is None:
        msg = (
            f"{value.isoformat()} has no time zone; give one that has, such as "
            "datetime.now(timezone.utc), since a guess could be hours off"
        )
        raise Unfit(msg)
    try:
        utc = value.astimezone(dt.UTC)
    except OverflowError:
        msg = f"{value.isoformat()} is outside the years 1 to 9999 in UTC; give a time within them, or None"
        raise Unfit(msg) from None
    return f"{utc.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


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
    raise Unfit(msg)


def _decimal(value: Decimal, most: int) -> str:
    if not value.is_finite():
        msg = f"{shown(value)} is not a number that can be sent; leave the attribute out, or give None"
        raise Unfit(msg)
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
def _name_verdict(name: str) -> tuple[str, bool] | None:
    """Return what is wrong with an attribute's name, and whether that is an error."""
    if not name.strip():
        return f"the attribute name {shown(name)} is empty; give 1 to {_NAME_LIMIT} characters", True
    if len(name) > _NAME_LIMIT:
        return f"the attribute name {shown(name)} has {len(name)} characters; give it at most {_NAME_LIMIT}", True
    if found := has_control(name):
        return f"the attribute name {shown(name)} has the control character {found!a}; remove it", True
    if wrong := unencodable(name):
        return f"the attribute name {wrong}", True
    if _RESERVED.fullmatch(name):
        return f"the name {name!r} is Totango's own, so no attribute may have it; {_instead(name)}", True
    if not _USUAL_NAME.fullmatch(name):
        return f"the attribute name {shown(name)} is sent as it is, but letters, digits, _ and space are safe", False
    return None


def _instead(name: str) -> str:
    instead = {
        "id": "give it as id=",
        "account_name": "give the account's name as name=",
        "api-token": "use api_token=",
    }
    return instead.get(name.lower(), "rename it")


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
                self._tell(f"{self.entity}.{shown(name)}", value, message)
                return
            name = text
        field = f"{self.entity}.{name}"
        verdict = _name_verdict(name) if len(name) <= _CACHED else _name_verdict.__wrapped__(name)
        if verdict is not None:
            message, is_error = verdict
            self._tell(field, value, message, is_error=is_error)
            if is_error:
                return
        if name in self.pairs:
            self._tell(field, value, f"{name!r} is given twice; give it once, either by its own keyword or here")
            return
        text = self.text(field, value, limit or self.limit, yes_no=self.entity == "user" and name in _YES_NO)
        if text is not None:
            self.pairs[name] = text
            self._read_as_totango_would(field, name, text, value)

    def add_all(self, given_as: str, values: object) -> None:
        """Add every attribute of a mapping that was given under the name `given_as`."""
        if not isinstance(values, Mapping):
            message = f"{shown(values)} is of type {type(values).__name__}; give a mapping of names to values"
            self._tell(f"{self.entity}.{given_as}", values, message)
            return
        for name, value in values.items():
            self.add(name, value)

    def text(self, field: str, value: object, limit: int, *, yes_no: bool = False) -> str | None:
        """Return the text of a value, cut to `limit` with a warning; `None` where it has none."""
        try:
            text = format_value(value, yes_no=yes_no, most=limit)
        except Unfit as unfit:
            self._tell(field, value, str(unfit))
            return None
        except Exception as failure:  # a time zone, an Enum or a Decimal of the host's own may raise anything
            message = f"{shown(value)} cannot be written: it raises {shown(failure)}. Give it as a str"
            self._tell(field, value, message)
            return None
        if wrong := unencodable(text):
            self._tell(field, value, wrong)
            return None
        if len(text) > limit:
            message = f"{shown(text)} has {len(text)} characters and is cut to {limit}, the most that Totango keeps"
            self._tell(field, value, message, is_error=False)
            text = text[:limit]
        return text

    def _read_as_totango_would(self, field: str, name: str, text: str, value: object) -> None:
        if self.entity == "account" and name in _IDS:
            self.problems += id_problems(_IDS[name], value, field)
        elif self.entity == "user" and name in _YES_NO and text not in ("yes", "no"):
            message = f"{shown(text)} is not understood as {name}: Totango takes yes or no, in lower case"
            self._tell(field, text, message, is_error=False)
        elif self.entity == "account" and name == "Status" and _STATUSES.get(text.lower(), text) != text:
            message = f"{text!r} is not {_STATUSES[text.lower()]!r}: every value is case sensitive"
            self._tell(field, text, message, is_error=False)

    def _tell(self, field: str, value: object, message: str, *, is_error: bool = True) -> None:
        self.problems.append(Problem(field, value, message, "error" if is_error else "warning"))

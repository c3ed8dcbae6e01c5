"""Times as they are written in files. All that come out are in UTC."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any

from ..errors import OptionsError
from ..show import shown

_UNIX = re.compile(r"(\d+)(?:\.(\d+))?")
_ISO = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
    r"\s?(Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?"
)
# Without hyphens and colons, without minutes, by weeks, or with small letters.
_RARER_ISO = re.compile(
    r"[0-9]{4}-?(?:[0-9]{2}-?[0-9]{2}|W[0-9]{2}-?[0-9])[Tt][0-9]{2}[0-9:.,]*(?:[Zz]|[+-][0-9:]+)?"
)
_USUAL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3}|\.[0-9]{6})?Z"
)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_UNITS = ((11, 0), (14, 3), (17, 6), (10**9, 9))  # digits at most, and the power of ten
LOG_TIME = "%d/%b/%Y:%H:%M:%S %z"


class Unfit(ValueError):
    """A value that does not fit; the message says why."""


class NoZone(Unfit):
    """A time that names no zone, where none was given for such times."""


@lru_cache(maxsize=64)
def zone(name: str) -> dt.tzinfo:
    """Return the zone of an IANA name. Raises `OptionsError`."""
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except Exception:
        msg = f"timezone {shown(name)} is not known: give an IANA name, such as Europe/Paris"
        raise OptionsError(msg) from None


def read_time(value: Any, default: dt.tzinfo | None) -> dt.datetime:
    """Return the time that a value means, in UTC.

    ISO 8601 with a zone (or in `default`), or a Unix time, whose digits before the point tell its
    unit. Raises `NoZone`, and `Unfit` for anything else.
    """
    if type(value) is str:
        return usual_time(value) or _read_text(value, default)
    if isinstance(value, dt.datetime):
        return _in_utc(value, default)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _read_text(format(value, "d" if isinstance(value, int) else ".6f"), default)
    if isinstance(value, Decimal):
        return _read_text(format(value, "f"), default)
    raise Unfit(f"{shown(value)} is no time: give ISO 8601 with a zone, or a Unix time")


def usual_time(value: Any) -> dt.datetime | None:
    """Read a time as most programs write it, such as `2026-11-24T10:00:00.000Z`: a short way.

    `None` says that it is written in another way, if it is a time at all.
    """
    if type(value) is not str or _USUAL.fullmatch(value) is None:
        return None
    try:
        return dt.datetime.fromisoformat(value)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _read_text(text: str, default: dt.tzinfo | None) -> dt.datetime:
    found = _ISO.fullmatch(text)
    try:
        if found is not None:
            return _in_utc(_iso(found), default)
        unix = _UNIX.fullmatch(text) if text.isascii() else None
        if unix is not None:
            return _unix(unix[1], unix[2] or "")
        if _RARER_ISO.fullmatch(text) is not None:
            return _in_utc(dt.datetime.fromisoformat(text.upper()), default)
    except (ValueError, OverflowError) as error:
        if isinstance(error, NoZone):
            raise
    msg = f"{shown(text)} is no time: give ISO 8601 with a zone, or a Unix time"
    raise Unfit(msg)


def _iso(found: re.Match[str]) -> dt.datetime:
    *parts, fraction, offset = found.groups()
    year, month, day, hour, minute, second = (int(part or 0) for part in parts)
    micro = int(f"{fraction or '':0<6}"[:6])
    return dt.datetime(year, month, day, hour, minute, second, micro, _offset(offset))


def _offset(text: str | None) -> dt.tzinfo | None:
    if text is None:
        return None
    if text in ("Z", "z", "UTC"):
        return dt.UTC
    minutes = int(text[1:3]) * 60 + int(text[3:].lstrip(":") or 0)
    return dt.timezone(dt.timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _in_utc(time: dt.datetime, default: dt.tzinfo | None) -> dt.datetime:
    if time.tzinfo is None and default is None:
        msg = f"{shown(str(time))} names no time zone: give --timezone, such as --timezone UTC"
        raise NoZone(msg)
    aware = time.replace(tzinfo=default) if time.tzinfo is None else time
    return aware.astimezone(dt.UTC)


def _unix(digits: str, fraction: str) -> dt.datetime:
    """Up to 11 digits are seconds, 12 to 14 milliseconds, 15 to 17 microseconds, more nanoseconds."""
    count = len(digits)
    places = next(power for most, power in _UNITS if count <= most)
    micros = int(f"{digits}{fraction:0<6}"[: count + 6]) // 10**places
    return _EPOCH + dt.timedelta(microseconds=micros)


def iso(time: dt.datetime) -> str:
    """Return a time as it is written on the wire: in UTC, with milliseconds and a `Z`."""
    utc = time.astimezone(dt.UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"

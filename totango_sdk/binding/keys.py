"""What two spellings of one ID have in common: a key for each way in which they can differ.

Each function takes one text and returns its key, or `None` where it has none of this kind. They
are made for millions of IDs: what is ASCII, as nearly all are, takes a shorter way.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from unicodedata import normalize

from ..errors import InvalidID
from ..identity import salesforce_id

_SPACES = (
    " \t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006"
    "\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_ZERO_WIDTH = "\u180e\u200b\u200c\u200d\u2060\ufeff"
_ENDS = _SPACES + _ZERO_WIDTH
_DIGITS = re.compile(r"[0-9]+")
_DECIMAL = re.compile(r"([0-9]+)\.0")
_SCIENTIFIC = re.compile(r"([0-9])(?:\.([0-9]+))?E\+([0-9]+)", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s\-_./]+")
_PREFIXED = re.compile(r"([A-Za-z]++[-_.:]?+)(.+)", re.DOTALL)
_SUFFIXED = re.compile(r"(.+)([-_][A-Za-z0-9]+)", re.DOTALL)
_RECORD = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_ACCOUNT_RECORD = re.compile(r"001(?=.*[A-Za-z])[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?")
_MOST_DIGITS = 100  # no ID of digits is longer, and beyond it arithmetic costs
_FEWEST_JOINED = 4
_PLACEHOLDERS = frozenset(
    (
        *("null", "none", "nan", "undefined", "n/a", "-", "[object object]"),
        *("#n/a", "#ref!", "#value!", "#name?", "#num!", "#div/0!"),
    )
)
_SUSPECTS = frozenset(("0", "true", "false", "anonymous", "unknown"))


def is_placeholder(text: str) -> bool:
    """Whether it stands for an ID that was not there, as programs and spreadsheets write it."""
    return text.strip().casefold() in _PLACEHOLDERS


def is_suspect(text: str) -> bool:
    """Whether it may be an ID, but is more often a value that was not meant."""
    return text.strip().casefold() in _SUSPECTS


def trimmed(text: str) -> str:
    """Return it without spaces and zero-width characters at its ends."""
    return text.strip() if text.isascii() else text.strip(_ENDS)


def narrow(text: str) -> str:
    """Return it trimmed, and each character in its usual width (Unicode NFKC)."""
    if text.isascii():
        return text.strip()
    return normalize("NFKC", text.strip(_ENDS)).strip(_ENDS)


def folded(text: str) -> str:
    """Return it narrow, and without letter case."""
    if text.isascii():
        return text.strip().lower()
    return normalize("NFKC", narrow(text).casefold())


def unpadded(text: str) -> str | None:
    """Return digits without their leading zeros."""
    text = narrow(text)
    return (text.lstrip("0") or "0") if _DIGITS.fullmatch(text) else None


def undecimal(text: str) -> str | None:
    """Return digits without a `.0` behind them."""
    text = narrow(text)
    found = _DECIMAL.fullmatch(text)
    if found:
        return found[1]
    return text if _DIGITS.fullmatch(text) else None


def unseparated(text: str) -> str | None:
    """Return it folded, without spaces and `- _ . /`; `None` under four characters."""
    text = _SEPARATORS.sub("", folded(text))
    return text if len(text) >= _FEWEST_JOINED else None


def unplussed(user: str) -> str:
    """Return an e-mail address folded, without what stands behind a `+` in its name."""
    name, at, domain = folded(user).rpartition("@")
    return f"{name.partition('+')[0] or name}{at}{domain}"


def without_prefix(text: str) -> tuple[str, str] | None:
    """Return the leading letters, with one of `- _ . :` if there, and what stands behind them."""
    found = _PREFIXED.fullmatch(narrow(text))
    return (found[1], found[2]) if found else None


def without_suffix(text: str) -> tuple[str, str] | None:
    """Return a last `-` or `_` with the letters and digits behind it, and what stands before."""
    found = _SUFFIXED.fullmatch(narrow(text))
    return (found[2], found[1]) if found else None


class Scientific(NamedTuple):
    """A number as a spreadsheet shortens it: `1.02E+05` has 2 places, and 102 and 5."""

    places: int
    mantissa: int
    exponent: int


def scientific(text: str) -> Scientific | None:
    """Read `1.02E+05`. `1E5` is an ID."""
    found = _SCIENTIFIC.fullmatch(narrow(text))
    if found is None or len(found[0]) > _MOST_DIGITS:
        return None
    places = found[2] or ""
    return Scientific(len(places), int(found[1] + places), int(found[3]))


def shortened(text: str, places: int) -> Scientific | None:
    """Return what a spreadsheet makes of an ID of digits, with so many places."""
    text = narrow(text)
    if not _DIGITS.fullmatch(text) or len(text) > _MOST_DIGITS:
        return None
    digits = str(int(text))
    exponent = len(digits) - 1
    if exponent < places:
        return Scientific(places, int(digits) * 10 ** (places - exponent), exponent)
    cut = 10 ** (exponent - places)
    mantissa = (int(digits) + cut // 2) // cut
    if mantissa == 10 ** (places + 1):  # 9.99 and a half
        mantissa, exponent = mantissa // 10, exponent + 1
    return Scientific(places, mantissa, exponent)


def looks_like_record(text: str, *, any_prefix: bool = False) -> bool:
    """Whether it has the form of a Salesforce ID: of an account, with a letter in it, or of any
    record.
    """
    return bool((_RECORD if any_prefix else _ACCOUNT_RECORD).fullmatch(text))


def salesforce_record(text: str, *, any_prefix: bool = False) -> str | None:
    """Return the 18 characters of a Salesforce ID; `None` if it is none, or its suffix is wrong."""
    text = narrow(text)
    if not looks_like_record(text, any_prefix=any_prefix):
        return None
    try:
        return salesforce_id(text)
    except InvalidID:
        return None


def is_one_case(text: str) -> bool:
    """Whether letter case may have been lost: it has no letters of two cases."""
    return text in (text.lower(), text.upper())


def is_certain_record(text: str) -> bool:
    """Whether it is a Salesforce ID of 15 characters whose case was not lost: its case counts."""
    return len(text) == 15 and looks_like_record(text) and not is_one_case(text)

"""Salesforce IDs: 15 characters, and the 18 that are safe where letter case is lost.

Totango stores a foreign key in lower case (360019516391), so two 15-character IDs that differ only
in case become one. The last three of 18 characters record the case of the first fifteen.
"""

from __future__ import annotations

import re

from ..errors import InvalidID
from ..show import shown
from .texts import exact_str

_SHAPE = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_ACCOUNT_KEY = re.compile(r"001[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?")
# Salesforce's own prefixes: 001 is an account, 003 a contact.
_RECORDS = {
    kind: re.compile(rf"{prefix}(?=[0-9]*[A-Za-z])[A-Za-z0-9]{{12}}(?:[A-Za-z0-9]{{3}})?")
    for kind, prefix in (("account", "001"), ("user", "003"))
}
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"


def salesforce_id(text: str) -> str:
    """Return the 18-character form of a Salesforce ID of 15 or 18 characters.

    Of 18 characters the last three are checked; where another system has changed the case of the
    others, it is restored from them. Raises `InvalidID` if it is no Salesforce ID.
    """
    given, text = text, exact_str(text) or ""
    if not _SHAPE.fullmatch(text):
        found = f" has {len(text)} characters" if text.isalnum() and text.isascii() else ""
        msg = (
            f"{shown(given)}{found or ' is not a Salesforce ID'}: it has 15 or 18 ASCII letters and digits, "
            "such as '0012000000msDD0'. Copy it from the record's address in Salesforce"
        )
        raise InvalidID(msg)
    if len(text) == 15:
        return text + _suffix(text)
    restored = _restore_case(text)
    if restored is None:
        msg = (
            f"{shown(text)} ends in {text[15:]!r}, but its first 15 characters as they stand give "
            f"{_suffix(text[:15])!r}. One of the two was mistyped: copy the ID again, or give the 15 alone"
        )
        raise InvalidID(msg)
    return restored


def foreign_key_warning(value: str) -> str | None:
    """Say why a foreign key that looks like a Salesforce account ID may not bind, or return `None`."""
    return _warning(value) if _ACCOUNT_KEY.fullmatch(value) else None


def record_warning(kind: str, value: str) -> str | None:
    """Say why an ID, or a value, that looks like Salesforce's of an `account` or a `user` may not
    bind, or return `None`.

    It has a letter behind the prefix, so that a number of 15 digits is none.
    """
    form = _RECORDS.get(kind)
    return _warning(value) if form is not None and form.fullmatch(value) else None


def _warning(value: str) -> str | None:
    if len(value) == 15:
        return (
            f"{value!r} looks like a Salesforce ID of 15 characters; Totango stores foreign keys in lower case, "
            f"so it can be mistaken for another's. Use salesforce_id({value!r})"
        )
    if value[15:] != _suffix(value[:15]):
        return (
            f"{value!r} looks like a Salesforce ID, but its last three characters do not match "
            f"({_suffix(value[:15])!r} would). It is sent as it is: copy it again from Salesforce"
        )
    return None


def _suffix(fifteen: str) -> str:
    groups = (fifteen[at : at + 5] for at in (0, 5, 10))
    return "".join(
        _SUFFIX[sum(char.isupper() << bit for bit, char in enumerate(group))] for group in groups
    )


def _restore_case(eighteen: str) -> str | None:
    """Return the ID with the case that its suffix records; `None` where the two cannot agree."""
    body, suffix = eighteen[:15], eighteen[15:].upper()
    if any(char not in _SUFFIX for char in suffix):
        return None
    bits = [_SUFFIX.index(char) >> bit & 1 for char in suffix for bit in range(5)]
    restored = "".join(
        char.upper() if bit else char.lower() for char, bit in zip(body, bits, strict=True)
    )
    # A set bit over a digit can come from no ID; and mixed case that disagrees was mistyped, not
    # folded.
    folded = body in (restored, body.lower(), body.upper())
    return restored + suffix if folded and _suffix(restored) == suffix else None

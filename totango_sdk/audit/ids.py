"""Findings of one ID alone: what it has in it, and whether it can be a Salesforce ID."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..binding import keys
from ..errors import InvalidID
from ..identity import check_id, salesforce_id
from .rows import Ids
from .values import CODES, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .rows import File

_CHECKED = ("account", "parent", "product", "user", "collection")
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SCIENTIFIC = re.compile(r"[0-9](?:\.[0-9]+)?E\+[0-9]+", re.IGNORECASE)
_DECIMAL = re.compile(r"[0-9]+\.0")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_FOREIGN = re.compile(r"001[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?")
_ANY_RECORD = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_OF_RULE = {"id.length": "id-length"}
NEEDED = {"accounts": ("account",), "users": ("account", "user"), "events": ("account", "user"),
           "collections": ("account", "collection")}  # fmt: skip


def is_email(user: str) -> bool:
    """Whether a user ID is an e-mail address."""
    return bool(_ADDRESS.fullmatch(keys.trimmed(user)))


def found(
    code: str, file: File, what: str, ids: list[str], lines: list[int], **more: object
) -> Finding:
    """Return a finding of a code, with the severity of the table unless another is given."""
    severity = str(more.pop("severity", CODES[code].severity))
    return Finding(
        code=code,
        severity=severity,
        file=file.name,
        what=what,
        ids=ids,
        lines=lines,
        **more,  # type: ignore[arg-type]
    )


def found_of_all(
    code: str, file: File, what: str, ids: Mapping[str, list[int]], **more: object
) -> Finding:
    """Return one finding of several IDs, each with its lines."""
    on_lines = sorted((line, each) for each, lines in ids.items() for line in lines)
    lines = [line for line, _ in on_lines]
    values = [each for _, each in on_lines]
    return found(code, file, what, list(ids), lines, on_lines=values, **more)


def of_ids(file: File, *, is_home: bool) -> Iterator[Finding]:
    """Yield what is wrong with each ID of a file by itself."""
    for what in _CHECKED:
        if not file.has(what):
            continue
        yield from _missing(file, what, is_home=is_home)
        doubtful = Ids()
        for value, lines in _distinct(file, what).items():
            for code in codes_of(what, value):
                if code == "user-characters":
                    doubtful[value] = lines
                else:
                    yield found(code, file, what, [value], lines)
        if doubtful:
            yield found_of_all("user-characters", file, what, doubtful)


def _distinct(file: File, what: str) -> Ids:
    ids = Ids()
    for line, value in zip(file.lines, file.column(what), strict=True):
        if value is not None and not value.isspace():
            ids.add(value, line)
    return ids


def _missing(file: File, what: str, *, is_home: bool) -> Iterator[Finding]:
    """Yield the rows without an ID that they need."""
    if what not in NEEDED[file.kind]:
        return
    missing = Ids()
    records = file.column("salesforce")
    may_lack = what == "account" and file.kind == "accounts" and not is_home
    for at, value in enumerate(file.column(what)):
        if value is not None and not value.isspace():
            continue
        if not (may_lack and records[at] is not None):
            missing.add(value or "", file.lines[at])
    for value, lines in missing.items():
        yield found("id-missing", file, what, [value], lines)


def codes_of(what: str, value: str) -> list[str]:
    """Return the codes of what is wrong with an ID that is there."""
    if keys.is_placeholder(value):
        return ["id-placeholder"]
    trimmed = keys.trimmed(value)
    if what != "user" and _SCIENTIFIC.fullmatch(trimmed):
        return ["id-scientific"]
    if what != "user" and _DECIMAL.fullmatch(trimmed):
        return ["id-decimal"]
    codes = ["id-suspect"] if what in ("account", "user") and keys.is_suspect(value) else []
    if value != trimmed:
        codes.append("id-space")
    if what != "collection" and _PLAIN.fullmatch(trimmed):
        return codes
    return codes + _broken(what, trimmed)


def _broken(what: str, trimmed: str) -> list[str]:
    kind = "account" if what == "parent" else what
    codes = []
    for problem in check_id(kind, trimmed):  # type: ignore[arg-type]
        if problem.rule == "id.email_characters":
            codes.append("user-characters")
        elif problem.severity == "error" and problem.rule != "id.missing_text":
            codes.append(_OF_RULE.get(problem.rule, "id-characters"))
    return list(dict.fromkeys(codes))


def of_salesforce(file: File) -> Iterator[Finding]:
    """Yield Salesforce IDs that do not have their 18 characters as they should."""
    for what in ("account", *file.key_columns, "salesforce"):
        if what not in file.values:
            continue
        for value, lines in file.ids(what).items():
            code, partner = salesforce_code(what, value)
            if code is not None:
                shown = what if what in ("account", "ofid", "salesforce") else "foreignkeyid"
                yield found(code, file, shown, [value], lines, partner=partner)


def salesforce_code(what: str, value: str) -> tuple[str | None, str | None]:
    """Return what is wrong with a Salesforce ID, and the right one if it is certain."""
    text = keys.trimmed(value)
    if what == "salesforce" and not _ANY_RECORD.fullmatch(text):
        return "salesforce-shape", None
    if what == "account" and not keys.looks_like_record(text):
        return None, None
    if what not in ("account", "salesforce") and not _FOREIGN.fullmatch(text):
        return None, None
    try:
        right = salesforce_id(text)
    except InvalidID:
        return "salesforce-suffix", None
    if len(text) == 15:
        return "salesforce-15", None if keys.is_one_case(text) else right
    return ("salesforce-case", right) if right != text else (None, None)

"""Findings of the IDs of one file together: rows that repeat, spellings, formats."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from ..binding import keys, pairs
from .ids import codes_of, found, found_of_all, is_email
from .rows import Ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .rows import File
    from .values import Finding

_FEW = 10
_MOST = 0.8
_ONE_LENGTH = 0.9
_DIGITS = re.compile(r"[0-9]+")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_PREFIXED = re.compile(r"([A-Za-z]+[-_]?)[0-9]+")


def of_rows(file: File) -> Iterator[Finding]:
    """Yield accounts that stand on two rows, and those with two parents."""
    if file.kind != "accounts":
        return
    parents: defaultdict[str, Ids] = defaultdict(Ids)
    rows = Ids()
    products = file.column("product") if file.has("product") and not file.has("parent") else None
    for at, (line, account) in enumerate(zip(file.lines, file.column("account"), strict=True)):
        if account is None or account.isspace() or keys.is_placeholder(account):
            continue
        product = products[at] if products else None
        rows.add(f"{account}_{product}" if product else account, line)
        parent = file.column("parent")[at] if file.has("parent") else None
        if parent is not None and not parent.isspace() and not keys.is_placeholder(parent):
            parents[account].add(parent, line)
    for account, lines in rows.items():
        if len(lines) > 1:
            yield found("duplicate", file, "account", [account], lines)
    for account, given in parents.items():
        if len(given) > 1:
            lines = sorted(line for each in given.values() for line in each)
            yield found("two-parents", file, "account", [account], lines)


def of_spellings(file: File) -> Iterator[Finding]:
    """Yield IDs that are one in another spelling."""
    yield from _variants(file, "account", file.ids("account"))
    yield from _variants(file, "user", file.ids("user"))


def _variants(file: File, what: str, ids: Ids) -> Iterator[Finding]:
    joined: dict[str, str] = {}  # each ID that was told, to the first one of its group

    def first(text: str) -> str:
        while text in joined:
            text = joined[text]
        return text

    for reason, key in _keys(what, ids):
        for group in pairs.groups(ids, key):
            kept = _as_they_differ(group) if reason == "case" else group
            different = list(dict.fromkeys(first(each) for each in kept))
            if len(different) < 2:
                continue
            severity = "info" if reason == "plus" else "warning"
            same = {each: ids[each] for each in different}
            yield found_of_all("variant", file, what, same, reason=reason, severity=severity)
            joined.update(dict.fromkeys(different[1:], different[0]))


def _keys(what: str, ids: Ids) -> list[tuple[str, Callable[[str], object]]]:
    common: list[tuple[str, Callable[[str], object]]] = [
        ("space", keys.trimmed),
        ("width", keys.narrow),
        ("case", keys.folded),
    ]
    if what == "user":
        return [*common, ("plus", _unplussed)]
    return [*common, ("salesforce", pairs.record_key(ids)), ("zeros", keys.unpadded)]


def _unplussed(user: str) -> str | None:
    return keys.unplussed(user) if "@" in user else None


def _as_they_differ(group: list[str]) -> list[str]:
    """Leave out Salesforce IDs of 15 characters in which case counts, unless one may have lost it."""
    if any(keys.is_one_case(keys.trimmed(each)) for each in group):
        return group
    return [each for each in group if not keys.is_certain_record(keys.trimmed(each))]


def format_of(account: str) -> str:
    """Return the format of an account ID: `digits`, `salesforce`, `uuid`, `prefix P` or `text`."""
    if _DIGITS.fullmatch(account):
        return "digits"
    if keys.looks_like_record(account):
        return "salesforce"
    if _UUID.fullmatch(account):
        return "uuid"
    prefixed = _PREFIXED.fullmatch(account)
    return f"prefix {prefixed[1]}" if prefixed else "text"


def of_formats(file: File) -> Iterator[Finding]:
    """Yield IDs that have another format than most of an accounts file."""
    if file.kind != "accounts":
        return
    ids = _right_ids(file)
    formats: defaultdict[str, list[str]] = defaultdict(list)
    for account in ids:
        formats[format_of(account)].append(account)
    counts = Counter({name: len(group) for name, group in formats.items()})
    file.formats = dict(counts)
    usual = usual_format(counts)
    if usual == "":
        yield no_format(file, counts)
    for name, group in formats.items() if usual else ():
        if name != usual:
            yield mixed(file, name, str(usual), {each: ids[each] for each in group})
    digits = formats.get("digits", [])
    length = filled_length(
        Counter(map(len, digits)),
        lambda most: any(each.startswith("0") for each in digits if len(each) == most),
    )
    yield from zeros_lost(file, length, {each: ids[each] for each in digits})


def usual_format(counts: Counter[str]) -> str | None:
    """Return the format that 80 % have, or an empty text if none is; `None` of one alone, or few."""
    total = sum(counts.values())
    if total < _FEW or len(counts) < 2:
        return None
    usual, most = counts.most_common(1)[0]
    return usual if most >= _MOST * total else ""


def no_format(file: File, counts: Counter[str]) -> Finding:
    """Return that no format is that of most IDs."""
    reason = ", ".join(f"{name} {count}" for name, count in counts.most_common())
    return found("no-format", file, "account", [], [], reason=reason)


def mixed(file: File, name: str, usual: str, ids: Mapping[str, list[int]]) -> Finding:
    """Return that these IDs have another format than most."""
    reason = f"{name}, where most are {usual}"
    return found_of_all("mixed-format", file, "account", ids, reason=reason)


def filled_length(lengths: Counter[int], has_zero: Callable[[int], bool]) -> int:
    """Return the length to which IDs of digits are filled with zeros; 0 if they are not."""
    if sum(lengths.values()) < _FEW:
        return 0
    length, count = lengths.most_common(1)[0]
    return length if count >= _ONE_LENGTH * sum(lengths.values()) and has_zero(length) else 0


def zeros_lost(file: File, length: int, digits: Mapping[str, list[int]]) -> Iterator[Finding]:
    """Yield those IDs of digits that have lost the zeros that fill others to this length."""
    for each, lines in digits.items():
        if len(each) < length and not each.startswith("0"):
            yield found("zeros-lost", file, "account", [each], lines, partner=each.zfill(length))


def _right_ids(file: File) -> Ids:
    """Return the IDs without an error that are no product accounts."""
    products = file.column("product")
    ids = Ids()
    wrong = {"id-suspect"}
    for at, (line, account) in enumerate(zip(file.lines, file.column("account"), strict=True)):
        if account is None or account.isspace() or (products[at] or "").strip():
            continue
        if not set(codes_of("account", account)) - wrong:
            ids.add(account, line)
    return ids


def of_users(file: File) -> Iterator[Finding]:
    """Yield user IDs that are no e-mail addresses, where most are."""
    users = file.ids("user")
    others = {user: lines for user, lines in users.items() if not is_email(user)}
    if others and len(others) * 2 <= len(users):
        yield not_email(file, others)


def not_email(file: File, others: Mapping[str, list[int]]) -> Finding:
    """Return that these user IDs are no e-mail addresses."""
    return found_of_all("user-not-email", file, "user", others)

"""Totango's "Requirements for unique IDs" (203640435) as a program, over one file or several.

    found = audit({"app": "accounts.csv", "crm": "crm.csv"}, columns={"crm": {"salesforce": "Id"}})
    for finding in found.findings:
        print(finding.code, finding.ids, finding.lines, finding.advice)

Nothing is sent. A row that cannot be read is counted as rejected.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from ..binding import keys
from ..errors import OptionsError
from ..show import shown
from ..tables import Reading, read_map
from . import binds, ids, lists, trees
from .rows import File, Spill, is_an_id, read_file
from .values import CODES, RULES, Audit, Finding, first_of_each

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..tables import Map

__all__ = ["CODES", "Audit", "Finding", "audit"]


# Of a file with more rows, only those come into memory that can be part of a finding: by DuckDB.
MOST_IN_MEMORY = 100_000


def audit(
    sources: Mapping[str, Any],
    *,
    columns: Mapping[str, Mapping[str, str]] | None = None,
    kinds: Mapping[str, str] | None = None,
    home: str | None = None,
    map: Any = None,  # noqa: A002  # the word of the contract
    limit: int = 1000,
    reading: Reading | None = None,
) -> Audit:
    """Return what is found in these sources, each a path, a file or an iterable of mappings.

    `columns` says for a source by its name which column has a meaning that its name does not
    tell, `kinds` what a source lists, and `home` which one has the IDs that Totango has or will
    have. At most `limit` findings of each code are kept; counts are whole. Raises `OptionsError`.
    """
    _check_names(sources, columns, kinds, home)
    if limit < 0:
        raise OptionsError.of("limit", limit, "it is a whole number from 0 on", "1000")
    read_as = None if map is None else read_map(map)
    with TemporaryDirectory(prefix="totango-audit-") as folder:
        spill = _spilling(folder)
        files = [
            read_file(
                name,
                source,
                columns=(columns or {}).get(name, {}),
                kind=(kinds or {}).get(name),
                map=read_as,
                reading=as_map_says(reading or Reading(), read_as),
                spill=spill,
            )
            for name, source in sources.items()
        ]
        first = _home(files, home)
        names = [file.name for file in files]
        if any(file.spilled for file in files):
            judged = _large(files, first)
        else:
            judged = Judged(list(_findings(files, first)), _shares(first), _user_shares(files))
    found = sorted(judged.found, key=lambda finding: finding.place(names))
    return _audit(files, first, found, limit, judged)


def as_map_says(reading: Reading, map_: Map | None) -> Reading:
    """Return how to read: as asked, and as a map says where nothing is asked."""
    flags: Mapping[str, str] = {} if map_ is None else map_.flags
    named = ("format", "encoding", "delimiter")
    return attrs.evolve(
        reading, **{name: getattr(reading, name) or flags.get(name) for name in named}
    )


class Judged(NamedTuple):
    """What was found, and how many there are: of home's accounts, of Salesforce IDs among them, and
    of accounts with one; of users, and of addresses among them.
    """

    found: list[Finding]
    accounts: tuple[int, int, int]
    users: tuple[int, int]


def _spilling(folder: str) -> Callable[[File], Spill | None]:
    """Return what decides that a file has too many rows for memory, and gives it a place."""
    import importlib.util

    is_possible = importlib.util.find_spec("duckdb") is not None

    def spill(file: File) -> Spill | None:
        if len(file.lines) < MOST_IN_MEMORY or not is_possible:
            return None
        return Spill(os.path.join(folder, f"{len(os.listdir(folder))}.csv"))

    return spill


def _large(files: Sequence[File], first: File | None) -> Judged:
    from .large import Large

    large = Large(files, first)
    try:
        found = list(large.findings())
        accounts = (0, 0, 0) if first is None else large.pattern(list(files).index(first))
        return Judged(found, accounts, large.users())
    finally:
        large.close()


def _check_names(
    sources: Mapping[str, Any],
    columns: Mapping[str, Any] | None,
    kinds: Mapping[str, str] | None,
    home: str | None,
) -> None:
    if not isinstance(sources, Mapping) or not sources:
        raise OptionsError.of("sources", sources, "it maps names to files", "{'app': 'a.csv'}")
    given = {"columns": columns or {}, "kinds": kinds or {}, "home": [home] if home else []}
    for option, used in given.items():
        for name in used:
            if name not in sources:
                msg = f"{option} names {shown(name)}, which is no source: they are {', '.join(sources)}"
                raise OptionsError(msg)


def _home(files: Sequence[File], name: str | None) -> File | None:
    for file in files:
        if file.name == name or (name is None and file.kind == "accounts"):
            return file
    return None


def _findings(files: Sequence[File], first: File | None) -> Iterator[Finding]:
    parents = trees.parents_of(files)
    top = trees.tops_of(parents)
    known = {
        account
        for file in files
        if file.kind == "accounts"
        for account in file.column("account")
        if account and is_an_id(account)
    }
    home = None if first is None else binds.Home(first)
    if home is not None:
        home.file.accounts = len(home.ids)
    for file in files:
        yield from ids.of_ids(file, is_home=file is first)
        yield from ids.of_salesforce(file)
        yield from lists.of_rows(file)
        yield from lists.of_spellings(file)
        yield from lists.of_formats(file)
        yield from lists.of_users(file)
        yield from trees.of_parents(file, known)
        yield from trees.of_products(file)
        yield from trees.collisions(file, top)
        if file.kind != "accounts" and known:
            yield from binds.unknown(file, known, home)
        elif file.kind == "accounts" and home is not None and file is not first:
            yield from binds.between(home, file, top)
    yield from trees.ambiguous(files)


def _audit(
    files: Sequence[File],
    first: File | None,
    found: Sequence[Finding],
    limit: int,
    judged: Judged,
) -> Audit:
    counts = Counter(finding.code for finding in found)
    return Audit(
        files=[_told(file) for file in files],
        home=None if first is None else first.name,
        pattern=None if first is None else _pattern(*judged.accounts),
        user_pattern=_user_pattern(*judged.users),
        rules=[_verdict(rule, found) for rule in RULES],
        counts={code: counts[code] for code in CODES if counts[code]},
        findings=first_of_each(found, limit),
        formats={file.name: file.formats for file in files if file.formats},
        bindings=[_binding(first, file, found) for file in files if _is_compared(file, first)],
        counts_by_severity={
            severity: sum(finding.severity == severity for finding in found)
            for severity in ("error", "warning", "info")
        },
    )


def _is_compared(file: File, first: File | None) -> bool:
    return first is not None and file.kind == "accounts" and file is not first


def _binding(first: File | None, file: File, found: Sequence[Finding]) -> dict[str, Any]:
    """Return how many accounts of home are bound to a file, likely bound, or not; and the reverse."""
    assert first is not None
    unbound = [finding for finding in found if finding.code == "unbound"]
    of_home = [each for each in unbound if each.file == first.name and each.other == file.name]
    likely = sum(each.partner is not None for each in of_home)
    return {
        "file": file.name,
        "bound": first.accounts - len(of_home),
        "likely": likely,
        "unbound": len(of_home) - likely,
        "unbound there": sum(each.file == file.name for each in unbound),
    }


def _told(file: File) -> dict[str, Any]:
    return {
        "name": file.name,
        "path": file.path,
        "kind": file.kind,
        "rows": file.rows,
        "rejected": file.rejected,
    }


def _verdict(rule: str, found: Iterable[Finding]) -> dict[str, Any]:
    of_rule = [finding for finding in found if rule in CODES[finding.code].rules]
    errors = sum(finding.severity == "error" for finding in of_rule)
    warnings = sum(finding.severity == "warning" for finding in of_rule)
    verdict = "pass"
    if warnings:
        verdict = "warn"
    if errors:
        verdict = "fail"
    return {"rule": rule, "verdict": verdict, "errors": errors, "warnings": warnings}


def _pattern(accounts: int, records: int, keyed: int) -> str:
    """Return which of the three account patterns this is, or `mixed`."""
    if not accounts:
        return "1"
    if records >= 0.9 * accounts:
        return "2"
    if records >= 0.1 * accounts:
        return "mixed"
    return "3" if keyed * 2 >= accounts else "1"


def _shares(home: File | None) -> tuple[int, int, int]:
    if home is None:
        return 0, 0, 0
    accounts = list(home.ids("account"))
    records = sum(keys.salesforce_record(each) is not None for each in accounts)
    keyed = set()
    columns = [home.column(each) for each in ("foreignkeyid", "ofid", "salesforce")]
    for at, account in enumerate(home.column("account")):
        values = [each[at] for each in columns]
        if any(value and _is_record(value) for value in values):
            keyed.add(account)
    return len(accounts), records, len(keyed)


def _is_record(value: str) -> bool:
    any_prefix = len(keys.trimmed(value)) == 18
    return keys.salesforce_record(value, any_prefix=any_prefix) is not None


def _user_pattern(users: int, addresses: int) -> str | None:
    if not users:
        return None
    if addresses >= 0.9 * users:
        return "email"
    return "other" if addresses < 0.1 * users else "mixed"


def _user_shares(files: Sequence[File]) -> tuple[int, int]:
    users = {user for file in files for user in file.ids("user")}
    return len(users), sum(ids.is_email(user) for user in users)

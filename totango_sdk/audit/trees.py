"""Findings of what belongs together: parents, products, and foreign keys."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from ..binding import keys
from ..binding.parents import cycles, tops
from .ids import found, found_of_all
from .rows import Ids, is_an_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .rows import File
    from .values import Finding


def parents_of(files: Sequence[File]) -> dict[str, str]:
    """Return the parent of each account of all accounts files; of two, the last, as Totango does."""
    return {
        account: parent
        for file in files
        for account, parent in _above(file)
        if account and parent and is_an_id(account) and is_an_id(parent)
    }


def _above(file: File) -> Iterator[tuple[str | None, str | None]]:
    if file.lists_products:
        yield from zip(file.column("account"), file.column("parent"), strict=True)


def tops_of(parents: Mapping[str, str]) -> dict[str, str]:
    """Return the account at the top of each that has a parent."""
    return tops(parents)


def of_parents(file: File, known: set[str]) -> Iterator[Finding]:
    """Yield parents that no accounts file has, and circles."""
    if not file.has("parent"):
        return
    for parent, lines in file.ids("parent").items():
        if parent not in known:
            yield found("parent-missing", file, "parent", [parent], lines)
    if file.kind != "accounts":
        return
    lines_of = file.ids("account")
    for circle in cycles(parents_of([file])):
        yield found("cycle", file, "account", circle, [lines_of[each][0] for each in circle])


def of_products(file: File) -> Iterator[Finding]:
    """Yield product accounts without a parent, and those that are not named after their parts."""
    if not file.lists_products or not file.has("product"):
        return
    orphans, others = Ids(), Ids()
    partner: dict[str, str] = {}
    columns = (file.lines, *(file.column(each) for each in ("account", "parent", "product")))
    for line, account, parent, product in zip(*columns, strict=True):
        if not product or not is_an_id(product) or not account or not is_an_id(account):
            continue
        if not parent or parent.isspace():
            orphans.add(account, line)
        elif is_an_id(parent) and account != f"{parent}_{product}":
            others.add(account, line)
            partner[account] = f"{parent}_{product}"
    for account, lines in orphans.items():
        yield found("product-orphan", file, "account", [account], lines)
    for account, lines in others.items():
        yield found("product-name", file, "account", [account], lines, partner=partner[account])


class _Use(NamedTuple):
    """Where a pair of account and product, or a plain account, was first seen."""

    file: File
    line: int


def ambiguous(files: Sequence[File]) -> Iterator[Finding]:
    """Yield joined IDs that stand for two pairs, or for a pair and a plain account."""
    pairs: defaultdict[str, dict[tuple[str, str], _Use]] = defaultdict(dict)
    plain: dict[str, _Use] = {}
    for file in files:
        _note_pairs(file, pairs, plain)
    for joined, uses in pairs.items():
        seen = list(uses.values())
        if joined in plain:
            seen.append(plain[joined])
        if len(seen) > 1:
            yield found(
                "product-ambiguous",
                seen[0].file,
                "account",
                [joined],
                [use.line for use in seen],
                files=[use.file.name for use in seen],
            )


def _note_pairs(
    file: File,
    pairs: defaultdict[str, dict[tuple[str, str], _Use]],
    plain: dict[str, _Use],
) -> None:
    if not file.has("product"):
        return
    columns = (file.lines, *(file.column(each) for each in ("account", "parent", "product")))
    for line, account, parent, product in zip(*columns, strict=True):
        if not account or not is_an_id(account):
            continue
        if not product or not is_an_id(product):
            if file.kind == "accounts":
                plain.setdefault(account, _Use(file, line))
        elif not file.lists_products:
            pairs[f"{account}_{product}"].setdefault((account, product), _Use(file, line))
        elif parent and is_an_id(parent):
            pairs[account].setdefault((parent, product), _Use(file, line))


def collisions(file: File, top: Mapping[str, str]) -> Iterator[Finding]:
    """Yield foreign keys that two accounts have which no top account joins."""
    for column in file.key_columns:
        groups: defaultdict[str, Ids] = defaultdict(Ids)
        rows = zip(file.lines, file.column("account"), file.column(column), strict=True)
        for line, account, key in rows:
            if account and key and is_an_id(account) and is_an_id(key):
                groups[keys.trimmed(key).lower()].add(account, line)
        what = "ofid" if column == "ofid" else "foreignkeyid"
        for accounts in groups.values():
            if len(accounts) > 1 and len({top.get(each, each) for each in accounts}) > 1:
                yield found_of_all("foreign-key-collision", file, what, accounts)

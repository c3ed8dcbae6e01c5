"""Findings between files: accounts that are not known, not bound, or bound twice."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from ..binding import keys, pairs
from .ids import found
from .rows import Ids, is_an_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .rows import File
    from .values import Finding


class Home:
    """The IDs that Totango has or will have, and the keys by which other files name them."""

    def __init__(self, file: File) -> None:
        self.file = file
        self.ids = Ids()
        self.names: dict[str, str] = {}
        self.keyed: defaultdict[str, list[str]] = defaultdict(list)
        self._keys: list[tuple[str, str]] = []
        products = file.column("product")
        key_columns = [file.column(each) for each in (*file.key_columns, "salesforce")]
        for at, (line, account) in enumerate(zip(file.lines, file.column("account"), strict=True)):
            if not account or not is_an_id(account) or (products[at] or "").strip():
                continue
            self.ids.add(account, line)
            if name := file.column("name")[at]:
                self.names.setdefault(account, name)
            self._keys += [(each[at] or "", account) for each in key_columns if each[at]]

    def index(self, others: list[str]) -> Callable[[str], str]:
        """Fill `keyed`, and return how a key is looked up: by its Salesforce record, else folded."""
        record = pairs.record_key([*(key for key, _ in self._keys), *others], any_prefix=True)

        def key(text: str) -> str:
            return record(text) or keys.trimmed(text).lower()

        self.keyed.clear()
        for text, account in self._keys:
            accounts = self.keyed[key(text)]
            if is_an_id(text) and account not in accounts:
                accounts.append(account)
        return key


class _Row(NamedTuple):
    """A row of another accounts file, by its name."""

    what: str
    name: str
    line: int
    account: str | None
    keys: tuple[str, ...]
    shown: str | None


def _rows(file: File) -> Iterator[_Row]:
    records, accounts = file.column("salesforce"), file.column("account")
    products = file.column("product")
    columns = [file.column(each) for each in (*file.key_columns, "salesforce", "account")]
    for at, line in enumerate(file.lines):
        account, record = accounts[at], records[at]
        if (products[at] or "").strip() and file.lists_products:
            continue
        given = account if account and is_an_id(account) else None
        name = given or (record if record and is_an_id(record) else None)
        if name is None:
            continue
        values = tuple(value for each in columns if (value := each[at]) and is_an_id(value))
        what = "account" if given else "salesforce"
        yield _Row(what, name, line, given, values, file.column("name")[at])


def between(home: Home, other: File, top: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what of another accounts file and of home does not bind, or binds twice."""
    rows = list(_rows(other))
    key = home.index([value for row in rows for value in row.keys])
    bound: set[str] = set()
    loose: dict[str, list[_Row]] = {}
    twice: dict[str, list[_Row]] = {}
    meant: dict[str, list[str]] = {}
    for row in rows:
        accounts = _accounts(row, home, key)
        bound.update(accounts)
        if not accounts:
            loose.setdefault(row.name, []).append(row)
        elif len({top.get(each, each) for each in accounts}) > 1:
            twice.setdefault(row.name, []).append(row)
            meant[row.name] = accounts
    for name, those in twice.items():
        partners = (
            sorted(meant[name], key=list(home.ids).index) if len(meant[name]) < 9 else meant[name]
        )
        lines = [row.line for row in those]
        yield found("bound-twice", other, those[0].what, [name], lines, partners=partners)
    unbound = [each for each in home.ids if each not in bound]
    yield from _unbound(home, other, unbound, loose, rows)


def _accounts(row: _Row, home: Home, key: Callable[[str], str]) -> list[str]:
    """Return the accounts of home that a row is bound to, in the order of home's rows."""
    accounts = [row.account] if row.account is not None and row.account in home.ids else []
    for value in row.keys:
        accounts += home.keyed.get(key(value), ())
    return list(dict.fromkeys(accounts))


def _unbound(
    home: Home, other: File, unbound: list[str], loose: dict[str, list[_Row]], rows: list[_Row]
) -> Iterator[Finding]:
    told = _partners(home, unbound, loose, rows)
    for account in unbound:
        lines = home.ids[account]
        pair = told.get(account)
        if pair is None:
            yield found("unbound", home.file, "account", [account], lines, other=other.name)
            continue
        yield found(
            "unbound",
            home.file,
            "account",
            [account],
            lines,
            severity="warning",
            other=other.name,
            partner=pair.other,
            partner_line=loose[pair.other][0].line,
            reason=pair.reason,
        )
    paired = {pair.other for pair in told.values()}
    for name, those in loose.items():
        if name not in paired:
            lines = [row.line for row in those]
            yield found("unbound", other, those[0].what, [name], lines, other=home.file.name)


def _partners(
    home: Home, unbound: list[str], loose: dict[str, list[_Row]], rows: list[_Row]
) -> dict[str, pairs.Pair]:
    made = pairs.partners(unbound, loose)
    ones = set(unbound) - {pair.one for pair in made}
    others = set(loose) - {pair.other for pair in made}
    names = {row.name: row.shown for row in reversed(rows) if row.shown}
    made += pairs.by_names(ones, others, home.names, names)
    return {pair.one: pair for pair in made}


def unknown(file: File, known: set[str], home: Home | None) -> Iterator[Finding]:
    """Yield accounts of a file of usage, users or collections that no accounts file has."""
    ids = file.ids("account")
    strange = Ids({each: lines for each, lines in ids.items() if each not in known})
    unused = [] if home is None or not strange else [each for each in home.ids if each not in ids]
    yield from strangers(file, strange, unused)


def strangers(file: File, strange: Ids, unused: Iterable[str]) -> Iterator[Finding]:
    """Yield accounts that nobody knows, each with its likely one among those of home."""
    partners = {pair.one: pair for pair in pairs.partners(strange, unused)}
    for account, lines in strange.items():
        pair = partners.get(account)
        more = {} if pair is None else {"partner": pair.other, "reason": pair.reason}
        yield found("unknown-account", file, "account", [account], lines, **more)

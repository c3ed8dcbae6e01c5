"""The audit of large files: DuckDB groups and joins, and what may be wrong is judged as ever.

Each step asks the database for the rows that can be part of a finding, and gives these to the
functions that judge small files whole. So there is one set of rules, and no row is held in vain.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ..binding import keys
from ..binding.candidates import fitting
from . import binds, ids, lists, trees
from .parents import Parents
from .rows import Ids
from .store import Store, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .rows import File
    from .values import Finding

_FORMAT = """CASE
    WHEN regexp_full_match(account, '[0-9]+') THEN 'digits'
    WHEN regexp_full_match(account, '001.*[A-Za-z].*')
        AND regexp_full_match(account, '[A-Za-z0-9]{15}([A-Za-z0-9]{3})?') THEN 'salesforce'
    WHEN regexp_full_match(lower(account), '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}') THEN 'uuid'
    WHEN regexp_full_match(account, '[A-Za-z]+[-_]?[0-9]+')
        THEN 'prefix ' || regexp_extract(account, '^([A-Za-z]+[-_]?)', 1)
    ELSE 'text' END"""
_RECORD = (
    "(regexp_full_match({0}_key, '[A-Za-z0-9]{{18}}') AND is_right({0}_key) AND ("
    "starts_with({0}_key, '001') OR length({0}) >= 18))"
)
_NO_PRODUCT = "coalesce(trim(product), '') = ''"


class Large:
    """Files in a database, and what is found in them."""

    def __init__(self, files: Sequence[File], home: File | None) -> None:
        self._files = list(files)
        self._home = home
        self._store = Store()
        try:
            for number, file in enumerate(self._files):
                self._store.load(number, file)
            self._know_accounts()
        except BaseException:
            self._store.close()
            raise

    def close(self) -> None:
        """Remove the database."""
        self._store.close()

    def _know_accounts(self) -> None:
        selects = [
            f"SELECT account FROM file{number} WHERE account_is"
            for number, file in enumerate(self._files)
            if file.kind == "accounts" and "account" in file.values
        ]
        every = " UNION ".join(selects) or "SELECT NULL::VARCHAR AS account WHERE false"
        self._store.db.execute(f"CREATE TABLE known AS {every}")
        self._has_accounts = self._store.one("SELECT count(*) FROM known")[0] > 0

    # -- findings

    def findings(self) -> Iterator[Finding]:
        """Yield all of them, in no order."""
        self._parents = Parents(self._store, self._files)
        if self._home is not None:
            query = f"SELECT count(DISTINCT account) FROM {self._home_rows}"
            (self._home.accounts,) = self._store.one(query)
        for number, file in enumerate(self._files):
            yield from self._of_rows(number, file)
            if file.kind == "accounts" and "account" in file.values:
                yield from self._of_formats(number, file)
            if "user" in file.values:
                yield from self._of_users(number, file)
            yield from self._of_binding(number, file)
        yield from trees.ambiguous([self._joined(*each) for each in enumerate(self._files)])

    def _of_rows(self, number: int, file: File) -> Iterator[Finding]:
        take = self._store.taken
        conditions = [*_bad(file), *_missing(file, is_home=file is self._home)]
        bad = take(number, file, " OR ".join(conditions) or "false")
        yield from ids.of_ids(bad, is_home=file is self._home)
        yield from ids.of_salesforce(bad)
        del bad
        alike = take(number, file, " OR ".join(_alike(number, file)) or "false")
        yield from lists.of_rows(alike)
        yield from lists.of_spellings(alike)
        del alike
        if "parent" in file.values:
            loose = "parent_is AND parent NOT IN (SELECT account FROM known)"
            in_circles = f"place IN (SELECT place FROM circles WHERE file = {number})"
            part = take(number, file, f"({loose}) OR {in_circles}")
            yield from trees.of_parents(part, self._known_among(part))
        if file.lists_products and "product" in file.values:
            odd = "product_is AND account_is AND account IS DISTINCT FROM parent || '_' || product"
            yield from trees.of_products(take(number, file, odd))
        yield from self._collisions(number, file)

    def _known_among(self, part: File) -> set[str]:
        query = "SELECT account FROM known WHERE account IN (SELECT unnest(?::VARCHAR[]))"
        given = list({each for each in part.column("parent") if each is not None})
        return {account for (account,) in self._store.rows(query, given)}

    def _collisions(self, number: int, file: File) -> Iterator[Finding]:
        for what in file.key_columns:
            column = name_of(what)
            if "account" not in file.values:
                continue
            condition = (
                f"account_is AND {column}_is AND {column}_lower IN (SELECT {column}_lower FROM "
                f"file{number} WHERE account_is AND {column}_is GROUP BY 1 "
                "HAVING min(account) <> max(account))"
            )
            part = self._store.taken(number, file, condition)
            part.columns = tuple(
                each for each in part.columns if each not in ("foreignkeyid", "ofid")
            )
            part.columns += (what,) if what in ("foreignkeyid", "ofid") else ()
            part.foreign_keys = (what,) if what in file.foreign_keys else ()
            yield from trees.collisions(part, self._parents.tops_of(part))

    def _of_formats(self, number: int, file: File) -> Iterator[Finding]:
        is_plain = f"AND {_NO_PRODUCT}" if "product" in file.values else ""
        self._store.db.execute(
            f"CREATE OR REPLACE TABLE right_ids AS SELECT account, min(place) AS place, {_FORMAT} AS form "
            f"FROM file{number} WHERE account IS NOT NULL AND account_right {is_plain} GROUP BY account"
        )
        query = "SELECT form, count(*) FROM right_ids GROUP BY form ORDER BY min(place)"
        counts = Counter(dict(self._store.rows(query)))
        file.formats = dict(counts)
        usual = lists.usual_format(counts)
        if usual == "":
            yield lists.no_format(file, counts)
        elif usual is not None:
            found = self._lines_of(number, f"form <> '{usual}'", is_plain)
            for form in counts:
                group = {account: at for account, (of, at) in found.items() if of == form}
                if group:
                    yield lists.mixed(file, form, usual, group)
        query = (
            "SELECT length(account), count(*) FROM right_ids WHERE form = 'digits' "
            "GROUP BY 1 ORDER BY min(place)"
        )
        length = lists.filled_length(Counter(dict(self._store.rows(query))), self._has_zero)
        if length:
            lost = (
                f"form = 'digits' AND length(account) < {length} AND NOT starts_with(account, '0')"
            )
            found = self._lines_of(number, lost, is_plain)
            yield from lists.zeros_lost(file, length, {each: at for each, (_, at) in found.items()})

    def _has_zero(self, length: int) -> bool:
        query = "SELECT count(*) FROM right_ids WHERE form = 'digits' AND length(account) = ? AND starts_with(account, '0')"
        return bool(self._store.one(query, length)[0])

    def _lines_of(
        self, number: int, condition: str, is_plain: str
    ) -> dict[str, tuple[str, list[int]]]:
        found: dict[str, tuple[str, list[int]]] = {}
        query = (
            f"SELECT account, form, line FROM file{number} AS f JOIN right_ids AS r USING (account) "
            f"WHERE {condition} {is_plain} ORDER BY f.place"
        )
        for account, form, line in self._store.rows(query):
            found.setdefault(account, (form, []))[1].append(line)
        return found

    def _of_users(self, number: int, file: File) -> Iterator[Finding]:
        total, others = self._store.one(
            "SELECT count(*), count(*) FILTER (NOT is_email) FROM (SELECT DISTINCT person, "
            f"person_email AS is_email FROM file{number} WHERE person_is)"
        )
        if others and others * 2 <= total:
            found = Ids()
            query = f"SELECT person, line FROM file{number} WHERE person_is AND NOT person_email ORDER BY place"
            for user, line in self._store.rows(query):
                found.add(user, line)
            yield lists.not_email(file, found)

    # -- between files

    def _joined(self, number: int, file: File) -> File:
        """Return the rows that name a product account which something else may be, too."""
        return self._store.taken(number, file, self._parents.is_joined(number))

    def _of_binding(self, number: int, file: File) -> Iterator[Finding]:
        if "account" not in file.values and file.kind != "accounts":
            return
        if file.kind != "accounts":
            if self._has_accounts:
                yield from self._strangers(number, file)
        elif self._home is not None and file is not self._home:
            yield from self._between(number, file)

    def _strangers(self, number: int, file: File) -> Iterator[Finding]:
        strange = "account_is AND account NOT IN (SELECT account FROM known)"
        part = self._store.taken(number, file, strange)
        found = part.ids("account")
        unused: list[str] = []
        if self._home is not None and found:
            query = (
                f"SELECT account FROM {self._home_rows} WHERE account NOT IN "
                f"(SELECT account FROM file{number} WHERE account_is) "
                "GROUP BY account ORDER BY min(place)"
            )
            unused = list(fitting(found, (account for (account,) in self._store.rows(query))))
        yield from binds.strangers(part, found, unused)

    @property
    def _home_rows(self) -> str:
        """The rows of home that are accounts, and no product accounts."""
        assert self._home is not None
        number = self._files.index(self._home)
        if "account" not in self._home.values:
            return f"(SELECT *, NULL::VARCHAR AS account FROM file{number} WHERE false)"
        is_plain = f" AND {_NO_PRODUCT}" if "product" in self._home.values else ""
        return f"(SELECT * FROM file{number} WHERE account_is{is_plain})"

    def _between(self, number: int, file: File) -> Iterator[Finding]:
        assert self._home is not None
        database = self._store.db
        self._match(number, file)
        loose = "place NOT IN (SELECT place FROM matches)"
        several = "place IN (SELECT place FROM matches GROUP BY place HAVING min(account) <> max(account))"
        other = self._store.taken(number, file, f"({loose}) OR ({several})")
        database.execute(
            "CREATE OR REPLACE TABLE told AS SELECT DISTINCT account FROM matches WHERE place IN "
            "(SELECT place FROM matches GROUP BY place HAVING min(account) <> max(account))"
        )
        at_home = self._files.index(self._home)
        condition = (
            "account NOT IN (SELECT account FROM matches) OR account IN (SELECT account FROM told)"
        )
        is_any = "account" in self._home.values
        condition = f"account_is AND ({condition})" if is_any else "false"
        part = self._store.taken(at_home, self._home, condition)
        self._keep_single_names(part, self._home_rows)
        self._keep_single_names(other, self._other_rows(number, file))
        yield from binds.between(binds.Home(part), other, self._parents.tops_of(part))

    def _match(self, number: int, file: File) -> None:
        """Make `matches`: which row of a file is bound to which account of home."""
        assert self._home is not None
        columns = [name_of(each) for each in (*self._home.key_columns, "salesforce")
                   if each in self._home.values]  # fmt: skip
        home = self._home_rows
        keyed = [
            f"SELECT {each}_key AS key, account FROM {home} WHERE {each}_is" for each in columns
        ]
        keyed = keyed or ["SELECT NULL::VARCHAR AS key, NULL::VARCHAR AS account WHERE false"]
        given = [name_of(each) for each in (*file.key_columns, "salesforce", "account")
                 if each in file.values]  # fmt: skip
        rows = self._other_rows(number, file)
        by_key = [
            f"SELECT place, keyed.account FROM {rows} AS f JOIN keyed ON f.{each}_key = keyed.key "
            f"WHERE f.{each}_is"
            for each in given
        ]
        if "account" in file.values:
            by_key.append(
                f"SELECT place, f.account FROM {rows} AS f WHERE f.account_is AND f.account IN "
                f"(SELECT account FROM {home})"
            )
        self._store.db.execute(f"CREATE OR REPLACE TABLE keyed AS {' UNION '.join(keyed)}")
        self._store.db.execute(
            f"CREATE OR REPLACE TABLE matches AS {' UNION '.join(by_key) or 'SELECT 0 AS place, NULL::VARCHAR AS account WHERE false'}"
        )

    def _other_rows(self, number: int, file: File) -> str:
        """The rows of another accounts file, but for its product accounts."""
        if file.lists_products and "product" in file.values:
            return f"(SELECT * FROM file{number} WHERE {_NO_PRODUCT})"
        return f"file{number}"

    def _keep_single_names(self, part: File, rows: str) -> None:
        """Forget the names of a part that several accounts of the whole file have."""
        names = part.values.get("name")
        present = [each for each in ("account", "salesforce") if each in part.values]
        if not names or not present:
            return
        whose = " ".join(f"WHEN {each}_is THEN {each}" for each in present)
        query = (
            f"SELECT name, count(*) FROM (SELECT CASE {whose} END AS whose, "
            f"arg_min(title, place) AS name FROM {rows} WHERE title IS NOT NULL GROUP BY 1) "
            "WHERE whose IS NOT NULL GROUP BY name"
        )
        wanted = {keys.folded(name) for name in names if name is not None}
        counts: Counter[str] = Counter()
        for name, count in self._store.rows(query):
            folded = keys.folded(name)
            if folded in wanted:
                counts[folded] += count
        part.values["name"] = [
            name if name is not None and counts[keys.folded(name)] == 1 else None for name in names
        ]

    # -- verdicts

    def pattern(self, number: int) -> tuple[int, int, int]:
        """Return how many accounts there are, how many are Salesforce IDs, and how many have one."""
        file = self._files[number]
        if "account" not in file.values:
            return 0, 0, 0
        total, records = self._store.one(
            "SELECT count(*), count(*) FILTER (starts_with(account_key, '001') AND length(account_key) = 18 "
            f"AND account_spelling LIKE 'record %' AND is_right(account_key)) FROM (SELECT DISTINCT account, account_key, account_spelling FROM file{number} WHERE account_is)"
        )
        columns = [
            name_of(each) for each in ("foreignkeyid", "ofid", "salesforce") if each in file.values
        ]
        if not columns:
            return total, records, 0
        has = " OR ".join(f"({each}_is AND {_RECORD.format(each)})" for each in columns)
        (keyed,) = self._store.one(
            f"SELECT count(DISTINCT account) FROM file{number} WHERE account_is AND ({has})"
        )
        return total, records, keyed

    def users(self) -> tuple[int, int]:
        """Return how many users there are in all files, and how many of them are addresses."""
        selects = [
            f"SELECT person, person_email AS is_email FROM file{number} WHERE person_is"
            for number, file in enumerate(self._files)
            if "user" in file.values
        ]
        if not selects:
            return 0, 0
        query = f"SELECT count(*), count(*) FILTER (is_email) FROM ({' UNION '.join(selects)})"
        total, emails = self._store.one(query)
        return total, emails


def _bad(file: File) -> list[str]:
    return [f"{name_of(each)}_bad" for each in file.values if each not in ("name", "activity")]


def _missing(file: File, *, is_home: bool) -> list[str]:
    found = []
    for what in ids.NEEDED[file.kind]:
        if what not in file.values:
            continue
        may_lack = what == "account" and file.kind == "accounts" and not is_home
        but = " AND salesforce IS NULL" if may_lack and "salesforce" in file.values else ""
        found.append(f"({name_of(what)} IS NULL{but})")
    return found


def _alike(number: int, file: File) -> list[str]:
    """Return the conditions on rows whose account or user has another row, or another spelling."""
    found = []
    for what in ("account", "user"):
        if what not in file.values:
            continue
        column = name_of(what)
        differs = f"min({column}) <> max({column})"
        if what == "account" and file.kind == "accounts":
            differs = "count(*) > 1"
        found.append(
            f"({column}_is AND {column}_spelling IN (SELECT {column}_spelling FROM file{number} "
            f"WHERE {column}_is GROUP BY 1 HAVING {differs}))"
        )
    return found

"""Who is above whom in large files: as numbers in memory, as names in the database."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .rows import File
    from .store import Store

_FILE = 1 << 40  # so many rows are in no file


class Parents:
    """The parents of all accounts files; `circles` in the database has the rows within circles."""

    def __init__(self, store: Store, files: Sequence[File]) -> None:
        self._store = store
        self._files = files
        store.db.execute("CREATE TABLE circles (file INTEGER, place BIGINT)")
        listing = [number for number, file in enumerate(files) if _lists(file)]
        for number, file in enumerate(files):
            if file.kind == "accounts" and "parent" in file.values and "account" in file.values:
                self._note_circles(number)
        self._make("above", listing)
        self._parent_of = self._read("above")
        self._join()

    def _make(self, table: str, numbers: Sequence[int]) -> None:
        """Make a table of accounts with their parents: the last one counts, as in Totango."""
        selects = [
            f"SELECT account, parent, {number * _FILE} + place AS nth FROM file{number} "
            "WHERE account_is AND parent_is"
            for number in numbers
        ]
        every = " UNION ALL ".join(selects)
        every = (
            every or "SELECT ''::VARCHAR AS account, ''::VARCHAR AS parent, 0 AS nth WHERE false"
        )
        self._store.db.execute(
            f"CREATE OR REPLACE TABLE {table} AS SELECT account, arg_max(parent, nth) AS parent, "
            f"row_number() OVER (ORDER BY min(nth)) - 1 AS id FROM ({every}) GROUP BY account"
        )

    def _read(self, table: str) -> array[int]:
        (count,) = self._store.one(f"SELECT count(*) FROM {table}")
        parent_of: array[int] = array("q", [-1]) * int(count)
        query = (
            f"SELECT one.id, other.id FROM {table} AS one JOIN {table} AS other "
            "ON one.parent = other.account"
        )
        for child, parent in self._store.rows(query):
            parent_of[child] = parent
        return parent_of

    def _note_circles(self, number: int) -> None:
        table = f"above{number}"
        self._make(table, [number])
        members = [each for circle in circles(self._read(table)) for each in circle]
        for at in range(0, len(members), 100_000):
            self._store.db.execute(
                f"INSERT INTO circles SELECT {number}, place FROM file{number} WHERE account IN "
                f"(SELECT account FROM {table} WHERE id IN (SELECT unnest(?::BIGINT[])))",
                [members[at : at + 100_000]],
            )
        self._store.db.execute(f"DROP TABLE {table}")

    def tops_of(self, part: File) -> dict[str, str]:
        """Return the account at the top of each account of a part that has a parent."""
        accounts = [each for each in dict.fromkeys(part.column("account")) if each is not None]
        query = "SELECT account, id FROM above WHERE account IN (SELECT unnest(?::VARCHAR[]))"
        ends = {account: self._end(number) for account, number in self._store.rows(query, accounts)}
        query = "SELECT id, account, parent FROM above WHERE id IN (SELECT unnest(?::BIGINT[]))"
        wanted = list({number for number, _ in ends.values()})
        names = {number: names for number, *names in self._store.rows(query, wanted)}
        return {
            account: names[number][0 if is_circle else 1]
            for account, (number, is_circle) in ends.items()
        }

    def _end(self, number: int) -> tuple[int, bool]:
        """Return the last one on the way up that has a parent; or the first one of a circle."""
        parent_of, slow, steps = self._parent_of, number, 0
        while parent_of[number] != -1:
            number = parent_of[number]
            steps += 1
            if steps % 2 == 0:
                slow = parent_of[slow]
                if slow == number:
                    return min(_circle(parent_of, number)), True
        return number, False

    # -- product accounts

    def _join(self) -> None:
        """Make `joined`: product accounts that two pairs, or a pair and a plain account, make."""
        pairs, plain = [], []
        for number, file in enumerate(self._files):
            if "product" not in file.values or "account" not in file.values:
                continue
            if file.lists_products:
                named = "account AS joined, parent AS one"
                condition = "parent_is AND product_is AND account_is"
            else:
                named = "account || '_' || product AS joined, account AS one"
                condition = "product_is AND account_is"
            pairs.append(f"SELECT {named}, product AS other FROM file{number} WHERE {condition}")
            if file.kind == "accounts":
                condition = "account_is AND NOT product_is"
                plain.append(f"SELECT account AS joined FROM file{number} WHERE {condition}")
        every = " UNION ".join(pairs)
        every = every or "SELECT ''::VARCHAR AS joined, '' AS one, '' AS other WHERE false"
        others = " UNION ".join(plain) or "SELECT ''::VARCHAR AS joined WHERE false"
        self._store.db.execute(
            f"CREATE TABLE joined AS WITH pairs AS ({every}) SELECT joined FROM pairs GROUP BY joined "
            f"HAVING count(*) > 1 UNION SELECT joined FROM pairs WHERE joined IN ({others})"
        )

    def is_joined(self, number: int) -> str:
        """Return the condition on rows of a file that make one of `joined`."""
        file = self._files[number]
        if "product" not in file.values or "account" not in file.values:
            return "false"
        among = "IN (SELECT joined FROM joined)"
        if file.lists_products:
            return f"account {among}"
        is_plain = f"(NOT product_is AND account {among})"
        return f"{is_plain} OR account || '_' || product {among}"


def _lists(file: File) -> bool:
    return file.lists_products and "account" in file.values


def circles(parent_of: Any) -> Iterator[list[int]]:
    """Yield the circles of numbers, each of which has a parent, or -1."""
    seen = bytearray(len(parent_of))  # 1: on the way up, 2: done with
    for start in range(len(parent_of)):
        path, at = [], start
        while at != -1 and not seen[at]:
            seen[at] = 1
            path.append(at)
            at = parent_of[at]
        if at != -1 and seen[at] == 1:
            yield _circle(parent_of, at)
        for each in path:
            seen[each] = 2


def _circle(parent_of: Any, start: int) -> list[int]:
    members, at = [start], parent_of[start]
    while at != start:
        members.append(at)
        at = parent_of[at]
    return members

"""Three files for an audit, with faults of every code planted in them, and what must be found."""

from __future__ import annotations

import csv
import random
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from totango_sdk import salesforce_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HEADERS = {
    "app": ("account_id", "account_name", "parent_id", "product_id", "foreignkeyid", "ofid"),
    "crm": ("account_id", "salesforce_id", "account_name", "foreignkeyid", "ofid"),
    "usage": ("account_id", "product_id", "user_id", "activity"),
}
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Row:
    """One planted row; its line is known once all rows have their places."""

    def __init__(self, file: str, **values: str) -> None:
        self.file = file
        self.values = values
        self.line = 0

    @property
    def id(self) -> str:
        return self.values.get("account", "")


class Expected(NamedTuple):
    """A finding that must be there, with its rows in the order of its lines."""

    code: str
    file: str
    what: str
    ids: tuple[str, ...]
    lines: tuple[int, ...]
    more: tuple[tuple[str, object], ...] = ()


def record(number: int, *, short: bool = False) -> str:
    """A Salesforce ID of an account, with letters of both cases in it."""
    text = ""
    for _ in range(8):
        number, at = divmod(number, len(_LETTERS))
        text += _LETTERS[at]
    text = f"001aZ00{text}"
    return text if short else str(salesforce_id(text))


class Plants:
    """`write(folder)` writes the files; `expected` is what an audit of them must find, no more."""

    def __init__(self, rows: int, each: int) -> None:
        self.rows, self.each = rows, each
        self.planted: list[Row] = []
        self._told: list[tuple[str, str, str, list[Row] | None, object, dict[str, object]]] = []
        self._number = 0
        self._texts: list[Row] = []  # accounts of app with another format than digits
        self._formats: dict[str, list[Row]] = {}
        self._plant()

    # -- making rows

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _row(self, file: str, **values: str) -> Row:
        row = Row(file, **values)
        self.planted.append(row)
        return row

    def _app(self, account: str, form: str | None = None, *, bound: bool = True, **values: str) -> Row:
        """A row of app; with `bound`, crm has a row that names it by its ofid."""
        if bound:
            number = self._next()
            values["ofid"] = f"of{number}"
            self._row("crm", salesforce=record(10_000_000 + number), foreignkeyid=f"OF{number} ")
        row = self._row("app", account=account, **values)
        if form is not None:
            self._formats.setdefault(form, []).append(row)
        return row

    def _tell(self, code: str, rows: list[Row], what: str = "account", ids: object = None, **more: object) -> None:
        self._told.append((code, rows[0].file, what, rows, ids, more))

    def _base(self, at: int) -> str:
        return f"{1 + at % self.rows:08d}"

    # -- what is planted

    def _plant(self) -> None:
        for plant in (
            self._ids, self._rows, self._spellings, self._salesforce, self._keys, self._trees, self._products,
            self._users, self._unknown, self._crm,
        ):  # fmt: skip
            plant()
        for form, rows in self._formats.items():
            ids = lambda rows=rows: tuple(row.id for row in sorted(rows, key=lambda row: row.line))  # noqa: E731
            self._tell("mixed-format", rows, ids=ids, reason=f"{form}, where most are digits")

    def _ids(self) -> None:
        self._tell("id-missing", [self._app("", bound=False, name="M") for _ in range(self.each)], ids=("",))
        for text in ("n/a", "NULL", "#REF!", "[object Object]"):
            self._tell(
                "id-placeholder", [self._app(text, bound=False, name="M") for _ in range(self.each)], ids=(text,)
            )
        for text, form in (("0", None), ("Anonymous", "text"), ("unknown", "text")):
            self._tell("id-suspect", [self._app(text, form)])
        for at in range(self.each):
            self._tell("id-scientific", [self._app(f"1.{1000 + at}E+11")])
            self._tell("id-decimal", [self._app(f"{90_000_000 + at}.0")])
            self._tell("id-space", [self._app(f"{91_000_000 + at} ")])
            self._tell("id-characters", [self._app(f"Acme Inc {at}")])
            self._tell("id-length", [self._app(f"L{at:0480d}")])

    def _rows(self) -> None:
        for at in range(self.each):
            account = f"{92_000_000 + at}"
            self._tell("duplicate", [self._app(account), self._row("app", account=account)], ids=(account,))
            account = f"{93_000_000 + at}"
            two = [
                self._app(account, parent=self._base(at)),
                self._row("app", account=account, parent=self._base(at + 1)),
            ]
            self._tell("duplicate", two, ids=(account,))
            self._tell("two-parents", two, ids=(account,))

    def _spellings(self) -> None:
        for at in range(self.each):
            self._variant([self._app(f"case-{at}", "prefix case-"), self._app(f"CASE-{at}", "prefix CASE-")], "case")
            self._variant([self._app(f"{94_000_000 + at}"), self._app(f"0{94_000_000 + at}")], "zeros")
            short = self._app(f"{5_000_000 + at}")
            self._tell("zeros-lost", [short], partner=f"{5_000_000 + at:08d}")

    def _variant(self, rows: list[Row], reason: str) -> None:
        self._tell("variant", rows, reason=reason, ids=lambda: _by_line(rows))

    def _salesforce(self) -> None:
        for at in range(self.each):
            short = self._app(record(20_000_000 + at, short=True), "salesforce")
            long = self._app(record(20_000_000 + at), "salesforce")
            self._tell("salesforce-15", [short], partner=long.id)
            self._variant([short, long], "salesforce")
            right = record(21_000_000 + at)
            self._tell("salesforce-case", [self._app(right.lower(), "salesforce")], partner=right)
            key = record(22_000_000 + at)
            wrong = key[:15] + ("AAB" if key[15:] != "AAB" else "AAC")
            row = self._app(f"{95_000_000 + at}", foreignkeyid=wrong)
            self._tell("salesforce-suffix", [row], "foreignkeyid", (wrong,))
            odd = self._row("crm", salesforce=f"odd-{at}", foreignkeyid=f"fk{1 + at}")
            self._tell("salesforce-shape", [odd], "salesforce", (f"odd-{at}",))

    def _keys(self) -> None:
        for at in range(self.each):
            one = self._app(f"{97_000_000 + at}", foreignkeyid=f"zK{at}")
            two = self._app(f"{98_000_000 + at}", foreignkeyid=f"Zk{at} ")
            self._tell(
                "foreign-key-collision", [one, two], "foreignkeyid", lambda one=one, two=two: _by_line([one, two])
            )

    def _trees(self) -> None:
        for at in range(self.each):
            missing = f"{81_000_000 + at}"
            self._tell("parent-missing", [self._app(f"{83_000_000 + at}", parent=missing)], "parent", (missing,))
            names = [f"{84_000_000 + 3 * at + step}" for step in range(3)]
            above = dict(pairwise([*names, names[0]]))
            rows = {name: self._app(name, parent=above[name]) for name in names}
            self._told.append(("cycle", "app", "account", list(rows.values()), (rows, above), {}))
            own = f"{88_000_000 + at}"
            self._tell("cycle", [self._app(own, parent=own)])

    def _products(self) -> None:
        for at in range(self.each):
            orphan = self._row("app", account=f"orphan{at}", product="P1")
            self._tell("product-orphan", [orphan])
            named = self._row("app", account=f"named{at}", product="P1", parent=self._base(at))
            self._tell("product-name", [named], partner=f"{self._base(at)}_P1")
            plain = self._app(f"{self._base(at)}_Q", "text")
            pair = self._row("usage", account=self._base(at), product="Q", user=f"q{at}@example.com")
            self._tell("product-ambiguous", [pair, plain], ids=(plain.id,), files=["usage", "app"])

    def _users(self) -> None:
        odd = [self._row("usage", account=self._base(at), user=f"o'{at}@example.com") for at in range(self.each)]
        self._tell("user-characters", odd, "user", lambda: _users(odd))
        no = [self._row("usage", account=self._base(at), user=f"emp{at}") for at in range(self.each)]
        self._tell("user-not-email", no, "user", lambda: _users(no))

    def _unknown(self) -> None:
        for at in range(self.each):
            row = self._row("usage", account=f"{71_000_000 + at}", user=f"x{at}@example.com")
            self._tell("unknown-account", [row])
            there = self._app(f"{72_000_000 + at}")
            row = self._row("usage", account=f"{there.id}.0", user=f"x{at}@example.com")
            self._tell("id-decimal", [row])
            self._tell("unknown-account", [row], partner=there.id, reason="decimal")

    def _crm(self) -> None:
        for at in range(self.each):
            keys = {"foreignkeyid": f"fk{2 + at}", "ofid": f"fk{1 + at}"}
            row = self._row("crm", salesforce=record(30_000_000 + at), **keys)
            self._tell("bound-twice", [row], "salesforce", (row.values["salesforce"],),
                       partners=lambda at=at: [self._base(at), self._base(at + 1)])  # fmt: skip
            alone = self._app(f"{73_000_000 + at}", bound=False)
            self._tell("unbound", [alone], other="crm", severity="info")
            row = self._row("crm", salesforce=record(31_000_000 + at), foreignkeyid=f"nowhere{at}")
            self._tell("unbound", [row], "salesforce", (row.values["salesforce"],), other="app", severity="info")
            self._likely(f"{74_000_000 + at}", f"{74_000_000 + at} ", "space")
            self._likely(f"{75_000_000 + at}", f"CRM-{75_000_000 + at}", "prefix")
            name = f"Only {at}"
            home = self._app(f"{76_000_000 + at}", bound=False, name=name)
            row = self._row("crm", salesforce=record(32_000_000 + at), name=name.upper())
            self._tell("unbound", [home], other="crm", severity="warning", partner=row.values["salesforce"],
                       partner_line=lambda row=row: row.line, reason="name")  # fmt: skip
        for at in range(self.each + 1):
            key = f"{at:08x}-0000-4000-8000-000000000000"
            self._row("app", account=f"{77_000_000 + at}", foreignkeyid=key)
            self._row("crm", account=key, salesforce=record(33_000_000 + at))
        if self.each >= 5:  # ten IDs of two formats, none with 80 %
            reason = f"uuid {self.each + 1}, prefix CRM- {self.each}"
            self._told.append(("no-format", "crm", "account", None, (), {"reason": reason}))

    def _likely(self, account: str, other: str, reason: str) -> None:
        home = self._app(account, bound=False)
        row = self._row("crm", account=other, salesforce=record(34_000_000 + self._next()))
        self._tell("unbound", [home], other="crm", severity="warning", partner=other,
                   partner_line=lambda: row.line, reason=reason)  # fmt: skip
        if other.endswith(" "):
            self._tell("id-space", [row])

    # -- the files

    def write(self, folder: Path) -> dict[str, str]:
        """Write the files, with the planted rows at random places, and return their paths."""
        chance = random.Random(7)
        paths = {}
        for name, header in HEADERS.items():
            rows = [row for row in self.planted if row.file == name]
            count = self.rows + len(rows)
            places = dict(
                zip(sorted(chance.sample(range(count), len(rows))), chance.sample(rows, len(rows)), strict=True)
            )
            paths[name] = str(folder / f"{name}.csv")
            with open(paths[name], "w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(header)
                at = 0
                for place in range(count):
                    row = places.get(place)
                    if row is None:
                        at += 1
                        writer.writerow(_plain(name, at))
                    else:
                        row.line = place + 2
                        writer.writerow(_values(row))
        return paths

    @property
    def expected(self) -> set[Expected]:
        """What must be found; the files must be written before."""
        return {self._expected(*told) for told in self._told}

    def _expected(
        self, code: str, file: str, what: str, rows: list[Row] | None, ids: object, more: dict[str, object]
    ) -> Expected:
        lines = tuple(row.line for row in rows or ())
        if code == "cycle" and ids is not None:
            ids, lines = _circle(*ids)  # type: ignore[misc]
        elif code != "product-ambiguous":
            lines = tuple(sorted(lines))
        if callable(ids):
            ids = ids()
        found = (rows[0].id,) if ids is None and rows else ids
        told = {key: value() if callable(value) else value for key, value in more.items()}
        return Expected(code, file, what, tuple(found), lines, plain(told))  # type: ignore[arg-type]


def plain(more: dict[str, object]) -> tuple[tuple[str, object], ...]:
    """What a finding has beside its lines, as it can be compared."""
    return tuple(sorted((key, tuple(value) if isinstance(value, list) else value) for key, value in more.items()))


def _circle(rows: dict[str, Row], above: dict[str, str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    at = min(rows, key=lambda name: rows[name].line)
    names = []
    for _ in rows:
        names.append(at)
        at = above[at]
    return tuple(names), tuple(rows[name].line for name in names)


def _by_line(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(row.id for row in sorted(rows, key=lambda row: row.line))


def _users(rows: Iterable[Row]) -> tuple[str, ...]:
    return tuple(row.values["user"] for row in sorted(rows, key=lambda row: row.line))


def _plain(name: str, at: int) -> list[str]:
    if name == "app":
        return [f"{at:08d}", f"Customer {at}", "", "", f"fk{at}", ""]
    if name == "crm":
        return ["", record(at), f"Customer {at}", f"FK{at}", ""]
    return [f"{at:08d}", "", f"user{at}@example.com", "Login"]


def _values(row: Row) -> list[str]:
    values = row.values.get
    account, product, name = values("account", ""), values("product", ""), values("name", "")
    keys = [values("foreignkeyid", ""), values("ofid", "")]
    if row.file == "app":
        return [account, name, values("parent", ""), product, *keys]
    if row.file == "crm":
        return [account, values("salesforce", ""), name, *keys]
    return [account, product, values("user", ""), "Login"]

"""What an audit finds, and the table of all that it can find."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from ..show import Readable

if TYPE_CHECKING:
    from collections.abc import Iterable


class Code(NamedTuple):
    """One kind of finding: how bad it is, to which rule it belongs, and what to do."""

    severity: str
    rules: tuple[str, ...]
    advice: str


# In the order in which findings are told.
CODES: dict[str, Code] = {
    "id-missing": Code("error", ("characters",), "fill it in, or leave the row out"),
    "id-placeholder": Code("error", ("characters",), "find the ID that was meant"),
    "id-suspect": Code("warning", ("characters",), "see whose it is"),
    "id-scientific": Code("error", ("characters",), "export again as text: the digits are gone"),
    "id-decimal": Code("error", ("characters",), "export as text, or cast to integer"),
    "id-space": Code("error", ("characters",), "trim it (--fix)"),
    "id-characters": Code("error", ("characters",), "use the application's ID, not the name"),
    "id-length": Code("error", ("characters",), "use a shorter one"),
    "user-characters": Code("warning", ("characters", "users"), "check that one of them arrives"),
    "duplicate": Code("error", ("unique",), "keep one row"),
    "two-parents": Code("error", ("unique",), "choose one"),
    "variant": Code("warning", ("unique",), "choose one spelling everywhere"),
    "mixed-format": Code("warning", ("format",), "bring them into the format"),
    "no-format": Code("warning", ("format",), "choose one"),
    "zeros-lost": Code("warning", ("format",), "export again as text"),
    "salesforce-15": Code("warning", ("salesforce",), "send the 18 (--fix)"),
    "salesforce-case": Code("warning", ("salesforce",), "restore its case (--fix)"),
    "salesforce-suffix": Code("warning", ("salesforce",), "copy it again from Salesforce"),
    "salesforce-shape": Code("warning", ("salesforce",), "copy it again"),
    "foreign-key-collision": Code("error", ("foreign keys",), "give each its own"),
    "parent-missing": Code("error", ("hierarchy",), "add it, or mend the parent"),
    "cycle": Code("error", ("hierarchy", "unique"), "cut it"),
    "product-orphan": Code("error", ("hierarchy",), "name the parent"),
    "product-name": Code(
        "warning",
        ("hierarchy",),
        "rename it, or give the product that account_id everywhere",
    ),
    "product-ambiguous": Code(
        "error", ("hierarchy", "unique"), "give one product an account_id of its own"
    ),
    "user-not-email": Code("warning", ("users",), "use the address"),
    "unknown-account": Code("error", ("binding",), "mend it, or send the account first"),
    "bound-twice": Code("error", ("foreign keys",), "mend the key"),
    "unbound": Code("info", ("binding",), "as the reason says"),
}
RULES = (
    *("unique", "characters", "format", "hierarchy", "salesforce"),
    *("foreign keys", "users", "binding"),
)
_PLACES = {code: place for place, code in enumerate(CODES)}


@attrs.frozen(kw_only=True, repr=False)
class Finding(Readable):
    """One thing that is found: what is wrong with which IDs of a file, and on which lines.

    `partner`, `partner_line` and `other` name the likely counterpart and its file, `partners` the
    accounts that a row binds to, `files` the file of each line where they are of several,
    `reason` why two IDs are held for one, and `on_lines` which of several IDs each line has.
    """

    code: str
    severity: str
    file: str
    what: str
    ids: list[str]
    lines: list[int]
    other: str | None = None
    partner: str | None = None
    partner_line: int | None = None
    partners: list[str] | None = None
    files: list[str] | None = None
    reason: str | None = None
    on_lines: list[str] | None = attrs.field(default=None, repr=False)

    @property
    def advice(self) -> str:
        """What to do."""
        return CODES[self.code].advice

    def as_mapping(self) -> dict[str, Any]:
        """Return the fields that are there, as JSON has them."""
        fields = (field.name for field in attrs.fields(type(self)) if field.name != "on_lines")
        return {name: value for name in fields if (value := getattr(self, name)) is not None}

    def place(self, files: list[str]) -> tuple[int, int, int]:
        """Return where this stands among all: by the table, then file, then first line."""
        first = self.lines[0] if self.lines else 0
        if self.code != "product-ambiguous":
            first = min(self.lines, default=0)
        return _PLACES[self.code], files.index(self.file), first


@attrs.frozen(kw_only=True, repr=False)
class Audit(Readable):
    """What an audit says of all files together; the fields are those of its JSON.

    Beside them, for the page: `formats` has how many account IDs of each file have which format,
    and `bindings` how many accounts of home are bound to each other file.
    """

    files: list[dict[str, Any]]
    home: str | None
    pattern: str | None
    user_pattern: str | None
    rules: list[dict[str, Any]]
    counts: dict[str, int]
    findings: list[Finding]
    formats: dict[str, dict[str, int]] = attrs.field(factory=dict, repr=False)
    bindings: list[dict[str, Any]] = attrs.field(factory=list, repr=False)

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return self.count("error")

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return self.count("warning")

    def count(self, severity: str) -> int:
        """Return how many findings have this severity; whole, whatever the limit."""
        return self.counts_by_severity[severity]

    counts_by_severity: dict[str, int] = attrs.field(repr=False)

    def limited(self, limit: int) -> Audit:
        """Return it with at most so many findings of each code."""
        return attrs.evolve(self, findings=first_of_each(self.findings, limit))

    def as_mapping(self) -> dict[str, Any]:
        """Return it as `totango audit --json` prints it."""
        return {
            "audit": 1,
            "files": self.files,
            "home": self.home,
            "pattern": self.pattern,
            "user_pattern": self.user_pattern,
            "rules": self.rules,
            "counts": self.counts,
            "findings": [finding.as_mapping() for finding in self.findings],
        }


def first_of_each(findings: Iterable[Finding], limit: int) -> list[Finding]:
    """Return at most so many findings of each code."""
    kept: Counter[str] = Counter()
    chosen = []
    for finding in findings:
        kept[finding.code] += 1
        if kept[finding.code] <= limit:
            chosen.append(finding)
    return chosen

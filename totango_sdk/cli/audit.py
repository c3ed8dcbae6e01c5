"""totango audit: checks lists of IDs against the rules, and against each other."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import OptionsError
from ..show import shown
from ..tables import expanded
from .asked import Delimiter, Encoding, Escape, Format, Null
from .tell import check_place, owners_file, table, tell_json

if TYPE_CHECKING:
    from ..audit import Audit
    from ..tables import Map, Reading

_EXAMPLES = 5
_FIELDS = (
    *("code", "severity", "file", "what", "id", "line"),
    *("other", "partner", "reason", "advice"),
)

_Files = Annotated[
    list[str] | None, typer.Argument(metavar="FILE…", help="Files to check; or by --as NAME=FILE.")
]
_As = Annotated[list[str] | None, typer.Option("--as", help="NAME=FILE: a file by a name.")]
_Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="NAME:MEANING=COLUMN, such as crm:salesforce=Id."),
]
_Kinds = Annotated[list[str] | None, typer.Option("--kind", help="NAME=accounts, and so on.")]
_Home = Annotated[str | None, typer.Option(help="The file with the IDs that Totango has.")]
_Map = Annotated[str | None, typer.Option("--map", help="A map of the columns, in TOML.")]
_Limit = Annotated[int, typer.Option(help="At most so many findings of each code in --json.")]
_FailOn = Annotated[str, typer.Option(help="error, or warning: what exit code 1 means.")]
_Json = Annotated[bool, typer.Option("--json", help="JSON for programs.")]
_Findings = Annotated[str | None, typer.Option(help="Write all findings to a CSV file.")]
_Fix = Annotated[str | None, typer.Option(help="Write the file again, with its IDs mended.")]
_Report = Annotated[str | None, typer.Option("--report", help="Write the report here, as HTML.")]
_Force = Annotated[bool, typer.Option("--force", help="Overwrite what --fix writes.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("audit")(_audit)


def _audit(
    files: _Files = None,
    named: _As = None,
    column: _Columns = None,
    kind: _Kinds = None,
    home: _Home = None,
    map_file: _Map = None,
    limit: _Limit = 1000,
    fail_on: _FailOn = "error",
    json: _Json = False,
    findings: _Findings = None,
    report_to: _Report = None,
    fix: _Fix = None,
    force: _Force = False,
    format_: Format = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    escape: Escape = None,
    null: Null = None,
) -> None:
    """Check lists of IDs against the rules, and against each other. Nothing is sent."""
    from ..audit import as_map_says, audit
    from ..tables import Reading, read_map

    if fail_on not in ("error", "warning"):
        raise OptionsError.of("--fail-on", fail_on, "it is error or warning", "error")
    sources = _sources(files or [], named or [])
    if not sources:
        raise OptionsError("there is no file to check: give FILE, or --as NAME=FILE")
    columns = _columns(column or [])
    reading = Reading(
        format=format_, encoding=encoding, delimiter=delimiter, escape=escape, null=null
    )
    unlimited = limit if findings is None else 1 << 60
    for path in (findings, report_to):
        check_place(path)
    found = audit(
        sources,
        columns=columns,
        kinds=dict(_pair(each, "--kind") for each in kind or []),
        home=home,
        map=map_file,
        limit=unlimited,
        reading=reading,
    )
    if findings is not None:
        _write_findings(findings, found)
        found = found.limited(limit)
    if report_to is not None:
        _write_page(report_to, found)
    if fix is not None:
        read_as = None if map_file is None else read_map(map_file)
        _fix(fix, sources, columns, as_map_says(reading, read_as), read_as, force=force)
    if json:
        tell_json(found.as_mapping())
    else:
        _tell(found)
    if found.errors or (fail_on == "warning" and found.warnings):
        raise typer.Exit(1)


def _sources(files: list[str], named: list[str]) -> dict[str, str]:
    sources: dict[str, str] = {}
    stems = [(_stem(path), path) for path in expanded(files)]
    for name, path in [*stems, *(_pair(each, "--as") for each in named)]:
        if name in sources:
            msg = f"two files are called {shown(name)}: name one by --as NAME=FILE"
            raise OptionsError(msg)
        sources[name] = path
    return sources


def _stem(path: str) -> str:
    """Return the file's name without its ending; without that of a packed one, too."""
    name = os.path.basename(path)
    for packed in (".gz", ".zst"):
        name = name.removesuffix(packed)
    return os.path.splitext(name)[0]


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        msg = f"{flag} {shown(text)} is wrong: it is NAME=..., such as {flag} app=accounts.csv"
        raise OptionsError(msg)
    return name, value


def _columns(given: list[str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for text in given:
        where, column = _pair(text, "--column")
        name, colon, meaning = where.partition(":")
        if not colon:
            msg = (
                f"--column {shown(text)} is wrong: it is NAME:MEANING=COLUMN, such as "
                "--column crm:salesforce=Id"
            )
            raise OptionsError(msg)
        found.setdefault(name, {})[meaning] = column
    return found


def _tell(found: Audit) -> None:
    for file in found.files:
        rejected = f", {file['rejected']:,} rejected" if file["rejected"] else ""
        typer.echo(f"{file['name']}: {file['kind']}, {file['rows']:,} rows{rejected}")
    patterns = {"home": found.home, "pattern": found.pattern, "users": found.user_pattern}
    told = [f"{name} {value}" for name, value in patterns.items() if value is not None]
    typer.echo(f"{', '.join(told)}\n")
    rules = [
        [rule["rule"], rule["verdict"], str(rule["errors"]), str(rule["warnings"])]
        for rule in found.rules
    ]
    table(["rule", "verdict", "errors", "warnings"], rules)
    from ..audit import CODES

    for code, count in found.counts.items():
        examples = [finding for finding in found.findings if finding.code == code][:_EXAMPLES]
        typer.echo(f"\n{code}: {count:,}. What to do: {CODES[code].advice}")
        table(["file", "lines", "IDs", "partner", "why"], [_row(each) for each in examples])


def _row(finding: object) -> list[str]:
    each = finding.as_mapping()  # type: ignore[attr-defined]
    ids = ", ".join(shown(text) for text in each["ids"][:_EXAMPLES])
    lines = ", ".join(str(line) for line in each["lines"][:_EXAMPLES])
    partner = each.get("partner") or ", ".join(each.get("partners", ()))
    return [each["file"], lines, ids, partner, each.get("reason", "")]


def _write_page(path: str, found: Audit) -> None:
    from .audit_page import page

    text = page(found)
    with owners_file(path) as out:
        out.write(text)


def _write_findings(path: str, found: Audit) -> None:
    with owners_file(path, newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_FIELDS)
        for finding in found.findings:
            each = finding.as_mapping()
            for place, line in enumerate(finding.lines or [""]):
                ids = finding.on_lines or finding.ids or [""]
                value = ids[place] if len(ids) == len(finding.lines) else ids[0]
                told = {**each, "id": value, "line": line, "advice": finding.advice}
                writer.writerow([told.get(name, "") for name in _FIELDS])


def _fix(
    out: str,
    sources: dict[str, str],
    columns: dict[str, dict[str, str]],
    reading: Reading,
    read_as: Map | None,
    *,
    force: bool,
) -> None:
    from ..audit.fix import clashes, fix

    several = len(sources) > 1
    if several:
        os.makedirs(out, exist_ok=True)
    how = {
        name: {"columns": columns.get(name, {}), "reading": reading, "map": read_as}
        for name in sources
    }
    left: dict[str, str] = {}
    for name, path in sources.items():
        left |= clashes(path, **how[name])  # type: ignore[arg-type]
    for name, path in sources.items():
        target = os.path.join(out, os.path.basename(path)) if several else out
        changes = fix(path, target, **how[name], left=left, force=force)  # type: ignore[arg-type]
        kept = sum(change.why.startswith("left") for change in changes)
        typer.echo(f"{target}: {len(changes) - kept} mended, {kept} left as they were", err=True)

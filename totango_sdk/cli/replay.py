"""`totango replay`: sends recorded events."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .. import Totango
from ..errors import OptionsError
from ..replay import preview, replay
from ..replay.how import oldest_told
from ..replay.page import page
from ..tables import Reading, expanded, open_source, read_map, suggested_map
from .asked import (
    Delimiter,
    Encoding,
    Endpoint,
    Escape,
    Files,
    Format,
    Map,
    Null,
    Region,
    Rejected,
    ServiceId,
    Spare,
    Status,
    Timezone,
)
from .progress import Telling
from .tell import check_place, duration, owners_file, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..replay import Report


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("replay")(_replay)


def _replay(
    files: Files,
    service_id: ServiceId = None,
    endpoint: Endpoint = None,
    region: Region = None,
    account: Spare = None,
    user: Spare = None,
    product: Spare = None,
    module: Spare = None,
    map_: Map = None,
    suggest_map: Annotated[
        bool, typer.Option("--suggest-map", help="Print a map for the first file, and stop.")
    ] = False,
    format_: Format = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    escape: Escape = None,
    null: Null = None,
    timezone: Timezone = None,
    status: Status = None,
    max_age: Annotated[str, typer.Option(help="Older rows are rejected.")] = "24h",
    arrival_time_is_fine: Annotated[
        bool, typer.Option("--arrival-time-is-fine", help="Send rows of any age.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, send nothing.")] = False,
    calls: Annotated[
        str | None, typer.Option(help="With --dry-run: write each call here, as NDJSON.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many rows.")] = None,
    from_line: Annotated[int | None, typer.Option(help="Pass over the lines before.")] = None,
    ledger: Annotated[str | None, typer.Option(help="Where to remember how far it came.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Start over.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compare all that was sent.")] = False,
    unique: Annotated[bool, typer.Option("--unique", help="Send equal rows once.")] = False,
    rate: Annotated[float | None, typer.Option(help="Requests a second, at most.")] = None,
    max_connections: Annotated[int, typer.Option(help="Requests in flight at once.")] = 16,
    rejected: Rejected = None,
    report_to: Annotated[
        str | None, typer.Option("--report", help="Write the report here, as HTML.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Send recorded events, each row once, and tell which are wrong and why."""
    reading = Reading(
        format=format_, encoding=encoding, delimiter=delimiter, escape=escape, null=null
    )
    if suggest_map:
        print(suggested_map(open_source(files[0], reading)), end="")
        return
    client = Totango(
        service_id,
        endpoint=endpoint,
        region=region,
        account=account,
        user=user,
        product=product,
        module=module,
        max_connections=max_connections,
        spool="memory",
    )
    flags: dict[str, Any] = {
        "map": map_,
        "timezone": timezone,
        "status": status,
        "max_age": duration(max_age, "--max-age"),
        "arrival_time_is_fine": arrival_time_is_fine,
        "format": format_,
        "encoding": encoding,
        "delimiter": delimiter,
        "escape": escape,
        "null": null,
    }
    for path in (report_to, calls):
        check_place(path)
    if calls is not None:
        if not dry_run:
            raise OptionsError("--calls needs --dry-run")
        _write_calls(files, calls, client, flags)
    with _stopping() as stop, Telling() as telling:
        report = replay(
            "-" if files == ["-"] else files,
            client,
            dry_run=dry_run,
            ledger=ledger,
            again=again,
            verify=verify,
            rate=rate,
            unique=unique,
            rejected=rejected,
            limit=limit,
            from_line=from_line,
            on_progress=telling,
            stop=stop,
            say=telling.say,
            **flags,
        )
    if report_to is not None:
        _write_page(report, report_to, map_)
    _tell(report, as_json=as_json)
    raise typer.Exit(report.exit_code)


def _write_calls(files: list[str], path: str, client: Totango, flags: dict[str, Any]) -> None:
    options = client._core.options
    defaults = {name: getattr(options, name) for name in ("account", "user", "product", "module")}
    with owners_file(path) as out:
        for file in expanded(files):
            out.writelines(
                json.dumps(call, ensure_ascii=False) + "\n"
                for call in preview(file, service_id=options.service_id, **defaults, **flags)
            )


def _write_page(report: Report, path: str, map_: str | None) -> None:
    text = page(report, "" if map_ is None else read_map(map_).text)
    with owners_file(path) as out:
        out.write(text)


@contextmanager
def _stopping() -> Iterator[Any]:
    """Have Ctrl-C and SIGTERM stop in order; a second one ends at once."""
    asked: list[int] = []

    def ask(number: int, _frame: Any) -> None:
        if asked:
            os._exit(130)
        asked.append(number)

    before = {each: signal.signal(each, ask) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(report: Report, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.as_mapping(), ensure_ascii=False))
        return
    for note in (oldest_told(report), *report.notes):
        if note:
            print(note)
    names = ("rows", "delivered", "rejected", "skipped", "earlier", "left")
    table(list(names), [[str(getattr(report, name)) for name in names]])
    _tell_rejected(report)
    for field, count in report.warnings.items():
        print(f"warning: {field}: {count:,} rows")
    if report.unused_columns:
        print(f"columns that nothing uses: {', '.join(report.unused_columns)}")
    if report.dry_run:
        _tell_calls(report)
    for path in report.rejected_files:
        print(f"rejected rows: {path}")
    if report.stopped:
        line = report.sources[-1]["last_line"] if report.sources else 0
        print(
            f"stopped at line {line}: {report.delivered} delivered; the same command goes on",
            file=sys.stderr,
        )


def _tell_rejected(report: Report) -> None:
    for code, count in report.by_code.items():
        print(f"rejected as {code}: {count:,}")
        for example in report.examples:
            if example["code"] == code:
                print(f"  line {example['line']}: {example['reason']}")


def _tell_calls(report: Report) -> None:
    print(f"accounts: {report.accounts:,}, users: {report.users:,}, requests: {report.requests:,}")
    for call in report.calls:
        told = {name: value for name, value in call.items() if name != "bodies"}
        print(f"would send {json.dumps(told, ensure_ascii=False)}")
        for body in call["bodies"]:
            print(f"  {body}")

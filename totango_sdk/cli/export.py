"""`totango export`: the CSV files that Totango's own importer takes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated

import typer

from ..export import KINDS, export
from ..export.run import MOST_BYTES
from ..identity import service_id_problem
from .asked import (
    Delimiter,
    Encoding,
    Escape,
    Files,
    Format,
    Json,
    Map,
    Null,
    Rejected,
    Spare,
    Status,
    Timezone,
)
from .progress import TellingRows
from .tell import table

if TYPE_CHECKING:
    from ..export import Exported


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("export")(_export)


def _export(
    files: Files,
    to: Annotated[str, typer.Option(help=f"{', '.join(KINDS)}.")],
    out: Annotated[str, typer.Option(help="The directory to write to.")],
    service_id: Annotated[
        str | None, typer.Option(help="Reject the requests of any other service.")
    ] = None,
    account: Spare = None,
    user: Spare = None,
    product: Spare = None,
    module: Spare = None,
    map_: Map = None,
    format_: Format = None,
    encoding: Encoding = None,
    delimiter: Delimiter = None,
    escape: Escape = None,
    null: Null = None,
    timezone: Timezone = None,
    status: Status = None,
    arrival_time_is_fine: Annotated[
        bool,
        typer.Option("--arrival-time-is-fine", help="Of usage without a time: that of the export."),
    ] = False,
    max_bytes: Annotated[int, typer.Option(help="A part is smaller.")] = MOST_BYTES,
    rejected: Rejected = None,
    limit: Annotated[int | None, typer.Option(help="Stop after so many rows.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
    as_json: Json = False,
) -> None:
    """Write usage, users, accounts or collections as Totango's importer takes them. Sends nothing."""
    with TellingRows() as telling:
        exported = export(
            "-" if files == ["-"] else files,
            to=to,
            out=out,
            service_id=_checked(service_id or os.environ.get("TOTANGO_SERVICE_ID")),
            account=account,
            user=user,
            product=product,
            module=module,
            map=map_,
            format=format_,
            encoding=encoding,
            delimiter=delimiter,
            escape=escape,
            null=null,
            timezone=timezone,
            status=status,
            arrival_time_is_fine=arrival_time_is_fine,
            max_bytes=max_bytes,
            rejected=rejected,
            limit=limit,
            force=force,
            on_progress=telling,
        )
    if as_json:
        print(json.dumps(exported.as_mapping(), ensure_ascii=False))
    else:
        _tell(exported)
    raise typer.Exit(exported.exit_code)


def _checked(service_id: str | None) -> str | None:
    if service_id is None:
        return None
    problem = service_id_problem(service_id)
    if problem is not None and problem.severity == "error":
        raise typer.BadParameter(problem.message, param_hint="--service-id")
    return service_id


def _tell(exported: Exported) -> None:
    for note in exported.notes:
        print(note)
    names = ("rows", "exported", "rejected", "skipped")
    table(list(names), [[str(getattr(exported, name)) for name in names]])
    for example in exported.examples:
        print(f"line {example['line']}: {example['code']}: {example['reason']}")
    for field, count in exported.warnings.items():
        print(f"warning: {field}: {count}")
    for path in exported.rejected_files:
        print(f"rejected rows: {path}")
    for file in exported.files:
        print(f"{file['path']}: {file['rows']} rows, {file['bytes']} bytes")

"""Options that several commands have, and how their values are read."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import OptionsError
from ..show import shown

ServiceId = Annotated[
    str | None, typer.Option(help="SP-<digits>-<digits>; by default TOTANGO_SERVICE_ID.")
]
Endpoint = Annotated[
    str | None,
    typer.Option(help="Another collector, for a sandbox; by default TOTANGO_ENDPOINT."),
]
Region = Annotated[
    str | None, typer.Option(help="us, eu1 or test; by default TOTANGO_REGION, else us.")
]
Json = Annotated[bool, typer.Option("--json", help="Tell it as JSON.")]


# What rows are read from, and how.
Files = Annotated[
    list[str], typer.Argument(metavar="FILE…", help="CSV, NDJSON, JSON, Parquet, logs, or -.")
]
Spare = Annotated[str | None, typer.Option(help="For rows that give none.")]
Map = Annotated[str | None, typer.Option("--map", help="What columns mean, in TOML.")]
Format = Annotated[str | None, typer.Option("--format", help="csv, ndjson, json, parquet or log.")]
Encoding = Annotated[str | None, typer.Option(help="Such as cp1252.")]
Delimiter = Annotated[str | None, typer.Option(help="Of a CSV file.")]
Escape = Annotated[str | None, typer.Option(help="Before a quote, such as \\.")]
Null = Annotated[str | None, typer.Option(help="What means not given, such as \\N.")]
Timezone = Annotated[str | None, typer.Option(help="Of times that name none.")]
Status = Annotated[str | None, typer.Option(help="Of a log, such as 500-599.")]
Rejected = Annotated[str | None, typer.Option(help="Where rejected rows go.")]


def pairs(given: list[str] | None, flag: str, example: str) -> dict[str, str]:
    """Return what `NAME=VALUE` texts say. Raises `OptionsError`."""
    found: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not name or not equals:
            msg = f"{flag} {shown(text)} is wrong: it is NAME=VALUE, such as {flag} {example}"
            raise OptionsError(msg)
        if name in found:
            raise OptionsError(f"{flag} gives {shown(name)} twice: leave one out")
        found[name] = value
    return found

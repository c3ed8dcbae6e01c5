"""`totango salesforce-id`: the 18 characters of Salesforce IDs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import InvalidID
from ..identity import salesforce_id
from .asked import Json
from .tell import tell_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("salesforce-id")(_salesforce_id)


def _salesforce_id(
    ids: Annotated[
        list[str],
        typer.Argument(metavar="ID…", help="Of 15 or 18 characters; - reads one a line."),
    ],
    as_json: Json = False,
) -> None:
    """Print Salesforce IDs with 18 characters: of 15, or of 18 whose case was lost."""
    found = [_mended(given) for given in _each(ids)]
    wrong = [each for each in found if each["id"] is None]
    if as_json:
        tell_json(found)
    else:
        _tell(found)
    raise typer.Exit(1 if wrong else 0)


def _each(ids: list[str]) -> Iterator[str]:
    for given in ids:
        yield from _lines(sys.stdin) if given == "-" else [given]


def _lines(file: Iterable[str]) -> Iterator[str]:
    return (line.strip() for line in file if line.strip())


def _mended(given: str) -> dict[str, Any]:
    try:
        return {"given": given, "id": salesforce_id(given), "reason": None}
    except InvalidID as error:
        return {"given": given, "id": None, "reason": str(error)}


def _tell(found: list[dict[str, Any]]) -> None:
    for each in found:
        if each["id"] is None:
            typer.echo(f"totango: {each['reason']}", err=True)
        else:
            typer.echo(each["id"])

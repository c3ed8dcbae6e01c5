"""Puts the commands together, and turns what they raise into one line and an exit code."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import OptionsError, SpoolError
from . import audit, doctor, export, replay, salesforce, sandbox, spool, track

if TYPE_CHECKING:
    from collections.abc import Sequence

_COMMANDS = (track, audit, replay, export, sandbox, spool, doctor, salesforce)

app = typer.Typer(
    name="totango",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _command in _COMMANDS:
    _command.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"totango-sdk {version('totango-sdk')}")
        raise typer.Exit


@app.callback()
def _totango(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and stop."
        ),
    ] = False,
) -> None:
    """Server-side event tracking for Totango."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (by default those of the process) name; return its exit
    code.
    """
    try:
        app(args=None if arguments is None else list(arguments), prog_name="totango")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except (OptionsError, SpoolError) as wrong:
        print(f"totango: {wrong}", file=sys.stderr)
        return 2
    return 0

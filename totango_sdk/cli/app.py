"""Puts the commands together, and turns what they raise into one line and an exit code."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from ..errors import OptionsError, SpoolError

if TYPE_CHECKING:
    from collections.abc import Sequence

# The module of each command, in the order of the help.
_MODULES = {
    "track": "track",
    "audit": "audit",
    "replay": "replay",
    "export": "export",
    "sandbox": "sandbox",
    "spool": "spool",
    "doctor": "doctor",
    "salesforce-id": "salesforce",
}


def _new_app(**more: Any) -> typer.Typer:
    return typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, **more
    )


class _Commands(TyperGroup):
    """Imports a command when it is named: each brings along what only it needs."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all."""
        for name in _MODULES:
            self._load(name)
        return [*_MODULES]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; of a wrong name, all are imported, for what is near to it."""
        if cmd_name in _MODULES:
            self._load(cmd_name)
        else:
            self.list_commands(ctx)
        return super().get_command(ctx, cmd_name)

    def _load(self, name: str) -> None:
        if name not in self.commands:
            alone = _new_app()
            import_module(f".{_MODULES[name]}", __package__).register(alone)
            self.commands.update(get_group(alone).commands)


app = _new_app(name="totango", cls=_Commands, no_args_is_help=True)


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

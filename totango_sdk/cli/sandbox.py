"""`totango sandbox`: a local collector with a page."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  # typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import OptionsError

if TYPE_CHECKING:
    from ..sandbox import Sandbox

PORT = 8035


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("sandbox")(_sandbox)


def _sandbox(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any that is free.")] = PORT,
    db: Annotated[Path | None, typer.Option(help="Database file to keep events in; without it, in memory.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; for now only one of this machine.")] = "127.0.0.1",
    as_json: Annotated[bool, typer.Option("--json", help="Tell the addresses as JSON.")] = False,
) -> None:
    """Run a local collector that takes events as Totango does, until Ctrl-C."""
    try:
        from ..sandbox import serve
    except ImportError as missing:
        raise OptionsError(str(missing)) from None
    serve(host=host, port=port, db=db, announce=_tell_json if as_json else None)


def _tell_json(sandbox: Sandbox) -> None:
    print(json.dumps({"url": sandbox.url, "endpoint": sandbox.endpoint}), flush=True)

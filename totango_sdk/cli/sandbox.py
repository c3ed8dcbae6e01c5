"""`totango sandbox`: a local collector with a page."""

from __future__ import annotations

import json
import secrets
from pathlib import Path  # noqa: TC003  # typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OptionsError

if TYPE_CHECKING:
    from ..sandbox import Sandbox
    from ..sandbox.arrival import Arrival

PORT = 8035
_MADE_UP = "auto"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("sandbox")(_sandbox)


def _sandbox(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any that is free.")] = PORT,
    db: Annotated[Path | None, typer.Option(help="Database file to keep events in; without it, in memory.")] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that others can reach needs --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(help="What everybody must know who looks; auto makes one up.", envvar="TOTANGO_SANDBOX_TOKEN"),
    ] = None,
    fault: Annotated[
        str | None, typer.Option(help="Misbehave: 503, or another status; close, mute, or lost (taken, not answered).")
    ] = None,
    retry_after: Annotated[float | None, typer.Option(help="Seconds to ask for, with a --fault status.")] = None,
    delay: Annotated[float, typer.Option(help="Seconds before each answer.")] = 0.0,
    share: Annotated[float, typer.Option(help="The part of the requests that is hit, 0 to 1.")] = 1.0,
    exit_on_problem: Annotated[
        bool, typer.Option("--exit-on-problem", help="Stop with 1 at the first event that Totango would not take.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell the addresses as JSON.")] = False,
) -> None:
    """Run a local collector that takes events as Totango does, until Ctrl-C."""
    try:
        from ..sandbox import Faults, serve
    except ImportError as missing:
        raise OptionsError(str(missing)) from None
    faults = Faults.from_mapping({**_mode(fault), "retry_after": retry_after, "delay": delay, "share": share})
    found: list[Arrival] = []
    serve(
        host=host,
        port=port,
        db=db,
        token=secrets.token_urlsafe(16) if token == _MADE_UP else token,
        faults=faults,
        announce=_tell_json if as_json else None,
        on_arrival=(lambda arrival: _is_wrong(arrival, found)) if exit_on_problem else None,
    )
    if found:
        for problem in found[0].reading.problems:
            typer.echo(f"{problem.severity}: {problem}", err=True)
        raise typer.Exit(1)


def _mode(fault: str | None) -> dict[str, Any]:
    if fault is None:
        return {}
    return (
        {"mode": "status", "status": int(fault)}
        if fault.isascii() and fault.isdigit() and len(fault) == 3
        else {"mode": fault}
    )


def _is_wrong(arrival: Arrival, found: list[Arrival]) -> bool:
    if not found and arrival.severity == "error":
        found.append(arrival)
    return bool(found)


def _tell_json(sandbox: Sandbox) -> None:
    print(json.dumps({"url": sandbox.url, "endpoint": sandbox.endpoint}), flush=True)

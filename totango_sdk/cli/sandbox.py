"""`totango sandbox`: a local collector with a page."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from ..errors import OptionsError

if TYPE_CHECKING:
    from ..sandbox import Report, Sandbox
    from ..sandbox.arrival import Arrival
    from ..sandbox.report import Level

PORT = 8035
_MADE_UP = "auto"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("sandbox")(_sandbox)


def _sandbox(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any that is free.")] = PORT,
    db: Annotated[
        Path | None, typer.Option(help="Database file to keep events in; without it, in memory.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; one that others can reach needs --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            help="What everybody must know who looks; auto makes one up.",
            envvar="TOTANGO_SANDBOX_TOKEN",
        ),
    ] = None,
    fault: Annotated[
        str | None,
        typer.Option(
            help="Misbehave: 503, or another status; close, mute, or lost (taken, not answered)."
        ),
    ] = None,
    retry_after: Annotated[
        float | None, typer.Option(help="Seconds to ask for, with a --fault status.")
    ] = None,
    delay: Annotated[float, typer.Option(help="Seconds before each answer.")] = 0.0,
    share: Annotated[
        float, typer.Option(help="The part of the requests that is hit, 0 to 1.")
    ] = 1.0,
    session: Annotated[
        Path | None, typer.Option("--open", help="A saved session to begin with (NDJSON).")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Where to keep the session at the end (NDJSON).")
    ] = None,
    ignore: Annotated[
        Path | None, typer.Option(help="File of findings to be ignored; may be committed.")
    ] = None,
    extra_id_characters: Annotated[
        str,
        typer.Option(
            help="Characters that the IDs of the service have beside the documented ones, as for the client.",
            envvar="TOTANGO_EXTRA_ID_CHARACTERS",
        ),
    ] = "",
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            help="End with 1 if there was an error, a warning (or error), or something that will "
            "not join up (binding, or an error). May be given twice."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Where to write what was found, as JUnit's XML.")
    ] = None,
    github: Annotated[
        bool, typer.Option("--github", help="Tell what was found as annotations of GitHub.")
    ] = False,
    exit_on_problem: Annotated[
        bool,
        typer.Option(
            "--exit-on-problem", help="Stop with 1 at the first event that Totango would not take."
        ),
    ] = False,
    output_json: Annotated[
        bool,
        typer.Option("--output-json", help="Write each event to standard output as it comes."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Tell the addresses as JSON.")] = False,
) -> None:
    """Run a local collector that takes events as Totango does, until Ctrl-C."""
    try:
        from ..sandbox import Faults, serve
    except ImportError as missing:
        raise OptionsError(str(missing)) from None
    faults = Faults.from_mapping(
        {**_mode(fault), "retry_after": retry_after, "delay": delay, "share": share}
    )
    run = _Run(
        levels=_levels(fail_on),
        save=_writable("save", save),
        report=_writable("report", report),
        github=github,
        only_events=output_json,
        as_json=as_json,
    )
    serve(
        host=host,
        port=port,
        db=db,
        token=secrets.token_urlsafe(16) if token == _MADE_UP else token,
        faults=faults,
        ignore=ignore,
        session=session,
        extra_id_characters=extra_id_characters,
        announce=run.announce,
        on_arrival=run.is_wrong if exit_on_problem else None,
        on_event=run.tell_event if output_json else None,
        at_end=run.end,
    )
    run.tell_first()
    if run.found or run.has_failed:
        raise typer.Exit(1)


@attrs.define(kw_only=True)
class _Run:
    """One run of the command: what it was asked to tell, and what it has found."""

    levels: list[Level]
    save: Path | None
    report: Path | None
    github: bool
    only_events: bool  # standard output is for nothing else
    as_json: bool
    found: list[Arrival] = attrs.field(factory=list)
    has_failed: bool = False

    def announce(self, sandbox: Sandbox) -> None:
        """Tell the addresses."""
        addresses = {"url": sandbox.url, "endpoint": sandbox.endpoint}
        line = f"Sandbox on {sandbox.url} - send events to {sandbox.endpoint} - Ctrl-C stops it"
        self._say(json.dumps(addresses) if self.as_json else line)

    def is_wrong(self, arrival: Arrival) -> bool:
        """Remember the first event that Totango would not take."""
        if not self.found and arrival.severity == "error":
            self.found.append(arrival)
        return bool(self.found)

    def tell_event(self, event: dict[str, Any]) -> None:
        """Write an event to standard output; nowhere, once nobody reads it any more."""
        try:
            print(json.dumps(event), flush=True)
        except BrokenPipeError:
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115

    def tell_first(self) -> None:
        """Say what was wrong with the first event that Totango would not take."""
        for arrival in self.found:
            for problem in arrival.reading.problems:
                typer.echo(f"{problem.severity}: {problem}", err=True)

    def end(self, sandbox: Sandbox) -> None:
        """Write what was asked for."""
        if self.save is not None:
            sandbox.save(self.save)
        if self.levels or self.report is not None or self.github or sys.stderr.isatty():
            self._tell(sandbox.report())

    def _tell(self, found: Report) -> None:
        from ..sandbox.report import github_lines, junit, summary

        typer.echo(summary(found), err=True)
        if self.report is not None:
            self.report.write_text(junit(found, self.levels or ["error"]), encoding="utf-8")
        if self.github:
            for line in github_lines(found, self.levels or ["error"]):
                self._say(line)
        self.has_failed = bool(found.failing(self.levels))

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr if self.only_events else sys.stdout, flush=True)


def _levels(given: list[str] | None) -> list[Level]:
    from ..sandbox.report import level

    return [level(text) for text in given or ()]


def _writable(option: str, path: Path | None) -> Path | None:
    """Return a path that can be written; refuse another one at the start, not at the end."""
    if path is None:
        return None
    parent = path.absolute().parent
    if path.is_dir() or not parent.is_dir() or not os.access(parent, os.W_OK):
        msg = f"{option}: {str(path)!r} cannot be written. Give a file in a directory that is there"
        raise OptionsError(msg)
    return path


def _mode(fault: str | None) -> dict[str, Any]:
    if fault is None:
        return {}
    if fault.isascii() and fault.isdigit() and len(fault) == 3:
        return {"mode": "status", "status": int(fault)}
    return {"mode": fault}

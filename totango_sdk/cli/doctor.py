"""`totango doctor`: looks for what keeps events from arriving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from ..calls import Call
from ..doctor import Asked, Check, examine
from ..errors import OptionsError
from ..options import Options
from .asked import Endpoint, Json, Region, ServiceId
from .tell import quiet, tell_json
from .track import Outcome, Sending

if TYPE_CHECKING:
    from collections.abc import Iterator

_ACTIVITY, _MODULE = "Doctor", "totango_sdk"
_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL", "skip": "-   "}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("doctor")(_doctor)


def _doctor(
    service_id: ServiceId = None,
    region: Region = None,
    endpoint: Endpoint = None,
    spool: Annotated[
        str | None, typer.Option(help="The spool; by default TOTANGO_SPOOL or the user's own.")
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(help="As the option proxy=; by default HTTPS_PROXY.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for each step.")] = 10.0,
    send: Annotated[
        bool, typer.Option("--send", help="Send one event too; needs --account and --user.")
    ] = False,
    account: Annotated[str | None, typer.Option(help="Whose event --send sends.")] = None,
    user: Annotated[str | None, typer.Option(help="Whose event --send sends.")] = None,
    as_json: Json = False,
) -> None:
    """Check service id, region, token, proxy, TLS, clock, collector and spool.

    Each is told with what to do. No event is sent unless --send asks for one. Ends with 1 if
    something fails.
    """
    if send and (not account or not user):
        raise OptionsError("--send needs --account and --user: an event is somebody's")
    if not 0 < timeout <= 3600:
        raise OptionsError.of("--timeout", timeout, "it is a number of seconds, up to 3600", "10")
    asked = Asked.of(
        service_id=service_id,
        region=region,
        endpoint=endpoint,
        spool=spool,
        proxy=proxy,
        timeout=timeout,
    )
    checks: list[Check] = []
    for check in examine(asked):
        checks.append(check)
        if not as_json:
            _tell(check)
    event, sent = _event(asked, checks, account if send else None, user)
    checks.append(event)
    is_well = not any(check.verdict == "fail" for check in checks)
    if as_json:
        told = [attrs.asdict(check) for check in checks]
        tell_json({"doctor": 1, "ok": is_well, "checks": told, "sent": sent})
    else:
        _tell(event)
    raise typer.Exit(0 if is_well else 1)


def _tell(check: Check) -> None:
    typer.echo(f"{_MARKS[check.verdict]}  {check.name:<12} {check.found}")
    if check.advice:
        typer.echo(f"{'':<19}{'what to do: ' if check.verdict != 'skip' else ''}{check.advice}")


def _event(
    asked: Asked, checks: list[Check], account: str | None, user: str | None
) -> tuple[Check, dict[str, Any] | None]:
    """Send the event that was asked for, and say which it was."""
    if account is None:
        found = "none was sent"
        return Check("event", "skip", found, "to send one: --send --account ID --user ID"), None
    sent = {"activity": _ACTIVITY, "module": _MODULE, "account": account, "user": user}
    which = f"activity {_ACTIVITY!r}, module {_MODULE!r}, account {account!r}, user {user!r}"
    told = "; ".join(_why_not(checks))
    if told:
        return Check("event", "skip", f"not sent ({which}): {told}"), None
    outcome = _sent(asked, Call("track", _ACTIVITY, _MODULE, account, user))
    if outcome.outcome == "delivered":
        found = f"sent: {which}. 200 is no confirmation: look for it in Totango"
        return Check("event", "ok", found), {**sent, "outcome": outcome.outcome}
    problems = "; ".join(f"{each['field']}: {each['message']}" for each in outcome.problems)
    found = f"{outcome.outcome}: {which}: {problems or outcome.reason}"
    return Check("event", "fail", found, "mend what it says"), {**sent, "outcome": outcome.outcome}


def _why_not(checks: list[Check]) -> Iterator[str]:
    needed = ("service id", "region", "token", "proxy")
    for each in checks:
        if each.name == "settings" and each.verdict != "ok":
            yield "the settings forbid it"
        if each.name in needed and each.verdict == "fail":
            yield f"{each.name} failed"


def _sent(asked: Asked, call: Call) -> Outcome:
    given = {
        "service_id": asked.service_id,
        "endpoint": asked.address,
        "allow_http": asked.allow_http,
        "api_token": asked.api_token,
        "proxy": asked.proxy,
        "spool": "memory",
    }
    with quiet():
        return Sending(Options.resolve(given, environ={}), call).run(asked.timeout)

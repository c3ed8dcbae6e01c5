"""`totango spool`: looks at what is waiting or dead on the disk, and works on it.

Only what processes that are gone have left can be changed: the files of a living one are its own.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import OptionsError
from ..spool.paths import default_directory
from ..spool.survey import Left, held, requeue, survey
from ..spool.survey import purge as purge_letters
from ..wire import decode, records
from ..wire.read import read
from .tell import check_timeout, confirm, duration, is_terminal, quiet, table, tell_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..spool import DeadLetter, Owner
    from ..spool.log import Log
    from ..spool.records import Record

spool = typer.Typer(name="spool", no_args_is_help=True, help="Look at and work on what is waiting.")

_Directory = Annotated[
    str | None,
    typer.Option(
        "--spool", help="The spool's directory; by default TOTANGO_SPOOL or the user's own."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Tell it as JSON.")]
_Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Change more than one event without asking.")
]
_Reason = Annotated[str | None, typer.Option(help="Only letters with this text in their reason.")]
_Account = Annotated[str | None, typer.Option(help="Only letters of this account.")]
_Older = Annotated[
    str | None,
    typer.Option("--older-than", help="Only letters that died so long ago: 90s, 15m, 6h, 2d."),
]

_CLOSE_SECONDS = 2.0
_MOST_SHOWN = 100


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.add_typer(spool)


def _directory(given: str | None) -> str:
    return os.path.abspath(given or os.environ.get("TOTANGO_SPOOL") or default_directory())


@spool.command("status")
def status(directory: _Directory = None, as_json: _Json = False) -> None:
    """Show how much waits and how much is dead, for each process."""
    sets = survey(_directory(directory))
    if as_json:
        tell_json([_plain(left) for left in sets])
        return
    if not sets:
        typer.echo(f"Nothing is waiting in {_directory(directory)}.")
        return
    rows = [
        [
            left.owner.service_id if left.owner else "?",
            left.owner.endpoint if left.owner else left.trouble or "?",
            "running" if left.is_alive else "gone",
            str(left.waiting),
            str(left.dead),
            _age(left.oldest_at),
        ]
        for left in sets
    ]
    table(["service", "endpoint", "process", "waiting", "dead", "oldest"], rows)
    for record in [record for left in sets for record in left.put_off][:_MOST_SHOWN]:
        told = _put_off(record)
        typer.echo(
            f"{told['what']} of account {told['account'] or '-'} was tried {told['attempts']} times: "
            f"{told['reason']}"
        )
    if any(left.waiting and not left.is_alive for left in sets):
        typer.echo(
            "What processes that are gone have left is sent by the next one, or by: totango spool drain"
        )


def _plain(left: Left) -> dict[str, Any]:
    return {
        "set": left.stem,
        "service_id": left.owner.service_id if left.owner else None,
        "endpoint": left.owner.endpoint if left.owner else None,
        "running": left.is_alive,
        "waiting": left.waiting,
        "dead": left.dead,
        "oldest_at": left.oldest_at,
        "bytes": left.bytes,
        "trouble": left.trouble,
        "put_off": [_put_off(record) for record in left.put_off[:_MOST_SHOWN]],
    }


def _put_off(record: Record) -> dict[str, Any]:
    reading = read(decode(record.body))
    return {
        "id": f"{record.id:x}",
        "what": "an update" if records(record.body)[1] else "an activity",
        "account": reading.account_id,
        "activity": reading.activity,
        "attempts": record.attempts,
        "reason": record.reason,
    }


def _age(at: float | None) -> str:
    if at is None:
        return "-"
    seconds = max(0, int(time.time() - at))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


@spool.command("dead")
def dead(
    directory: _Directory = None,
    reason: _Reason = None,
    account: _Account = None,
    older_than: _Older = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 100,
    as_json: _Json = False,
) -> None:
    """Show the dead letters: why each was given up, and what to do."""
    wanted = _Filter(reason, account, older_than)
    letters = [letter for _, found in _letters(_directory(directory), wanted) for letter in found]
    if as_json:
        tell_json([_as_json(letter) for letter in letters[:limit]])
        return
    if not letters:
        typer.echo("There is no dead letter.")
        return
    rows = [
        [letter.id, _age(letter.dead_at), _who(letter), letter.reason, _advice(letter)]
        for letter in letters[:limit]
    ]
    table(["id", "died", "account", "reason", "what to do"], rows)
    if len(letters) > limit:
        typer.echo(f"… and {len(letters) - limit} more (--limit shows them)")


def _advice(letter: DeadLetter) -> str:
    if letter.body is None:
        return "mend the call, and track it again"
    return "mend what refused it, then: totango spool retry"


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "reason": letter.reason,
        "account": _account_of(letter),
        "attempts": letter.attempts,
        "accepted_at": letter.accepted_at,
        "dead_at": letter.dead_at,
        "params": None if letter.body is None else decode(letter.body),
        "input": letter.input,
        "problems": list(letter.problems),
        "retry": letter.body is not None,
    }


def _account_of(letter: DeadLetter) -> str | None:
    if letter.body is not None:
        return read(decode(letter.body)).account_id
    account = (letter.input or {}).get("account")
    return str(account.get("id")) if isinstance(account, dict) else account


def _who(letter: DeadLetter) -> str:
    return str(_account_of(letter) or "-")


class _Filter:
    """Which letters are meant."""

    def __init__(self, reason: str | None, account: str | None, older_than: str | None) -> None:
        self._reason = reason
        self._account = account
        self._before = (
            None if older_than is None else time.time() - duration(older_than, "--older-than")
        )

    def takes(self, letter: DeadLetter) -> bool:
        if self._reason is not None and self._reason.lower() not in letter.reason.lower():
            return False
        if self._account is not None and _account_of(letter) != self._account:
            return False
        return self._before is None or letter.dead_at <= self._before


def _letters(directory: str, wanted: _Filter) -> Iterator[tuple[Left, list[DeadLetter]]]:
    for left in survey(directory):
        if left.letters is None:
            typer.echo(f"{left.stem}: {left.trouble}", err=True)
            continue
        yield left, [letter for letter in left.letters if wanted.takes(letter)]


@spool.command("retry")
def retry(
    directory: _Directory = None,
    reason: _Reason = None,
    account: _Account = None,
    older_than: _Older = None,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Put dead letters back, to be sent again by the next process or `totango spool drain`."""
    changed, skipped, running = _change(
        _directory(directory), _Filter(reason, account, older_than), "send again", yes, _requeue
    )
    if as_json:
        tell_json({"retried": changed, "never_sent": skipped, "held_by_running_processes": running})
    else:
        typer.echo(f"{changed} put back. To send them now: totango spool drain")
        if skipped:
            typer.echo(
                f"{skipped} were refused before they were sent: mend the call, and track it again."
            )
        _tell_running(running)
    raise typer.Exit(1 if skipped or running else 0)


@spool.command("purge")
def purge(
    directory: _Directory = None,
    reason: _Reason = None,
    account: _Account = None,
    older_than: _Older = None,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Delete dead letters for good."""
    changed, _, running = _change(
        _directory(directory), _Filter(reason, account, older_than), "delete", yes, purge_letters
    )
    if as_json:
        tell_json({"purged": changed, "held_by_running_processes": running})
    else:
        typer.echo(f"{changed} deleted.")
        _tell_running(running)
    raise typer.Exit(1 if running else 0)


def _tell_running(running: int) -> None:
    if running:
        typer.echo(
            f"{running} belong to processes that are running, and can be changed once those have ended."
        )


def _change(
    directory: str,
    wanted: _Filter,
    what: str,
    yes: bool,
    action: Callable[[Log, list[DeadLetter]], int],
) -> tuple[int, int, int]:
    """Change the letters that are wanted; returns how many were, could not be, and are held by the
    living.
    """
    chosen = [(left, found) for left, found in _letters(directory, wanted) if found]
    running = sum(len(found) for left, found in chosen if left.is_alive)
    gone = [(left, found) for left, found in chosen if not left.is_alive]
    count = sum(len(found) for _, found in gone)
    if count > 1 and not yes and not confirm(f"{what.capitalize()} {count} dead letters?"):
        msg = f"nothing was changed: to {what} {count} dead letters, say --yes"
        raise OptionsError(msg)
    changed = skipped = 0
    for left, found in gone:
        with held(directory, left.stem, left.owner) as log:
            done = action(log, found)
        changed += done
        skipped += len(found) - done
    return changed, skipped, running


def _requeue(log: Log, letters: list[DeadLetter]) -> int:
    return requeue(log, letters, records)


@spool.command("drain")
def drain(
    directory: _Directory = None,
    timeout: Annotated[float, typer.Option(help="Seconds to try for.")] = 60.0,
    as_json: _Json = False,
) -> None:
    """Send what processes that are gone have left. The token comes from TOTANGO_API_TOKEN."""
    check_timeout(timeout, most=86400)
    where = _directory(directory)
    before = [left for left in survey(where) if left.owner and left.waiting and not left.is_alive]
    owners = sorted({left.owner for left in before if left.owner})
    only = len({owner.service_id for owner in owners}) == 1
    with quiet():
        results = [_drain(where, owner, _token_for(owner, only=only), timeout) for owner in owners]
    if as_json:
        tell_json(results)
    elif not results:
        typer.echo("Nothing is waiting.")
    for result in () if as_json else results:
        typer.echo(
            f"{result['service_id']}: {result['delivered']} delivered, {result['dead']} dead, {result['left']} left"
        )
        if result["left"]:
            typer.echo(f"  {result['trouble'] or 'time ran out'}")
    raise typer.Exit(1 if any(result["left"] or result["dead"] for result in results) else 0)


def _token_for(owner: Owner, *, only: bool) -> str | None:
    """A token belongs to a service: another's events never carry it."""
    named = os.environ.get("TOTANGO_SERVICE_ID")
    its_own = named == owner.service_id if named else only
    return (os.environ.get("TOTANGO_API_TOKEN") or None) if its_own else None


def _drain(directory: str, owner: Owner, token: str | None, timeout: float) -> dict[str, Any]:
    from ..core import Core
    from ..options import Options

    given = {
        "service_id": owner.service_id,
        "endpoint": owner.endpoint,
        "allow_http": owner.endpoint.startswith("http:"),
        "spool": directory,
        "api_token": token,
    }
    # The environment is that of some client, and these events may be another's.
    core = Core(Options.resolve(given, environ={}))
    if is_terminal():
        typer.echo(f"{owner.service_id}: sending to {owner.endpoint} …", err=True)
    core.flush(timeout)
    core.worker.close(_CLOSE_SECONDS)
    stats = core.stats()
    return {
        "service_id": owner.service_id,
        "endpoint": owner.endpoint,
        "delivered": stats.delivered,
        "dead": stats.dead,
        "left": stats.queued + stats.retrying + stats.in_flight,
        "trouble": core.worker.last_failure,
    }

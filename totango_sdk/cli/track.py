"""`totango track`: one event from a shell, whose exit code says what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from .. import Account, Product, Totango, User
from ..calls import Call
from ..errors import InvalidEvent, OptionsError, SpoolError
from ..options import Options
from ..spool.paths import default_directory
from .asked import Endpoint, Json, Region, ServiceId, pairs
from .tell import check_timeout, quiet, tell_json

if TYPE_CHECKING:
    from ..spool import DeadLetter

_Pairs = list[str] | None


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("track")(_track)


def _track(
    activity: Annotated[str, typer.Argument(metavar="ACTIVITY", help="What was done.")],
    module: Annotated[str, typer.Option(help="In which module.")],
    account: Annotated[str, typer.Option(help="The account's ID.")],
    user: Annotated[str, typer.Option(help="The user's ID.")],
    product: Annotated[str | None, typer.Option(help="The product's ID.")] = None,
    account_name: Annotated[str | None, typer.Option(help="The account's name.")] = None,
    user_name: Annotated[str | None, typer.Option(help="The user's name.")] = None,
    product_name: Annotated[str | None, typer.Option(help="The product's name.")] = None,
    parent: Annotated[str | None, typer.Option(help="The ID of the account's parent.")] = None,
    foreignkeyid: Annotated[str | None, typer.Option(help="The account's ID elsewhere.")] = None,
    account_attribute: Annotated[
        _Pairs, typer.Option(metavar="NAME=VALUE", help="Such as Plan=Gold; may be repeated.")
    ] = None,
    user_attribute: Annotated[_Pairs, typer.Option(metavar="NAME=VALUE", help="The same.")] = None,
    product_attribute: Annotated[
        _Pairs, typer.Option(metavar="NAME=VALUE", help="The same.")
    ] = None,
    service_id: ServiceId = None,
    endpoint: Endpoint = None,
    region: Region = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the outcome.")] = 30.0,
    spool: Annotated[
        str | None,
        typer.Option(help="Where it waits if it is not delivered in time; memory: nowhere."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send one event, and wait for its outcome. Ends with 0 only if it was delivered.

    The token comes from TOTANGO_API_TOKEN. What is not delivered in time waits in the spool, for
    the next process or `totango spool drain`.
    """
    check_timeout(timeout, most=3600)
    call = Call(
        "track",
        activity,
        module,
        Account(
            account,
            name=account_name,
            parent=parent,
            foreignkeyid=foreignkeyid,
            attributes=pairs(account_attribute, "--account-attribute", "Plan=Gold"),
        ),
        User(
            user,
            name=user_name,
            attributes=pairs(user_attribute, "--user-attribute", "Role=Admin"),
        ),
        _product(
            product, product_name, pairs(product_attribute, "--product-attribute", "Edition=EU")
        ),
    )
    given = {"service_id": service_id, "endpoint": endpoint, "region": region, "spool": spool}
    with quiet():
        outcome = Sending(Options.resolve(given), call).run(timeout)
    if as_json:
        tell_json({"track": 1, **attrs.asdict(outcome)})
    else:
        outcome.tell()
    raise typer.Exit(0 if outcome.outcome in ("delivered", "disabled") else 1)


def _product(given: str | None, name: str | None, attributes: dict[str, str]) -> Product | None:
    if given is not None:
        return Product(given, name=name, attributes=attributes)
    if name is not None or attributes:
        raise OptionsError("--product is missing: give its ID beside its name and attributes")
    return None


@attrs.define(kw_only=True)
class Outcome:
    """What became of the event: `delivered`, `dead`, `invalid`, `waiting`, `lost` or `disabled`."""

    outcome: str
    endpoint: str
    id: str | None = None
    reason: str | None = None
    problems: list[dict[str, Any]] = attrs.field(factory=list)
    waits_in: str | None = None

    def tell(self) -> None:
        """Tell it to a person: what is done on standard output, what is not on the other."""
        for problem in self.problems:
            typer.echo(f"{problem['severity']}: {problem['field']}: {problem['message']}", err=True)
        if self.outcome == "delivered":
            typer.echo(f"delivered to {self.endpoint}")
        else:
            typer.echo(f"{self._head()}: {self.reason}{self._advice()}", err=True)

    def _head(self) -> str:
        return {
            "dead": "not taken",
            "invalid": "not sent",
            "waiting": "not delivered yet",
            "lost": "not delivered",
            "disabled": "not sent",
        }[self.outcome]

    def _advice(self) -> str:
        if self.outcome == "waiting":
            return f". It waits in {self.waits_in}: totango spool drain sends it"
        return ". It is kept nowhere: send it again" if self.outcome == "lost" else ""


class Sending:
    """One event on its way. It goes by memory first, so that nothing else is sent or waited for."""

    def __init__(self, options: Options, call: Call) -> None:
        self._options = options
        self._call = call
        self._letters: list[DeadLetter] = []

    def run(self, timeout: float) -> Outcome:
        """Send it, and say what became of it."""
        outcome = Outcome(outcome="delivered", endpoint=self._options.endpoint)
        client = self._client("memory")
        try:
            event = client._core.check(self._call)
            assert event is not None  # no hook could have dropped it
            outcome.problems = _told(event.problems)
            outcome.id = client._core.accept(self._call)
            self._wait(client, timeout, outcome)
        except InvalidEvent as invalid:
            outcome.outcome, outcome.problems = "invalid", _told(invalid.problems)
            outcome.reason = "it is wrong, as told above; nothing was sent"
        finally:
            client.close(0)
        if outcome.outcome == "lost" and self._options.spool != "memory":
            self._keep(outcome)
        return outcome

    def _client(self, spool: Any) -> Totango:
        client = Totango.__new__(Totango)
        evolved = attrs.evolve(
            self._options, spool=spool, on_dead_letter=lambda dead, _: self._letters.append(dead)
        )
        client._start(evolved)
        return client

    def _wait(self, client: Totango, timeout: float, outcome: Outcome) -> None:
        if self._options.disabled:
            outcome.outcome, outcome.reason = "disabled", "TOTANGO_DISABLED is set"
        elif not client.flush(timeout):
            outcome.outcome = "lost"
            outcome.reason = client._core.worker.last_failure or f"no answer within {timeout:g} s"
        elif self._letters:
            outcome.outcome, outcome.reason = "dead", self._letters[-1].reason

    def _keep(self, outcome: Outcome) -> None:
        """Let it wait where the next process finds it."""
        where = str(self._options.spool or default_directory())
        client = self._client(self._options.spool)
        try:
            outcome.id = client._core.accept(self._call)
            is_kept = client.stats().durable  # a spool that cannot be used keeps it in memory only
        except SpoolError:
            is_kept = False
        finally:
            client.close(0)
        if is_kept:
            outcome.outcome, outcome.waits_in = "waiting", where
        else:
            outcome.reason = f"{outcome.reason}; nor can it wait in {where}: see totango doctor"


def _told(problems: Any) -> list[dict[str, Any]]:
    names = ("field", "severity", "rule", "message")
    return [{name: getattr(problem, name) for name in names} for problem in problems]

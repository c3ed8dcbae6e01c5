"""What one event did, how Totango understands it, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..show import shown
from ..wire.read import Sorted, read
from . import copies, sql
from .forms import meant_parameters, parameters
from .mend import mend

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..wire.read import Reading
    from .views import Views

# Earlier requests of the account that are looked through for what was said before.
_MOST_READ = 2000
_MOST_WHY = 5


def event_details(views: Views, event_id: int) -> dict[str, Any] | None:
    """Return one event, how Totango understands it, what it did, and how to mend it; `None` if it
    is not here.
    """
    event = views.event(event_id)
    if event is None:
        return None
    reading = read(event["params"])
    mended = mend({**event, "params": meant_parameters(event["query"], event["body"])})
    return {
        **event,
        "understood": _understood(event["params"], reading),
        "effects": _Effects(views, event, reading).listed(),
        "mend": None if mended is None else mended._asdict(),
    }


def event_copies(views: Views, event: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
    """Return a request for other programs: as it came, its headers, as curl and as Python."""
    head = views.head(event["id"])
    return {
        "raw": copies.raw(event, head),
        "headers": copies.headers_of(head),
        "curl": copies.curl(event, head, endpoint),
        "python": copies.python(event),
    }


def _understood(params: Iterable[tuple[str, str]], reading: Reading) -> list[dict[str, str | None]]:
    kept = _kept(reading)
    came = dict(Sorted(params).values())
    service = [("service_id", reading.service_id)] if reading.service_id is not None else []
    return [
        {"field": field, "came": value, "kept": kept.get(field)}
        for field, value in [*service, *came.items()]
    ]


def _kept(reading: Reading) -> dict[str, str]:
    """Return what Totango keeps of each field; what is refused is not there."""
    wrong = {problem.field for problem in reading.problems if problem.severity == "error"}
    one = {
        "service_id": reading.service_id,
        "account": reading.account_id,
        "user": reading.user_id,
        "activity": reading.activity,
        "module": reading.module,
    }
    return {
        name: value for name, value in one.items() if value is not None and name not in wrong
    } | _said(reading)


def _said(reading: Reading) -> dict[str, str]:
    """Return names and attributes, each by the field that it is for."""
    found = {"account.name": reading.account_name, "account.ofid": reading.ofid}
    found |= {f"account.{name}": value for name, value in reading.account_attributes.items()}
    found |= {f"user.{name}": value for name, value in reading.user_attributes.items()}
    wrong = {problem.field for problem in reading.problems if problem.severity == "error"}
    return {name: value for name, value in found.items() if value is not None and name not in wrong}


def _effect(
    kind: str,
    text: str,
    field: str | None = None,
    before: str | None = None,
    after: str | None = None,
) -> dict[str, str | None]:
    return {"kind": kind, "text": text, "field": field, "from": before, "to": after}


class _Effects:
    """What one event did, worked out from the requests before it."""

    def __init__(self, views: Views, event: Mapping[str, Any], reading: Reading) -> None:
        self._views = views
        self._event = event
        self._reading = reading
        self._is_new_account = self._is_first(
            sql.FIRST_OF_ACCOUNT, reading.service_id, reading.account_id
        )
        self._is_new_user = self._is_first(
            sql.FIRST_OF_USER, reading.service_id, reading.account_id, reading.user_id
        )

    def listed(self) -> list[dict[str, str | None]]:
        """Return each effect."""
        if not self._event["accepted"]:
            return [_effect("dropped", self._why_dropped())]
        found = [*self._new(), *self._changes(), *self._activity()]
        return found or [
            _effect("nothing", "Nothing in it was new: Totango knows all of it already")
        ]

    def _is_first(self, query: str, *ids: str | None) -> bool:
        first = None if None in ids else self._views.all(query, ids)
        return bool(first) and first[0][0] == self._event["id"]  # type: ignore[index]  # what is true has one

    def _why_dropped(self) -> str:
        fault = self._event["fault"]
        if fault is not None and fault != "lost":
            return f"The sandbox refused it on demand ({fault}), so it was not taken; a client sends it again"
        errors = [problem for problem in self._event["problems"] if problem["severity"] == "error"]
        told = "; ".join(
            f"{problem['field']}: {problem['message']}" for problem in errors[:_MOST_WHY]
        )
        more = f"; and {len(errors) - _MOST_WHY} more" if len(errors) > _MOST_WHY else ""
        return f"Totango drops it, though it answers 200: {told}{more}"

    def _new(self) -> list[dict[str, str | None]]:
        reading = self._reading
        found = []
        account = shown(reading.account_id)
        if self._is_new_account and reading.product_id is not None:
            whose = (
                "no account" if reading.parent_id is None else f"account {shown(reading.parent_id)}"
            )
            text = (
                f"A new product account, {account}: product {shown(reading.product_id)} of {whose}"
            )
            found.append(_effect("new_product_account", text, "account", None, reading.account_id))
        elif self._is_new_account:
            found.append(
                _effect(
                    "new_account", f"A new account, {account}", "account", None, reading.account_id
                )
            )
        if self._is_new_user:
            text = f"A new user, {shown(reading.user_id)}, below {account}"
            found.append(_effect("new_user", text, "user", None, reading.user_id))
        return found

    def _changes(self) -> list[dict[str, str | None]]:
        said = _said(self._reading)
        if self._is_new_account and self._reading.product_id is not None:
            said = {field: value for field, value in said.items() if field not in _PARTS}
        before = self._before(said)
        found = []
        for field, value in said.items():
            if before.get(field) != value:
                kind = "name" if field in ("account.name", "user.name") else "attribute"
                found.append(
                    _effect(
                        kind,
                        _change(field, before.get(field), value),
                        field,
                        before.get(field),
                        value,
                    )
                )
        return found

    def _before(self, wanted: Iterable[str]) -> dict[str, str]:
        """Return what was last said before of each field, in the latest 2,000 requests."""
        left = {field for field in wanted if not (self._is_new_user and field.startswith("user."))}
        found: dict[str, str] = {}
        if self._is_new_account or not left:
            return found
        reading, number = self._reading, self._event["id"]
        asked = (reading.account_id, reading.service_id, number, _MOST_READ)
        for query, body in self._views.all(sql.EARLIER, asked):
            came = Sorted(parameters(query, body))
            if left.isdisjoint(field for field, _ in came.values()):
                continue  # nearly every one: to read it would take ten times as long
            earlier = read(parameters(query, body))
            own_user = earlier.user_id == self._reading.user_id
            for field, value in _said(earlier).items():
                if field in left and (own_user or not field.startswith("user.")):
                    found[field] = value
                    left.discard(field)
            if not left:
                break
        return found

    def _activity(self) -> list[dict[str, str | None]]:
        reading = self._reading
        if reading.activity is None:
            return []
        who = f"for user {shown(reading.user_id)} on account {shown(reading.account_id)}"
        if reading.heartbeat:
            return [
                _effect(
                    "heartbeat", f"Time spent in module {shown(reading.module)} is counted {who}"
                )
            ]
        text = (
            f"Activity {shown(reading.activity)} in module {shown(reading.module)} is counted {who}"
        )
        return [_effect("activity", text, "activity", None, reading.activity)]


_PARTS = ("account.parent_id", "account.product_id")


def _change(field: str, before: str | None, after: str) -> str:
    entity, _, name = field.partition(".")
    what = f"The {entity}'s name" if name == "name" else f"{shown(name)[1:-1]} of the {entity}"
    if before is None:
        return f"{what} is set to {shown(after)}"
    return f"{what} changes from {shown(before)} to {shown(after)}"

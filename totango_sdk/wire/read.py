"""Reading: parameters as Totango would understand them, and what it would not have told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..events import HEARTBEAT_ACTIVITY
from ..identity import (
    Account,
    User,
    id_problems,
    rules,
    service_id_problem,
    text_problems,
    with_extra,
)
from ..show import Readable, shown
from .meant import meant_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..errors import Problem
    from ..identity.rules import Rule


@attrs.frozen(kw_only=True, repr=False)
class Reading(Readable):
    """A request as Totango would understand it, and what it would not have told.

    Names and values are as Totango keeps them: cut to their limits, and without an attribute that
    it would refuse.
    """

    service_id: str | None
    account_id: str | None
    account_name: str | None
    ofid: str | None
    account_attributes: dict[str, str]
    user_id: str | None
    user_attributes: dict[str, str]
    activity: str | None
    module: str | None
    unknown: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]

    @property
    def accepted(self) -> bool:
        """Whether Totango would register it: nothing in it is an error."""
        return not any(problem.severity == "error" for problem in self.problems)

    @property
    def parent_id(self) -> str | None:
        """The account that this one is a child of, if the request says so."""
        return self.account_attributes.get("parent_id")

    @property
    def product_id(self) -> str | None:
        """The product that this product account is for, if the request says so."""
        return self.account_attributes.get("product_id")

    @property
    def heartbeat(self) -> bool:
        """Whether it reports time spent, and not something that was done."""
        return self.activity == HEARTBEAT_ACTIVITY

    @property
    def from_browser(self) -> bool:
        """Whether it carries what only the browser collector adds for itself."""
        return any(name in _BROWSER_OWN for name, _ in self.unknown)


# What the browser collector adds to each request for itself.
_BROWSER_OWN = frozenset(("sdrurl", "r", "sdr_heartbeat", "sdr_heartbeat_idle"))
_FIELDS = {
    "sdr_s": "service_id",
    "sdr_o": "account",
    "sdr_ofid": "account.ofid",
    "sdr_u": "user",
    "sdr_a": "activity",
    "sdr_m": "module",
    "sdr_odn": "account.name",
    "api-token": "api_token",
}
# The documentation's name for the display name; both collectors send the other.
_ALSO_CALLED = {"sdr_o.account_name": "sdr_odn"}
LEFTOVERS = {
    "undefined": "JavaScript writes for a value that was never set",
    "null": "JavaScript writes for a value that is not there",
    "[object Object]": "JavaScript writes for a whole object",
    "NaN": "JavaScript writes for a calculation that failed",
    "None": "Python writes for a value that is not there",
}
_IDS = {
    "account": "account",
    "user": "user",
    "account.parent_id": "account",
    "account.product_id": "product",
}
_REPLACEMENT = "\ufffd"


def read(
    pairs: Iterable[tuple[str, str]],
    *,
    allow_empty_accounts: bool = False,
    extra_id_characters: str = "",
) -> Reading:
    """Understand the parameters of a request as Totango would, with every problem.

    The rules are those by which the client checks before it sends: an account and a user are made
    of what came, and tell their own problems. Further ones tell what only a request can have: a
    parameter that is there twice or that nobody knows, a value that was never set.
    """
    came = Sorted(pairs)
    one = came.one
    _leave_out_empty_activity(came)
    account, user = _entities(came, allow_empty_accounts=allow_empty_accounts)
    return Reading(
        service_id=one.get("sdr_s"),
        account_id=one.get("sdr_o"),
        account_name=None if account is None else account.said.name,
        ofid=None if account is None else account.said.ofid,
        account_attributes={} if account is None else dict(account.said.pairs),
        user_id=one.get("sdr_u"),
        user_attributes={} if user is None else dict(user.said.pairs),
        activity=one.get("sdr_a"),
        module=one.get("sdr_m"),
        unknown=tuple(came.unknown),
        problems=with_extra(_problems(came, account, user), extra_id_characters),
    )


def _problems(came: Sorted, account: Account | None, user: User | None) -> list[Problem]:
    problems = _check_service(came.one.get("sdr_s"))
    for entity in (account, user):
        if entity is not None:
            problems += entity.problems
    problems += _check_activity(came.one, has_user=user is not None)
    problems += _check_product_account(came.one.get("sdr_o"), came.account)
    problems += _check_values(came)
    return problems + came.problems


def _leave_out_empty_activity(came: Sorted) -> None:
    """Take an activity that is empty, beside attributes, for none: so other clients send these."""
    if came.one.get("sdr_a") == "" and (came.account or came.user or "sdr_odn" in came.one):
        del came.one["sdr_a"]
        if came.one.get("sdr_m") == "":
            del came.one["sdr_m"]


def parameter_name(field: str) -> str:
    """Return the parameter that a field comes in: of `account.Plan`, the account's attribute."""
    for name, known in _FIELDS.items():
        if field == known:
            return name
    entity, _, name = field.partition(".")
    return f"sdr_{entity[:1].replace('a', 'o')}.{name}"


class Sorted:
    """Parameters, each where it belongs; the last of two with one name counts."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self.one: dict[str, str] = {}
        self.account: dict[str, str] = {}
        self.user: dict[str, str] = {}
        self.unknown: list[tuple[str, str]] = []
        self.problems: list[Problem] = []
        for name, value in pairs:
            self._sort(name, value)

    def _sort(self, name: str, value: str) -> None:
        known = _ALSO_CALLED.get(name, name)
        if known in _FIELDS:
            self._put(self.one, known, value, _FIELDS[known])
        elif name.startswith("sdr_o."):
            self._put(self.account, name[6:], value, f"account.{name[6:]}")
        elif name.startswith("sdr_u."):
            self._put(self.user, name[6:], value, f"user.{name[6:]}")
        else:
            self.unknown.append((name, value))
            if name not in _BROWSER_OWN:
                self._tell(rules.PARAMETER_UNKNOWN, name, value, _unknown(name))

    def _put(self, where: dict[str, str], key: str, value: str, field: str) -> None:
        before = where.get(key, value)
        if before != value and field == "api_token":
            message = "there are two different tokens; the last one counts. Send one"
            self._tell(rules.PARAMETER_TWICE, field, None, message)
        elif before != value:
            message = (
                f"it is there twice, as {shown(before)} and as {shown(value)}; the last one "
                "counts. Send one"
            )
            self._tell(rules.PARAMETER_TWICE, field, value, message)
        where[key] = value

    def _tell(self, rule: Rule, field: str, value: str | None, message: str) -> None:
        self.problems.append(rule.broken(field, value, message))

    def values(self) -> Iterator[tuple[str, str]]:
        """Each value with the field that it is for."""
        for name, value in self.one.items():
            if name not in ("sdr_s", "api-token"):
                yield _FIELDS[name], value
        for name, value in self.account.items():
            yield f"account.{name}", value
        for name, value in self.user.items():
            yield f"user.{name}", value


def _unknown(name: str) -> str:
    message = f"Totango knows no parameter {shown(name)}; it would be ignored"
    meant = meant_name(name)
    if meant is None:
        return message
    if meant.lower() == name.strip().lower():
        rule = "Names are case sensitive and have no spaces around them"
        return f"{message}. {rule}: send {shown(meant)}"
    return f"{message}. If {shown(meant)} is meant, send that"


def _entities(came: Sorted, *, allow_empty_accounts: bool) -> tuple[Account | None, User | None]:
    account = user = None
    account_id, user_id = came.one.get("sdr_o"), came.one.get("sdr_u")
    if account_id or came.account or not allow_empty_accounts:
        name, ofid = came.one.get("sdr_odn"), came.one.get("sdr_ofid")
        account = Account(account_id, name=name, ofid=ofid, attributes=came.account)  # type: ignore[arg-type]
    if user_id is not None or came.user:
        user = User(user_id, attributes=came.user)  # type: ignore[arg-type]
    return account, user


def _check_service(service_id: str | None) -> list[Problem]:
    wrong = service_id_problem(service_id)
    return [wrong] if wrong else []


def _check_activity(one: dict[str, str], *, has_user: bool) -> list[Problem]:
    # A module alone reports nothing: the browser's collector sends it with attributes too.
    if "sdr_a" not in one:
        return []
    problems = [
        *text_problems("activity", one.get("sdr_a")),
        *text_problems("module", one.get("sdr_m")),
    ]
    if not has_user:
        problems += id_problems("user", None, "user")
    return problems


def _check_product_account(account_id: str | None, account: dict[str, str]) -> list[Problem]:
    parent_id, product_id = account.get("parent_id"), account.get("product_id")
    if product_id is None or account_id is None:
        return []
    if parent_id is None:
        message = (
            f"the product account {shown(account_id)} names no parent_id, so it belongs to no "
            "account. Send parent_id, the ID of the account, beside product_id"
        )
        return [rules.PRODUCT_ACCOUNT_PARENT.broken("account.product_id", product_id, message)]
    joined = f"{parent_id}_{product_id}"
    if account_id != joined:
        message = (
            f"{shown(account_id)} is not {shown(joined)}, which its two parts make. That is right "
            "only if this product was given an account_id of its own"
        )
        return [rules.PRODUCT_ACCOUNT_PARTS.broken("account", account_id, message)]
    return []


def _is_told(field: str, value: str) -> bool:
    """Whether an ID of this value is refused anyway, as the text of a missing one."""
    kind = _IDS.get(field)
    found = () if kind is None else id_problems(kind, value, field)
    return any(problem.rule == rules.ID_NO_VALUE.name for problem in found)


def _check_values(came: Sorted) -> list[Problem]:
    """Tell of values that are text, but that nobody meant."""
    problems = []
    for field, value in came.values():
        if value in LEFTOVERS and not _is_told(field, value):
            message = (
                f"{value!r} is what {LEFTOVERS[value]}; it is stored as that text. Leave the "
                "parameter out instead"
            )
            problems.append(rules.VALUE_LEFTOVER.broken(field, value, message))
        elif _REPLACEMENT in value:
            message = (
                f"{shown(value)} has bytes that are not UTF-8. Percent-encode the text as UTF-8"
            )
            problems.append(rules.VALUE_UTF8.broken(field, value, message))
    return problems


def names_service(names: Iterable[str]) -> bool:
    """Whether parameters, keys or columns with these names are a request."""
    return "sdr_s" in names


def as_sent(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the parameters of a request to be sent once more: those that Totango knows, in order.

    What the browser adds for itself, and the token, are left out.
    """
    came = Sorted(pairs)
    known = [(name, came.one[name]) for name in _FIELDS if name in came.one and name != "api-token"]
    known += [(f"sdr_o.{name}", value) for name, value in came.account.items()]
    return known + [(f"sdr_u.{name}", value) for name, value in came.user.items()]

"""On the wire: an event as the parameters that Totango reads, and back.

The only place that knows how Totango spells things. Order and encoding are the browser
collector's: percent-encoded UTF-8 as JavaScript's `encodeURIComponent` writes it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import attrs

from .identity import (
    Account,
    Problem,
    User,
    id_problems,
    service_id_problem,
    text_problems,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from .events import Event
    from .identity import Said

    Pairs = Sequence[tuple[str, str]]
    # due(key, mark, force): whether what is marked so must be said of `key` now. Asking claims it.
    Due = Callable[[str, int, bool], bool]

SCHEMA = 1
_CACHED = 256
_BARE = re.compile(r"[A-Za-z0-9_.!~*'()-]*")
_ESCAPES = [chr(byte) if _BARE.fullmatch(chr(byte)) else f"%{byte:02X}" for byte in range(256)]
_NOTHING: tuple[tuple[str, str], ...] = ()


def quote(text: str) -> str:
    """Percent-encode `text` exactly as JavaScript's `encodeURIComponent` does.

    Raises `UnicodeEncodeError` for a lone surrogate, as JavaScript raises `URIError`.
    """
    return _quote_cached(text) if len(text) <= _CACHED else _quote(text)


def _quote(text: str) -> str:
    if _BARE.fullmatch(text):
        return text
    return "".join(map(_ESCAPES.__getitem__, text.encode()))


_quote_cached = lru_cache(maxsize=8192)(_quote)


def encode(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Return a form body: names and values percent-encoded, in the order given."""
    return "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs).encode("ascii")


def decode(body: bytes | str) -> list[tuple[str, str]]:
    """Return the parameters of a body or a query string, in order; the inverse of `encode`.

    Reads any bytes: what is not UTF-8 comes back with replacement characters, and a `+` is a space,
    as web servers read it (what we send has neither).
    """
    from urllib.parse import parse_qsl

    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    return parse_qsl(text, keep_blank_values=True, errors="replace")


class Request(NamedTuple):
    """One request to be sent. Requests of one `lane` (an account with its products) keep their order."""

    lane: str
    body: bytes
    keys: tuple[str, ...]  # what was claimed for it: names and attributes that ride along


def requests(service_id: str, event: Event, due: Due) -> list[Request]:
    """Return the one or two requests that an event makes, the account's own first."""
    claims = _Claims(due)
    made = []
    account, user, product, kind = event.account, event.user, event.product, event.kind
    account_said = None if account is None else account.said
    if account is not None and account_said is not None and product is not None and kind != "account":
        if account_said.anything and claims.due(account.id, account_said.mark, kind == "identify"):
            body = _body(service_id, account.id, None, None, account_said, _NOTHING)
            made.append(Request(account.id, body, claims.taken()))
        parents = (("parent_id", account.id), ("product_id", product.id))
        account_said = product.said._replace(
            pairs=parents + product.said.pairs, mark=hash((account.id, product.id, product.said.mark))
        )
    where = account.id if kind == "account" and account is not None else event.where
    if where is None or account_said is None or not account_said.anything:
        account_said = None
    elif not claims.due(where, account_said.mark, kind in ("identify", "account")):
        account_said = None
    user_pairs = _NOTHING
    if user is not None and user.said.pairs and kind != "account":
        key = f"{where or ''}\0{user.id}"
        if claims.due(key, user.said.mark, kind in ("identify", "user")):
            user_pairs = user.said.pairs
    user_id = None if user is None or kind == "account" else user.id
    activity = None if event.activity is None else (event.activity, event.module or "")
    body = _body(service_id, where, user_id, activity, account_said, user_pairs)
    made.append(Request(_lane(account, user_id), body, claims.taken()))
    return made


class _Claims:
    """Asks what is due, and remembers which answers were yes."""

    def __init__(self, due: Due) -> None:
        self._due = due
        self._keys: list[str] = []

    def due(self, key: str, mark: int, force: bool) -> bool:
        due = self._due(key, mark, force)
        if due:
            self._keys.append(key)
        return due

    def taken(self) -> tuple[str, ...]:
        keys, self._keys = tuple(self._keys), []
        return keys


def _lane(account: Account | None, user_id: str | None) -> str:
    return account.id if account is not None else f"\0{user_id or ''}"


def _body(
    service_id: str,
    where: str | None,
    user_id: str | None,
    activity: tuple[str, str] | None,
    account: Said | None,
    user_pairs: Pairs,
) -> bytes:
    if account is None and not user_pairs:  # nearly every event
        head = _head(service_id, where, user_id)
        return head if activity is None else head + _activity(*activity)
    parts = [_service(service_id)]
    if where is not None:
        parts.append(_pair("sdr_o", where))
    if account is not None and account.ofid:
        parts.append(_pair("sdr_ofid", account.ofid))
    if user_id is not None:
        parts.append(_pair("sdr_u", user_id))
    text = "&".join(parts)
    if activity is not None:
        text += _activity(*activity).decode("ascii")
    if account is not None:
        if account.name:
            text += f"&{_pair('sdr_odn', account.name)}"
        text += "".join(f"&sdr_o.{quote(name)}={quote(value)}" for name, value in account.pairs)
    text += "".join(f"&sdr_u.{quote(name)}={quote(value)}" for name, value in user_pairs)
    return text.encode("ascii")


@lru_cache(maxsize=8192)
def _head(service_id: str, where: str | None, user_id: str | None) -> bytes:
    parts = [_service(service_id)]
    if where is not None:
        parts.append(_pair("sdr_o", where))
    if user_id is not None:
        parts.append(_pair("sdr_u", user_id))
    return "&".join(parts).encode("ascii")


@lru_cache(maxsize=2048)
def _activity(activity: str, module: str) -> bytes:
    return f"&{_pair('sdr_a', activity)}&{_pair('sdr_m', module)}".encode("ascii")


def _service(service_id: str) -> str:
    return _pair("sdr_s", service_id)


def _pair(name: str, value: str) -> str:
    return f"{name}={quote(value)}"


def token_suffix(token: str | None) -> bytes:
    """Return what is put behind each body as it leaves: a token is never stored with an event."""
    return b"" if token is None else b"&" + encode([("api-token", token)])


def claimed_keys(body: bytes) -> list[str]:
    """Return the keys under which names and attributes in this body were claimed as said.

    When such a request ends as a dead letter, they count as not said.
    """
    names = dict(decode(body))
    where = names.get("sdr_o")
    keys = []
    if where is not None and any(name in ("sdr_ofid", "sdr_odn") or name.startswith("sdr_o.") for name in names):
        keys.append(where)
    if any(name.startswith("sdr_u.") for name in names):
        keys.append(f"{where or ''}\0{names.get('sdr_u', '')}")
    return keys


@attrs.frozen(kw_only=True)
class Reading:
    """A request as Totango would understand it, and what it would not have told."""

    service_id: str | None
    account_id: str | None
    account_name: str | None
    ofid: str | None
    account_attributes: dict[str, str]
    user_id: str | None
    user_attributes: dict[str, str]
    activity: str | None
    module: str | None
    has_token: bool
    unknown: tuple[tuple[str, str], ...]
    problems: tuple[Problem, ...]

    @property
    def accepted(self) -> bool:
        """Whether Totango would register it: nothing in it is an error."""
        return not any(problem.severity == "error" for problem in self.problems)


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


def read(pairs: Iterable[tuple[str, str]], *, allow_empty_accounts: bool = False) -> Reading:
    """Understand the parameters of a request as Totango would, with every problem.

    The rules are those by which the client checks before it sends: an account and a user are made
    of what came, and tell their own problems.
    """
    one: dict[str, str] = {}
    account: dict[str, str] = {}
    user: dict[str, str] = {}
    unknown: list[tuple[str, str]] = []
    problems: list[Problem] = []
    for name, value in pairs:
        where, key = _sort(name, one, account, user)
        if where is None:
            unknown.append((name, value))
        elif key in where and where[key] != value:
            message = f"{name!r} is there twice, as {where[key]!r} and as {value!r}; the last one counts"
            problems.append(Problem(_FIELDS.get(name, name), value, message, "warning"))
        if where is not None:
            where[key] = value
    problems += _check_identity(one, account, user, allow_empty_accounts=allow_empty_accounts)
    problems += _check_activity(one)
    for name, value in unknown:
        if name not in _BROWSER_OWN:
            message = f"Totango knows no parameter {name!r}; it would be ignored"
            problems.append(Problem(name, value, message, "warning"))
    return Reading(
        service_id=one.get("sdr_s"),
        account_id=one.get("sdr_o"),
        account_name=one.get("sdr_odn"),
        ofid=one.get("sdr_ofid"),
        account_attributes=account,
        user_id=one.get("sdr_u"),
        user_attributes=user,
        activity=one.get("sdr_a"),
        module=one.get("sdr_m"),
        has_token="api-token" in one,
        unknown=tuple(unknown),
        problems=tuple(problems),
    )


def _sort(
    name: str, one: dict[str, str], account: dict[str, str], user: dict[str, str]
) -> tuple[dict[str, str] | None, str]:
    """Return where a parameter belongs and under which key; nowhere if it is not known."""
    if name in _FIELDS:
        return one, name
    if name == "sdr_o.account_name":  # the documentation's name for it; both collectors send the other
        return one, "sdr_odn"
    if name.startswith("sdr_o."):
        return account, name.removeprefix("sdr_o.")
    if name.startswith("sdr_u."):
        return user, name.removeprefix("sdr_u.")
    return None, name


def _check_identity(
    one: dict[str, str], account: dict[str, str], user: dict[str, str], *, allow_empty_accounts: bool
) -> list[Problem]:
    problems = []
    if wrong := service_id_problem(one.get("sdr_s")):
        problems.append(Problem("service_id", one.get("sdr_s"), wrong))
    if one.get("sdr_o") or account or not allow_empty_accounts:
        who = Account(one.get("sdr_o"), name=one.get("sdr_odn"), ofid=one.get("sdr_ofid"), attributes=account)  # type: ignore[arg-type]
        problems += who.problems
    if one.get("sdr_u") is not None or user:
        problems += User(one.get("sdr_u"), attributes=user).problems  # type: ignore[arg-type]
    return problems


def _check_activity(one: dict[str, str]) -> list[Problem]:
    if "sdr_a" not in one and "sdr_m" not in one:
        return []
    problems = [*text_problems("activity", one.get("sdr_a")), *text_problems("module", one.get("sdr_m"))]
    if "sdr_u" not in one:
        problems += id_problems("user", None, "user")
    return problems

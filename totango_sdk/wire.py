"""On the wire: an event as the parameters that Totango reads, and back.

The only place that knows how Totango spells things. Order and encoding are the browser
collector's: percent-encoded UTF-8 as JavaScript's `encodeURIComponent` writes it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import attrs

from .errors import Readable, shown
from .events import HEARTBEAT_ACTIVITY
from .identity import (
    Account,
    Problem,
    User,
    id_problems,
    service_id_problem,
    text_problems,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .events import Event
    from .identity import Product, Said

    Pairs = Sequence[tuple[str, str]]
    # due(key, mark, force): whether what is marked so must be said of `key` now. Asking claims it.
    Due = Callable[[str, int, bool], bool]

SCHEMA = 1
_CACHED = 256
_ESCAPED = re.compile(r"[^A-Za-z0-9_.!~*'()-]")
_ESCAPES = {chr(byte): f"%{byte:02X}" for byte in range(128)}
_NOTHING: tuple[tuple[str, str], ...] = ()


def quote(text: str) -> str:
    """Percent-encode `text` exactly as JavaScript's `encodeURIComponent` does.

    Raises `UnicodeEncodeError` for a lone surrogate, as JavaScript raises `URIError`.
    """
    return _quote_cached(text) if len(text) <= _CACHED else _quote(text)


def _quote(text: str) -> str:
    return _ESCAPED.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _ESCAPES.get(character) or "".join(f"%{byte:02X}" for byte in character.encode())


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


# Which kinds of event say again what was said before: of the account, and of the user.
_SAYS_ACCOUNT = ("identify", "account")
_SAYS_USER = ("identify", "user")


def requests(service_id: str, event: Event, due: Due) -> list[Request]:
    """Return the one or two requests that an event makes, the account's own first."""
    made: list[Request] = []
    keys: tuple[str, ...] = ()
    account, kind, where = event.account, event.kind, event.where
    user = None if kind == "account" else event.user
    said = None if account is None else account.said
    product = None if kind == "account" else event.product
    if account is not None and said is not None and product is not None:
        if said.mark and due(account.id, said.mark, kind in _SAYS_ACCOUNT):
            made.append(Request(account.id, _body(service_id, account.id, None, None, said, _NOTHING), (account.id,)))
        said = _said_of_product_account(account, product)
    if said is not None and where is not None and said.mark and due(where, said.mark, kind in _SAYS_ACCOUNT):
        keys = (where,)
    else:
        said = None
    user_pairs = _NOTHING
    if user is not None and user.said.mark:
        key = f"{where or ''}\0{user.id}"
        if due(key, user.said.mark, kind in _SAYS_USER):
            user_pairs, keys = user.said.pairs, (*keys, key)
    user_id = None if user is None else user.id
    # Only what a kind of event checks is sent with it.
    activity = (event.activity or "", event.module or "") if kind in ("track", "heartbeat") else None
    body = _body(service_id, where, user_id, activity, said, user_pairs)
    made.append(Request(_lane(account, user_id), body, keys))
    return made


def _said_of_product_account(account: Account, product: Product) -> Said:
    """Return what establishes a product account: whose it is, and what the product has to say."""
    parents = (("parent_id", account.id), ("product_id", product.id))
    said = product.said
    return said._replace(pairs=parents + said.pairs, mark=hash((account.id, product.id, said.mark)) or 1)


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
    has_token: bool
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
_REPLACEMENT = "\ufffd"


def read(pairs: Iterable[tuple[str, str]], *, allow_empty_accounts: bool = False) -> Reading:
    """Understand the parameters of a request as Totango would, with every problem.

    The rules are those by which the client checks before it sends: an account and a user are made
    of what came, and tell their own problems. Further ones tell what only a request can have: a
    parameter that is there twice or that nobody knows, a value that was never set.
    """
    came = Sorted(pairs)
    one = came.one
    account, user = _entities(came, allow_empty_accounts=allow_empty_accounts)
    problems = _check_service(one.get("sdr_s"))
    for entity in (account, user):
        problems += () if entity is None else entity.problems
    problems += _check_activity(one, has_user=user is not None)
    problems += _check_product_account(one.get("sdr_o"), came.account)
    problems += _check_values(came)
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
        has_token="api-token" in one,
        unknown=tuple(came.unknown),
        problems=(*problems, *came.problems),
    )


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
                self._tell(name, value, _unknown(name))

    def _put(self, where: dict[str, str], key: str, value: str, field: str) -> None:
        before = where.get(key, value)
        if before != value and field == "api_token":
            self._tell(field, None, "there are two different tokens; the last one counts. Send one")
        elif before != value:
            message = f"it is there twice, as {shown(before)} and as {shown(value)}; the last one counts. Send one"
            self._tell(field, value, message)
        where[key] = value

    def _tell(self, field: str, value: str | None, message: str) -> None:
        self.problems.append(Problem(field, value, message, "warning"))

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
    meant = name.strip().lower()
    if meant != name and (meant in _FIELDS or meant.startswith(("sdr_o.", "sdr_u."))):
        return f"{message}. Names are case sensitive and have no spaces around them: send {shown(meant)}"
    return message


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
    return [Problem("service_id", service_id, wrong)] if wrong else []


def _check_activity(one: dict[str, str], *, has_user: bool) -> list[Problem]:
    if "sdr_a" not in one and "sdr_m" not in one:
        return []
    problems = [*text_problems("activity", one.get("sdr_a")), *text_problems("module", one.get("sdr_m"))]
    if not has_user:
        problems += id_problems("user", None, "user")
    return problems


def _check_product_account(account_id: str | None, account: dict[str, str]) -> list[Problem]:
    parent_id, product_id = account.get("parent_id"), account.get("product_id")
    if product_id is None or account_id is None:
        return []
    if parent_id is None:
        message = (
            f"the product account {shown(account_id)} names no parent_id, so it belongs to no account. "
            "Send parent_id, the ID of the account, beside product_id"
        )
        return [Problem("account.product_id", product_id, message, "warning")]
    if account_id != f"{parent_id}_{product_id}":
        message = (
            f"{shown(account_id)} is not {shown(f'{parent_id}_{product_id}')}, which its two parts make. "
            "That is right only if this product was given an account_id of its own"
        )
        return [Problem("account", account_id, message, "warning")]
    return []


def _check_values(came: Sorted) -> list[Problem]:
    """Tell of values that are text, but that nobody meant."""
    problems = []
    for field, value in came.values():
        if value in LEFTOVERS:
            message = (
                f"{value!r} is what {LEFTOVERS[value]}; it is stored as that text. Leave the parameter out instead"
            )
            problems.append(Problem(field, value, message, "warning"))
        elif _REPLACEMENT in value:
            message = f"{shown(value)} has bytes that are not UTF-8. Percent-encode the text as UTF-8"
            problems.append(Problem(field, value, message, "warning"))
    return problems


_TOKEN = re.compile(r"api[-_. ]?token", re.IGNORECASE)
# "token" as it stands, or any of its letters percent-encoded.
_PERHAPS_TOKEN = re.compile(r"token|%(?:[57]4|[46][5bef])", re.IGNORECASE)
# A form has none of these bare; what has them is JSON, multipart or the like, and `&` parts nothing in it.
_NO_FORM = re.compile(r'["{}\r\n]')
_HIDDEN = "…"


def redact(text: str) -> str:
    """Return a body or a query string with `…` in place of the security token, and otherwise as it came.

    Where a token is named in something that is no form, the rest of the text goes with it.
    """
    if not _PERHAPS_TOKEN.search(text):
        return text
    kept = []
    for part in text.split("&"):
        hidden = _without_token(part)
        kept.append(part if hidden is None else hidden)
        if hidden is not None and _NO_FORM.search(part):
            break
    return "&".join(kept)


def _without_token(part: str) -> str | None:
    """Return one parameter as it may be kept; `None` if it names no token, and may stay as it is."""
    from urllib.parse import unquote_plus

    name, equals, value = part.partition("=")
    known, text = unquote_plus(name), unquote_plus(value)
    if found := _TOKEN.search(known):
        name = name if found.end() == len(known) else quote(known[: found.end()])
        return f"{name}{equals}{_HIDDEN}"
    if found := _TOKEN.search(text):
        return f"{name}{equals}{quote(text[: found.end()])}{_HIDDEN}"
    return None

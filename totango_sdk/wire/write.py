"""Writing: an event as the requests that it makes, each a body of parameters.

They are in the browser's order, and percent-encoded UTF-8 as JavaScript's `encodeURIComponent`
writes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..events import Event
    from ..identity import Account, Product, Said, User

    Pairs = Sequence[tuple[str, str]]

# due(key, mark, force): whether what is marked so must be said of `key` now. Asking claims it.
Due = Callable[[str, int, bool], bool]

_ESCAPED = re.compile(r"[^A-Za-z0-9_.!~*'()-]")
_ESCAPES = {chr(byte): f"%{byte:02X}" for byte in range(128)}
_NOTHING: tuple[tuple[str, str], ...] = ()


def quote(text: str) -> str:
    """Percent-encode `text` exactly as JavaScript's `encodeURIComponent` does.

    Raises `UnicodeEncodeError` for a lone surrogate, as JavaScript raises `URIError`.
    """
    return _ESCAPED.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _ESCAPES.get(character) or "".join(f"%{byte:02X}" for byte in character.encode())


# Not for values: to remember each of many that come once costs more than to quote it.
_quote_name = lru_cache(maxsize=1024)(quote)


def encode(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Return a form body: names and values percent-encoded, in the order given."""
    return "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs).encode("ascii")


class Request(NamedTuple):
    """One request to be sent.

    A record is an account, a product account, or a user below one. `about` names those that the
    request concerns, `updates` those of them of which it says something. Updates of one record keep
    their order.
    """

    body: bytes
    about: tuple[str, ...]
    updates: tuple[str, ...]
    keys: tuple[str, ...]  # what was claimed for it: names and attributes that ride along


class Beginning(NamedTuple):
    """What of an activity's request depends only on who it is about."""

    where: str | None
    head: bytes
    about: tuple[str, ...]
    said: tuple[tuple[str, int], ...]  # of which accounts something may be due, with its mark


def beginning(service_id: str, event: Event, *, with_user: bool = True) -> Beginning:
    """Return what the requests of activities like this one have in common, while nothing of the
    account's parent is due; `with_user` only for a user without a name and attributes.
    """
    account = event.account
    said = []
    if _product_of(event) is not None and account is not None and account.said.mark:
        said.append((account.id, account.said.mark))
    of_where = _said_of_where(event)
    if of_where is not None and event.where is not None:
        said.append((event.where, of_where.mark))
    user_id = None if event.user is None or not with_user else event.user.id
    head = _head(service_id, event.where, user_id)
    about = _named(event, None if event.user is None else event.user.id)
    return Beginning(event.where, head, about if with_user else about[:-1], tuple(said))


def beginning_of_ids(service_id: str, account_id: str, user_id: str) -> Beginning:
    """Return the same of an account and a user of whom there is nothing to say but their IDs."""
    who = _pair("sdr_o", account_id)
    head = f"{_start(service_id, None)}&{who}".encode("ascii") + user_pair(user_id)
    return Beginning(account_id, head, (account_id, user_record(account_id, user_id)), ())


def user_pair(user_id: str) -> bytes:
    """Return what stands for a user behind the account that an activity is below."""
    return b"&sdr_u=" + quote(user_id).encode("ascii")


def user_attributes(user: User) -> bytes:
    """Return a user's name and attributes, as they stand at the end of a request."""
    return _attributes("sdr_u.", user.said.pairs).encode("ascii")


def user_record(where: str | None, user_id: str | None) -> str:
    """Return the name of the record of a user below an account or a product account."""
    return f"{where or ''}\0{user_id or ''}"


# Which kinds of event say again what was said before: of the account, and of the user.
_SAYS_ACCOUNT = ("identify", "account")
_SAYS_USER = ("identify", "user")


def requests(service_id: str, event: Event, due: Due) -> list[Request]:
    """Return the requests that an event makes: what is due of accounts comes first, each alone."""
    made: list[Request] = []
    account = event.account
    if account is not None and (event.product is not None or account.parent_account is not None):
        is_said = event.kind in _SAYS_ACCOUNT
        if account.parent_account is not None:
            made += _of_parents(service_id, account.parent_account, due, is_said=is_said)
        if _product_of(event) is not None:
            made += _of_account(service_id, account, due, is_said=is_said)
    made.append(_own(service_id, event, due))
    return made


def _of_parents(service_id: str, account: Account, due: Due, *, is_said: bool) -> Iterator[Request]:
    """Yield what is due of an account and of those above it, the highest first."""
    if account.parent_account is not None:
        yield from _of_parents(service_id, account.parent_account, due, is_said=is_said)
    yield from _of_account(service_id, account, due, is_said=is_said)


def _of_account(service_id: str, account: Account, due: Due, *, is_said: bool) -> Iterator[Request]:
    said = account.said
    if said.mark and due(account.id, said.mark, is_said):
        body = _body(service_id, account.id, None, None, said, _NOTHING)
        own = (account.id,)
        yield Request(body, own, own, own)


def _own(service_id: str, event: Event, due: Due) -> Request:
    """Return the request for what happened, with what is due of where and of who it was."""
    kind, where = event.kind, event.where
    user = None if kind == "account" else event.user
    user_id = None if user is None else user.id
    keys: tuple[str, ...] = ()

    said = _said_of_where(event)
    if said is not None and where is not None and due(where, said.mark, kind in _SAYS_ACCOUNT):
        keys = (where,)
    else:
        said = None

    user_pairs = _NOTHING
    if user is not None and user.said.mark:
        key = user_record(where, user.id)
        if due(key, user.said.mark, kind in _SAYS_USER):
            user_pairs, keys = user.said.pairs, (*keys, key)

    activity = _activity_of(event)
    body = _body(service_id, where, user_id, activity, said, user_pairs)
    about = _named(event, user_id)
    # Identifying and setting count as saying something of all that they name.
    updates = keys if activity is not None else about
    return Request(body, about, updates, keys)


def _product_of(event: Event) -> Product | None:
    return None if event.kind == "account" else event.product


def _activity_of(event: Event) -> tuple[str, str] | None:
    """Return activity and module; only what a kind of event checks is sent with it."""
    if event.kind not in ("track", "heartbeat"):
        return None
    return event.activity or "", event.module or ""


def _said_of_where(event: Event) -> Said | None:
    """Return what there is to say of the account, or product account, that an event goes to."""
    account, product = event.account, _product_of(event)
    if account is None:
        return None
    said = account.said if product is None else _said_of_product_account(account, product)
    return said if said.mark else None


def _said_of_product_account(account: Account, product: Product) -> Said:
    """Return what establishes a product account: whose it is, and what the product has to say."""
    parents = (("parent_id", account.id), ("product_id", product.id))
    said = product.said
    return said._replace(
        pairs=parents + said.pairs, mark=hash((account.id, product.id, said.mark)) or 1
    )


def _named(event: Event, user_id: str | None) -> tuple[str, ...]:
    """Return the records that an event names: an account, a product account, a user below one."""
    account, where = event.account, event.where
    if account is None or where is None:
        return (user_record(None, user_id),)
    accounts = (where,) if where == account.id else (account.id, where)
    return accounts if user_id is None else (*accounts, user_record(where, user_id))


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
        return head if activity is None else head + activity_pairs(*activity)
    ofid = None if account is None else account.ofid
    text = _joined(service_id, where, user_id, ofid)
    if activity is not None:
        text += activity_pairs(*activity)
    if account is not None:
        text += _said_text(account).encode("ascii")
    return text + _attributes("sdr_u.", user_pairs).encode("ascii")


def _said_text(account: Said) -> str:
    name = f"&{_pair('sdr_odn', account.name)}" if account.name else ""
    return name + _attributes("sdr_o.", account.pairs)


def _attributes(prefix: str, pairs: Pairs) -> str:
    said = [f"&{prefix}{_quote_name(name)}={quote(value)}" for name, value in pairs]
    return "".join(said)


def _joined(
    service_id: str, where: str | None, user_id: str | None, ofid: str | None = None
) -> bytes:
    text = _start(service_id, where)
    if ofid:
        text += "&" + _pair("sdr_ofid", ofid)
    if user_id is not None:
        text += "&" + _pair("sdr_u", user_id)
    return text.encode("ascii")


@lru_cache(maxsize=8192)
def _start(service_id: str, where: str | None) -> str:
    start = _pair("sdr_s", service_id)
    return start if where is None else f"{start}&{_pair('sdr_o', where)}"


_head = lru_cache(maxsize=8192)(_joined)


@lru_cache(maxsize=2048)
def activity_pairs(activity: str, module: str) -> bytes:
    """Return what stands behind an account and a user in the request of an activity."""
    return f"&{_pair('sdr_a', activity)}&{_pair('sdr_m', module)}".encode("ascii")


def _pair(name: str, value: str) -> str:
    return f"{name}={quote(value)}"


def token_suffix(token: str | None) -> bytes:
    """Return what is put behind each body as it leaves: a token is never stored with an event."""
    return b"" if token is None else b"&" + encode([("api-token", token)])

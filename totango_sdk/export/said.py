"""What a row says of accounts and users, whatever it was: a call, or a request as it was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..wire.read import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..events import Event
    from ..identity import Account, Said
    from ..replay.values import Meant

Pairs = tuple[tuple[str, str], ...]


class Record(NamedTuple):
    """One account, product account or user below one: its key, and what is said of it."""

    key: tuple[str, ...]
    said: Pairs
    foreign_keys: tuple[str, ...] = ()


class Activity(NamedTuple):
    """Somebody did something somewhere."""

    account: str
    user: str
    activity: str
    module: str


def activity_of(meant: Meant) -> Activity | None:
    """Return the activity that a call reports; `None` if it reports none."""
    event = meant.event
    if event is not None:
        if event.kind not in ("track", "heartbeat") or event.user is None or event.where is None:
            return None
        return Activity(event.where, str(event.user.id), event.activity or "", event.module or "")
    sent = read(meant.params or ())
    if not sent.account_id or not sent.user_id or not sent.activity:
        return None
    return Activity(sent.account_id, sent.user_id, sent.activity, sent.module or "")


def user_of(meant: Meant) -> Iterator[Record]:
    """Yield the user that a call names, below the account or product account that it goes to."""
    event = meant.event
    if event is not None:
        if event.user is not None and event.where is not None and event.kind != "account":
            yield Record((event.where, str(event.user.id)), tuple(event.user.said.pairs))
        return
    sent = read(meant.params or ())
    if sent.account_id and sent.user_id:
        yield Record((sent.account_id, sent.user_id), _pairs(sent.user_attributes))


def accounts_of(meant: Meant) -> Iterator[Record]:
    """Yield the accounts that a call names: those above it, its own, and its product account."""
    event = meant.event
    if event is not None:
        yield from _of_event(event)
        return
    sent = read(meant.params or ())
    if sent.account_id:
        named = {"account_name": sent.account_name, "ofid": sent.ofid}
        given = {name: value for name, value in named.items() if value}
        yield Record((sent.account_id,), _pairs(given) + _pairs(sent.account_attributes))


def _of_event(event: Event) -> Iterator[Record]:
    account, product = event.account, event.product
    if account is None:
        return
    yield from _with_parents(account)
    if product is not None and event.where is not None and event.kind != "account":
        whose = (("parent_id", str(account.id)), ("product_id", str(product.id)))
        yield Record((event.where,), whose + _said(product.said))


def _with_parents(account: Account) -> Iterator[Record]:
    if account.parent_account is not None:
        yield from _with_parents(account.parent_account)
    yield Record((str(account.id),), _said(account.said), tuple(account.foreign_keys))


def _said(said: Said) -> Pairs:
    named = (("account_name", said.name), ("ofid", said.ofid))
    return tuple((name, value) for name, value in named if value) + tuple(said.pairs)


def _pairs(mapping: Mapping[str, str]) -> Pairs:
    return tuple(mapping.items())

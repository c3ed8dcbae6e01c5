"""The browser's own shape of options: `window.totango_options`, as it stands in a page.

There (`from_browser`) and back (`to_browser`). The shape of an account, a product and a user in it
stands in `identity/shape.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .errors import OptionsError
from .identity import Account, exact_str
from .identity.shape import ACCOUNT, PRODUCT, USER, is_empty
from .imports import preload
from .log import tell_once
from .options import NAMES
from .show import shown

if TYPE_CHECKING:
    from .identity import Product, User
    from .options import Options

# What a page says to its own collector.
_PAGES_OWN = frozenset(
    ("heartbeat_timeout_sec", "heartbeat_idle_timeout_sec", "disable_heartbeat", "tracker_name")
)
_USER_ALIASES = ("username", *USER.beside)
_KNOWN = NAMES | {*ACCOUNT.beside, *_USER_ALIASES}


def from_browser(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Python options that a `window.totango_options` object stands for.

    `username` serves where there is no `user`, as in the browser. An empty text counts as absent,
    as it does there. What is not known is the page's own: it is left out, and told once by name.
    Raises `OptionsError` for what is no mapping.
    """
    if not isinstance(mapping, Mapping):
        raise OptionsError.of(
            "options",
            mapping,
            "it is a mapping like window.totango_options",
            "{'service_id': 'SP-1234-01'}",
        )

    said = {name: value for name, value in mapping.items() if not is_empty(value)}
    _tell_unknown([name for name in said if name not in _KNOWN and name not in _PAGES_OWN])
    given = {name: value for name, value in said.items() if name in NAMES}

    aliased = {alias: said[alias] for alias in ACCOUNT.beside if alias in said}
    if aliased:
        given["account"] = _with_aliases(given.get("account"), aliased)

    names = [said[alias] for alias in _USER_ALIASES if alias in said]
    if names:
        given["user"] = _user(given.get("user"), names[0])
    return given


def _with_aliases(account: Any, aliased: dict[str, Any]) -> Any:
    """Return the account, with what stands beside it under the browser's short names."""
    if isinstance(account, Account):
        return account
    if isinstance(account, Mapping):
        return {**aliased, **account}
    return aliased if account is None else {**aliased, "id": account}


def _user(user: Any, name: Any) -> Any:
    """Return the user, who has this ID if there is no other."""
    if not user:
        return name
    if isinstance(user, Mapping) and not any(map(user.get, USER.fields["id"])):
        return {**user, "id": name}
    return user


def _tell_unknown(names: list[Any]) -> None:
    if not names:
        return
    preload("difflib")
    from difflib import get_close_matches

    told = []
    for name in sorted(names, key=str):
        near = get_close_matches(str(name), _KNOWN, n=1)
        told.append(f"{shown(name)} (did you mean {near[0]!r}?)" if near else shown(name))
    tell_once(
        f"page {' '.join(told)}",
        f"these options are not known and are left out, as a page's own: {', '.join(told)}",
    )


def to_browser(
    options: Options,
    account: Account | None,
    user: User | None,
    product: Product | None,
    module: str | None,
) -> dict[str, Any]:
    """Return what a page is told of these: `from_browser` reads it as the same.

    Values are the text that goes on the wire. Never the token: a page is no place for a secret.
    """
    written: dict[str, Any] = {"service_id": options.service_id}
    if options.region != "us":
        # The browser knows only eu1.
        written["region"] = "eu1" if options.region == "eu" else options.region
    if account is not None:
        written["account"] = _account(account)
    if product is not None:
        written["product"] = _product(product)
    if user is not None:
        written["user"] = USER.write({"id": user.id}, dict(user.said.pairs))
    if text := exact_str(module):
        written["module"] = text
    if options.allow_empty_accounts:
        written["allow_empty_accounts"] = True
    return written


def _account(account: Account) -> dict[str, Any]:
    said = account.said
    values: dict[str, Any] = {"id": account.id, "name": said.name, "ofid": said.ofid}
    attributes = dict(said.pairs)
    if account.parent_account is not None:
        values["parent"] = _account(account.parent_account)
        attributes.pop("parent_id", None)
    return ACCOUNT.write(values, attributes)


def _product(product: Product) -> dict[str, Any]:
    said = product.said
    fields = {"account_id": product.account_id, "module": product.module}
    return PRODUCT.write({"id": product.id, "name": said.name, **fields}, dict(said.pairs))

"""The browser's options, from the same account, product and user as the backend's events."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from .errors import InvalidEvent, OptionsError, shown
from .events import Event
from .identity import text_problems
from .log import tell_once

if TYPE_CHECKING:
    from .context import Defaults
    from .core import Core
    from .identity import Account, Problem, Product, User

# https://www.w3.org/TR/CSP3/#grammardef-nonce-source
_NONCE = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
# What ends a script or begins a comment in HTML. JSON in ASCII has no bare U+2028 and no other surprise.
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&"}
# Keys that have a meaning of their own; an attribute with such a name stands in `attributes`.
_ACCOUNT_KEYS = frozenset(("id", "o", "name", "odn", "ofid", "fid", "parent", "foreign_keys", "attributes"))
_PRODUCT_KEYS = frozenset(("id", "name", "account_id", "module", "attributes"))
_USER_KEYS = frozenset(("id", "u", "contact", "key_contact", "attributes"))


class _Html(str):
    """Text that Jinja2 and Django put into a page as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def render(core: Core, defaults: Defaults, nonce: str | None) -> str:
    """Return the script element, or an empty text if there is nothing to say or it would be wrong.

    Raises `OptionsError` for a nonce that is none; if the client is strict, `InvalidEvent`.
    """
    attribute = "" if nonce is None else f' nonce="{_checked(nonce)}"'
    account = defaults.account
    if core.options.allow_empty_accounts and account is not None and account.id in (None, ""):
        account = None
    defaults = defaults._replace(account=account)
    try:
        _check(core, defaults)
    except InvalidEvent as invalid:
        if core.options.strict:
            raise
        fields = ", ".join(sorted({problem.field for problem in invalid.problems}))
        tell_once(f"snippet {fields}", f"snippet() is empty, and the page reports nothing: {invalid}", level="error")
        return _Html()
    if core.options.disabled:
        return _Html()
    written = json.dumps(_mapping(core, defaults), ensure_ascii=True).translate(_ESCAPES)
    return _Html(f"<script{attribute}>window.totango_options = {written};</script>")


def _checked(nonce: object) -> str:
    # A lazy nonce, as django-csp has it, is a str only by what it claims.
    text = str(nonce) if isinstance(nonce, str) else ""
    if not _NONCE.fullmatch(text):
        msg = (
            f"nonce={shown(nonce)} is no nonce of a content security policy: it has only base64 characters "
            "(A-Z a-z 0-9 + / - _, and = at its end), such as secrets.token_urlsafe(16)"
        )
        raise OptionsError(msg)
    return text


def _check(core: Core, defaults: Defaults) -> None:
    """Raise `InvalidEvent` if what a page would send of these would be dropped or misfiled."""
    account, user, product, module = defaults
    problems: list[Problem] = []
    for given in (module, product and product.module):
        problems += () if given is None or given == "" else text_problems("module", given)
    for entity in (account, product, user):
        problems += () if entity is None else entity.problems
    if any(problem.severity == "error" for problem in problems):
        raise InvalidEvent(problems)
    if account is not None and product is not None:
        core.joins.check(Event(kind="identify", account=account, user=user, product=product))


def _mapping(core: Core, defaults: Defaults) -> dict[str, Any]:
    """Return what `from_options` reads. Never the token: a page is no place for a secret."""
    account, user, product, module = defaults
    options = core.options
    written: dict[str, Any] = {"service_id": options.service_id}
    if options.region != "us":
        written["region"] = "eu1" if options.region == "eu" else options.region  # the browser knows only eu1
    if account is not None:
        written["account"] = _account(account)
    if product is not None:
        written["product"] = _product(product)
    if user is not None:
        written["user"] = _entity({"id": user.id}, user, _USER_KEYS)
    if module:
        written["module"] = module
    if options.allow_empty_accounts:
        written["allow_empty_accounts"] = True
    return written


def _account(account: Account) -> dict[str, Any]:
    named = {"id": account.id, "name": account.said.name, "ofid": account.said.ofid}
    return _entity(named, account, _ACCOUNT_KEYS)


def _product(product: Product) -> dict[str, Any]:
    named = {"id": product.id, "name": product.said.name, "account_id": product.account_id, "module": product.module}
    return _entity(named, product, _PRODUCT_KEYS)


def _entity(named: dict[str, Any], entity: Account | Product | User, keys: frozenset[str]) -> dict[str, Any]:
    """Return an entity in the browser's own shape, its values as the text that goes on the wire."""
    written = {name: value for name, value in named.items() if value}
    own = {name: value for name, value in entity.said.pairs if name in keys}
    if own:
        written["attributes"] = own
    return written | {name: value for name, value in entity.said.pairs if name not in own}

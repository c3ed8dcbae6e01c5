"""Who a job is for: the identity in force where it was made, as a text that travels with it.

Only IDs travel. A job may run an hour later, and an old plan would then overwrite the new one.
What arrives is somebody else's text: whatever is not right about it makes it nobody's.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from . import host
from .identity import Account, Product, User, check_id, exact_str, with_extra
from .log import tell_once
from .scope import Identity

if TYPE_CHECKING:
    from .scope import Defaults, Trouble

VERSION = 1
MOST_BYTES = 4096
_CACHED = 256
_IDS = {"a": "account", "u": "user", "p": "product", "pa": "account"}
_TEXTS = ("s", *_IDS, "pm", "m")


def write(service_id: str, defaults: Defaults) -> str | None:
    """Return the text for who is in force; `None` for nobody, or one that is wrong or too long."""
    account, user, product = defaults.account, defaults.user, defaults.product
    if defaults.trouble is not None:
        _tell(defaults.trouble)
        return None
    if defaults.is_wrong():
        return None
    found = {
        "a": None if account is None else account.id,
        "u": None if user is None else user.id,
        "p": None if product is None else product.id,
        "pa": None if product is None else product.account_id,
        "pm": None if product is None else product.module,
        "m": defaults.module,
    }
    # IDs are right here; a module that is no text is left out.
    texts = {name: exact_str(value) for name, value in found.items()}
    said = {name: text for name, text in texts.items() if text}
    if not said:
        return None
    text = json.dumps({"v": VERSION, "s": service_id, **said}, separators=(",", ":"))
    if len(text) > MOST_BYTES:
        tell_once(
            "carry long",
            f"who a job is for is not carried along, since that takes {len(text)} bytes and at most "
            f"{MOST_BYTES} are: use a shorter module",
        )
        return None
    return text


def _tell(trouble: Trouble) -> None:
    if trouble.failure is not None:
        tell_once("carry identity", f"a job is carried nobody: {trouble.failure}", level="error")


def read(text: object, service_id: str, extra: str = "") -> Identity:
    """Return whom a text names; nobody, told once, if anything about it is wrong."""
    if text is None or (type(text) is str and not text):
        return Identity()
    try:
        if type(text) is not str or len(text) > MOST_BYTES:
            msg = f"it is no text of at most {MOST_BYTES} characters"
            raise ValueError(msg)
        return _named(text, service_id, extra)
    except (ValueError, RecursionError) as error:
        host.let_pass(error)
        tell_once(
            "carried",
            f"a job came with an identity that is ignored: {error}. It runs with the client's own defaults",
        )
        return Identity()


@lru_cache(_CACHED)
def _named(text: str, service_id: str, extra: str) -> Identity:
    return _identity(_parsed(text, service_id), extra)


def _parsed(text: str, service_id: str) -> dict[str, Any]:
    found = json.loads(text)
    if type(found) is not dict or found.get("v") != VERSION or found["v"] is True:
        msg = f"it is no JSON object of version {VERSION}"
        raise ValueError(msg)
    wrong = [name for name in _TEXTS if name in found and type(found[name]) is not str]
    if wrong:
        msg = f"{', '.join(wrong)} is no text"
        raise ValueError(msg)
    if found.get("s") != service_id:
        msg = "it is for another service id"
        raise ValueError(msg)
    return found


def _identity(found: dict[str, Any], extra: str) -> Identity:
    for name, kind in _IDS.items():
        if name not in found:
            continue
        problems = with_extra(check_id(kind, found[name]), extra)  # type: ignore[arg-type]
        if any(problem.severity == "error" for problem in problems):
            msg = f"{name} is no {kind} ID"
            raise ValueError(msg)
    product = None
    if "p" in found:
        product = Product(found["p"], account_id=found.get("pa"), module=found.get("pm"))
    return Identity(
        account=Account(found["a"]) if "a" in found else None,
        user=User(found["u"]) if "u" in found else None,
        product=product,
        module=found.get("m"),
    )

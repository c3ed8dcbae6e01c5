"""The browser's options, from the same account, product and user as the backend's events."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from .browser import to_browser
from .errors import InvalidEvent, OptionsError, kinds_of
from .events import Event
from .log import tell_once

if TYPE_CHECKING:
    from .core import Core
    from .scope import Defaults, Trouble

# https://www.w3.org/TR/CSP3/#grammardef-nonce-source
_NONCE = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
# What ends a script or begins a comment in HTML. JSON in ASCII has no bare U+2028 and no other
# surprise.
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&"}


class _Html(str):
    """Text that Jinja2 and Django put into a page as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        return str(self)


def render(core: Core, defaults: Defaults, nonce: str | None) -> str:
    """Return the script element, or an empty text if there is nothing to say or it would be wrong.

    Raises `OptionsError` for a nonce that is none; if the client is strict, `InvalidEvent`.
    """
    if defaults.trouble is not None:  # a page of nobody reports nobody
        _tell(defaults.trouble)
        return _Html()

    attribute = "" if nonce is None else f' nonce="{_checked(nonce)}"'
    account = defaults.account
    if core.options.allow_empty_accounts and account is not None and account.id in (None, ""):
        defaults = defaults._replace(account=None)
    if not _is_right(core, defaults) or core.options.disabled:
        return _Html()

    mapping = to_browser(core.options, *defaults[:4])
    written = json.dumps(mapping, ensure_ascii=True).translate(_ESCAPES)
    return _Html(f"<script{attribute}>window.totango_options = {written};</script>")


def _tell(trouble: Trouble) -> None:
    if trouble.failure is not None:
        tell_once("snippet identity", f"snippet() is empty: {trouble.failure}", level="error")


def _checked(nonce: object) -> str:
    # A lazy nonce, as django-csp has it, is a str only by what it claims.
    text = str(nonce) if isinstance(nonce, str) else ""
    if not _NONCE.fullmatch(text):
        expected = (
            "it is the nonce of a content security policy, and has only base64 characters (A-Z a-z "
            "0-9 + / - _, and = at its end)"
        )
        raise OptionsError.of("nonce", nonce, expected, "secrets.token_urlsafe(16)")
    return text


def _is_right(core: Core, defaults: Defaults) -> bool:
    """Whether a page may say these; if not, that is told, or raised where the client is strict."""
    try:
        _check(core, defaults)
    except InvalidEvent as invalid:
        if core.options.strict:
            raise
        tell_once(
            f"snippet {kinds_of(invalid.problems)}",
            f"snippet() is empty, and the page reports nothing: {invalid}",
            level="error",
        )
        return False
    return True


def _check(core: Core, defaults: Defaults) -> None:
    """Raise `InvalidEvent` if what a page would send of these would be dropped or misfiled."""
    account, user, product, _ = defaults[:4]
    extra = core.options.extra_id_characters
    problems = defaults.problems()
    if any(problem.severity == "error" for problem in problems):
        raise InvalidEvent(problems)
    if account is not None and product is not None:
        event = Event(
            kind="identify",
            account=account,
            user=user,
            product=product,
            extra_id_characters=extra,
        )
        core.joins.check(event)

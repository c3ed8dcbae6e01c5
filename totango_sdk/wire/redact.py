"""Redacting: a text that may have the security token in it, without it."""

from __future__ import annotations

import re

from .write import quote

_TOKEN = re.compile(r"api[-_. ]?token", re.IGNORECASE)
# "token" as it stands, or any of its letters percent-encoded.
_PERHAPS_TOKEN = re.compile(r"token|%(?:[57]4|[46][5bef])", re.IGNORECASE)
# A form has none of these bare; what has them is JSON, multipart or the like, and `&` parts nothing
# in it.
_NO_FORM = re.compile(r'["{}\r\n]')
_HIDDEN = "…"


def redact(text: str) -> str:
    """Return a body or a query string with `…` in place of the security token, and otherwise as it
    came.

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
    """Return one parameter as it may be kept; `None` if it names no token and may stay."""
    from urllib.parse import unquote_plus

    name, equals, value = part.partition("=")
    known, text = unquote_plus(name), unquote_plus(value)
    if found := _TOKEN.search(known):
        name = name if found.end() == len(known) else quote(known[: found.end()])
        return f"{name}{equals}{_HIDDEN}"
    if found := _TOKEN.search(text):
        return f"{name}{equals}{quote(text[: found.end()])}{_HIDDEN}"
    return None

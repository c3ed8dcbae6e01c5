"""What no HTTP server takes: a request that is read all the same, as far as it goes."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..wire.redact import redact
from .copies import cut_head, headers_of

_LINE = re.compile(r"([A-Za-z]{1,20}) +(.*?)(?: +(?:HTTP/[0-9.]+))?", re.DOTALL)
_MOST = 64_000
_TLS = b"\x16\x03"
_RAW = re.compile(r"[^\x21-\x7e]")


class Salvage(NamedTuple):
    """What can be read of it, and what is wrong with it."""

    method: str
    query: bytes
    body: bytes
    agent: str
    head: str
    message: str


def salvage(data: bytes) -> Salvage:
    """Read as much as there is of a request that a server would not take. Never raises."""
    head, _, body = data[:_MOST].replace(b"\r\n", b"\n").partition(b"\n\n")
    first, _, rest = head.partition(b"\n")
    line = first.decode("utf-8", "replace")
    found = _LINE.fullmatch(line)
    method, target = (found[1], found[2]) if found else ("?", "")
    _, mark, query = target.partition("?")
    kept = line if not mark else line.replace(query, redact(query), 1)
    headers = "".join(f"\n{each}" for each in _lines(rest))
    whole = cut_head(_shown(kept) + headers)
    agent = headers_of(whole).get("user-agent", "")
    return Salvage(
        method, query.encode(), body, agent, whole, _message(data, found is not None, target)
    )


def _lines(rest: bytes) -> list[str]:
    lines = (_shown(line.decode("latin-1")) for line in rest.split(b"\n"))
    return [line for line in lines if line and not _is_secret(line)]


def _is_secret(line: str) -> bool:
    name = line.partition(":")[0].lower()
    return "authorization" in name or "cookie" in name or "token" in name


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _message(data: bytes, is_request: bool, target: str) -> str:
    if data.startswith(_TLS):
        return (
            "it begins an encrypted connection, and the sandbox speaks plain HTTP: write http:// "
            "in place of https:// in the address"
        )
    if not is_request:
        return "it is not HTTP: a request begins with a line such as POST /pixel.gif/ HTTP/1.1"
    raw = _RAW.search(target)
    if raw is None:
        return (
            "it is not HTTP as a server reads it, and is answered with 400. Let an HTTP library "
            "write the request"
        )
    what = "a raw space" if raw[0] == " " else f"the raw character {raw[0]!a}"
    return (
        f"its request line has {what}, so a server answers 400 or reads half of it. "
        "Percent-encode each name and value as UTF-8 (a space is %20), or send a form by POST"
    )

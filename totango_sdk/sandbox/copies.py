"""One request for another program: as it came, as curl, and as a call of this SDK."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from .forms import FORM, meant_parameters
from .mend import python_call

if TYPE_CHECKING:
    from collections.abc import Mapping

_HIDDEN = "…"
_MOST_HEAD = 8_000
# What says who somebody is, and is of no use to understand an event.
_SECRET = ("authorization", "proxy-authorization", "cookie")
_CARRIED = ("content-type", "user-agent")


def head_of(method: str, path: str, version: str, headers: list[tuple[bytes, bytes]]) -> str:
    """Return a request's first line, without the query, and its headers, without secrets."""
    lines = [f"{method} {path} HTTP/{version}"]
    for name, value in headers:
        named = name.decode("latin-1")
        hidden = named.lower() in _SECRET or "token" in named.lower()
        lines.append(f"{named}: {_HIDDEN if hidden else value.decode('latin-1')}")
    return cut_head("\n".join(lines))


def cut_head(head: str) -> str:
    """Return as much of a head as is kept."""
    return head if len(head) <= _MOST_HEAD else f"{head[:_MOST_HEAD]}{_HIDDEN}"


def headers_of(head: str) -> dict[str, str]:
    """Return the headers of a head, by their names in lower case."""
    pairs = (line.partition(":") for line in head.split("\n")[1:] if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def raw(event: Mapping[str, Any], head: str) -> str:
    """Return a request as it came, but that the token and cookies are hidden."""
    first, _, rest = head.partition("\n")
    if event["query"] and "?" not in first:
        method, path, *version = first.split(" ")
        first = " ".join([method, f"{path}?{event['query']}", *version])
    headers = f"\n{rest}" if rest else ""
    return f"{first}{headers}\n\n{event['body']}"


def curl(event: Mapping[str, Any], head: str, endpoint: str) -> str:
    """Return the command that sends a request again."""
    address = f"{endpoint}?{event['query']}" if event["query"] else endpoint
    parts = ["curl", shlex.quote(address)]
    headers = headers_of(head)
    for name in _CARRIED:
        if name in headers:
            parts += ["-H", shlex.quote(f"{name}: {headers[name]}")]
    if event["body"]:
        parts += ["--data-raw", shlex.quote(event["body"])]
    elif event["method"] == "POST":
        parts += ["-X", "POST"]
    return " ".join(parts)


def python(event: Mapping[str, Any]) -> str:
    """Return the call of this SDK that sends the same, mended where it has to be."""
    return python_call(meant_parameters(event["query"], event["body"]))


def form_of(event: Mapping[str, Any]) -> tuple[str, str, dict[str, str]]:
    """Return the query, the body and the headers with which a request is sent again."""
    query, body = (_without_hidden(event[name]) for name in ("query", "body"))
    return query, body, {"user-agent": event["agent"], "content-type": FORM}


def _without_hidden(text: str) -> str:
    """Return a form without the parameters whose values are not kept: the token."""
    return "&".join(part for part in text.split("&") if not part.endswith(_HIDDEN))

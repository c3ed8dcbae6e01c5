"""Requests sent again, to another collector."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import attrs

from ..endpoint import is_totangos
from ..errors import OptionsError
from ..show import shown
from .copies import form_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST = 1000
_TIMEOUT = 10.0
_MOST_SECONDS = 120.0


@attrs.frozen
class Target:
    """Where requests go: an address, in its parts."""

    scheme: str
    host: str
    port: int | None
    path: str

    @classmethod
    def of(cls, endpoint: object, confirmed: object = None) -> Target:
        """Read an address. One of Totango's needs its host name typed again, as `confirmed`. Raises
        `OptionsError`.
        """
        parts = _parts(endpoint)
        if parts is None:
            msg = (
                f"endpoint={shown(endpoint)} is no address of a collector: give one such as "
                "endpoint=http://127.0.0.1:8035/pixel.gif/"
            )
            raise OptionsError(msg)
        if is_totangos(parts.host):
            _check_totango(parts, confirmed)
        return parts

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection that is not open yet."""
        kind = http.client.HTTPSConnection if self.scheme == "https" else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=_TIMEOUT)


def _parts(endpoint: object) -> Target | None:
    if not isinstance(endpoint, str) or not endpoint.isascii() or not endpoint.isprintable():
        return None
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return None
    is_address = parts.scheme in ("http", "https") and parts.hostname
    if not is_address or parts.username is not None or parts.query or " " in endpoint:
        return None
    host = str(parts.hostname).rstrip(".")
    return Target(parts.scheme, host, port, parts.path or "/") if host else None


def _check_totango(parts: Target, confirmed: object) -> None:
    if parts.scheme != "https":
        msg = f"endpoint: {parts.host} is Totango's, and is only reached by https://"
        raise OptionsError(msg)
    if confirmed != parts.host:
        msg = (
            f"confirm={shown(confirmed)} is not {shown(parts.host)}: this would send to Totango "
            f"itself, where it cannot be taken back. Type the host to confirm, as in "
            f"confirm={parts.host}"
        )
        raise OptionsError(msg)


def resend(events: Iterable[Mapping[str, Any]], target: Target) -> list[dict[str, Any]]:
    """Send requests again, one after the other, and say of each what was answered.

    The security token is not kept, so it is not sent. After two minutes the others are left out.
    """
    until = time.monotonic() + _MOST_SECONDS
    connection = target.connect()
    results = []
    try:
        for event in events:
            if time.monotonic() > until:
                results.append(_result(event, error="left out: two minutes are over"))
                continue
            results.append(_send(connection, event, target.path))
    finally:
        connection.close()
    return results


def _send(
    connection: http.client.HTTPConnection, event: Mapping[str, Any], path: str
) -> dict[str, Any]:
    query, body, headers = form_of(event)
    address = f"{path}?{_printable(query)}" if query else path
    try:
        if event["method"] == "POST":
            connection.request("POST", address, body.encode(), headers)
        else:
            del headers["content-type"]
            connection.request("GET", address, None, headers)
        answer = connection.getresponse()
        answer.read()
        return _result(event, status=answer.status)
    except (OSError, http.client.HTTPException, ValueError) as wrong:
        connection.close()
        return _result(event, error=str(wrong) or type(wrong).__name__)


def _printable(query: str) -> str:
    """Return a query that fits into a request line: what came raw is percent-encoded."""
    from urllib.parse import quote

    return quote(query, safe="%&=+!~*'().-_:/?@$,;[]")


def _result(
    event: Mapping[str, Any], *, status: int | None = None, error: str | None = None
) -> dict[str, Any]:
    return {"id": event["id"], "status": status, "error": error}

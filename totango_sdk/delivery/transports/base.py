"""Carry: bodies go out, answers come back, many at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_ANSWER_BYTES = 64 << 10
CONTENT_TYPE = "application/x-www-form-urlencoded"


class Answer(NamedTuple):
    """What came of one request: a status and headers (names in lower case), or an error in words."""

    ticket: int
    status: int | None
    headers: Mapping[str, str] = {}
    error: str | None = None


class Transport(Protocol):
    """What carries requests. Every ticket that is submitted comes back in exactly one answer.

    A `wake()` is called from other threads, where there is one: it makes a `poll` that waits return.
    """

    def submit(self, ticket: int, body: bytes) -> None:
        """Begin to POST a form body. Never waits for the network."""

    def poll(self, timeout: float) -> list[Answer]:
        """Return the answers that are there; wait up to `timeout` seconds for the first."""

    def close(self) -> None:
        """Stop at once. What is under way may or may not arrive."""


class Settings(NamedTuple):
    """What every transport of ours is told."""

    endpoint: str
    timeout: float  # seconds for one whole request, connect to last byte
    max_connections: int
    user_agent: str
    proxy: str | None = None


def ca_file() -> str:
    """Return the file of certificates to trust: `SSL_CERT_FILE`, else certifi's."""
    named = os.environ.get("SSL_CERT_FILE")
    if named:
        return named
    import certifi

    return certifi.where()


def proxy_for(settings: Settings) -> str | None:
    """Return the proxy to go through: the one given, else the environment's; none for this machine."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies_environment, proxy_bypass

    if settings.proxy is not None:
        return settings.proxy
    parts = urlsplit(settings.endpoint)
    host = parts.hostname or ""
    if host in ("localhost", "127.0.0.1", "::1") or proxy_bypass(host):
        return None
    proxies = getproxies_environment()
    return proxies.get(parts.scheme) or proxies.get("all")

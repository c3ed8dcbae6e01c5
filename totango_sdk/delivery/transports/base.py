"""Carry: bodies go out, answers come back, many at once."""

from __future__ import annotations

import os
import re
from errno import EMFILE, ENFILE
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ...endpoint import is_this_machine
from ...errors import DeliveryError
from ...show import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_ANSWER_BYTES = 64 << 10
CONTENT_TYPE = "application/x-www-form-urlencoded"
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


class Answer(NamedTuple):
    """What came of one request.

    That is a status with headers, whose names are in lower case, or else an error in words.
    """

    ticket: int
    status: int | None
    headers: Mapping[str, str] = {}
    error: str | None = None


class Transport(Protocol):
    """What carries requests. Every ticket that is submitted comes back in exactly one answer.

    A `wake()` is called from other threads, where there is one: it makes a `poll` that waits
    return.
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
    """Return the file of certificates to trust: `SSL_CERT_FILE`, else certifi's.

    Raises `DeliveryError` if that cannot be read.
    """
    named = os.environ.get("SSL_CERT_FILE")
    if not named:
        import certifi

        return certifi.where()
    try:
        with open(named, "rb"):
            return named
    except OSError as error:
        raise DeliveryError(_wrong_certificates(named, error)) from None


def _wrong_certificates(named: str, error: Exception) -> str:
    why = getattr(error, "strerror", None) or error
    return (
        f"SSL_CERT_FILE={shown(named)} is wrong ({why}): it is a file of certificates in PEM "
        "form, such as SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"
    )


def no_certificates(error: Exception) -> DeliveryError:
    """Return what is wrong where the certificates to trust cannot be loaded."""
    named = os.environ.get("SSL_CERT_FILE")
    if named:
        return DeliveryError(_wrong_certificates(named, error))
    return DeliveryError(f"the certificates to trust cannot be loaded: {shown(error)}")


class Proxy(NamedTuple):
    """What requests go through, and which setting says so.

    Its address may have a password in it.
    """

    address: str
    setting: str

    @property
    def scheme(self) -> str:
        return self.address.partition("://")[0]

    def hide(self, text: str) -> str:
        """Return a text without what the address has in front of the host."""
        from urllib.parse import unquote

        login, at, _ = self.address.partition("://")[2].rpartition("@")
        if not at:
            return text
        password = login.partition(":")[2]
        for secret in (login, password, unquote(login), unquote(password)):
            if secret:
                text = text.replace(secret, "***")
        return text


_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")


def proxy_for(settings: Settings) -> Proxy | None:
    """Return the proxy to go through: the one given, else the environment's.

    None for this machine, whatever is given: a proxy would look for the endpoint on a machine of
    its own, and what may go over plain http only here would leave in clear text.

    An address without a scheme is that of an HTTP proxy, as everywhere. Raises `DeliveryError` for
    one that is none; it does not show it.
    """
    from urllib.parse import urlsplit
    from urllib.request import getproxies_environment, proxy_bypass

    parts = urlsplit(settings.endpoint)
    name = parts.hostname or ""
    if is_this_machine(name):
        return None
    if settings.proxy is not None:
        return _checked(settings.proxy, "proxy")
    if proxy_bypass(name):
        return None
    proxies = getproxies_environment()
    for kind in (parts.scheme, "all"):
        if proxies.get(kind):
            name = f"{kind}_proxy"
            setting = name if name in os.environ else name.upper()
            return _checked(proxies[kind], setting)
    return None


def _checked(address: str, setting: str) -> Proxy:
    from urllib.parse import urlsplit

    address = address.strip()
    if "://" not in address:
        address = f"http://{address}"
    try:
        parts = urlsplit(address)
        is_host = _HOST.fullmatch(parts.hostname or "") is not None
        fits = is_host and parts.scheme in _SCHEMES and parts.port != 0
        fits = fits and parts.path in ("", "/")
    except ValueError:
        fits = False
    if not fits or not address.isprintable() or " " in address:
        msg = (
            f"{setting} is wrong: it is the address of a proxy, such as "
            f"{setting}=http://proxy.local:3128, with what is not a letter or digit in its "
            "password written as %40 and the like"
        )
        raise DeliveryError(msg)
    return Proxy(address, setting)


CLOSED = "the host has closed all descriptors, with those of its connections"


# What has numbers of descriptors that are somebody else's now.
never_closed: list[object] = []


def missing_descriptor() -> int | None:
    """Return the error for which no descriptor is to be had just now, if so: not everybody who
    needed one tells it.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno
    return None


def advice_on(errno: int | None) -> str:
    """Return what to do about an error of the operating system's, behind its text."""
    if errno in (EMFILE, ENFILE):
        return (
            ". The process has no descriptor left: raise its limit (ulimit -n), or close what it "
            "opens"
        )
    return ""

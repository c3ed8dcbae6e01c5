"""Where events go: what an address may be, and which one is this very machine.

Everybody who has to know asks here: the options, the transports, the sandbox.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import OptionsError
from .imports import preload

if TYPE_CHECKING:
    from urllib.parse import SplitResult

US = "https://sdr.totango.com/pixel.gif/"
_EU = "https://sdr-eu1.totango.com/pixel.gif/"
# Totango's help centre (203639605 and 203639575) and its Node package.
REGIONS = {"us": US, "eu1": _EU, "eu": _EU, "test": "https://sdr-test.totango.com/pixel.gif/"}

_EXAMPLE = f"'{US}'"
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


def is_this_machine(host: str) -> bool:
    """Whether a host is this machine: `localhost`, `::1`, or one of 127.0.0.0/8.

    Takes a host as in an address, also with the brackets of IPv6, but without a port.
    """
    preload("ipaddress")
    from ipaddress import IPv4Network, ip_address

    name = host.removeprefix("[").removesuffix("]").lower()
    if name in ("localhost", "::1"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    return address in IPv4Network("127.0.0.0/8") or str(address) == "::1"


def is_totangos(host: str) -> bool:
    """Whether a host belongs to Totango."""
    return f".{host.rstrip('.').lower()}".endswith(".totango.com")


def _apart(address: str) -> SplitResult:
    """Return the parts of an address. Raises `ValueError`."""
    preload("urllib.parse")  # a deadline within it would be another error on the way out
    from urllib.parse import urlsplit

    return urlsplit(address)


def with_path(endpoint: str) -> str:
    """Return an endpoint that names only a host with the path that Totango's has."""
    try:
        path = _apart(endpoint).path
    except ValueError:
        return endpoint  # the check says what is wrong with it

    if path not in ("", "/") or "?" in endpoint or "#" in endpoint:
        return endpoint
    return f"{endpoint.rstrip('/')}/pixel.gif/"


def check_endpoint(value: object, *, allow_http: bool) -> None:
    """Refuse an endpoint to which events must not go. Raises `OptionsError`."""
    if not isinstance(value, str):
        raise OptionsError.of("endpoint", value, "it is an address", _EXAMPLE)
    try:
        parts = _apart(value)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise OptionsError.of("endpoint", value, str(error), _EXAMPLE) from None

    _check_nothing_is_secret(value, parts.netloc)
    fit = value.isascii() and value.isprintable() and _HOST.fullmatch(host)
    if parts.scheme not in ("http", "https") or not fit:
        raise OptionsError.of("endpoint", value, "it is an https address of a host", _EXAMPLE)
    if parts.scheme == "http":
        _check_plain_http(value, host, allow_http=allow_http)


def _check_nothing_is_secret(value: str, place: str) -> None:
    if "@" in place:
        msg = (
            "endpoint has a user name or password in it: leave it out, and give the token as "
            "api_token="
        )
        raise OptionsError(msg)
    if "?" in value or "#" in value or " " in value:
        # What comes behind them is not shown: it may be a token.
        before = re.split("[?#]", value, maxsplit=1)[0]
        raise OptionsError.of("endpoint", before, "it has no query, fragment or space", _EXAMPLE)


def _check_plain_http(value: str, host: str, *, allow_http: bool) -> None:
    if is_totangos(host):
        example = f"'https://{host}/pixel.gif/'"
        raise OptionsError.of("endpoint", value, "Totango's own hosts take https only", example)
    if not allow_http and not is_this_machine(host):
        expected = (
            "plain http goes only to this machine; use https, or allow_http=True for a sandbox on "
            "a private net"
        )
        raise OptionsError.of("endpoint", value, expected, "'http://127.0.0.1:8000/pixel.gif/'")


def check_proxy(name: str, value: object) -> None:
    """Refuse what is no address of an HTTP proxy. Raises `OptionsError`."""
    try:
        parts = _apart(value) if isinstance(value, str) else None
        is_right = (
            parts is not None
            and parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
        )
    except ValueError:
        is_right = False

    if not is_right:
        # The value is not shown: it may have a password in it.
        expected = "it is the address of an HTTP proxy"
        msg = f"{name} is wrong: {expected}, such as {name}='http://proxy.local:3128'"
        raise OptionsError(msg)

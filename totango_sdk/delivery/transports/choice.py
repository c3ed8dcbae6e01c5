"""Carry: which transport it is.

Nothing of an HTTP library is imported before there is a request.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ...log import tell_once
from ...options import has_pycurl

if TYPE_CHECKING:
    from .base import Settings, Transport


def make_transport(wanted: str | Transport, settings: Settings) -> Transport:
    """Return the transport that the option `transport` names, or the host's own."""
    if not isinstance(wanted, str):
        return wanted
    if wanted == "curl" and is_patched():
        tell_once(
            "gevent curl",
            "transport='curl' is httpx here, since gevent has patched this process: libcurl waits "
            "without giving way, and would hold every greenlet",
        )
    elif wanted == "curl" or (wanted == "auto" and has_pycurl() and not is_patched()):
        from .curl import CurlTransport

        return CurlTransport(settings)
    if is_patched():
        _import_beside_greenlets()
    from .httpx import HttpxTransport

    return HttpxTransport(settings)


def _import_beside_greenlets() -> None:
    """Import what takes long in a real thread: in a greenlet, all others would wait for it."""
    gevent: Any = sys.modules["gevent"]
    gevent.get_hub().threadpool.apply(__import__, (f"{__package__}.httpx",))


def is_patched() -> bool:
    """Whether gevent has put its own in the place of sockets or threads."""
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is None:
        return False
    return any(map(monkey.is_module_patched, ("socket", "threading", "thread", "select")))

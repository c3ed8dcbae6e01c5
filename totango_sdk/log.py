"""What the host reads in its log: one line for each kind of fault, never one for each event."""

from __future__ import annotations

from . import host
from .imports import preload
from .locks import make_lock

_KINDS_REMEMBERED = 1000
_told: dict[str, None] = {}
_lock = make_lock()  # a signal handler may interrupt whoever holds it


def tell_once(kind: str, message: str, *, level: str = "warning") -> None:
    """Log `message` under the name `totango_sdk`, unless this kind of fault was told before.

    `level` is a method's name: `info`, `warning` or `error`. Never raises.
    """
    with _lock:
        if kind in _told:
            return
        if len(_told) >= _KINDS_REMEMBERED:
            _told.pop(next(iter(_told)))
        _told[kind] = None
    # Importing logging takes longer than all the rest of this package; nearly nobody gets here.
    preload("logging")
    import logging

    try:
        getattr(logging.getLogger("totango_sdk"), level)(
            "%s (further ones of this kind are not logged)", message
        )
    except host.FAILURES as error:  # a filter or handler of the host's; nobody is left to tell
        host.swallow(error)


def forget_told() -> None:
    """Tell every kind of fault anew: in a forked child, whose log may be another; and in tests."""
    global _lock
    _lock = make_lock()
    _told.clear()

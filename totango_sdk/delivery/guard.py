"""Calls that may fail without harm: the host must never notice, and the events are safe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import host
from ..errors import DeliveryError
from ..log import tell_once
from ..show import shown
from .transports.base import advice_on

if TYPE_CHECKING:
    from collections.abc import Callable


def surely(what: str, call: Callable[..., object], *args: object) -> None:
    """Call as `guarded` does, where there is nobody whom anything else could be for."""
    try:
        guarded(what, call, *args)
    except BaseException as error:
        tell_once(f"{what} {type(error).__name__}", f"the {what} ended by {shown(error)}")


def guarded(what: str, call: Callable[..., object], *args: object, **kwargs: object) -> bool:
    """Call, and tell once what it raises: the host must never notice, and the events are safe."""
    try:
        call(*args, **kwargs)
    except host.FAILURES as error:
        host.swallow(error)
        if isinstance(error, DeliveryError):
            tell_once(f"{what} {error}", f"events wait in the spool: {error}", level="error")
        else:
            told = f"{shown(error)}{advice_on(getattr(error, 'errno', None))}"
            kind = f"{what} {type(error).__name__}"
            tell_once(kind, f"the {what} goes on after {told}", level="error")
        return False
    return True

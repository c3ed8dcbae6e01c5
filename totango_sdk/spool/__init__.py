"""Kept safe: where events wait until they are delivered. Bodies are opaque here."""

from typing import TYPE_CHECKING, Any

from .base import Spool
from .lanes import Lanes
from .letters import DeadLetter
from .memory import MemorySpool
from .values import Counts, Item, Leased, Outcome, Owner, SpoolClosed

if TYPE_CHECKING:
    from .disk import DiskSpool

__all__ = [
    "Counts",
    "DeadLetter",
    "DiskSpool",
    "Item",
    "Lanes",
    "Leased",
    "MemorySpool",
    "Outcome",
    "Owner",
    "Spool",
    "SpoolClosed",
]


def __getattr__(name: str) -> Any:
    # A quarter of what importing the package would cost; the first client needs it, and not the
    # import.
    if name == "DiskSpool":
        from .disk import DiskSpool

        return DiskSpool
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)

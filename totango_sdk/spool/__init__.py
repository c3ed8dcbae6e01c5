"""Kept safe: where events wait until they are delivered. Bodies are opaque here."""

from typing import TYPE_CHECKING, Any

from .base import Counts, DeadLetter, Item, Leased, Outcome, Owner, Spool, SpoolClosed
from .memory import MemorySpool

if TYPE_CHECKING:
    from .disk import DiskSpool

__all__ = [
    "Counts",
    "DeadLetter",
    "DiskSpool",
    "Item",
    "Leased",
    "MemorySpool",
    "Outcome",
    "Owner",
    "Spool",
    "SpoolClosed",
]


def __getattr__(name: str) -> Any:
    # A quarter of what importing the package would cost; the first client needs it, and not the import.
    if name == "DiskSpool":
        from .disk import DiskSpool

        return DiskSpool
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)

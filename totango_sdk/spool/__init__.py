"""Kept safe: where events wait until they are delivered. Bodies are opaque here."""

from typing import TYPE_CHECKING

from ..imports import late
from .base import Spool
from .lanes import Lanes
from .letters import DeadLetter
from .memory import MemorySpool
from .values import Counts, Item, Leased, Outcome, Owner, SpoolClosed

if TYPE_CHECKING:
    from .disk import DiskSpool
else:  # not everybody has a disk to write to
    __getattr__ = late(__name__, {"DiskSpool": "disk"})

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

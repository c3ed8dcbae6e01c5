"""Kept safe: where events wait until they are delivered. Bodies are opaque here."""

from .base import Counts, DeadLetter, Item, Leased, Outcome, Owner, Spool, SpoolClosed
from .disk import DiskSpool
from .memory import MemorySpool
from .paths import default_directory

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
    "default_directory",
]

"""Server-side event tracking for Totango.

    from totango_sdk import Totango

    totango = Totango("SP-1234-01", account="819332", user="marlo@barksdale.com", module="Billing")
    totango.track("Invoice paid")

Importing this starts nothing, reads nothing and loads no HTTP library; what stores and delivers comes
with the first client.
"""

from typing import TYPE_CHECKING

from .client import Totango
from .errors import (
    DeliveryError,
    InvalidEvent,
    InvalidID,
    OptionsError,
    SpoolCorrupt,
    SpoolError,
    SpoolFull,
    SpoolLocked,
    TotangoError,
)
from .events import Event
from .identity import Account, Problem, Product, User, check_id, product_account_id, salesforce_id
from .imports import late
from .scope import Identity
from .version import __version__

if TYPE_CHECKING:
    from .aio import AsyncTotango
    from .core import Stats
    from .delivery.transports import Answer, Transport
    from .spool import DeadLetter, MemorySpool, Spool
else:
    _LATE = {
        "AsyncTotango": "aio",
        "Stats": "core",
        **dict.fromkeys(("Answer", "Transport"), "delivery.transports"),
        **dict.fromkeys(("DeadLetter", "MemorySpool", "Spool"), "spool"),
    }
    __getattr__ = late(__name__, _LATE)

    def __dir__() -> list[str]:
        return [*__all__, "__doc__", "__file__", "__path__"]


__all__ = [
    "Account",
    "Answer",
    "AsyncTotango",
    "DeadLetter",
    "DeliveryError",
    "Event",
    "Identity",
    "InvalidEvent",
    "InvalidID",
    "MemorySpool",
    "OptionsError",
    "Problem",
    "Product",
    "Spool",
    "SpoolCorrupt",
    "SpoolError",
    "SpoolFull",
    "SpoolLocked",
    "Stats",
    "Totango",
    "TotangoError",
    "Transport",
    "User",
    "__version__",
    "check_id",
    "product_account_id",
    "salesforce_id",
]

"""Django: one client for the project, the identity of each request, and events that keep to
transactions.

INSTALLED_APPS = [..., "totango_sdk.integrations.django"]
MIDDLEWARE = [..., "totango_sdk.integrations.django.TotangoMiddleware"]
TOTANGO = {"SERVICE_ID": "SP-1234-01", "IDENTITY": "shop.customers.who"}
"""

from __future__ import annotations

from .. import missing

try:
    import django as _django  # noqa: F401
except ModuleNotFoundError as error:
    raise missing("django", "Django", "django") from error

from .current import totango
from .middleware import TotangoMiddleware

__all__ = ["TotangoMiddleware", "relay", "totango"]


def relay(*, once: bool = False, batch: int = 500, poll: float = 1.0) -> int:
    """Hand over the outbox to the spool, and deliver; return how many events that were.

    For ever, or with `once` until the outbox is empty: for a cron job or a beat task. `batch` is how
    many rows go in one transaction, `poll` how many seconds to wait where there are none. Raises
    `OptionsError`.
    """
    from .handover import make

    return make(batch=batch, poll=poll).run(once=once)

"""`manage.py check`: what is wrong with the settings, each with what to do."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004
from django.utils.module_loading import import_string

from .config import has_identity, wrong_settings
from .middleware import TotangoMiddleware

_NO_MIDDLEWARE = (
    'settings.TOTANGO["IDENTITY"] is set, but TotangoMiddleware is not in MIDDLEWARE: '
    "events of a request have no account"
)
_NO_IDENTITY = (
    'TotangoMiddleware is installed, but settings.TOTANGO["IDENTITY"] is not set: '
    "events of a request have no account"
)


def check_settings(**_: Any) -> list[CheckMessage]:
    """Return what is wrong: errors `totango.E001` to `E004`, warnings `W001` and `W002`."""
    found: list[CheckMessage] = [
        Error(wrong.text, id=f"totango.{wrong.id}") for wrong in wrong_settings()
    ]
    if has_identity() and not _is_installed():
        found.append(Warning(_NO_MIDDLEWARE, id="totango.W001"))
    if _is_installed() and not has_identity():
        found.append(Warning(_NO_IDENTITY, id="totango.W002"))
    return found


def _is_installed() -> bool:
    for path in settings.MIDDLEWARE:
        with suppress(Exception):  # Django tells of it when it loads the middleware
            middleware = import_string(path)
            if isinstance(middleware, type) and issubclass(middleware, TotangoMiddleware):
                return True
    return False

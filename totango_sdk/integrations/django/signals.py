"""What the client hears of: the end of a request, who signs in or out, settings that change."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.core.signals import request_finished, setting_changed

from .current import totango
from .request import current


def connect() -> None:
    """Hear of these. Further calls do nothing."""
    request_finished.connect(_finished, dispatch_uid="totango")
    user_logged_in.connect(_forget, dispatch_uid="totango")
    user_logged_out.connect(_forget, dispatch_uid="totango")
    setting_changed.connect(_changed, dispatch_uid="totango")


def _finished(**_: Any) -> None:
    current.set(None)


def _forget(**_: Any) -> None:
    scope = current.get()
    if scope is not None:
        scope.forget()


def _changed(*, setting: str, **_: Any) -> None:
    if setting == "TOTANGO":
        totango.replace()

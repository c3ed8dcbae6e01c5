"""`totango`: the client of this process, made at the first use."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ...client import adopt
from ...errors import OptionsError
from ...log import tell_once
from ...tracked import tracked
from .client import DjangoTotango, IdleTotango
from .config import Config

if TYPE_CHECKING:
    _Calls = DjangoTotango  # for type checkers: every call is here too
else:
    _Calls = object

_NOBODYS = "SP-1-1"


class CurrentTotango(_Calls):
    """One object for the whole project, also outside of requests, with every call of `Totango`."""

    def __init__(self) -> None:
        self._client: DjangoTotango | None = None
        self._making = threading.RLock()

    @property
    def client(self) -> DjangoTotango:
        """The client that stands behind it, from `settings.TOTANGO`."""
        client = self._client
        if client is None:
            with self._making:
                client = self._client = self._client or _made()
        return client

    def replace(self) -> None:
        """Make another client at the next use: the settings have changed."""
        self._client = None

    def tracked(self, activity: str, module: str | None = None) -> Any:
        """Return a decorator that reports an activity; see `Totango.tracked`."""
        return tracked(self, activity, module)  # the settings may change

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.client, name)

    def __repr__(self) -> str:
        return "<totango of this project>"


def _made() -> DjangoTotango:
    try:
        client = DjangoTotango.of(Config.read())
    except OptionsError as wrong:
        tell_once("django settings", f"nothing is tracked: {wrong}", level="error")
        return IdleTotango.of(Config(options={"service_id": _NOBODYS, "disabled": True}))
    adopt(client)
    return client


totango = CurrentTotango()

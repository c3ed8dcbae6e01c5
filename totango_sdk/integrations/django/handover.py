"""The relay of the project: from the outbox in its database to the spool of its settings."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connections, transaction

from ...options import Options
from ..relay import Relay, core_for, database_name
from .config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NAMED = re.compile(r":(\w+)")


def make(*, batch: int = 500, poll: float = 1.0) -> Relay:
    """Return the relay that the settings describe. Raises `OptionsError`."""
    config = Config.read()
    core = core_for(Options.resolve(config.options))
    return Relay(core, _Tables(config.database), batch=batch, poll=poll)


class _Tables:
    """The outbox of a database of the project's."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        at = connections[alias].settings_dict
        self.name = database_name(at["NAME"], at["HOST"], at["PORT"])

    @contextmanager
    def transaction(self) -> Iterator[Callable[..., Any]]:
        """Begin a transaction."""
        with transaction.atomic(using=self._alias):
            yield self._run

    def _run(self, statement: str, **values: Any) -> Any:
        with connections[self._alias].cursor() as cursor:
            cursor.execute(_NAMED.sub(r"%(\1)s", statement), values)
            return cursor.rowcount if cursor.description is None else cursor.fetchall()

    def recover(self) -> None:
        """Close a connection that failed: the next statement makes one."""
        connection = connections[self._alias]
        if not connection.in_atomic_block:
            connection.close()

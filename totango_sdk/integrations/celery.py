"""Celery: a task knows who enqueued it, and what it tracks is delivered when its worker ends.

totango = Totango("SP-1234-01")
install(totango)        # once, where the Celery app is made, in producers and workers
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..client import Face, adopt
from . import missing

try:
    from celery import signals
except ModuleNotFoundError as error:
    raise missing("celery", "Celery", "celery") from error

if TYPE_CHECKING:
    from ..context import Block

HEADER = "totango-context"
_CLOSE_SECONDS = 2.0
_installed: _Installed | None = None
# The blocks of the tasks that this thread or greenlet is in. One that ended by `Reject` or a time
# limit may have left its own behind.
_entered: ContextVar[tuple[tuple[str, Block], ...]] = ContextVar("totango_sdk_celery", default=())


def install(client: Face, *, carry: bool = True) -> None:
    """Carry who is in force into every task, and deliver what workers have when they end.

    `client` is a client of any kind, Django's and Flask's included; with `carry=False` tasks have
    its own defaults. Raises `RuntimeError` if another client was installed.
    """
    global _installed
    if _installed is not None:
        if _installed.client is client:
            return
        msg = "install() was called with another client before: a process has one for all its tasks"
        raise RuntimeError(msg)
    _installed = _Installed(client)
    if carry:
        signals.before_task_publish.connect(_installed.publish)
    signals.task_prerun.connect(_installed.begin)
    signals.task_postrun.connect(_installed.end)
    signals.worker_process_shutdown.connect(_installed.close_child)
    signals.worker_shutdown.connect(_installed.close_parent)


class _Installed:
    """The receivers of Celery's signals, which holds them weakly."""

    def __init__(self, client: Face) -> None:
        self.client = client
        self._is_adopted = False
        if isinstance(client, Face):
            self._adopt()

    def publish(self, headers: dict[str, Any] | None = None, **_: Any) -> None:
        """Carry who is in force. What is there already wins, so that a retry keeps the first one."""
        if headers is not None and HEADER not in headers:
            self._adopt()
            headers[HEADER] = self.client.carry() or ""

    def begin(self, task_id: str = "", task: Any = None, **_: Any) -> None:
        """Enter whom the task is for, and nobody that an earlier task left here."""
        request = task.request
        if request.is_eager:  # it runs within whoever called it
            return
        self._adopt()
        for _name, left in reversed(_entered.get()):
            left.__exit__(None, None, None)
        block = self.client.carried((request.headers or {}).get(HEADER))
        block.__enter__()
        _entered.set(((task_id, block),))

    def end(self, task_id: str = "", **_: Any) -> None:
        """Leave whom the task was for."""
        entered = _entered.get()
        for name, block in entered:
            if name == task_id:
                block.__exit__(None, None, None)
        _entered.set(tuple(each for each in entered if each[0] != task_id))

    def close_child(self, **_: Any) -> None:
        """Deliver what can be delivered; the parent takes over the rest."""
        self.client._core.worker.close(_CLOSE_SECONDS)

    def close_parent(self, **_: Any) -> None:
        """Take over what children have left, and deliver it within the same two seconds."""
        deadline = time.monotonic() + _CLOSE_SECONDS
        core = self.client._core
        core.take_over(_CLOSE_SECONDS / 2)
        core.worker.close(max(0.0, deadline - time.monotonic()))

    def _adopt(self) -> None:
        # Of an extension not at install: it has its client only once its app is made.
        if not self._is_adopted:
            self._is_adopted = True
            adopt(getattr(self.client, "client", self.client))

"""For tests: a transport that records, a real collector on this machine, and suites for your own parts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .conformance import check_spool
from .delivery.transports import Answer
from .transport_suite import check_transport
from .wire import decode

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from .sandbox import Sandbox

__all__ = ["RecordingTransport", "check_spool", "check_transport", "sandbox_server"]


class RecordingTransport:
    """Answers 200 to everything, and keeps what was sent.

    `sent` has one entry for each request, a list of `(name, value)` pairs in wire order.
    """

    def __init__(self) -> None:
        self.sent: list[list[tuple[str, str]]] = []
        self._answers: list[Answer] = []
        self._lock = threading.Lock()

    def submit(self, ticket: int, body: bytes) -> None:
        """Record a request."""
        with self._lock:
            self.sent.append(decode(body))
            self._answers.append(Answer(ticket, 200))

    def poll(self, timeout: float) -> list[Answer]:
        """Return an answer for everything that was submitted."""
        with self._lock:
            answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Keep what was recorded."""


def sandbox_server(*, port: int = 0, db: str | Path | None = None) -> AbstractContextManager[Sandbox]:
    """Run the sandbox on a free port of this machine.

    Gives an object with `url` (the page) and `endpoint` (for the client). Needs the extra `sandbox`.
    """
    from .sandbox import running

    return running(port=port, db=db)

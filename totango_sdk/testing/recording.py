"""A transport that records what it is given."""

from __future__ import annotations

import threading

from ..delivery.transports import Answer
from ..wire import decode


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

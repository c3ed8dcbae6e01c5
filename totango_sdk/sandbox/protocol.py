"""HTTP as uvicorn and httptools speak it, with a bound to what comes before the body."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 1_000_000  # an event can also come in the address


class BoundedProtocol(HttpToolsProtocol):
    """Answers 400 to an address and headers of more than 1,000,000 bytes together."""

    _head = 0

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._head = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > HEAD_LIMIT:
            msg = f"more than {HEAD_LIMIT} bytes before the body"
            raise ValueError(msg)  # the parser turns it into an answer of 400

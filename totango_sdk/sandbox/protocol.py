"""HTTP as uvicorn and httptools speak it, with a bound to what comes before the body, and with an
ear for what is no HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_LIMIT = 1_000_000  # an event can also come in the address
_MOST_HEARD = 64_000
_EXPLAINED = "Invalid HTTP request received. The sandbox's log says what is wrong with it."


def protocol_class(on_malformed: Callable[[bytes], None]) -> type[HttpToolsProtocol]:
    """Return the protocol that tells `on_malformed` of each request that is no HTTP."""

    class Told(BoundedProtocol):
        def malformed(self, data: bytes) -> None:
            on_malformed(data)

    return Told


class BoundedProtocol(HttpToolsProtocol):
    """Answers 400 to an address and headers of more than 1,000,000 bytes together."""

    _head = 0
    _heard = b""

    def malformed(self, data: bytes) -> None:
        """Take what is no HTTP, as far as it came."""

    def data_received(self, data: bytes) -> None:
        """Take bytes, and remember those of a request line and headers until these are whole."""
        if len(self._heard) < _MOST_HEARD:
            self._heard = self._heard + data if self._heard else data
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Answer 400 to what is no HTTP, and tell of it."""
        if self._heard and self._head <= HEAD_LIMIT:
            self.malformed(self._heard)
            msg = _EXPLAINED
        self._heard = b""
        super().send_400_response(msg)

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

    def on_headers_complete(self) -> None:
        """Forget the bytes of a head that could be read."""
        super().on_headers_complete()
        self._heard = b""

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._heard = b""
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Forget a request that could be read."""
        self._heard = b""
        super().on_message_complete()

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > HEAD_LIMIT:
            msg = f"more than {HEAD_LIMIT} bytes before the body"
            raise ValueError(msg)  # the parser turns it into an answer of 400

"""Carry: bodies go out, answers come back, many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_ANSWER_BYTES = 64 << 10
CONTENT_TYPE = "application/x-www-form-urlencoded"


class Answer(NamedTuple):
    """What came of one request: a status and headers (names in lower case), or an error in words."""

    ticket: int
    status: int | None
    headers: Mapping[str, str] = {}
    error: str | None = None


class Transport(Protocol):
    """What carries requests. Every ticket that is submitted comes back in exactly one answer.

    A `wake()` is called from other threads, where there is one: it makes a `poll` that waits return.
    """

    def submit(self, ticket: int, body: bytes) -> None:
        """Begin to POST a form body. Never waits for the network."""

    def poll(self, timeout: float) -> list[Answer]:
        """Return the answers that are there; wait up to `timeout` seconds for the first."""

    def close(self) -> None:
        """Stop at once. What is under way may or may not arrive."""


def ca_file() -> str:
    """Return the file of certificates to trust: `SSL_CERT_FILE`, else certifi's."""
    import os

    named = os.environ.get("SSL_CERT_FILE")
    if named:
        return named
    import certifi

    return certifi.where()

"""Both transports pass the suite that a user's own can pass too, and broken ones fail it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from totango_sdk.delivery.transports import Settings
from totango_sdk.delivery.transports.curl import CurlTransport
from totango_sdk.delivery.transports.httpx import HttpxTransport
from totango_sdk.testing.transports import check_transport

if TYPE_CHECKING:
    from totango_sdk import Answer


def settings(endpoint: str) -> Settings:
    return Settings(endpoint, timeout=2.0, max_connections=4, user_agent="totango-sdk/test")


@pytest.mark.parametrize("kind", [HttpxTransport, CurlTransport])
def test_a_transport_of_ours_passes_the_suite(kind: type[HttpxTransport] | type[CurlTransport]) -> None:
    check_transport(lambda endpoint: kind(settings(endpoint)))


class Swallows(HttpxTransport):
    def submit(self, ticket: int, body: bytes) -> None:
        if ticket % 10 != 9:
            super().submit(ticket, body)


class Invents(HttpxTransport):
    def poll(self, timeout: float) -> list[Answer]:
        return [answer for each in super().poll(timeout) for answer in (each, each._replace(ticket=each.ticket + 1000))]


class Alters(HttpxTransport):
    def submit(self, ticket: int, body: bytes) -> None:
        super().submit(ticket, body.replace(b"%20", b"+"))


class HidesFailures(HttpxTransport):
    def poll(self, timeout: float) -> list[Answer]:
        return [each._replace(status=each.status or 200) for each in super().poll(timeout)]


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (Swallows, "were swallowed"),
        (Invents, "2 answers came back for 1 tickets"),
        (Alters, "did not arrive byte for byte"),
        (HidesFailures, "closed without an answer came back as 200"),
    ],
)
def test_a_broken_transport_fails_the_suite(
    kind: type[HttpxTransport], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("totango_sdk.testing.transports._PATIENCE_SECONDS", 3.0)
    with pytest.raises(AssertionError, match=sentence):
        check_transport(lambda endpoint: kind(settings(endpoint)))

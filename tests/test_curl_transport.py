"""What only the transport with libcurl has: it waits for sockets by itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from servers import PATIENCE, Collector, mute, response, wait_for

from totango_sdk.delivery.transports import Settings
from totango_sdk.delivery.transports.curl import CurlTransport

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def transport(collector: Collector) -> Iterator[CurlTransport]:
    made = CurlTransport(Settings(collector.endpoint, PATIENCE, 4, "tests"))
    yield made
    made.close()


def test_waiting_takes_no_processor_time(collector: Collector, transport: CurlTransport) -> None:
    transport.submit(1, b"x=1")
    (answer,) = wait_for(lambda: transport.poll(1.0))
    collector.close_idle()  # an idle connection that is closed must not wake it again and again
    collector.plan = lambda _: mute
    for ticket in range(2, 5):
        transport.submit(ticket, b"x=1")
    assert transport.poll(0.2) == []
    before = time.thread_time()
    assert transport.poll(1.0) == []
    assert time.thread_time() - before < 0.2
    assert answer.status == 200


def test_an_answer_that_takes_several_reads_is_not_waited_for_in_vain(
    collector: Collector, transport: CurlTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its end lies in the socket already, and nothing changes there any more.
    monkeypatch.setattr("totango_sdk.delivery.transports.curl._LAST_LOOK_SECONDS", PATIENCE)
    monkeypatch.setattr("totango_sdk.delivery.transports.curl._FIRST_LOOK_SECONDS", PATIENCE)
    collector.plan = lambda _: response(200, b"x" * 60_000)
    for ticket in range(20):
        transport.submit(ticket, b"x=1")
        (answer,) = transport.poll(PATIENCE / 2)
        assert (answer.ticket, answer.status) == (ticket, 200)


def test_a_name_that_has_to_be_looked_up_is_found_soon(collector: Collector) -> None:
    transport = CurlTransport(Settings(f"http://localhost:{collector.port}/pixel.gif/", PATIENCE, 4, "tests"))
    transport.submit(1, b"x=1")
    (answer,) = transport.poll(PATIENCE / 2)
    assert answer.status == 200
    transport.close()

"""What only the transport with httpx has: threads."""

from __future__ import annotations

import threading

import pytest
from servers import PATIENCE, Collector, mute, wait_for

from totango_sdk.delivery.transports import Settings
from totango_sdk.delivery.transports.httpx import HttpxTransport


def test_closing_ends_every_thread_also_those_that_wait(collector: Collector) -> None:
    collector.plan = lambda _: mute
    before = set(threading.enumerate())
    transport = HttpxTransport(Settings(collector.endpoint, PATIENCE, 4, "tests"))
    for ticket in range(6):
        transport.submit(ticket, b"x=1")
    wait_for(lambda: len(collector.requests) == 4)
    transport.close()
    wait_for(lambda: not [t for t in set(threading.enumerate()) - before if t.name.startswith("totango-http")])


def test_a_thread_that_cannot_be_started_swallows_no_ticket(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = HttpxTransport(Settings(collector.endpoint, 5.0, 2, "tests"))
    with monkeypatch.context() as patch:

        def fail(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError):
            transport.submit(1, b"x=1")
    transport.submit(2, b"x=2")
    assert [answer.ticket for answer in wait_for(lambda: transport.poll(1.0))] == [2]
    transport.close()

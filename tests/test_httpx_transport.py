"""What only the transport with httpx has: threads."""

from __future__ import annotations

import socket
import threading
from typing import Any

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


@pytest.mark.parametrize("end", ["given up", "closed"])
def test_what_is_over_while_its_name_is_looked_up_does_not_go_out(
    end: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()
    look_up = socket.getaddrinfo

    def mute_for_a_while(*args: Any, **kwargs: Any) -> Any:
        asked.set()
        answer.wait(PATIENCE)
        return look_up(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", mute_for_a_while)
    timeout = 0.2 if end == "given up" else PATIENCE
    transport = HttpxTransport(Settings(collector.endpoint.replace("127.0.0.1", "localhost"), timeout, 1, "tests"))
    transport.submit(1, b"x=1")
    assert asked.wait(PATIENCE)
    (line,) = transport._lines
    if end == "given up":
        wait_for(lambda: line._is_overdue)
    else:
        transport.close()
    answer.set()
    told = wait_for(lambda: transport.poll(1.0))[0].error
    assert told == "ConnectTimeout: it took too long to connect"
    transport.close()
    wait_for(lambda: not [t for t in threading.enumerate() if t.name.startswith("totango-http")])
    assert collector.requests == []


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

"""Each real transport against a real server on this machine, below a client and by itself."""

from __future__ import annotations

import logging
import re
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from servers import (
    PATIENCE,
    Act,
    Collector,
    bytes_below,
    close,
    drip,
    mute,
    refusing_port,
    response,
    then_close,
    wait_for,
)

from totango_sdk import Account, Answer, InvalidEvent, Totango, __version__
from totango_sdk.delivery.transports import Settings
from totango_sdk.delivery.transports.curl import CurlTransport
from totango_sdk.delivery.transports.httpx import HttpxTransport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "s3cr3t-T0ken"


KINDS = {"httpx": HttpxTransport, "curl": CurlTransport}


@pytest.fixture(params=KINDS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def make(name: str) -> Any:
    """Make a client that sends in this way."""

    def client(endpoint: str, **options: Any) -> Totango:
        given: dict[str, Any] = {"account": "A", "user": "U", "module": "M", "spool": "memory"}
        return Totango("SP-1-1", endpoint=endpoint, transport=name, **{**given, **options})

    return client


@pytest.fixture
def bare(name: str) -> Iterator[Any]:
    """Make a transport by itself: with an endpoint, a time limit in seconds and a number of connections."""
    made: list[Any] = []

    def transport(endpoint: str, timeout: float = 5.0, connections: int = 1) -> Any:
        made.append(KINDS[name](Settings(endpoint, timeout, connections, "tests")))
        return made[-1]

    yield transport
    for each in made:
        each.close()


@pytest.fixture
def carry(collector: Collector, bare: Any) -> Any:
    """Send one body, and return its answer."""
    made: list[Any] = []

    def send(body: bytes = b"sdr_a=x", timeout: float = PATIENCE) -> Answer:
        if not made:
            made.append(bare(collector.endpoint, timeout, 4))
        made[0].submit(5, body)
        answers: list[Answer] = []
        deadline = time.monotonic() + PATIENCE
        while not answers and time.monotonic() < deadline:
            answers = made[0].poll(1.0)
        (answer,) = answers
        assert answer.ticket == 5
        return answer

    return send


def test_a_body_arrives_byte_for_byte_as_a_form(make: Any, collector: Collector) -> None:
    with make(collector.endpoint, api_token=SECRET) as client:
        client.track("Überweisung & mehr", account=Account("A", attributes={"a=b": "1+1 %"}))
        assert client.flush(PATIENCE)
    (request,) = collector.requests
    assert request.line == "POST /pixel.gif/ HTTP/1.1"
    assert request.body == (
        b"sdr_s=SP-1-1&sdr_o=A&sdr_u=U&sdr_a=%C3%9Cberweisung%20%26%20mehr&sdr_m=M"
        b"&sdr_o.a%3Db=1%2B1%20%25&api-token=s3cr3t-T0ken"
    )
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["user-agent"].split()[0] == f"totango-sdk/{__version__}"
    assert request.headers["host"] == f"127.0.0.1:{collector.port}"
    assert "cookie" not in request.headers


def test_a_connection_is_kept_and_used_again(make: Any, collector: Collector) -> None:
    with make(collector.endpoint, max_connections=1) as client:
        for number in range(50):
            client.track("x", account=f"A{number}")
        assert client.flush(PATIENCE)
    assert len(collector.requests) == 50
    assert collector.connections == 1


def test_no_more_connections_are_opened_than_allowed(make: Any, collector: Collector) -> None:
    with make(collector.endpoint, max_connections=3) as client:
        for number in range(100):
            client.track("x", account=f"A{number}")
        assert client.flush(PATIENCE)
    assert len(collector.requests) == 100
    assert collector.connections <= 3


def script(*acts: Act) -> Any:
    """Answer one request after the other so, and 200 after that."""
    left = list(acts)
    return lambda _: left.pop(0) if left else 200


@pytest.mark.parametrize("first", [503, 500, 401, 404, 302, close, b"nonsense\r\n\r\n", response(200)[:30]])
def test_what_failed_is_tried_again_and_delivered(make: Any, first: Act, collector: Collector) -> None:
    if first == response(200)[:30]:
        first = then_close(first)  # type: ignore[arg-type]
    if first == b"nonsense\r\n\r\n":
        first = then_close(first)  # type: ignore[arg-type]
    collector.plan = script(first)
    with make(collector.endpoint) as client:
        client.track("x")
        assert client.flush(PATIENCE)
        assert client.stats().delivered == 1
    assert collector.activities[-2:] == ["x", "x"]


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nGIF",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGIF\r\n",
    ],
)
def test_an_answer_that_breaks_off_is_none(begun: bytes, collector: Collector, carry: Any) -> None:
    collector.plan = lambda _: then_close(begun)
    answer = carry()
    assert answer.status is None and answer.error


def test_trailers_do_not_hide_the_end_of_the_headers(collector: Collector, carry: Any) -> None:
    whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nGIF\r\n0\r\nX-Trailer: 1\r\n\r\n"
    collector.plan = lambda _: whole
    assert carry().status == 200


def test_retry_after_is_waited_for_by_everybody(make: Any, collector: Collector) -> None:
    collector.plan = script(response(429, Retry_After="1"))
    with make(collector.endpoint) as client:
        client.track("x")
        wait_for(lambda: client.stats().retrying)
        told = time.monotonic()
        for number in range(10):
            client.track("y", account=f"A{number}")
        assert client.flush(PATIENCE)
    assert len(collector.requests) == 12
    assert all(request.at - told > 0.9 for request in collector.requests[1:])


def test_an_event_that_the_collector_refuses_is_a_dead_letter_and_holds_up_nobody(
    make: Any, collector: Collector
) -> None:
    collector.plan = lambda request: 400 if request.names["sdr_a"] == "bad" else 200
    with make(collector.endpoint) as client:
        for number in range(20):
            client.track("bad" if number == 5 else "x", account=f"A{number % 3}")
        assert client.flush(PATIENCE)
        (letter,) = client.dead_letters()
        stats = client.stats()
    assert letter.reason == "the collector answered 400, which speaks of this event"
    assert letter.body == b"sdr_s=SP-1-1&sdr_o=A2&sdr_u=U&sdr_a=bad&sdr_m=M"
    assert (stats.delivered, stats.dead) == (19, 1)
    assert len(collector.requests) == 20


def test_a_redirect_is_not_followed(collector: Collector, carry: Any) -> None:
    with Collector() as other:
        collector.plan = lambda _: response(302, Location=other.endpoint)
        answer = carry()
        assert answer.status == 302
        assert other.requests == []
    assert len(collector.requests) == 1


def test_headers_of_what_is_no_delivery_come_back_in_lower_case(collector: Collector, carry: Any) -> None:
    collector.plan = lambda _: response(429, Retry_After="7", RateLimit_Reset="9")
    answer = carry()
    assert (answer.headers["retry-after"], answer.headers["ratelimit-reset"]) == ("7", "9")


def test_a_large_answer_is_not_read_to_its_end(collector: Collector, carry: Any) -> None:
    collector.plan = script(response(200, b"x" * 200_000), drip(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 70_000))
    assert carry().status == 200
    assert carry().status == 200
    assert carry().status == 200


def test_an_idle_connection_that_the_server_closed_is_retried_at_once(make: Any, collector: Collector) -> None:
    with make(collector.endpoint) as client:
        for number in range(10):
            client.track(f"x{number}")
            assert client.flush(PATIENCE)
            collector.close_idle()
        assert client._core.worker._drive.sender is not None
        assert client._core.worker._drive.sender.last_failure == ""
    assert len(collector.requests) == 10


def test_a_connection_closed_just_when_it_is_used_is_retried_at_once(collector: Collector, carry: Any) -> None:
    collector.plan = script(200, close)
    assert carry().status == 200
    assert carry().status == 200
    assert len(collector.requests) == 3


def test_a_new_connection_that_is_closed_without_an_answer_is_not_retried_at_once(
    collector: Collector, carry: Any
) -> None:
    collector.plan = lambda _: close
    for _ in range(5):
        assert carry().status is None
    assert len(collector.requests) == 5


@pytest.mark.parametrize(
    "plan",
    [
        mute,
        drip(b"HTTP/1.1 200 O"),
        drip(b"HTTP/1.1 200 OK\r\nX: "),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
    ],
)
def test_a_request_has_one_time_limit_from_connect_to_the_last_byte(
    plan: Act, collector: Collector, carry: Any
) -> None:
    collector.plan = lambda _: plan
    started = time.monotonic()
    answer = carry(timeout=0.4)
    assert answer.status is None and answer.error
    assert 0.35 < time.monotonic() - started < 5


def test_nobody_there_is_no_answer_with_the_reason(bare: Any) -> None:
    transport = bare(f"http://127.0.0.1:{refusing_port()}/")
    transport.submit(1, b"x=1")
    (answer,) = wait_for(lambda: transport.poll(1.0))
    assert answer.status is None
    assert re.search("ConnectError|Could not connect", answer.error or "")


def test_a_poll_that_waits_can_be_woken_and_one_that_does_not_wait_returns(collector: Collector, bare: Any) -> None:
    transport = bare(collector.endpoint)
    assert transport.poll(0) == []
    started = time.monotonic()
    waker = threading.Timer(0.05, transport.wake)
    waker.start()
    assert transport.poll(PATIENCE) == []
    assert time.monotonic() - started < PATIENCE / 2
    waker.join()


@pytest.mark.parametrize("plan", [503, close])
def test_in_an_outage_few_requests_are_made_and_then_everything_arrives(
    make: Any, plan: Act, collector: Collector
) -> None:
    collector.plan = lambda _: plan
    with make(collector.endpoint) as client:
        done = time.monotonic() + 1.5
        count = 0
        while time.monotonic() < done:
            client.track(f"x{count}", account=Account(f"A{count % 40}", attributes={"Count": count}))
            count += 1
            threading.Event().wait(0.005)
        assert len(collector.requests) < max(25, count / 10)
        collector.plan = lambda _: 200
        assert client.flush(PATIENCE)
        assert client.stats().delivered == count
    order: dict[str, list[int]] = {}
    for request in collector.requests:
        order.setdefault(request.names["sdr_o"], []).append(int(request.names["sdr_o.Count"]))
    assert all(numbers == sorted(numbers) for numbers in order.values())


def test_a_mute_collector_keeps_nobody_waiting_that_tracks(make: Any, collector: Collector) -> None:
    collector.plan = lambda _: mute
    client = make(collector.endpoint)
    slowest = 0.0
    for number in range(500):
        started = time.perf_counter()
        client.track("x", account=f"A{number}")
        slowest = max(slowest, time.perf_counter() - started)
    assert slowest < 0.5
    client.close(0)


def test_a_rate_is_kept_on_the_wire(make: Any, collector: Collector) -> None:
    with make(collector.endpoint, max_rate=50) as client:
        for number in range(40):
            client.track("x", account=f"A{number}")
        assert client.flush(PATIENCE)
    at = [request.at for request in collector.requests]
    assert at[-1] - at[0] > 0.6


# -- the token


def test_the_token_is_in_no_log_no_traceback_no_letter_and_not_on_the_disk(
    make: Any, tmp_path: Path, collector: Collector, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for logger in ("httpx", "httpcore", "totango_sdk"):
        caplog.set_level(logging.DEBUG, logger=logger)
    collector.plan = lambda request: {"bad": 400, "later": 503, "closed": close}.get(request.names["sdr_a"], 200)
    client = make(collector.endpoint, api_token=SECRET, spool=tmp_path / "spool")
    for number, activity in enumerate(("bad", "later", "closed", "x", "")):
        client.track(activity, account=f"A{number}")
    wait_for(lambda: len(collector.requests) >= 4)
    wait_for(lambda: client.stats().dead == 2)
    strict = make(collector.endpoint, api_token=SECRET, strict=True)
    with pytest.raises(InvalidEvent) as caught:
        strict.track("", account="A B")
    told = "".join(traceback.format_exception(caught.value))
    letters = client.dead_letters()
    stored = bytes_below(tmp_path)
    stats = client.stats()
    client.close(0.1)
    strict.close()
    assert all(request.body.endswith(f"&api-token={SECRET}".encode()) for request in collector.requests)
    assert b"sdr_a=later" in stored
    assert name != "httpx" or any("httpcore" in record.name for record in caplog.records)  # it was listened to
    shown = "".join([told, repr(letters), repr(stats), caplog.text, *capfd.readouterr(), repr(client), repr(strict)])
    assert SECRET not in shown
    assert SECRET.encode() not in stored + bytes_below(tmp_path)

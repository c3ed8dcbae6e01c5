"""What the host's code raises ends where we call it; what struck this thread from outside goes on."""

from __future__ import annotations

import ast
import functools
import logging
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from raising import RaisingTransport
from servers import PATIENCE, Collector, wait_for

from totango_sdk import Answer, InvalidEvent, MemorySpool, Product, Totango, host
from totango_sdk.log import tell_once
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Iterator


class Deadline(Exception):
    """A host's own, as a job's time limit raises it."""


def make(**options: Any) -> Totango:
    given = {"account": "A", "user": "U", "module": "M", "spool": "memory", "transport": RecordingTransport()}
    return Totango("SP-1-1", **{**given, **options})


@contextmanager
def alarm(handler: Any) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def with_both(signum: int, frame: object) -> None:
    raise Deadline


def with_a_helper(*_: object) -> None:
    with_both(1, None)


class Handler:
    def __call__(self, signum: int, frame: object) -> None:
        raise Deadline

    def method(self, signum: int, frame: object) -> None:
        raise Deadline


HANDLERS = {
    "function": with_both,
    "any arguments": with_a_helper,
    "object": Handler(),
    "method": Handler().method,
    "partial": functools.partial(with_both),
    "lambda": lambda *_: (_ for _ in ()).throw(Deadline()),
}


@pytest.mark.parametrize("name", HANDLERS)
def test_what_a_signal_handler_raises_is_told_from_what_a_hook_raises(name: str) -> None:
    def interrupted() -> None:
        signal.raise_signal(signal.SIGALRM)

    with alarm(HANDLERS[name]), pytest.raises(Deadline):
        try:
            interrupted()
        except host.FAILURES as error:
            host.swallow(error)


def test_a_deadline_goes_on_also_where_something_else_was_raised_of_it() -> None:
    def wraps() -> None:
        try:
            signal.raise_signal(signal.SIGALRM)
        except Exception as error:
            raise ValueError("wrapped") from error

    with alarm(with_both), pytest.raises(Deadline):
        try:
            wraps()
        except host.FAILURES as error:
            host.swallow(error)


def calls_a_hook() -> None:
    try:
        raise ValueError("another")
    except host.FAILURES as error:
        host.swallow(error)


def test_a_deadline_that_the_host_has_dealt_with_is_over() -> None:
    with alarm(with_both):
        try:
            signal.raise_signal(signal.SIGALRM)
        except Deadline:
            calls_a_hook()


@pytest.mark.parametrize("error", [ValueError("x"), OSError(5, "x"), SystemExit(3), Deadline()])
def test_what_a_hook_raises_ends_and_those_who_watch_are_told(error: BaseException) -> None:
    def hook() -> None:
        raise error

    seen: list[BaseException] = []
    with host.watching(seen.append):
        try:
            hook()
        except host.FAILURES as failure:
            host.swallow(failure)
    assert seen == [error]


# -- each place where we call the host


class Stubborn(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        raise LookupError("outside of a request")


class Loud(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise LookupError("outside of a request")


@contextmanager
def logging_by(place: str) -> Iterator[None]:
    logger = logging.getLogger("totango_sdk")
    stubborn, loud = Stubborn(), Loud()
    if place == "filter":
        logger.addFilter(stubborn)
    else:
        logger.addHandler(loud)
    try:
        yield
    finally:
        logger.removeFilter(stubborn)
        logger.removeHandler(loud)


@pytest.mark.parametrize("place", ["filter", "handler"])
def test_a_log_that_raises_keeps_no_event_and_no_answer_from_anybody(place: str, collector: Collector) -> None:
    collector.plan = lambda _: 503 if len(collector.requests) < 3 else 200
    client = make(transport="httpx", endpoint=collector.endpoint)
    with logging_by(place):
        assert client.track("x")
        assert client.track("y", account={"id": "B", "name": "n" * 600})  # only worth a warning
        assert client.track("") is None  # only worth a letter
        assert client.flush(PATIENCE)
    stats = client.stats()
    assert (stats.delivered, stats.dead, stats.in_flight, stats.dropped) == (2, 1, 0, 0)
    client.close()


def test_a_log_that_raises_by_a_deadline_lets_it_go_on() -> None:
    class Slow(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            signal.raise_signal(signal.SIGALRM)
            return True

    slow = Slow()
    logging.getLogger("totango_sdk").addFilter(slow)
    try:
        with alarm(with_both), pytest.raises(Deadline):
            tell_once("any", "message")
    finally:
        logging.getLogger("totango_sdk").removeFilter(slow)


class Unsayable:
    @property
    def id(self) -> str:
        raise LookupError("detached")

    def __str__(self) -> str:
        raise LookupError("detached")

    __repr__ = __str__


@pytest.mark.parametrize("error", [LookupError("no"), SystemExit(1)])
def test_what_before_send_and_on_dead_letter_raise_reaches_nobody(error: BaseException) -> None:
    def hook(*_: object) -> None:
        raise error

    client = make(before_send=hook, on_dead_letter=hook)
    assert client.track("x") is None
    assert client.track("y", account=Unsayable()) is None  # type: ignore[arg-type]
    assert client.stats().dead == 2
    client.close()


def test_a_deadline_in_before_send_and_in_on_dead_letter_reaches_the_host() -> None:
    def hook(*_: object) -> None:
        signal.raise_signal(signal.SIGALRM)

    with alarm(with_both):
        for options in ({"before_send": hook}, {"on_dead_letter": hook}):
            client = make(**options)
            with pytest.raises(Deadline):
                client.track("" if "on_dead_letter" in options else "x")
            client.close()


@pytest.mark.parametrize("error", [LookupError("no"), SystemExit(1), KeyboardInterrupt(), GeneratorExit()])
@pytest.mark.parametrize("where", ["submit", "poll", "wake", "close"])
def test_a_transport_may_raise_anything_and_everything_is_delivered(where: str, error: BaseException) -> None:
    client = make(transport=RaisingTransport(where, error))
    for number in range(4):
        try:
            assert client.track(f"x{number}", account=f"A{number}")
        except (KeyboardInterrupt, GeneratorExit):
            assert where == "wake"  # it was raised in the host's own thread, and is for nobody but the host
    for _ in range(3):
        try:
            assert client.flush(PATIENCE)
        except (KeyboardInterrupt, GeneratorExit):
            assert where == "wake"
    stats = client.stats()
    assert stats.delivered == 4 and stats.in_flight == 0
    client.close()


def test_a_spool_that_fails_to_settle_is_asked_again() -> None:
    class Hiccup(MemorySpool):
        left = 2

        def settle(self, outcomes: Any) -> None:
            if self.left and outcomes:
                self.left -= 1
                raise ConnectionError("the database is away")
            super().settle(outcomes)

    client = make(spool=Hiccup())
    client.track("x")
    assert client.flush(PATIENCE)
    assert client.stats().delivered == 1
    client.close()


# -- those who call us back


def test_a_hook_that_flushes_holds_nothing_up() -> None:
    class Refusing(RecordingTransport):
        def poll(self, timeout: float) -> list[Answer]:
            return [Answer(answer.ticket, 400) for answer in super().poll(timeout)]

    took: list[float] = []

    def hook(*_: object) -> None:
        began = time.monotonic()
        client.flush(20)
        took.append(time.monotonic() - began)

    client = make(transport=Refusing(), on_dead_letter=hook)
    for number in range(3):
        client.track("x", account=f"A{number}")
    wait_for(lambda: client.stats().dead == 3)
    wait_for(lambda: len(took) == 3)
    assert max(took) < 5
    client.close()


def test_a_dead_letter_that_becomes_another_event_that_dies_is_the_last_one() -> None:
    class Refusing(RecordingTransport):
        def poll(self, timeout: float) -> list[Answer]:
            return [Answer(answer.ticket, 400) for answer in super().poll(timeout)]

    told: list[str] = []

    def hook(letter: Any, _: str) -> None:
        told.append(letter.id)
        client.track("Event lost", account="ops")
        client.track("")  # refused at once

    client = make(transport=Refusing(), on_dead_letter=hook)
    client.track("x")
    client.flush(PATIENCE)
    wait_for(lambda: client.stats().dead == 3)
    assert client.flush(PATIENCE)
    assert len(told) == 1 and client.stats().dead == 3
    client.close()


def test_before_send_that_tracks_ends(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []

    def hook(event: Any) -> Any:
        calls.append(event.activity)
        client.track(f"again {len(calls)}")
        return event

    client = make(before_send=hook)
    assert client.track("x")
    assert client.flush(PATIENCE)
    assert len(calls) == 2
    stats = client.stats()
    assert (stats.delivered, stats.dead) == (2, 1)
    assert "it was tracked in before_send" in caplog.text
    client.track("y")  # no depth is left behind
    assert len(calls) == 4
    client.close()


def test_before_send_may_track_what_it_does_not_track_again() -> None:
    def hook(event: Any) -> Any:
        if event.activity == "x":
            client.track("Filtered")
            return None
        return event

    client = make(before_send=hook)
    assert client.track("x") is None
    assert client.flush(PATIENCE)
    assert (client.stats().delivered, client.stats().dropped, client.stats().dead) == (1, 1, 0)
    client.close()


def test_a_strict_client_still_raises_what_is_the_callers_own_fault() -> None:
    client = make(strict=True)
    with pytest.raises(InvalidEvent):
        client.track("")
    client.close()


def test_a_senders_thread_that_died_is_started_again_and_what_it_had_out_goes_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make(transport=RaisingTransport("poll", KeyboardInterrupt()))
    client.track("x")
    wait_for(lambda: "the sender's thread ended" in caplog.text)
    wait_for(lambda: client.stats().in_flight == 0 or client.stats().delivered == 1)
    client.track("y", account="B")
    assert client.flush(PATIENCE)
    assert client.stats().delivered == 2
    client.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "totango-sender"]


def test_a_mistake_of_ours_that_is_swallowed_fails_the_test(swallowed: list[BaseException]) -> None:
    def swallow(raise_it: Any) -> None:
        try:
            raise_it()
        except host.FAILURES as error:
            host.swallow(error)

    def the_hosts() -> None:
        raise TypeError("its own")

    swallow(the_hosts)
    assert swallowed == []
    client = make()
    client._core.check = None  # type: ignore[assignment,method-assign]
    assert client.track("x", product=Product("P")) is None
    assert "NoneType" in str(swallowed.pop())
    client.close()


def test_no_finalizer_of_ours_is_written_in_python() -> None:
    # Python loses what strikes there: a deadline would pass unnoticed.
    package = Path(host.__file__).parent
    found = [
        f"{path.relative_to(package)}: line {node.lineno}"
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name == "__del__"
    ]
    assert found == []

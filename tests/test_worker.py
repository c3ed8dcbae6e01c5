"""The thread: how it starts, wakes, forks and ends. Where a process has to end, a real one does."""

from __future__ import annotations

import _imp
import contextlib
import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from raising import RaisingTransport
from servers import PATIENCE, Collector, close, mute, refusing_port, wait_for
from unannounced import fork_in_c

from totango_sdk import Answer, MemorySpool, SpoolError, Totango
from totango_sdk.delivery.bells import Life
from totango_sdk.delivery.process import close_all
from totango_sdk.delivery.sender import Sender
from totango_sdk.delivery.worker import Worker
from totango_sdk.spool import Item, Owner, SpoolClosed
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from totango_sdk.spool import Spool

TESTS = Path(__file__).parent
OWNER = Owner("SP-1-1", "https://example.com/")


def make(**options: Any) -> Totango:
    given: dict[str, Any] = {"account": "A", "user": "U", "module": "M", "spool": "memory", "transport": "httpx"}
    return Totango("SP-1-1", **{**given, **options})


_others: set[threading.Thread] = set()  # of clients that earlier tests have left


def sender_threads() -> list[threading.Thread]:
    """The senders of this test."""
    return [each for each in threading.enumerate() if each.name == "totango-sender" and each not in _others]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    _others.clear()
    _others.update(sender_threads())
    yield
    gc.collect()
    wait_for(lambda: not sender_threads())
    _others.clear()


# -- starting and waking


def test_no_thread_and_no_file_before_the_first_event(tmp_path: Path) -> None:
    before = threading.enumerate()
    client = make(spool=tmp_path / "spool")
    bound = client.bind(account="B")
    with bound.context(user="V"):
        assert bound.stats().accepted == 0
    assert threading.enumerate() == before
    assert not (tmp_path / "spool").exists()
    client.close()
    assert not (tmp_path / "spool").exists()


def test_the_first_event_starts_one_thread_whoever_comes_first() -> None:
    client = make(transport=RecordingTransport())
    start = threading.Barrier(16)

    def work() -> None:
        start.wait()
        client.track("x")

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sender_threads()) == 1
    assert client.flush(PATIENCE)
    assert client.stats().delivered == 16
    client.close()


def test_an_event_for_which_the_sender_sleeps_wakes_it_at_once(collector: Collector) -> None:
    client = make(endpoint=collector.endpoint)
    client.track("x")
    assert client.flush(PATIENCE)
    for number in range(100):  # each of them finds the sender asleep, or about to be
        client.track(f"x{number}")
        wait_for(lambda: len(collector.requests) == number + 2)
    client.close()


def test_many_events_one_by_one_never_find_a_sender_that_overslept() -> None:
    transport = RecordingTransport()
    client = make(transport=transport)
    for number in range(300):
        client.track("x")
        wait_for(lambda: len(transport.sent) == number + 1)
    client.close()


@pytest.mark.parametrize("ends", ["flush", "close"])
def test_a_host_does_not_wake_the_sender_for_what_comes_right_after(monkeypatch: pytest.MonkeyPatch, ends: str) -> None:
    """For a moment it looks by itself, here for a long one; whoever waits for it has it look at once."""
    monkeypatch.setattr("totango_sdk.delivery.drive._FIRST_NAP_SECONDS", 2 * PATIENCE)
    transport = RecordingTransport()
    client = make(transport=transport)
    client.track("first")
    worker = client._core.worker
    wait_for(lambda: client.stats().delivered == 1 and not worker._drive.is_asleep)
    woken: list[bool] = []
    monkeypatch.setattr(worker, "wake", lambda wake=worker.wake: (woken.append(True), wake()))
    for number in range(50):
        client.track(f"x{number}")
    # Once, if it was just about to look.
    assert len(woken) <= 1
    assert len(transport.sent) < 50
    assert client.flush(PATIENCE) if ends == "flush" else client.close(PATIENCE) is None
    assert len(transport.sent) == 51
    client.close()


def test_the_busier_the_host_the_longer_are_the_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totango_sdk.delivery.drive._LONGEST_NAP_SECONDS", 2 * PATIENCE)
    client = make(transport=RecordingTransport())
    drive = client._core.worker._drive

    def is_napping_for_long() -> bool:
        for _ in range(100):
            client.track("x")
        return drive._nap_until - time.monotonic() > 0.5

    wait_for(is_napping_for_long)
    assert client.flush(PATIENCE)
    client.close()


class Slow(RecordingTransport):
    """Submits once the test lets it, and has no answer at the first look."""

    def __init__(self) -> None:
        super().__init__()
        self.may_submit = threading.Event()

    def submit(self, ticket: int, body: bytes) -> None:
        assert self.may_submit.wait(PATIENCE)
        super().submit(ticket, body)

    def poll(self, timeout: float) -> list[Answer]:
        return super().poll(timeout) if timeout else []


def test_what_waits_for_an_answer_does_not_wait_for_the_end_of_a_nap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totango_sdk.delivery.drive._FIRST_NAP_SECONDS", 2 * PATIENCE)
    transport = Slow()
    client = make(transport=transport)
    for name in ("One", "Two", "Three"):
        client.set_account_attributes({"id": "A", "name": name})
    transport.may_submit.set()
    wait_for(lambda: len(transport.sent) == 3)
    client.close()


class Nervous(RecordingTransport):
    """Raises where there is nothing to tell."""

    def poll(self, timeout: float) -> list[Answer]:
        answers = super().poll(0)
        if not answers:
            raise RuntimeError("nothing there")
        return answers


def test_answers_are_kept_although_the_next_look_for_some_would_raise() -> None:
    client = make(transport=Nervous())
    for number in range(5):
        client.track("x")
        wait_for(lambda: client.stats().delivered == number + 1)
    client.close()


class Deaf(RecordingTransport):
    """Has no `wake`, and waits as long as it was told to."""

    def __init__(self) -> None:
        super().__init__()
        self.silent = threading.Event()
        self.waits: list[float] = []

    def submit(self, ticket: int, body: bytes) -> None:
        super().submit(ticket, body)
        if b"sdr_a=never" in body:
            with self._lock:
                self._answers.pop()

    def poll(self, timeout: float) -> list[Answer]:
        answers = super().poll(timeout)
        if not answers:
            self.waits.append(timeout)
            self.silent.wait(timeout)
        return answers


def test_a_transport_without_wake_does_not_keep_new_events_waiting() -> None:
    transport = Deaf()
    client = make(transport=transport)
    client.track("never", account="B")
    wait_for(lambda: transport.waits)
    for number in range(3):
        client.track("x")
        wait_for(lambda: len(transport.sent) == number + 2)
    assert max(transport.waits) <= 0.05
    client.close(0)


def test_an_idle_sender_sleeps() -> None:
    client = make(transport=RecordingTransport())
    client.track("x")
    assert client.flush(PATIENCE)
    worker = client._core.worker
    turns: list[float] = []
    sender = worker._drive.sender
    assert sender is not None
    original = sender.step
    sender.step = lambda answers=(): (turns.append(time.monotonic()), original(answers))[1]  # type: ignore[method-assign]
    threading.Event().wait(0.3)
    assert len(turns) <= 1
    client.close()


def recording(spool: Spool) -> Sender:
    return Sender(spool, RecordingTransport())


class Blocking(MemorySpool):
    def put(self, items: Any, *, wait: bool = True) -> str | None:
        return super().put(items, wait=wait) if wait else None


def test_put_without_waiting_starts_no_thread_before_the_spool_is_open() -> None:
    worker = Worker(MemorySpool(), OWNER, recording)
    item = Item(b"sdr_a=x", ("A",))
    assert worker.put([item], wait=False) is None
    worker.open()
    assert worker.put([item], wait=False) is not None
    worker.close(1)
    other = Worker(Blocking(), OWNER, recording)
    other.open()
    assert other.put([item], wait=False) is None
    other.close(1)


def test_where_no_thread_can_be_started_events_wait_in_the_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, collector: Collector
) -> None:
    client = make(spool=tmp_path / "spool", endpoint=collector.endpoint)
    with monkeypatch.context() as patch:

        def fail(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        patch.setattr(threading.Thread, "start", fail)
        assert client.track("x") and client.track("y")
        assert not client.flush(0)
        client.close(0)
    assert len([record for record in caplog.records if "no thread can be started" in record.message]) == 1
    client.track("z")
    assert client.flush(PATIENCE)
    assert sorted(collector.activities) == ["x", "y", "z"]
    client.close()


class Closed(MemorySpool):
    """Closed by another thread just when it is used."""

    times = 1

    def put(self, items: Any, *, wait: bool = True) -> str | None:
        if self.times:
            self.times -= 1
            raise SpoolClosed("closed")
        return super().put(items, wait=wait)


def test_a_spool_that_is_closed_just_when_it_is_used_is_opened_again() -> None:
    client = make(spool=Closed(), transport=RecordingTransport())
    assert client.track("x")
    assert client.flush(PATIENCE)
    assert client.stats().delivered == 1
    client.close()


# -- closing


def test_closing_delivers_what_it_can_and_leaves_the_rest(tmp_path: Path, collector: Collector) -> None:
    client = make(spool=tmp_path / "spool", endpoint=collector.endpoint)
    for number in range(50):
        client.track(f"x{number}")
    client.close(PATIENCE)
    assert len(collector.requests) == 50
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("plan", [mute, close])
def test_closing_takes_no_longer_than_it_may(plan: Any, collector: Collector, tmp_path: Path) -> None:
    collector.plan = lambda _: plan
    client = make(spool=tmp_path / "spool", endpoint=collector.endpoint)
    client.track("x")
    wait_for(lambda: collector.requests)
    started = time.monotonic()
    client.close(0.2)
    assert time.monotonic() - started < 3
    assert not sender_threads()
    collector.plan = lambda _: 200
    other = make(spool=tmp_path / "spool", endpoint=collector.endpoint)
    wait_for(lambda: other.flush(0.5))  # opening it takes over what was left
    assert collector.activities[-1] == "x"
    other.close()


@pytest.mark.parametrize("spool", ["memory", "disk"])
def test_what_was_out_when_a_client_closed_leaves_after_it_opened_again(
    spool: str, collector: Collector, tmp_path: Path
) -> None:
    collector.plan = lambda _: mute
    client = make(spool="memory" if spool == "memory" else tmp_path / "spool", endpoint=collector.endpoint)
    client.track("x")
    wait_for(lambda: collector.requests)
    client.close(0)
    collector.plan = lambda _: 200
    client.track("y")
    assert client.flush(PATIENCE)
    assert sorted(collector.activities) == ["x", "x", "y"]
    stats = client.stats()
    assert stats.in_flight == stats.queued == stats.retrying == 0
    client.close()


def test_a_client_that_is_dropped_without_close_ends_its_thread(tmp_path: Path) -> None:
    transport = RecordingTransport()
    client = make(spool=tmp_path / "spool", transport=transport)
    client.track("x")
    (thread,) = sender_threads()
    core = weakref.ref(client._core)
    del client
    gc.collect()
    assert core() is None
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(transport.sent) == 1


def test_threads_that_track_while_others_close_lose_nothing(tmp_path: Path) -> None:
    for spool in ("memory", tmp_path / "spool"):
        transport = RecordingTransport()
        client = make(spool=spool, transport=transport, strict=True)
        ids: list[str | None] = []
        done = threading.Event()

        def work(number: int) -> None:
            for at in range(300):
                ids.append(client.track(f"x{number}-{at}", account=f"A{number}"))  # noqa: B023

        def shut() -> None:
            while not done.is_set():
                client.close(0.5)  # noqa: B023

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        closing = threading.Thread(target=shut)
        for thread in [*threads, closing]:
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        closing.join()
        assert client.flush(PATIENCE), client.stats()
        assert None not in ids
        arrived = Counter(dict(pairs)["sdr_a"] for pairs in transport.sent)
        assert set(arrived) == {f"x{number}-{at}" for number in range(4) for at in range(300)}
        client.close()


def test_a_thread_that_has_been_replaced_does_not_close_the_spool_of_the_next_one() -> None:
    client = make(transport=RecordingTransport())
    client.track("x")
    client._core.worker._let_go(None)
    client._core.worker._let_go(Life())
    assert client._core.worker._is_open
    client.track("y")
    assert client.flush(PATIENCE)
    client.close()


def test_flushing_threads_do_not_disturb_one_another() -> None:
    client = make(transport=RecordingTransport())
    results: list[bool] = []

    def work() -> None:
        for at in range(200):
            client.track("x")
            results.append(client.flush(PATIENCE if at % 2 else 0))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 800
    assert client._core.worker._drive.waiters._waiting == []
    client.close()


def test_close_from_the_senders_own_thread_does_no_harm() -> None:
    holder: list[Totango] = []

    class Refuse(RecordingTransport):
        def poll(self, timeout: float) -> list[Answer]:
            return [Answer(answer.ticket, 400) for answer in super().poll(timeout)]

    client = make(transport=Refuse(), on_dead_letter=lambda *_: holder[0].close())
    holder.append(client)
    client.track("x")
    wait_for(lambda: client.stats().dead == 1)
    client.close()


def test_all_clients_of_a_process_close_within_one_time() -> None:
    clients = [make(transport=Deaf(), account=f"A{number}") for number in range(5)]
    for client in clients:
        client.track("never")
        wait_for(lambda: client.stats().in_flight == 1)  # noqa: B023
    started = time.monotonic()
    close_all(0.2)
    assert time.monotonic() - started < 5
    assert not sender_threads()


# -- what may go wrong


@pytest.mark.parametrize("where", ["submit", "poll", "close"])
def test_the_sender_survives_a_transport_that_raises(where: str, caplog: pytest.LogCaptureFixture) -> None:
    client = make(transport=RaisingTransport(where, OSError("the transport is broken")))
    client.track("x")
    client.track("y", account="B")
    assert client.flush(PATIENCE)
    assert client.stats().delivered == 2
    client.close()
    assert not sender_threads()
    told = [record for record in caplog.records if "the transport is broken" in record.message]
    assert len(told) == 1


def test_a_transport_that_cannot_be_made_is_told_of_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    transport, tries = RecordingTransport(), []

    def fabricate(spool: Spool) -> Sender:
        tries.append(1)
        if len(tries) < 2:
            raise ImportError("no HTTP library")
        return Sender(spool, transport)

    worker = Worker(MemorySpool(), OWNER, fabricate)
    worker.put([Item(b"sdr_a=x", ("A",))])
    assert worker.flush(PATIENCE)
    assert len(transport.sent) == 1
    assert "no HTTP library" in caplog.text
    worker.close(1)


def test_a_broken_transport_does_not_keep_a_client_from_closing() -> None:
    client = make(transport=RaisingTransport("poll", OSError("the transport is broken"), times=10**9))
    client.track("x")
    wait_for(lambda: client.stats().in_flight == 1)
    started = time.monotonic()
    client.close(0.2)
    assert time.monotonic() - started < 5
    assert not sender_threads()


class Inventing(RecordingTransport):
    def poll(self, timeout: float) -> list[Answer]:
        return [Answer(987654321, 200), *super().poll(timeout)]


def test_a_transport_that_swallows_or_invents_tickets_breaks_nothing_else() -> None:
    inventing = make(transport=Inventing())
    for number in range(20):
        inventing.track("x", account=f"A{number}")
    assert inventing.flush(PATIENCE)
    assert inventing.stats().delivered == 20
    inventing.close()
    swallowing = make(transport=Deaf())
    swallowing.track("never", account="B")
    for number in range(20):
        swallowing.track("x", account=f"A{number}")
    wait_for(lambda: swallowing.stats().delivered == 20)
    assert swallowing.stats().in_flight == 1
    assert not swallowing.flush(0.05)
    swallowing.close(0)


def poor_spool(*where: str) -> MemorySpool:
    """A spool that fails where it is told to."""
    spool = MemorySpool()
    for name in where:

        def fail(*_: Any, name: str = name, **__: Any) -> Any:
            raise SpoolError(f"{name} does not work")

        setattr(spool, name, fail)
    return spool


@pytest.mark.parametrize("where", ["maintain", "close", "pending_before"])
def test_the_sender_survives_a_spool_that_fails(where: str, caplog: pytest.LogCaptureFixture) -> None:
    transport = RecordingTransport()
    client = make(spool=poor_spool(where), transport=transport)
    client.track("x")
    wait_for(lambda: len(transport.sent) == 1)
    if where == "pending_before":
        assert not client.flush(0.05)
    client.close(0.2)
    assert not sender_threads()
    assert f"{where} does not work" in caplog.text


def test_a_spool_of_which_nothing_works_lets_the_sender_end(caplog: pytest.LogCaptureFixture) -> None:
    client = make(spool=poor_spool("maintain", "next_due", "close", "pending_before"), transport=RecordingTransport())
    client.track("x")
    client.close(0.3)
    assert not sender_threads()


def test_where_nothing_can_be_written_the_spool_is_in_memory_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    transport = RecordingTransport()
    client = make(spool=tmp_path / "file" / "spool", transport=transport)
    assert client.stats().durable
    for _ in range(3):
        assert client.track("x")
        assert client.flush(PATIENCE)
        client.close()
    assert not client.stats().durable
    assert len(transport.sent) == 3
    told = [record for record in caplog.records if "in memory only" in record.message]
    assert len(told) == 1 and told[0].levelno == logging.ERROR


def test_a_spool_in_memory_goes_on_to_the_disk_once_it_can_and_what_it_has_goes_first(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("totango_sdk.delivery.drive.HOUSEKEEPING_SECONDS", 0.05)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("in the way")
    status = [503]
    collector.plan = lambda _: status[0]
    client = make(spool=in_the_way / "spool", endpoint=collector.endpoint, transport="httpx")
    for number in range(3):
        assert client.track(f"x{number}", account={"id": "A", "Number": str(number)})
    assert not client.stats().durable
    in_the_way.unlink()
    wait_for(lambda: client.stats().durable)
    assert client.track("x3", account={"id": "A", "Number": "3"})
    stats = client.stats()
    assert (stats.accepted, stats.queued + stats.retrying + stats.in_flight) == (4, 4)
    collector.requests.clear()
    status[0] = 200
    assert client.flush(PATIENCE)
    assert collector.activities == ["x0", "x1", "x2", "x3"]
    assert client.stats().delivered == 4
    client.close()


def test_whatever_a_spool_raises_when_it_opens_the_host_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Unopened(MemorySpool):
        durable = True  # type: ignore[assignment]

        def open(self, owner: Any) -> None:
            raise ZeroDivisionError

    client = make(spool=Unopened(), transport=RecordingTransport())
    assert client.track("x")
    assert not client.stats().durable
    assert "ZeroDivisionError" in caplog.text
    client.close()


# -- the end of a process

SCRIPT = """
import os, sys, signal, threading, time
sys.path.insert(0, {tests!r})
from totango_sdk import Totango
client = Totango("SP-1-1", account="A", user="U", module="M", spool={spool!r}, endpoint={endpoint!r}, transport="httpx")
{body}
"""


def run(body: str, spool: Path, endpoint: str, **options: Any) -> subprocess.CompletedProcess[str]:
    text = SCRIPT.format(tests=str(TESTS), spool=str(spool), endpoint=endpoint, body=body)
    command = [sys.executable, "-W", "error", "-c", text]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def deliver_the_rest(spool: Path, endpoint: str) -> None:
    """What the next process does."""
    client = make(spool=spool, endpoint=endpoint)
    client.track("next process")
    assert client.flush(PATIENCE)
    client.close(PATIENCE)
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("way", ["refusing", "mute"])
def test_a_three_event_script_exits_in_time_and_its_events_arrive_with_the_next_process(
    way: str, tmp_path: Path
) -> None:
    port = refusing_port()
    spool = tmp_path / "spool"
    body = """
for number in range(3):
    client.track(f"x{number}")
import atexit, logging
start = time.monotonic()
atexit.register(print, "ended")
import threading
threading.main_thread()
from totango_sdk.delivery import process
atexit.unregister(process.end)
def timed():
    process.end()
    print("took", time.monotonic() - start)
atexit.register(timed)
"""
    if way == "mute":
        with Collector(lambda _: mute) as silent:
            port = silent.port
            ended = run(body, spool, silent.endpoint)
    else:
        ended = run(body, spool, f"http://127.0.0.1:{port}/pixel.gif/")
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    took = float(next(line for line in ended.stdout.splitlines() if line.startswith("took")).split()[1])
    assert took < 2.5
    with Collector(port=port) as collector:
        deliver_the_rest(spool, collector.endpoint)
        assert {"x0", "x1", "x2"} <= set(collector.activities)


ENDS = {
    "end of main": ("", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "exception": ("raise RuntimeError('the host is broken')", 1),
    "os._exit": ("os._exit(4)", 4),
    "SIGTERM": ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)", -signal.SIGTERM),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
    "SIGTERM that exits": ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); os.kill(os.getpid(), 15)", 5),
}


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_lost_however_a_process_ends(end: str, tmp_path: Path, collector: Collector) -> None:
    code, status = ENDS[end]
    spool = tmp_path / "spool"
    # What has no answer when the time to close is over is sent again. A busy machine may need more than 2 s.
    patience = f"from totango_sdk.delivery import process\nprocess.close_all.__defaults__ = ({PATIENCE},)"
    load = "for n in range(300): client.track(f'x{n}', account=f'A{n % 7}')"
    ended = run(f"{patience}\n{load}\n{code}", spool, collector.endpoint)
    assert ended.returncode == status, ended.stderr
    deliver_the_rest(spool, collector.endpoint)
    arrived = Counter(collector.activities)
    assert set(arrived) == {f"x{number}" for number in range(300)} | {"next process"}
    if end in ("end of main", "sys.exit", "exception"):
        assert sum(arrived.values()) == 301


def test_a_process_that_tracks_at_its_very_end_loses_nothing(tmp_path: Path, collector: Collector) -> None:
    spool = tmp_path / "spool"
    ended = run(
        "import atexit\natexit._clear()\nclient.track('x')\natexit.register(client.track, 'y')",
        spool,
        collector.endpoint,
    )
    assert ended.returncode == 0, ended.stderr
    deliver_the_rest(spool, collector.endpoint)
    assert set(collector.activities) == {"x", "y", "next process"}


# -- fork


def save_coverage() -> None:
    """What a child has run counts too, though it ends at once."""
    measuring = getattr(sys.modules.get("coverage"), "Coverage", None)
    current = measuring and measuring.current()
    if current:
        current.stop()
        current.save()


def in_child(work: Callable[[], None]) -> int:
    """Fork, and work in the child, which ends without a word to this process."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    finally:
        save_coverage()
        os._exit(status)


def joined(pid: int) -> None:
    def ended() -> bool:
        found, status = os.waitpid(pid, os.WNOHANG)
        assert status == 0
        return bool(found)

    wait_for(ended)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python tells of threads that a fork leaves behind
def test_a_forked_child_sends_its_own_events_and_nothing_of_its_parents(tmp_path: Path, collector: Collector) -> None:
    spool = tmp_path / "spool"
    collector.plan = lambda _: mute
    client = make(spool=spool, endpoint=collector.endpoint)
    client.track("parent before")
    wait_for(lambda: collector.requests)
    collector.plan = lambda _: 200

    def work() -> None:
        assert client.stats().accepted == 0
        client.track("child")
        assert client.flush(PATIENCE)
        assert client.stats().delivered == 1
        client.close()

    joined(in_child(work))
    assert collector.activities == ["parent before", "child"]
    client.track("parent after", account="B")
    # Not only arrived: an answer that is not settled yet when the client closes means a second delivery.
    wait_for(lambda: client.stats().delivered == 1)
    client.close(0)
    deliver_the_rest(spool, collector.endpoint)
    assert Counter(collector.activities) == {"parent before": 2, "child": 1, "parent after": 1, "next process": 1}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forks_in_the_middle_of_tracking_threads_lose_nothing_and_send_nothing_twice(
    tmp_path: Path, collector: Collector
) -> None:
    spool = tmp_path / "spool"
    client = make(spool=spool, endpoint=collector.endpoint)
    bystander = make(spool="memory", endpoint=collector.endpoint)
    done = threading.Event()
    tracked: list[str] = []

    def busy(number: int) -> None:
        at = 0
        while not done.is_set():
            name = f"thread{number}-{at}"
            assert client.track(name, account=f"A{number}")
            tracked.append(name)
            at += 1
            done.wait(0.001)

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(12):

        def work() -> None:
            assert client.track(f"child{number}-a")  # noqa: B023
            assert bystander.track(f"child{number}-b")  # noqa: B023
            assert bystander.flush(PATIENCE)
            assert client.flush(PATIENCE)

        children.append(in_child(work))
    for pid in children:
        joined(pid)
    done.set()
    for thread in threads:
        thread.join()
    assert client.flush(PATIENCE)
    client.close()
    bystander.close()
    deliver_the_rest(spool, collector.endpoint)
    expected = [*tracked, *(f"child{number}-{which}" for number in range(12) for which in "ab"), "next process"]
    assert Counter(collector.activities) == Counter(expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_children_of_multiprocessing_that_end_without_close_lose_nothing(tmp_path: Path, collector: Collector) -> None:
    spool = tmp_path / "spool"
    client = make(spool=spool, endpoint=collector.endpoint)
    client.track("parent")
    assert client.flush(PATIENCE)
    context = multiprocessing.get_context("fork")

    def work(number: int) -> None:
        for at in range(20):
            assert client.track(f"x{number}-{at}", account=f"A{number}")

    processes = [context.Process(target=work, args=(number,)) for number in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    client.close()
    # Each client takes over what dead processes left, and a first one may find more than it takes.
    for _ in range(3):
        deliver = make(spool=spool, endpoint=collector.endpoint)
        deliver.track("next process")
        assert deliver.flush(PATIENCE)
        wait_for(lambda: deliver.flush(PATIENCE))  # noqa: B023
        deliver.close(PATIENCE)
    arrived = Counter(collector.activities)
    assert set(arrived) == {"parent", "next process"} | {f"x{number}-{at}" for number in range(3) for at in range(20)}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_child_of_multiprocessing_delivers_at_its_end(tmp_path: Path, collector: Collector, method: str) -> None:
    context = multiprocessing.get_context(method)
    processes = [context.Process(target=_track_some, args=(tmp_path, collector.endpoint, n)) for n in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    assert Counter(collector.activities) == {f"x{number}-{at}": 1 for number in range(2) for at in range(20)}
    assert list((tmp_path / "spool").iterdir()) == []


def _track_some(directory: Path, endpoint: str, number: int) -> None:
    from totango_sdk.delivery import process

    process.close_all.__defaults__ = (PATIENCE,)  # on a busy machine 2 s are not always enough
    client = make(spool=directory / "spool", endpoint=endpoint)
    for at in range(20):
        assert client.track(f"x{number}-{at}", account=f"A{at}")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_of_a_child_sends_its_own(tmp_path: Path, collector: Collector) -> None:
    client = make(spool=tmp_path / "spool", endpoint=collector.endpoint)
    client.track("parent")

    def grandchild() -> None:
        client.track("grandchild")
        assert client.flush(PATIENCE)

    def child() -> None:
        client.track("child")
        assert client.flush(PATIENCE)
        joined(in_child(grandchild))

    joined(in_child(child))
    assert client.flush(PATIENCE)
    assert Counter(collector.activities) == {"parent": 1, "child": 1, "grandchild": 1}
    client.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_two_threads_may_fork_at_once(collector: Collector) -> None:
    clients = [make(endpoint=collector.endpoint, account=f"A{number}") for number in range(4)]
    for client in clients:
        client.track("parent")
        assert client.flush(PATIENCE)

    def work() -> None:
        for _ in range(5):
            joined(in_child(lambda: None))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    for client in clients:
        client.track("after")
        assert client.flush(PATIENCE)
        client.close()
    assert Counter(collector.activities) == {"parent": 4, "after": 4}


@pytest.mark.parametrize("told", ["afterwards", "never"])
def test_a_fork_that_was_not_announced_is_noticed(told: str, tmp_path: Path, collector: Collector) -> None:
    """As uWSGI makes them: in C, so that nobody is asked before."""
    client = make(spool=tmp_path / "spool", endpoint=collector.endpoint)
    client.track("parent")
    assert client.flush(PATIENCE)
    pid = fork_in_c()
    if pid == 0:
        status = 1
        try:
            if told == "afterwards":  # as uWSGI does
                _imp.acquire_lock()  # which Python lets go of
                ctypes.pythonapi.PyOS_AfterFork_Child()
            client.track("child")
            assert client.flush(PATIENCE)
            assert client.stats().delivered == 1
            client.close()
            status = 0
        finally:
            save_coverage()
            os._exit(status)
    joined(pid)
    client.track("parent")
    assert client.flush(PATIENCE)
    client.close()
    assert Counter(collector.activities) == {"parent": 2, "child": 1}


class Unforked(MemorySpool):
    def before_fork(self) -> None:
        raise RuntimeError("not before a fork")

    def after_fork(self, *, in_child: bool) -> None:
        raise RuntimeError("not after a fork")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_spool_that_cannot_fork_does_not_hold_up_the_others(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    broken = make(spool=Unforked(), transport=RecordingTransport())
    client = make(endpoint=collector.endpoint)
    broken.track("x")
    client.track("parent")
    assert client.flush(PATIENCE)

    def work() -> None:
        client.track("child")
        assert client.flush(PATIENCE)

    joined(in_child(work))
    assert "not before a fork" in caplog.text
    broken.track("x")
    client.track("parent")
    for each in (broken, client):
        assert each.flush(PATIENCE)
        each.close()
    assert Counter(collector.activities) == {"parent": 2, "child": 1}


def test_in_uwsgi_without_threads_events_wait_in_the_spool_and_nothing_hangs(tmp_path: Path) -> None:
    code = """
import sys, threading, types
sys.modules["uwsgi"] = types.SimpleNamespace(opt={"http": b":8000"})
from totango_sdk import Totango
client = Totango("SP-1234-01", spool=sys.argv[1], user="u", module="m", account="a")
assert client.track("Login") is not None
assert threading.active_count() == 1
assert client.flush(5.0) is False
assert client.stats().queued == 1
client.close()
print(client.stats().durable)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "spool")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True\n"
    assert "--enable-threads" in done.stderr
    assert list((tmp_path / "spool").glob("*.log"))


def test_an_event_that_comes_between_two_looks_of_the_sender_is_sent_at_once(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, store = Sender.idle_for, MemorySpool.put
    looked, stored = threading.Event(), threading.Event()

    def looks(sender: Sender) -> float | None:
        found = look(sender)
        if worker._is_own_thread and not looked.is_set():
            looked.set()
            stored.wait(PATIENCE)
        return found

    def stores(spool: MemorySpool, items: Any, *, wait: bool = True) -> str | None:
        looked.wait(PATIENCE)
        event_id = store(spool, items, wait=wait)
        stored.set()
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not worker._drive.is_asleep, 0.5)  # where the sender decides that nobody need wake it
        return event_id

    with Totango("SP-1-1", account="A", user="U", module="M", spool="memory", endpoint=collector.endpoint) as client:
        client.track("before")
        assert client.flush(PATIENCE)
        worker = client._core.worker
        monkeypatch.setattr(Sender, "idle_for", looks)
        monkeypatch.setattr(MemorySpool, "put", stores)
        thread = threading.Thread(target=client.track, args=("between",))
        thread.start()
        worker.wake()
        thread.join(PATIENCE)
        wait_for(lambda: collector.activities == ["before", "between"])

"""One step at a time: no thread, no socket and no clock."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from spools import update

from totango_sdk import Answer, SpoolError, SpoolFull
from totango_sdk.delivery.gate import Gate
from totango_sdk.delivery.sender import Sender
from totango_sdk.spool import Leased, MemorySpool, Outcome, Owner

if TYPE_CHECKING:
    from collections.abc import Callable


class FakeTransport:
    def __init__(self) -> None:
        self.submitted: list[tuple[int, bytes]] = []
        self.answers: list[Answer] = []
        self.raises: Callable[[bytes], bool] = lambda _: False
        self.polled: list[float] = []

    def submit(self, ticket: int, body: bytes) -> None:
        if self.raises(body):
            raise OSError("the transport is broken")
        self.submitted.append((ticket, body))

    def poll(self, timeout: float) -> list[Answer]:
        self.polled.append(timeout)
        answers, self.answers = self.answers, []
        return answers

    def wake(self) -> None: ...

    def close(self) -> None: ...


class Bench:
    def __init__(self, spool: Any = None, *, chance: float = 0.5, suffix: bytes = b"", **gate: Any) -> None:
        self.now = 1000.0
        self.wall = 1_800_000_000.0
        self.spool = spool or MemorySpool()
        self.spool.open(Owner("SP-1-1", "https://example.com/"))
        self.transport = FakeTransport()
        self.dead: list[Outcome] = []
        self.sender = Sender(
            self.spool,
            self.transport,
            Gate(chance=lambda: chance, **gate),
            suffix=suffix,
            on_dead=self.dead.append,
            clock=lambda: self.now,
            wall_clock=lambda: self.wall,
        )

    def put(self, *names: str) -> None:
        """Each is a lane, and what is behind a colon tells its events apart."""
        for name in names:
            self.spool.put([update(name.partition(":")[0], name.encode())])

    def step(self, status: int | None = None, **headers: str) -> list[str]:
        """Answer all that is out with this status; return what left then."""
        answers = []
        if status is not None:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answers = [Answer(ticket, status, named) for ticket in list(self.sender._out)]
        before = len(self.transport.submitted)
        self.sender.step(answers)
        return [body.decode() for _, body in self.transport.submitted[before:]]

    def wait(self) -> float:
        """Let the time pass that the sender wants to wait."""
        idle = self.sender.idle_for()
        assert idle is not None
        self.now += idle
        return idle


def test_what_is_due_is_submitted_and_struck_off_when_delivered() -> None:
    bench = Bench()
    assert bench.sender.idle_for() is None
    bench.put("a", "b")
    assert bench.sender.idle_for() == 0
    assert bench.step() == ["a", "b"]
    assert bench.sender.in_flight == 2
    assert bench.sender.idle_for() is None
    assert bench.step(200) == []
    assert bench.sender.in_flight == 0
    assert (bench.spool.counts().delivered, bench.spool.next_due()) == (2, None)


def test_the_token_goes_last_and_is_not_stored() -> None:
    bench = Bench(suffix=b"&api-token=secret")
    bench.put("a")
    assert bench.step() == ["a&api-token=secret"]
    bench.step(400)
    assert bench.dead[0].event.body == b"a"
    assert next(iter(bench.spool.letters())).body == b"a"


def test_events_of_one_lane_leave_one_after_the_other_and_lanes_do_not_wait_for_one_another() -> None:
    bench = Bench()
    bench.put("a:1", "a:2", "b:1", "a:3")
    assert bench.step() == ["a:1", "b:1"]
    assert bench.step() == []
    assert bench.step(200) == ["a:2"]
    assert bench.step(200) == ["a:3"]


def test_a_retry_goes_before_later_events_of_its_lane() -> None:
    bench = Bench()
    bench.put("a:1", "a:2", "b:1")
    bench.step()
    assert bench.step(503) == []
    assert bench.wait() == pytest.approx(0.25)
    assert bench.step() == ["a:1", "b:1"]
    assert bench.step(200) == ["a:2"]


def test_each_further_failure_of_an_event_doubles_its_wait() -> None:
    bench = Bench(chance=1.0)
    bench.put("a")
    waits = []
    for _ in range(4):
        bench.step()
        bench.step(500)
        waits.append(bench.wait())
    assert waits == pytest.approx([0.5, 1, 2, 4])


def test_a_dead_letter_holds_up_nobody_and_is_told_with_its_reason() -> None:
    bench = Bench()
    bench.put("a:1", "a:2", "b:1")
    bench.step()
    assert bench.step(400) == ["a:2"]
    assert [(outcome.event.body, outcome.reason) for outcome in bench.dead] == [
        (b"a:1", "the collector answered 400, which speaks of this event"),
        (b"b:1", "the collector answered 400, which speaks of this event"),
    ]
    assert bench.spool.counts().dead == 2


def test_no_more_is_out_than_there_are_connections() -> None:
    bench = Bench(max_connections=3)
    bench.put(*"abcdefg")
    assert bench.step() == ["a", "b", "c"]
    assert bench.sender.idle_for() is None
    assert not bench.sender.is_hungry
    assert bench.step() == []
    assert bench.step(200) == ["d", "e", "f"]


def test_retry_after_holds_everything_for_so_long() -> None:
    bench = Bench()
    bench.put("a", "b")
    bench.step()
    assert bench.step(429, retry_after="30") == []
    bench.put("c")
    assert bench.step() == []
    assert bench.wait() == pytest.approx(30)
    assert sorted(bench.step()) == ["a", "b", "c"]


def test_a_shorter_hold_does_not_end_a_longer_one() -> None:
    bench = Bench()
    bench.put("a", "b")
    bench.step()
    first, second = bench.sender._out
    bench.sender.step([Answer(first, 429, {"retry-after": "30"}), Answer(second, 429, {"retry-after": "1"})])
    assert bench.wait() == pytest.approx(30)


def test_a_date_in_retry_after_is_read_by_the_wall_clock() -> None:
    bench = Bench()
    bench.put("a")
    bench.step()
    bench.step(503, retry_after="Fri, 15 Jan 2027 08:00:20 GMT")
    assert bench.wait() == pytest.approx(20)


def test_no_answer_is_tried_again() -> None:
    bench = Bench()
    bench.put("a")
    bench.step()
    bench.sender.step([Answer(next(iter(bench.sender._out)), None, error="ConnectError: refused")])
    assert bench.sender.last_failure == "ConnectError: refused"
    bench.wait()
    assert bench.step() == ["a"]


def fail(bench: Bench, lanes: int = 5) -> None:
    bench.put(*(f"lane{number}" for number in range(lanes)))
    bench.step()
    bench.step(503)


def test_in_an_outage_one_request_at_a_time_tries_whether_it_is_over() -> None:
    bench = Bench(chance=1.0)
    fail(bench)
    bench.put(*"abcdefgh")
    tried = []
    for _ in range(6):
        assert bench.step() == []
        tried.append(bench.wait())
        assert len(bench.step()) == 1
        assert bench.sender.idle_for() is None  # only its answer can help
        assert bench.step() == []
        assert bench.step(503) == []
    assert tried == pytest.approx([0.5, 1, 2, 4, 8, 16])


def test_when_the_outage_is_over_everything_goes() -> None:
    bench = Bench()
    fail(bench)
    bench.put(*"abcdefgh")
    bench.wait()
    (probe,) = bench.step()
    assert len(bench.step(200)) >= 7
    assert probe not in bench.step()


def test_a_refusal_of_an_event_shows_that_the_way_is_open() -> None:
    bench = Bench()
    fail(bench)
    bench.put(*"abc")
    bench.wait()
    assert len(bench.step()) == 1
    assert len(bench.step(400)) >= 2


def test_a_new_event_is_worth_waking_for_only_if_it_could_go_before_all_that_waits() -> None:
    bench = Bench(max_connections=7)
    assert bench.sender.is_hungry
    bench.put("a")
    assert not bench.sender.is_hungry  # something is due already
    bench.step()
    assert bench.sender.is_hungry
    bench.step(503)
    assert bench.sender.is_hungry  # what waits is due later
    fail(bench, 6)
    assert bench.sender.is_hungry
    bench.put("b")
    assert not bench.sender.is_hungry
    bench.wait()
    bench.step()
    assert not bench.sender.is_hungry  # only the answer to what tries can help


def test_the_rate_is_kept_over_any_time() -> None:
    bench = Bench(max_rate=10.0, max_connections=1000)
    bench.put(*(f"lane{number}" for number in range(200)))
    left: list[float] = []
    while len(left) < 200:
        left += [bench.now] * len(bench.step())
        bench.step(200)
        if bench.sender.idle_for() is not None:
            bench.now += max(bench.sender.idle_for() or 0, 1e-4)
    for start in left:
        assert sum(start <= at < start + 1 for at in left) <= 11
    assert left[-1] - left[0] == pytest.approx(19.9, rel=0.05)


def test_a_slow_rate_lets_one_go_at_once() -> None:
    bench = Bench(max_rate=0.1)
    bench.put("a", "b")
    assert bench.step() == ["a"]
    assert bench.sender.idle_for() == pytest.approx(10)
    bench.now += 10
    assert bench.step() == ["b"]


def test_a_clock_that_stands_still_or_goes_back_breaks_no_rate() -> None:
    bench = Bench(max_rate=1.0)
    bench.put("a", "b")
    bench.step()
    bench.now -= 600
    assert bench.step() == []
    bench.now += 1.1
    assert bench.step() == ["b"]


def test_an_answer_is_asked_for_only_while_something_is_out() -> None:
    bench = Bench()
    assert bench.sender.collect(5.0) == []
    assert bench.transport.polled == []
    bench.put("a")
    bench.step()
    bench.transport.answers = [Answer(next(iter(bench.sender._out)), 200)]
    assert [answer.status for answer in bench.sender.collect(5.0)] == [200]
    assert bench.transport.polled == [5.0]


def test_a_transport_that_nothing_wakes_is_not_waited_in_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FakeTransport, "wake")
    bench = Bench()
    bench.put("a")
    bench.step()
    bench.sender.wake()
    assert bench.sender.collect(5.0) == []
    assert bench.transport.polled == [0.05]


def test_what_the_transport_did_not_take_is_tried_again_and_holds_up_nobody() -> None:
    bench = Bench()
    bench.transport.raises = lambda body: body == b"b"
    bench.put(*"abc")
    assert bench.step() == ["a", "c"]
    assert bench.sender.in_flight == 2
    assert "the transport raised OSError('the transport is broken')" in bench.sender.last_failure
    bench.transport.raises = lambda _: False
    bench.wait()
    assert bench.step() == ["b"]


class NoAnswer:
    ticket: list[int] = []


@pytest.mark.parametrize("invented", [Answer(99, 200), Answer("x", 200), Answer([1], 200), None, 5, "text", NoAnswer()])  # type: ignore[arg-type]
def test_an_invented_answer_is_told_once_and_changes_nothing(
    invented: Any, caplog: pytest.LogCaptureFixture, swallowed: list[BaseException]
) -> None:
    bench = Bench()
    bench.put("a", "b")
    bench.step()
    with caplog.at_level(logging.WARNING):
        bench.sender.step([invented, Answer(next(iter(bench.sender._out)), 200), invented])
    assert bench.sender.in_flight == 1
    assert bench.spool.counts().delivered == 1
    assert len([record for record in caplog.records if "answers nothing under way" in record.message]) == 1
    swallowed.clear()  # the transport's mistake, which shows only where it is read


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "200"},
        {"status": object()},
        {"status": 503, "headers": {"retry-after": 5}},
        {"status": 503, "headers": None},
    ],
)
def test_an_answer_that_is_none_is_no_delivery(wrong: Any, swallowed: list[BaseException]) -> None:
    bench = Bench()
    bench.put("a", "b")
    bench.step()
    first, second = bench.sender._out
    bench.sender.step([Answer(first, **wrong), Answer(second, 200)])
    assert bench.spool.counts()[1:5] == (0, 1, 0, 1)
    assert "which is no answer" in bench.sender.last_failure
    swallowed.clear()


def test_the_second_answer_to_one_ticket_changes_nothing() -> None:
    bench = Bench()
    bench.put("a")
    bench.step()
    ticket = next(iter(bench.sender._out))
    bench.sender.step([Answer(ticket, 200), Answer(ticket, 400)])
    assert (bench.spool.counts().delivered, bench.spool.counts().dead) == (1, 0)


class FullSpool(MemorySpool):
    """Has no room for a dead letter."""

    full = True

    def settle(self, outcomes: Any) -> None:
        if self.full and any(outcome.verdict == "dead" for outcome in outcomes):
            raise SpoolFull("no room")
        super().settle(outcomes)


def test_a_dead_letter_for_which_there_is_no_room_waits_and_holds_up_nobody(caplog: pytest.LogCaptureFixture) -> None:
    spool = FullSpool()
    bench = Bench(spool)
    bench.put("a:1", "a:2", "b:1", "b:2")
    bench.step()
    first, second = bench.sender._out
    bench.sender.step([Answer(first, 400), Answer(second, 200)])
    assert bench.transport.submitted[-1][1] == b"b:2"
    assert bench.dead == []
    assert "stays among those that wait: no room" in caplog.text
    spool.full = False
    bench.step(200)
    bench.wait()
    assert bench.step() == ["a:1"]
    bench.step(400)
    assert [outcome.event.body for outcome in bench.dead] == [b"a:1"]
    assert bench.spool.counts().dead == 1


class FailingSpool(MemorySpool):
    def settle(self, outcomes: Any) -> None:
        super().settle(outcomes)
        if any(outcome.verdict == "delivered" for outcome in outcomes):
            raise SpoolError("something went wrong, after all was noted")


def test_a_spool_that_fails_does_not_swallow_a_dead_letter() -> None:
    bench = Bench(FailingSpool())
    bench.put("a", "b")
    bench.step()
    first, second = bench.sender._out
    with pytest.raises(SpoolError):
        bench.sender.step([Answer(first, 400), Answer(second, 200)])
    assert len(bench.dead) == 1
    assert bench.spool.counts().dead == 1


def test_what_is_out_can_be_given_back_in_order() -> None:
    bench = Bench()
    bench.put("a:1", "a:2", "b:1")
    bench.step()
    bench.sender.give_back()
    assert bench.sender.in_flight == 0
    other = Bench(bench.spool)
    assert other.step() == ["a:1", "b:1"]
    assert other.step(200) == ["a:2"]


def test_an_outage_is_told_once_for_each_reason(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for _ in range(20):
        fail(bench, 3)
        bench.now += 100
    assert [record.message for record in caplog.records] == [
        (
            "events wait in the spool and are sent again: the collector answered 503 "
            "(further ones of this kind are not logged)"
        )
    ]


def test_chance_and_clocks_have_real_defaults() -> None:
    spool, transport = MemorySpool(), FakeTransport()
    sender = Sender(spool, transport)
    spool.put([update("a", b"a")])
    sender.step()
    sender.step([Answer(transport.submitted[0][0], 503)])
    idle = sender.idle_for()
    assert idle is not None and 0 <= idle <= 0.5
    assert Leased(1, b"a", ("a",), (), 1, 0.0).attempts == 1

"""When the next request may go, by a clock and a chance of one's own."""

from __future__ import annotations

from typing import Any

from totango_sdk.delivery.gate import Breaker, Gate, Hold, Rate, hold_for


def gate(**options: Any) -> Gate:
    return Gate(**{"chance": lambda: 0.5, **options})


def test_as_many_may_go_as_there_are_connections_left() -> None:
    four = gate(max_connections=4)
    assert [four.free(out, 0.0) for out in (0, 3, 4)] == [4, 1, 0]
    assert [four.needs_an_answer(out) for out in (3, 4)] == [False, True]
    assert four.opens_at(3, 0.0) == 0.0
    assert four.opens_at(4, 0.0) is None


def test_nothing_goes_before_the_time_that_the_collector_has_asked_for() -> None:
    held = gate()
    held.failed(100.0, 7.0)
    held.failed(100.0, 2.0)  # a shorter one does not take back the longer one
    assert held.free(0, 106.9) == 0
    assert held.opens_at(0, 100.0) == 107.0
    assert held.free(0, 107.0) == 16


def test_all_gates_to_one_endpoint_share_what_the_collector_has_asked_for() -> None:
    here, there = "https://here.example/", "https://there.example/"
    one, two, other = (gate(hold=hold_for(endpoint)) for endpoint in (here, here, there))
    one.failed(100.0, 7.0)
    assert two.free(0, 100.0) == 0
    assert other.free(0, 100.0) == 16
    assert gate(hold=Hold()).free(0, 100.0) == 16


def test_in_an_outage_one_request_goes_and_the_next_waits_for_its_answer() -> None:
    out = gate()
    for _ in range(5):
        out.failed(100.0, None)
    opens_at = out.opens_at(0, 100.0)
    assert opens_at is not None
    assert out.free(0, 100.0) == 0
    assert out.free(0, opens_at) == 1
    assert out.needs_an_answer(1)
    assert out.opens_at(1, opens_at) is None
    out.succeeded()
    assert out.free(0, 100.0) == 16


def test_what_has_gone_counts_against_the_rate() -> None:
    slow = gate(max_rate=10.0)
    assert slow.free(0, 0.0) == 1
    slow.went(1)
    assert slow.free(0, 0.0) == 0
    assert slow.opens_at(0, 0.0) == 0.1
    assert slow.free(0, 0.1) == 1


def test_a_rate_allows_no_more_than_a_tenth_of_a_second_at_once() -> None:
    fast = Rate(1000.0)
    assert fast.allowed(0.0) == 100
    assert fast.allowed(3600.0) == 100
    fast.spend(100)
    assert fast.next_at(3600.0) == 3600.001


def test_the_breaker_opens_with_the_fifth_failure_in_a_row() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(100.0, 0.5)
    assert not breaker.is_open
    breaker.succeeded()
    for _ in range(4):
        breaker.failed(100.0, 0.5)
    assert not breaker.is_open
    breaker.failed(100.0, 0.5)
    assert breaker.is_open
    assert 100.25 <= breaker.probe_at <= 100.5
    breaker.succeeded()
    assert not breaker.is_open


def test_many_failures_at_once_put_the_next_try_off_no_further_than_one_does() -> None:
    one, many = Breaker(), Breaker()
    for _ in range(5):
        one.failed(100.0, 0.5)
    for _ in range(500):
        many.failed(100.0, 0.5)
    assert many.probe_at == one.probe_at


def test_each_try_that_fails_puts_the_next_one_off_further_up_to_a_minute() -> None:
    breaker, now, waits = Breaker(), 0.0, []
    for _ in range(5):
        breaker.failed(now, 1.0)
    for _ in range(12):
        waits.append(breaker.probe_at - now)
        now = breaker.probe_at
        breaker.failed(now, 1.0)
    assert waits == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]


def test_the_next_try_is_never_at_once_whatever_chance_says() -> None:
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(0.0, 0.0)
    assert breaker.probe_at >= 0.25

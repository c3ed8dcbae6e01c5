from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totango_sdk import recall
from totango_sdk.recall import Recall

# A loaded machine is no failure.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_is_new_is_due_and_then_not_again(clock: Clock) -> None:
    said = Recall(3600, clock)
    assert said.due("a", 1, force=False)
    assert not said.due("a", 1, force=False)
    assert said.due("b", 1, force=False)
    assert not said.due("b", 1, force=False)


def test_what_has_changed_is_due_and_so_is_what_changed_back(clock: Clock) -> None:
    said = Recall(3600, clock)
    assert [said.due("a", mark, force=False) for mark in (1, 2, 2, 1, 1)] == [True, True, False, True, False]


def test_a_mark_of_zero_is_a_mark(clock: Clock) -> None:
    said = Recall(3600, clock)
    assert [said.due("a", 0, force=False) for _ in range(2)] == [True, False]


def test_what_is_forced_is_due_and_counts_as_said(clock: Clock) -> None:
    said = Recall(3600, clock)
    assert said.due("a", 1, force=True)
    assert said.due("a", 1, force=True)
    assert not said.due("a", 1, force=False)


def test_it_is_due_again_exactly_when_its_time_has_run_out(clock: Clock) -> None:
    said = Recall(3600, clock)
    assert said.due("a", 1, force=False)
    clock.now += 3599.999
    assert not said.due("a", 1, force=False)
    clock.now += 0.001
    assert said.due("a", 1, force=False)
    assert not said.due("a", 1, force=False)


def test_the_time_runs_from_when_it_was_last_said_and_not_from_when_it_was_asked(clock: Clock) -> None:
    said = Recall(10, clock)
    assert said.due("a", 1, force=False)
    clock.now += 6
    assert not said.due("a", 1, force=False)
    clock.now += 6
    assert said.due("a", 1, force=False)
    clock.now += 6
    assert said.due("a", 1, force=True)
    clock.now += 6
    assert not said.due("a", 1, force=False)


@pytest.mark.parametrize("step", [0.3, 0.5, 0.7, 1.0])
def test_time_that_runs_out_while_it_is_asked_does_no_harm(step: float) -> None:
    times = iter(range(1_000_000))
    said = Recall(5, lambda: next(times) * step)
    for _ in range(100):
        said.due("a", 1, force=False)
        said.forget(["a"])
        said.due("a", 1, force=False)
        said.due("a", 1, force=False)


@pytest.mark.parametrize("ttl", [0, 0.0, -1])
def test_without_a_time_everything_is_always_due(clock: Clock, ttl: float) -> None:
    said = Recall(ttl, clock)
    assert all(said.due("a", 1, force=False) for _ in range(5))
    said.forget(["a"])


def test_an_endless_time_never_runs_out(clock: Clock) -> None:
    said = Recall(float("inf"), clock)
    assert said.due("a", 1, force=False)
    clock.now += 1e15
    assert not said.due("a", 1, force=False)


def test_what_is_forgotten_is_due_again_and_nothing_else_is(clock: Clock) -> None:
    said = Recall(3600, clock)
    for key in "abc":
        said.due(key, 1, force=False)
    said.forget(["a", "b", "never said"])
    assert [said.due(key, 1, force=False) for key in "abc"] == [True, True, False]


def test_it_is_bounded_and_forgets_what_was_used_longest_ago(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_REMEMBERED", 3)
    said = Recall(3600, clock)
    for key in "abc":
        assert said.due(key, 1, force=False)
    assert not said.due("a", 1, force=False)  # to ask is to use
    assert said.due("d", 1, force=False)
    assert [said.due(key, 1, force=False) for key in "acd"] == [False, False, False]
    assert said.due("b", 1, force=False)


def test_as_many_are_remembered_as_the_docstring_says(clock: Clock) -> None:
    said = Recall(3600, clock)
    for at in range(50_001):
        said.due(f"a{at}", 1, force=False)
    assert not said.due("a1", 1, force=False)
    assert said.due("a0", 1, force=False)
    assert "50,000" in (Recall.__doc__ or "")


def test_of_eight_threads_exactly_one_claims_each_mark(clock: Clock) -> None:
    said = Recall(3600, clock)
    marks = [(f"a{at % 50}", at // 50) for at in range(2000)]
    start = threading.Barrier(8)

    def claim() -> list[tuple[str, int]]:
        claimed = []
        for at in range(0, len(marks), 50):  # all keys get one mark before any gets the next
            start.wait()
            claimed += [(key, mark) for key, mark in marks[at : at + 50] if said.due(key, mark, force=False)]
        return claimed

    with ThreadPoolExecutor(8) as threads:
        claims = [future.result() for future in [threads.submit(claim) for _ in range(8)]]
    assert Counter(claim for claimed in claims for claim in claimed) == Counter(marks)


def test_threads_that_claim_and_forget_at_once_break_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "_REMEMBERED", 20)
    said = Recall(5, clock)

    def churn(number: int) -> None:
        for at in range(1000):
            said.due(f"a{(at * number) % 31}", at % 3, force=at % 7 == 0)
            if at % 5 == 0:
                said.forget([f"a{at % 31}"])
            clock.now += 0.01

    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(churn, number) for number in range(1, 9)]:
            future.result()


@relaxed
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.booleans(), st.integers(0, 4))))
def test_it_answers_as_a_table_of_what_was_said_when_does(asked: list[tuple[str, int, bool, int]]) -> None:
    clock = Clock()
    said = Recall(5, clock)
    table: dict[str, tuple[int, float]] = {}
    for key, mark, force, wait in asked:
        clock.now += wait
        known = table.get(key)
        expected = force or known is None or known[0] != mark or clock.now >= known[1] + 5
        assert said.due(key, mark, force) is expected
        if expected:
            table[key] = (mark, clock.now)

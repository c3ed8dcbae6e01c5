from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from totango_sdk.spool.lanes import Lanes


def ids(taken: list) -> list[int]:
    return [event_id for event_id, _ in taken]


def offered(*rows: tuple[int, str]) -> Lanes:
    lanes = Lanes()
    for event_id, name in rows:
        lanes.offer(event_id, name)
    return lanes


def test_the_first_of_each_lane_may_go_in_the_order_of_arrival() -> None:
    lanes = offered((1, "a"), (2, "a"), (3, "b"), (4, "c"))
    assert ids(lanes.take(2, 0.0)) == [1, 3]
    assert ids(lanes.take(9, 0.0)) == [4]
    assert (lanes.out, lanes.waiting_ids, lanes.ready) == (3, 1, 0)


def test_the_next_of_a_lane_goes_when_the_first_is_done() -> None:
    lanes = offered((1, "a"), (2, "a"))
    lanes.take(9, 0.0)
    assert lanes.take(9, 0.0) == []
    lanes.done("a")
    assert ids(lanes.take(9, 0.0)) == [2]
    lanes.done("a")
    assert lanes.next_due() is None
    assert lanes.first("a") is None


def test_a_retry_waits_for_its_time_and_its_lane_with_it() -> None:
    lanes = offered((1, "a"), (2, "a"), (3, "b"))
    lanes.take(9, 0.0)
    lanes.done("b")
    lanes.again("a", 5.0)
    assert (lanes.retrying, lanes.next_due(), lanes.first("a")) == (1, 5.0, 1)
    assert lanes.take(9, 4.9) == []
    ((event_id, lane),) = lanes.take(9, 5.0)
    assert (event_id, lane.attempts) == (1, 1)
    lanes.done("a")
    ((event_id, lane),) = lanes.take(9, 5.0)
    assert (event_id, lane.attempts) == (2, 0)


def test_what_was_taken_can_be_put_back_as_if_nothing_had_happened() -> None:
    lanes = offered((1, "a"), (2, "a"), (3, "b"), (4, "c"))
    lanes.untake(lanes.take(2, 0.0))
    assert (lanes.out, lanes.waiting_ids) == (0, 4)
    assert ids(lanes.take(9, 0.0)) == [1, 3, 4]


def test_what_was_withdrawn_comes_back_behind_others_with_its_attempts_and_its_time() -> None:
    lanes = offered((11, "a"), (12, "a"), (13, "b"))
    lanes.take(9, 0.0)
    lanes.again("a", 5.0)
    lanes.done("b")
    assert sorted(lanes.withdraw(lambda _: True)) == [(11, "a"), (12, "a")]
    assert (lanes.waiting_ids, lanes.retrying, lanes.next_due()) == (0, 0, None)
    for event_id in (1, 11, 12):
        lanes.offer(event_id, "a")
    assert ids(lanes.take(9, 0.0)) == [1]
    lanes.done("a")
    assert lanes.take(9, 4.0) == []
    ((event_id, lane),) = lanes.take(9, 5.0)
    assert (event_id, lane.attempts) == (11, 1)


def test_a_lane_whose_retry_is_due_keeps_its_attempts_when_it_is_withdrawn() -> None:
    lanes = offered((11, "a"), (12, "b"))
    lanes.take(9, 0.0)
    lanes.again("a", 1.0)
    lanes.again("b", 2.0)
    assert ids(lanes.take(1, 3.0)) == [11]  # and the other one is ready too
    assert lanes.withdraw(lambda event_id: event_id == 12) == [(12, "b")]
    lanes.offer(12, "b")
    ((event_id, lane),) = lanes.take(9, 3.0)
    assert (event_id, lane.attempts) == (12, 1)


def test_withdrawing_leaves_the_others_in_their_order_and_what_is_out() -> None:
    lanes = offered((1, "a"), (11, "a"), (12, "b"), (2, "c"), (13, "d"))
    lanes.take(1, 0.0)
    lanes.again("a", 7.0)
    assert ids(lanes.take(1, 0.0)) == [12]
    withdrawn = lanes.withdraw(lambda event_id: event_id > 10)
    assert sorted(withdrawn) == [(11, "a"), (13, "d")]
    assert ids(lanes.take(9, 0.0)) == [2]
    assert ids(lanes.take(9, 7.0)) == [1]
    lanes.again("b", 8.0)
    assert ids(lanes.take(9, 8.0)) == [12]


@given(st.lists(st.tuples(st.sampled_from("otdaw"), st.integers(0, 3)), max_size=60))
def test_whatever_happens_each_lane_keeps_its_order_and_nothing_is_lost(steps: list[tuple[str, int]]) -> None:
    lanes = Lanes()
    waiting: dict[str, list[int]] = {name: [] for name in "abcd"}
    out: dict[str, int] = {}
    now, last = 0.0, 0
    for step, number in steps:
        name = "abcd"[number]
        now += 1
        if step == "o":
            last += 1
            lanes.offer(last, name)
            waiting[name].append(last)
        elif step == "t":
            for event_id, lane in lanes.take(number + 1, now):
                assert lane.name not in out
                assert waiting[lane.name].pop(0) == event_id
                out[lane.name] = event_id
        elif step == "d" and name in out:
            del out[name]
            lanes.done(name)
        elif step == "a" and name in out:
            waiting[name].insert(0, out.pop(name))
            lanes.again(name, now + number)
        elif step == "w":
            for event_id, lane_name in sorted(lanes.withdraw(lambda event_id: event_id % 2 == number % 2)):
                waiting[lane_name].remove(event_id)
                waiting[lane_name].append(event_id)
                lanes.offer(event_id, lane_name)
        assert lanes.out == len(out)
        assert lanes.waiting_ids == sum(map(len, waiting.values()))
        due = {name for name, ids in waiting.items() if ids and name not in out}
        assert (lanes.next_due() is not None) == bool(due)
        assert lanes.ready + lanes.retrying == len(due)

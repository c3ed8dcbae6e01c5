from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
from hypothesis import given
from hypothesis import strategies as st

from totango_sdk.spool.lanes import Lanes

if TYPE_CHECKING:
    from totango_sdk.spool.lanes import Entry


def ids(taken: list[Entry]) -> list[int]:
    return [entry.id for entry in taken]


class Given(Lanes):
    """Short ways to offer: letters are records, and a letter in capitals is one that is updated."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.last = 0
        for text in texts:
            self.say(text)

    def say(self, text: str) -> int:
        self.last += 1
        self.offer(self.last, tuple(text.lower()), tuple(each.lower() for each in text if each.isupper()))
        return self.last

    def all(self, now: float = 0.0) -> list[int]:
        return ids(self.take(99, now))


def test_activities_go_side_by_side_in_the_order_in_which_they_were_offered() -> None:
    lanes = Given("a", "a", "b", "a")
    assert ids(lanes.take(2, 0.0)) == [1, 2]
    assert lanes.all() == [3, 4]
    assert (lanes.out, lanes.waiting_ids, lanes.ready, lanes.next_due()) == (4, 0, 0, None)


def test_updates_of_one_record_go_one_at_a_time_and_those_of_others_do_not_wait() -> None:
    lanes = Given("A", "A", "B", "A")
    assert lanes.all() == [1, 3]
    assert lanes.next_due() is None
    lanes.done(1)
    assert lanes.all() == [2]
    lanes.done(2)
    assert lanes.all() == [4]


def test_new_users_of_one_account_do_not_wait_for_one_another() -> None:
    assert len(Given(*(f"a{user}" for user in "BCDEFGHIJKLMNOP")).all()) == 15


def test_an_activity_waits_for_the_first_answer_to_the_updates_before_it() -> None:
    lanes = Given("A", "a", "A", "a")
    assert lanes.all() == [1]
    lanes.done(1)
    assert lanes.all() == [2, 3]
    lanes.done(3)
    assert lanes.all() == [4]


def test_an_update_that_is_tried_again_holds_up_updates_of_its_record_and_nothing_else() -> None:
    lanes = Given("A", "a", "A", "a", "b", "aC")
    assert lanes.all() == [1, 5]
    lanes.again(1, 5.0)
    assert lanes.all() == [2, 4, 6]
    lanes.say("a")
    lanes.say("A")
    assert lanes.all(4.9) == [7]
    assert (lanes.retrying, lanes.next_due()) == (1, 5.0)
    (first,) = lanes.take(9, 5.0)
    assert (first.id, first.attempts) == (1, 1)
    lanes.done(1)
    assert lanes.all(5.0) == [3]


def test_an_activity_that_is_tried_again_holds_up_nobody() -> None:
    lanes = Given("a", "a", "A")
    assert lanes.all() == [1, 2, 3]
    lanes.again(1, 9.0)
    lanes.say("a")
    lanes.done(3)
    assert lanes.all(1.0) == [4]
    assert lanes.all(9.0) == [1]


def test_an_update_of_two_records_waits_for_both_and_holds_up_both() -> None:
    lanes = Given("A", "B", "AB", "A", "B")
    assert lanes.all() == [1, 2]
    lanes.done(1)
    assert lanes.all() == []
    lanes.done(2)
    assert lanes.all() == [3]
    lanes.done(3)
    assert lanes.all() == [4, 5]


def test_what_is_held_up_by_a_retry_in_another_record_holds_up_no_activity() -> None:
    lanes = Given("B", "AB", "AC", "a", "c")
    assert lanes.all() == [1]
    lanes.again(1, 9.0)
    assert lanes.all() == [4, 5]
    lanes.say("c")
    lanes.say("aD")
    assert lanes.all() == [6, 7]
    assert lanes.all(9.0) == [1]
    lanes.done(1)
    assert lanes.all(9.0) == [2]
    lanes.say("a")
    assert lanes.all(9.0) == []


def test_once_the_retry_is_through_activities_wait_for_first_answers_as_before() -> None:
    lanes = Given("A", "A")
    lanes.all()
    lanes.again(1, 1.0)
    lanes.say("a")
    assert lanes.all(1.0) == [1, 3]
    lanes.say("A")
    lanes.done(1)
    lanes.say("a")
    assert lanes.all(1.0) == [2]
    lanes.done(2)
    assert lanes.all(1.0) == [4]


def test_what_was_taken_can_be_put_back_as_if_nothing_had_happened() -> None:
    lanes = Given("A", "A", "b", "c")
    lanes.untake(lanes.take(2, 0.0))
    assert (lanes.out, lanes.waiting_ids) == (0, 4)
    assert lanes.all() == [1, 3, 4]


def test_what_was_withdrawn_comes_back_behind_others_with_its_attempts_and_its_time() -> None:
    lanes = Lanes()
    for event_id in (11, 12, 13):
        lanes.offer(event_id, ("a",), ("a",) if event_id < 13 else ())
    lanes.take(9, 0.0)
    lanes.again(11, 5.0)
    lanes.done(lanes.take(1, 0.0)[0].id)
    assert ids(lanes.withdraw(lambda _: True)) == [11, 12]
    assert (lanes.waiting_ids, lanes.retrying, lanes.next_due()) == (0, 0, None)
    for event_id in (1, 11, 12):
        lanes.offer(event_id, ("a",), ("a",))
    assert ids(lanes.take(9, 0.0)) == [1]
    lanes.done(1)
    assert lanes.take(9, 4.0) == []
    (entry,) = lanes.take(9, 5.0)
    assert (entry.id, entry.attempts) == (11, 1)


def test_withdrawing_leaves_the_others_in_their_order_and_what_is_out() -> None:
    lanes = Lanes()
    for event_id, name in ((1, "a"), (11, "a"), (12, "b"), (2, "c"), (13, "d"), (3, "b")):
        lanes.offer(event_id, (name,), (name,))
    lanes.untake(lanes.take(1, 0.0))
    (first, second) = lanes.take(2, 0.0)
    lanes.again(first.id, 7.0)
    assert second.id == 12
    assert lanes.held_up_by(12, lambda event_id: event_id < 10)
    assert not lanes.held_up_by(12, lambda event_id: event_id == 2)
    assert ids(lanes.withdraw(lambda event_id: event_id > 10)) == [11, 13]
    assert ids(lanes.take(9, 0.0)) == [2]
    lanes.done(12)
    assert ids(lanes.take(9, 7.0)) == [1, 3]


# -- any mix, against the rule as `Order` says it, looked up slowly


@attrs.define
class Known:
    """An event as the slow model knows it."""

    id: int
    about: str
    updates: str
    attempts: int = 0
    due: float = 0.0
    is_out: bool = False
    passed: set[str] = attrs.field(factory=set)  # records of which it waits for nothing more


class Order:
    """What may go, found out anew each time by looking at everything that is not done."""

    def __init__(self) -> None:
        self.events: list[Known] = []

    def updates(self, record: str) -> list[Known]:
        return [event for event in self.events if record in event.updates]

    def before(self, event: Known, record: str) -> list[Known]:
        earlier = self.events[: self.events.index(event)]
        return [each for each in earlier if record in each.updates]

    def is_held_up(self, update: Known) -> bool:
        """Whether it is tried again, or behind one that is."""
        behind = {record for record in update.updates if self.before(update, record)}
        return update.attempts > 0 or any(self.is_held_up(self.updates(record)[0]) for record in behind)

    def look(self) -> None:
        """See who has what it waited for: what has passed is not stopped again."""
        for event in self.events:
            for record in set(event.about) - set(event.updates):
                earlier = self.before(event, record)
                if not earlier or self.is_held_up(self.updates(record)[0]):
                    event.passed.add(record)

    def may_go(self, event: Known) -> bool:
        if any(self.before(event, record) for record in event.updates):
            return False
        return set(event.about) <= event.passed | set(event.updates)

    def due(self, now: float) -> list[int]:
        return [each.id for each in self.events if not each.is_out and each.due <= now and self.may_go(each)]


SAYS = st.tuples(st.just("offer"), st.sampled_from(["a", "ab", "aB", "AB", "A", "AP", "aP", "apB", "c", "C", "AC"]))
STEPS = SAYS | st.tuples(st.sampled_from(["take", "done", "done", "again", "restart", "adopt"]), st.integers(0, 3))


@given(st.lists(STEPS, max_size=60))
def test_any_mix_of_updates_activities_answers_retries_and_restarts_keeps_the_order(
    steps: list[tuple[str, str | int]],
) -> None:
    lanes, order = Lanes(), Order()
    now, last = 0.0, 0
    for step, what in steps:
        now += 1
        out = [event for event in order.events if event.is_out]
        if step == "offer":
            last += 1
            text = str(what)
            event = Known(last, text.lower(), "".join(filter(str.isupper, text)).lower())
            order.events.append(event)
            lanes.offer(last, tuple(event.about), tuple(event.updates))
        elif step == "take":
            expected = order.due(now)[: int(what) + 1]
            taken = lanes.take(int(what) + 1, now)
            assert ids(taken) == expected
            for entry in taken:
                event = next(each for each in order.events if each.id == entry.id)
                assert event.attempts == entry.attempts
                event.is_out = True
        elif step == "done" and out:
            event = out[int(what) % len(out)]
            order.events.remove(event)
            lanes.done(event.id)
        elif step == "again" and out:
            event = out[int(what) % len(out)]
            event.attempts, event.due, event.is_out = event.attempts + 1, now + int(what), False
            lanes.again(event.id, event.due)
        elif step == "restart":
            lanes = Lanes()
            order.events = [Known(each.id, each.about, each.updates) for each in order.events]
            for each in order.events:
                lanes.offer(each.id, tuple(each.about), tuple(each.updates))
        elif step == "adopt":  # some of those that wait go behind all others
            chosen = [each for each in order.events if not each.is_out and each.id % 2 == int(what) % 2]
            withdrawn = lanes.withdraw(lambda event_id, what=what: event_id % 2 == int(what) % 2)  # type: ignore[misc]
            assert ids(withdrawn) == [each.id for each in chosen]
            order.events = (
                [each for each in order.events if each.is_out]
                + [each for each in order.events if not each.is_out and each not in chosen]
                + chosen
            )
            for event in order.events:
                event.passed = set()
            for entry in withdrawn:
                lanes.offer(entry.id, entry.about, entry.updates)
        order.look()
        assert lanes.out == len([event for event in order.events if event.is_out])
        assert lanes.waiting_ids == len(order.events) - lanes.out
        due = [event.due for event in order.events if not event.is_out and order.may_go(event)]
        assert (lanes.next_due() is not None) == bool(due)
        assert lanes.ready + lanes.retrying == len(due)

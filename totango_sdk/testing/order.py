"""What every spool must do about the order of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..spool import Item, Outcome
from .desk import FAR, NOW, Desk, bodies, by_record, must

if TYPE_CHECKING:
    from collections.abc import Callable


def _check_updates_of_a_record_keep_their_order(desk: Desk) -> None:
    for number in range(30):
        desk.put(("even" if number % 2 == 0 else "odd", b"%d" % number))
    drained = by_record(desk.drain())
    for name, first in (("even", 0), ("odd", 1)):
        expected = [b"%d" % number for number in range(first, 30, 2)]
        got = drained.get(name, [])
        must(
            not set(expected) - set(got),
            f"of {len(expected)} updates of a record, {len(set(got))} came out",
        )
        must(len(got) == len(set(got)), "an event came out twice")
        must(got == expected, "the updates of a record came out in another order than they went in")


def _check_one_update_of_a_record_is_out_at_a_time(desk: Desk) -> None:
    desk.put(("a", b"1"), ("a", b"2"), ("b", b"3"))
    taken = desk.take()
    must(
        bodies(taken) == [b"1", b"3"],
        f"of two records the first updates must be out, oldest first: {taken}",
    )
    must(desk.spool.counts().in_flight == 2, "two events are out, and counts must say so")
    desk.settle(taken[1:])
    must(desk.take() == [], "a second update of a record came out while the first was not settled")
    desk.settle(taken[:1])
    must(
        bodies(desk.take()) == [b"2"],
        "the next update of a record must come out once the first is delivered",
    )


def _check_records_do_not_wait_for_each_other(desk: Desk) -> None:
    for number in range(500):
        desk.put(("blocked", b"%d" % number))
    desk.put(("free", b"free"))
    first = next((event for event in desk.take() if event.about == ("blocked",)), None)
    must(first is not None, "the first of many updates of a record was forgotten")
    desk.spool.settle([Outcome(event, "retry", FAR) for event in [first] if event is not None])
    desk.put(("new", b"new"))
    taken = desk.take()
    must(("blocked",) not in {event.about for event in taken}, "a retry came out before its time")
    must(bodies(taken) == [b"new"], "a record whose update waits for its retry held up another")
    desk.check_counts()


def _check_a_retry_waits_for_its_time_and_is_not_overtaken(desk: Desk) -> None:
    desk.put(("a", b"1"), ("a", b"2"))
    for attempt in range(3):
        due = NOW + attempt + 1
        leased = desk.take(NOW + attempt)
        must(
            bodies(leased) == [b"1"],
            f"a later event overtook a retry, or the retry was lost: {leased}",
        )
        must(
            leased[0].attempts == attempt,
            f"attempt {attempt + 1} came with attempts={leased[0].attempts}",
        )
        desk.spool.settle([Outcome(leased[0], "retry", due, "503")])
        must(
            desk.take(due - 0.5) == [],
            "a retry came out before its time, or a later event overtook it",
        )
        must(desk.spool.next_due() == due, f"next_due must be {due}, not {desk.spool.next_due()}")
        counts = desk.spool.counts()
        must(
            (counts.retrying, counts.queued) == (1, 1),
            f"one event is to be tried again and one waits: {counts}",
        )
    must(
        bodies(desk.drain(NOW + 3)) == [b"1", b"2"],
        "after its retry an update must let the next go, in order",
    )
    must(desk.spool.next_due() is None, "next_due must be None once nothing waits")


def _check_activities_go_side_by_side_in_order(desk: Desk) -> None:
    desk.put_items(*(Item(b"%d" % number, ("a",)) for number in range(20)))
    taken = desk.take()
    must(
        bodies(taken) == [b"%d" % number for number in range(20)],
        f"activities of one account must go side by side, and start in order: {bodies(taken)}",
    )
    desk.spool.settle([Outcome(taken[0], "retry", NOW + 1, "503")])
    desk.settle(taken[1:])
    desk.put_items(Item(b"20", ("a",)), Item(b"21", ("a",), ("a",)))
    must(bodies(desk.drain()) == [b"20", b"21"], "an activity that is tried again held up others")
    must(bodies(desk.drain(NOW + 1)) == [b"0"], "an activity that is tried again must come out")


def _check_new_users_of_an_account_do_not_wait_for_one_another(desk: Desk) -> None:
    desk.put_items(
        *(Item(b"%d" % number, ("a", f"user {number}"), (f"user {number}",)) for number in range(9))
    )
    taken = desk.take()
    must(len(taken) == 9, f"of 9 updates of 9 users of an account, {len(taken)} came out at once")


def _check_an_activity_waits_for_the_first_answer_to_an_update(desk: Desk) -> None:
    name = Item(b"name", ("a", "user"), ("a",))
    desk.put_items(name, Item(b"1", ("a", "user")), Item(b"2", ("b",)), name._replace(body=b"new"))
    taken = desk.take()
    must(
        bodies(taken) == [b"name", b"2"],
        f"an activity must wait for the first answer to the update before it: {bodies(taken)}",
    )
    desk.spool.settle([Outcome(taken[0], "retry", FAR, "503")])
    desk.put_items(Item(b"3", ("a",)), Item(b"4", ("a", "user"), ("user",)))
    must(
        bodies(desk.take()) == [b"1", b"3", b"4"],
        "an update that is tried again must hold up updates of its record, and nothing else",
    )
    desk.check_counts()
    taken = desk.take(FAR)
    must(bodies(taken) == [b"name"], "a later update of the record overtook a retry")
    desk.settle(taken)
    must(bodies(desk.take(FAR)) == [b"new"], "an update must go once those before it are done")


def _check_an_update_of_two_records_keeps_both_in_order(desk: Desk) -> None:
    both = Item(b"both", ("a", "b"), ("a", "b"))
    only = Item(b"a", ("a",), ("a",)), Item(b"b", ("b",), ("b",))
    desk.put_items(only[0], both, only[1])
    for expected in (b"a", b"both", b"b"):
        taken = desk.take()
        must(
            bodies(taken) == [expected],
            "an update of two records must wait for both, and hold up both",
        )
        desk.settle(taken)


ORDER: tuple[Callable[[Desk], None], ...] = (
    _check_updates_of_a_record_keep_their_order,
    _check_one_update_of_a_record_is_out_at_a_time,
    _check_records_do_not_wait_for_each_other,
    _check_a_retry_waits_for_its_time_and_is_not_overtaken,
    _check_activities_go_side_by_side_in_order,
    _check_new_users_of_an_account_do_not_wait_for_one_another,
    _check_an_activity_waits_for_the_first_answer_to_an_update,
    _check_an_update_of_two_records_keeps_both_in_order,
)

"""The oracle sees what it is there to see: each broken promise, made by hand."""

from __future__ import annotations

import pytest

from .collector import Arrival, Collector
from .ledger import Obligation, body_of
from .oracle import BOUND, judge

OWED = [Obligation("s", seq, 2, f"id{seq}", 10) for seq in range(6)]


def arrivals(*seqs, taken=True):
    return [Arrival(float(at), body_of("s", seq, 2), 200 if taken else 0, taken, "/") for at, seq in enumerate(seqs)]


def failures(arrived, **details):
    return "; ".join(judge("x", "0", OWED, arrived, **details).failures)


def test_all_that_arrives_once_and_in_order_is_well():
    row = judge("x", "0", OWED, arrivals(0, 1, 2, 3, 4, 5), bound=0)
    assert not row.failures
    assert (row.events, row.lost, row.duplicates) == (6, 0, 0)


def test_accounts_do_not_wait_for_one_another():
    assert not failures(arrivals(1, 3, 5, 0, 2, 4))


def test_what_does_not_arrive_is_lost():
    assert "1 of 6 lost, such as ['s.4']" in failures(arrivals(0, 1, 2, 3, 5))


def test_what_the_collector_did_not_take_has_not_arrived():
    assert "1 of 6 lost" in failures(arrivals(0, 1, 2, 3, 4) + arrivals(5, taken=False))


def test_what_is_destroyed_or_refused_is_not_lost():
    assert not failures(arrivals(0, 1, 2, 3, 5), excused=frozenset([body_of("s", 4, 2)]))


@pytest.mark.parametrize("change", [lambda body: body + b"&x=1", lambda body: body[:-1], lambda body: body.lower()])
def test_one_byte_that_differs_is_lost_and_strange(change):
    arrived = arrivals(0, 1, 2, 3, 4, 5)
    arrived[3] = arrived[3]._replace(body=change(arrived[3].body))
    assert "1 of 6 lost" in failures(arrived)
    assert "1 that nobody sent arrived" in failures(arrived)


def test_what_may_have_been_accepted_may_arrive():
    assert "nobody sent" in failures(arrivals(0, 1, 2, 3, 4, 5, 6))
    assert not failures(arrivals(0, 1, 2, 3, 4, 5, 6), permitted=[("s", 6, 2)])


def test_a_later_update_of_an_account_must_not_come_first():
    owed = [Obligation("s", seq, 1, f"id{seq}", 10) for seq in (3, 5, 13, 23)]
    arrived = [Arrival(float(seq), body_of("s", seq, 1), 200, True, "/") for seq in (5, 13, 3, 23)]
    assert "1 out of order, such as ['s.3 after 13']" in "; ".join(judge("x", "0", owed, arrived).failures)


def test_activities_of_an_account_may_come_in_any_order():
    assert not failures(arrivals(0, 1, 4, 2, 3, 5))


def test_a_second_arrival_is_a_duplicate_and_no_matter_of_order():
    row = judge("x", "0", OWED, arrivals(0, 1, 2, 3, 4, 5, 0, 1), bound=2)
    assert not row.failures
    assert row.duplicates == 2


def test_more_duplicates_than_the_bound_are_too_many():
    assert "2 duplicates; at most 1" in failures(arrivals(0, 1, 2, 3, 4, 5, 0, 1), bound=1)


def test_what_a_fork_inherits_must_not_come_twice():
    assert "sent twice" in failures(arrivals(0, 1, 2, 3, 4, 5, 3), once="s")
    assert not failures(arrivals(0, 1, 2, 3, 4, 5, 3), once="other")


def test_duplicates_are_counted_for_each_crash():
    many = arrivals(0, 1, 2, 3, 4, 5, *([5] * (BOUND + 1)))
    assert f"{BOUND + 1} duplicates after one crash" in failures(many, crashes=[5.5])
    assert not failures(many, crashes=[5.5, 40.5, 70.5])


def test_an_id_is_given_once():
    row = judge("x", "0", [OWED[0], OWED[1]._replace(id="id0")], arrivals(0, 1))
    assert "ids given twice" in "; ".join(row.failures)


def test_the_collector_ends_with_the_process_that_started_it():
    with Collector() as collector:
        process = collector._process
        assert process.poll() is None
    assert process.poll() == 0

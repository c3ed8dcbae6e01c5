"""What every spool must do: the suite that those of this package pass, and that yours can pass too."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import traceback
import warnings
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import attrs

from .spool import Item, Outcome, Owner, SpoolClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .spool import Leased, Spool

_OWNER = Owner("SP-0000-00", "https://collector.invalid/pixel.gif/")
_NOW = 1000.0
_FAR = 1e9
_MANY = 10_000
_THREADS = 8
_BODIES = (
    b"s=SP-0000-00&a=Login&m=App",
    b"",
    b"\r\n\0 \xff\xfe",
    bytes(range(256)) * 4,
    "Zürich 東京".encode(),
)


def check_spool(make_spool: Callable[[], Spool], *, largest: int = 100_000) -> None:
    """Check a spool against every rule of `Spool`.

    `make_spool` returns a new spool that is empty and not open yet, each time that it is called.
    `largest` is how many bytes the largest body has that it must take.
    Raises `AssertionError`, with a sentence that says which rule is broken.
    """
    for check in _CHECKS:
        spool = make_spool()
        spool.open(_OWNER)
        try:
            check(_Desk(spool, largest))
        except AssertionError as error:
            msg = f"{error} ({check.__name__.strip('_').replace('_', ' ')})"
            raise AssertionError(msg) from None
        finally:
            spool.close()


def _must(holds: bool, sentence: str) -> None:
    # Not an assert statement: this has to work under `python -O` too.
    if not holds:
        raise AssertionError(sentence)


@attrs.define
class _Desk:
    """A spool, and short ways to use it."""

    spool: Spool
    largest: int

    def put(self, *pairs: tuple[str, bytes]) -> str:
        event_id = self.spool.put([Item(lane, body) for lane, body in pairs])
        _must(isinstance(event_id, str), f"put must return an id, not {event_id!r}")
        return str(event_id)

    def lease(self, limit: int = 100, now: float = _NOW) -> list[Leased]:
        leased = self.spool.lease(limit, now)
        _must(len(leased) <= limit, f"lease was asked for {limit} events and gave {len(leased)}")
        lanes = Counter(event.lane for event in leased)
        _must(max(lanes.values(), default=1) == 1, "lease gave two events of one lane at once")
        return leased

    def take(self, now: float = _NOW) -> list[Leased]:
        """Lease everything that may go."""
        taken: list[Leased] = []
        while leased := self.lease(now=now):
            taken += leased
            _must(len(taken) <= _MANY, "lease gives events again that are out")
        return taken

    def settle(self, events: Sequence[Leased]) -> None:
        self.spool.settle([Outcome(event, "delivered") for event in events])

    def drain(self, now: float = _NOW) -> list[Leased]:
        """Deliver everything that may go, with the housekeeping that a sender does."""
        drained: list[Leased] = []
        while leased := self.take(now):
            self.settle(leased)
            self.spool.maintain(adopt=False)
            self.check_counts()
            drained += leased
            _must(len(drained) <= _MANY, "what was delivered is given out again")
        return drained

    def check_counts(self) -> None:
        counts = self.spool.counts()
        total = counts.queued + counts.retrying + counts.in_flight + counts.delivered + counts.dead
        _must(
            counts.accepted == total and min(counts[:6]) >= 0,
            f"the counts do not add up: {counts}: accepted must be queued + retrying + in_flight + delivered + dead",
        )


def _by_lane(events: Sequence[Leased]) -> dict[str, list[bytes]]:
    lanes: dict[str, list[bytes]] = defaultdict(list)
    for event in events:
        lanes[event.lane].append(event.body)
    return dict(lanes)


def _bodies(events: Sequence[Leased]) -> list[bytes]:
    return [event.body for event in events]


def _check_bodies_come_back_byte_for_byte(desk: _Desk) -> None:
    bodies = (*_BODIES, b"x" * desk.largest)
    for number, body in enumerate(bodies):
        desk.put((f"lane {number}", body))
    found = {event.lane: event.body for event in desk.drain()}
    for number, body in enumerate(bodies):
        got = found.get(f"lane {number}")
        _must(got is not None, f"a body of {len(body)} bytes was forgotten")
        _must(got == body, f"a body of {len(body)} bytes came back changed: {body[:20]!r}")


def _check_order_within_a_lane(desk: _Desk) -> None:
    for number in range(30):
        desk.put(("even" if number % 2 == 0 else "odd", b"%d" % number))
    drained = _by_lane(desk.drain())
    for lane, first in (("even", 0), ("odd", 1)):
        expected = [b"%d" % number for number in range(first, 30, 2)]
        got = drained.get(lane, [])
        _must(not set(expected) - set(got), f"of {len(expected)} events of a lane, {len(set(got))} came out")
        _must(len(got) == len(set(got)), "an event came out twice")
        _must(got == expected, "the events of a lane came out in another order than they went in")


def _check_one_of_a_lane_is_out_at_a_time(desk: _Desk) -> None:
    desk.put(("a", b"1"), ("a", b"2"), ("b", b"3"))
    taken = desk.take()
    _must(_bodies(taken) == [b"1", b"3"], f"of two lanes the first events must be out, oldest first: {taken}")
    _must(desk.spool.counts().in_flight == 2, "two events are out, and counts must say so")
    desk.settle(taken[1:])
    _must(desk.take() == [], "a second event of a lane came out while the first was not settled")
    desk.settle(taken[:1])
    _must(_bodies(desk.take()) == [b"2"], "the next event of a lane must come out once the first is delivered")


def _check_a_lease_keeps_to_its_limit(desk: _Desk) -> None:
    for number in range(20):
        desk.put((f"lane {number}", b"%d" % number))
    taken = [event for limit in (1, 3, 0, 16, 5) for event in desk.lease(limit)]
    _must(_bodies(taken) == [b"%d" % number for number in range(20)], "lease must give the oldest first")


def _check_lanes_do_not_wait_for_each_other(desk: _Desk) -> None:
    for number in range(500):
        desk.put(("blocked", b"%d" % number))
    desk.put(("free", b"free"))
    first = next((event for event in desk.take() if event.lane == "blocked"), None)
    _must(first is not None, "the first event of a long lane was forgotten")
    desk.spool.settle([Outcome(event, "retry", _FAR) for event in [first] if event is not None])
    desk.put(("new", b"new"))
    taken = desk.take()
    _must("blocked" not in {event.lane for event in taken}, "a retry came out before its time")
    _must(_bodies(taken) == [b"new"], "a lane that waits for its retry held up another")
    desk.check_counts()


def _check_a_retry_waits_for_its_time_and_is_not_overtaken(desk: _Desk) -> None:
    desk.put(("a", b"1"), ("a", b"2"))
    for attempt in range(3):
        due = _NOW + attempt + 1
        leased = desk.take(_NOW + attempt)
        _must(_bodies(leased) == [b"1"], f"a later event overtook a retry, or the retry was lost: {leased}")
        _must(leased[0].attempts == attempt, f"attempt {attempt + 1} came with attempts={leased[0].attempts}")
        desk.spool.settle([Outcome(leased[0], "retry", due, "503")])
        _must(desk.take(due - 0.5) == [], "a retry came out before its time, or a later event overtook it")
        _must(desk.spool.next_due() == due, f"next_due must be {due}, not {desk.spool.next_due()}")
        counts = desk.spool.counts()
        _must((counts.retrying, counts.queued) == (1, 1), f"one event is to be tried again and one waits: {counts}")
    _must(_bodies(desk.drain(_NOW + 3)) == [b"1", b"2"], "after its retry a lane must go on in order")
    _must(desk.spool.next_due() is None, "next_due must be None once nothing waits")


def _check_what_was_delivered_is_struck_off_once(desk: _Desk) -> None:
    for number in range(300):
        desk.put((f"lane {number % 7}", b"%d" % number))
    drained = desk.drain()
    _must(len(drained) >= 300, f"of 300 events only {len(drained)} came out")
    _must(len({event.id for event in drained}) == 300, "an event came out again after it was delivered")
    _must(desk.drain(_FAR) == [], "an event came out again long after it was delivered")
    counts = desk.spool.counts()
    _must((counts.delivered, counts.queued) == (300, 0), f"300 events were delivered: {counts}")
    _must(counts.oldest_at is None, "oldest_at must be None once nothing waits")


def _check_dead_letters_keep_everything(desk: _Desk) -> None:
    desk.put(("a", b"poison"), ("a", b"next"))
    for _ in range(2):
        desk.spool.settle([Outcome(event, "retry", _NOW) for event in desk.take()])
    poison = desk.take()
    desk.spool.settle([Outcome(event, "dead", reason="400: no such service") for event in poison])
    _must(_bodies(desk.drain()) == [b"next"], "an event that was given up held up the next of its lane, or came again")
    told = {"reason": "activity is missing", "input": {"a": 1}, "problems": [{"field": "activity"}]}
    desk.spool.put([Item("", json.dumps(told).encode(), is_letter=True)])
    letters = list(desk.spool.letters())
    _must(len(letters) == 2, f"two events are dead, and letters() gives {len(letters)}")
    first, second = letters
    _must(first.body == b"poison", f"a dead letter must keep its body, not {first.body!r}")
    _must(first.reason == "400: no such service", f"a dead letter must keep its reason, not {first.reason!r}")
    _must(first.attempts == 3, f"a dead letter must tell its attempts: 3, not {first.attempts}")
    _must(first.accepted_at == poison[0].accepted_at, "a dead letter must keep its time of acceptance")
    _must(first.dead_at >= first.accepted_at, "a dead letter must keep the time at which it was given up")
    kept = (second.body, second.reason, second.input, list(second.problems))
    _must(kept == (None, *told.values()), f"a refused event must be kept as it was refused, not {kept}")
    _must(desk.take(_FAR) == [], "a dead letter came out for delivery")
    _must(desk.spool.counts().dead == 2, "two events are dead, and counts must say so")
    desk.check_counts()


def _check_counts_add_up_at_every_step(desk: _Desk) -> None:
    desk.check_counts()
    for number in range(12):
        desk.put((f"lane {number}", b"body"))
        desk.check_counts()
    _must(desk.spool.counts().accepted == 12, "twelve events were accepted, and counts must say so")
    _must(desk.spool.counts().oldest_at is not None, "oldest_at must tell when the oldest event was accepted")
    for number, event in enumerate(desk.take()):
        verdicts: list[Outcome] = [Outcome(event, "delivered"), Outcome(event, "retry", _FAR), Outcome(event, "dead")]
        desk.spool.settle([verdicts[number % 3]])
        desk.check_counts()
    counts = desk.spool.counts()
    got = (counts.delivered, counts.retrying, counts.dead, counts.queued, counts.in_flight)
    _must(got == (4, 4, 4, 0, 0), f"four each were delivered, put off and given up: {counts}")


def _check_pending_before_a_mark(desk: _Desk) -> None:
    spool = desk.spool
    _must(not spool.pending_before(None), "nothing is pending in an empty spool")
    desk.put(("a", b"1"))
    mark = spool.mark()
    desk.put(("b", b"2"))
    first, second = desk.take()
    desk.settle([second])
    _must(spool.pending_before(mark), "what is out before the mark is pending")
    spool.settle([Outcome(first, "retry", _NOW)])
    _must(spool.pending_before(mark), "what is to be tried again before the mark is pending")
    desk.put(("b", b"3"))
    desk.settle([event for event in desk.take() if event.lane == "a"])
    _must(not spool.pending_before(mark), "nothing before the mark is pending any more")
    _must(spool.pending_before(None), "what came after the mark is pending without a mark")


def _check_put_from_many_threads(desk: _Desk) -> None:
    each, batch = 60, 3
    ids: list[str] = []

    def work(name: int) -> None:
        for number in range(each):
            pairs = [("shared", b"%d %d %d" % (name, number, part)) for part in range(batch)]
            ids.append(desk.put((f"own {name}", b"%d" % number)))
            ids.append(desk.put(*pairs))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(_THREADS)]
    for thread in threads:
        thread.start()
    taken: list[Leased] = []
    while any(thread.is_alive() for thread in threads):
        taken += desk.drain()
    taken += desk.drain()
    _must(len(set(ids)) == 2 * each * _THREADS, "put gave one id to two events")
    lanes = _by_lane(taken)
    for name in range(_THREADS):
        own = lanes.pop(f"own {name}", [])
        _must(sorted(own) == sorted(b"%d" % number for number in range(each)), "threads that put at once lose events")
        _must(own == [b"%d" % number for number in range(each)], "the events of one thread came out in another order")
    shared = lanes.pop("shared", [])
    _must(len(shared) == each * batch * _THREADS, "threads that put several items at once lose events")
    for at in range(0, len(shared), batch):
        start = shared[at].rpartition(b" ")[0]
        expected = [b"%s %d" % (start, part) for part in range(batch)]
        _must(shared[at : at + batch] == expected, "the items of one put must stay together and in order")


def _check_put_that_may_not_wait(desk: _Desk) -> None:
    event_id = desk.spool.put([Item("a", b"1")], wait=False)
    expected = [] if event_id is None else [b"1"]
    _must(_bodies(desk.drain()) == expected, "with wait=False, put must store and return an id, or do neither")


def _check_a_closed_spool(desk: _Desk) -> None:
    desk.spool.close()
    desk.spool.close()
    desk.check_counts()
    with contextlib.suppress(SpoolClosed):
        desk.put(("a", b"while closed"))
    desk.spool.open(_OWNER)
    desk.put(("a", b"again"))
    _must(_bodies(desk.drain())[-1:] == [b"again"], "a spool that was closed must work again after open")
    desk.check_counts()


def _check_a_durable_spool_gives_back_what_was_not_settled(desk: _Desk) -> None:
    if not desk.spool.durable:
        return
    for number in range(200):
        desk.put((f"lane {number % 5}", b"%d" % number))
    out = _bodies(desk.take())
    _must(len(out) == 5, f"five lanes must give five events, not {len(out)}")
    desk.spool.close()
    desk.spool.open(_OWNER)
    again = desk.take()
    _must(_bodies(again) == out, "what was out when the spool was closed must come back, and in order")
    desk.settle(again[:3])
    desk.spool.settle([Outcome(again[3], "retry", _FAR), Outcome(again[4], "dead", reason="400")])
    done = {event.body for event in again if event not in again[3:4]}
    desk.spool.close()
    desk.spool.open(_OWNER)
    rest = _by_lane(desk.drain())
    _must([each.body for each in desk.spool.letters()] == [again[4].body], "a dead letter must outlast a close")
    for lane in range(5):
        expected = [body for body in (b"%d" % number for number in range(lane, 200, 5)) if body not in done]
        got = rest.get(f"lane {lane}", [])
        _must(not done & set(got), "what was settled came back after close and open")
        _must(sorted(got) == sorted(expected), "what was not settled must come back after close and open")
        _must(got == expected, "after close and open the events of a lane came out in another order")
    desk.check_counts()


def _check_a_forked_child_leaves_the_parents_events(desk: _Desk) -> None:
    if not hasattr(os, "fork"):  # pragma: no cover
        return
    for number in range(20):
        desk.put((f"lane {number}", b"parent %d" % number))
    out = desk.lease(10)
    desk.spool.before_fork()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that other threads may hold locks is what is tested
        reading, writing = os.pipe()
        child = os.fork()
    if child == 0:
        _be_the_child(desk, writing)  # pragma: no cover
    desk.spool.after_fork(in_child=False)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    _must(told.startswith(b"["), f"in a forked child, the spool failed: {told.decode(errors='replace')}")
    theirs = [bytes.fromhex(each) for each in json.loads(told)]
    _must(b"child" in theirs, "a forked child must be able to put and lease its own events")
    _must(not set(theirs) & set(_bodies(out)), "a forked child leased what its parent has out")
    desk.settle(out)
    everything = theirs + _bodies(out) + _bodies(desk.drain())
    expected = sorted([b"child", *(b"parent %d" % number for number in range(20))])
    _must(sorted(set(everything)) == expected, "events of the parent were lost by a fork")
    _must(sorted(everything) == expected, "an event came out both in the parent and in the forked child")


def _be_the_child(desk: _Desk, writing: int) -> None:  # pragma: no cover - ends by os._exit, which saves no coverage
    try:
        desk.spool.after_fork(in_child=True)
        desk.spool.open(_OWNER)
        desk.put(("lane of the child", b"child"))
        told = json.dumps([body.hex() for body in _bodies(desk.drain())])
        desk.spool.close()
    except BaseException:  # told to the parent, which raises
        told = traceback.format_exc()
    os.write(writing, told.encode()[:60_000])
    os._exit(0)


_CHECKS: tuple[Callable[[_Desk], None], ...] = (
    _check_bodies_come_back_byte_for_byte,
    _check_order_within_a_lane,
    _check_one_of_a_lane_is_out_at_a_time,
    _check_a_lease_keeps_to_its_limit,
    _check_lanes_do_not_wait_for_each_other,
    _check_a_retry_waits_for_its_time_and_is_not_overtaken,
    _check_what_was_delivered_is_struck_off_once,
    _check_dead_letters_keep_everything,
    _check_counts_add_up_at_every_step,
    _check_pending_before_a_mark,
    _check_put_from_many_threads,
    _check_put_that_may_not_wait,
    _check_a_closed_spool,
    _check_a_durable_spool_gives_back_what_was_not_settled,
    _check_a_forked_child_leaves_the_parents_events,
)

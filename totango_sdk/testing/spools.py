"""What every spool must do: the suite that those of this package pass, and that yours can pass too."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import traceback
import warnings
from typing import TYPE_CHECKING

from ..spool import Item, Outcome, Spool, SpoolClosed
from .desk import FAR, NOW, OWNER, Desk, bodies, by_record, must
from .order import ORDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..spool import Leased

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
        spool.open(OWNER)
        try:
            check(Desk(spool, largest))
        except AssertionError as error:
            msg = f"{error} ({check.__name__.strip('_').replace('_', ' ')})"
            raise AssertionError(msg) from None
        finally:
            spool.close()


def _check_bodies_come_back_byte_for_byte(desk: Desk) -> None:
    given = (*_BODIES, b"x" * desk.largest)
    for number, body in enumerate(given):
        desk.put((f"record {number}", body))
    found = {event.about[0]: event.body for event in desk.drain()}
    for number, body in enumerate(given):
        got = found.get(f"record {number}")
        must(got is not None, f"a body of {len(body)} bytes was forgotten")
        must(got == body, f"a body of {len(body)} bytes came back changed: {body[:20]!r}")


def _check_a_lease_keeps_to_its_limit(desk: Desk) -> None:
    for number in range(20):
        desk.put((f"record {number}", b"%d" % number))
    taken = [event for limit in (1, 3, 0, 16, 5) for event in desk.lease(limit)]
    must(
        bodies(taken) == [b"%d" % number for number in range(20)],
        "lease must give the oldest first",
    )


def _check_what_was_delivered_is_struck_off_once(desk: Desk) -> None:
    for number in range(300):
        desk.put((f"record {number % 7}", b"%d" % number))
    drained = desk.drain()
    must(len(drained) >= 300, f"of 300 events only {len(drained)} came out")
    must(
        len({event.id for event in drained}) == 300,
        "an event came out again after it was delivered",
    )
    must(desk.drain(FAR) == [], "an event came out again long after it was delivered")
    counts = desk.spool.counts()
    must((counts.delivered, counts.queued) == (300, 0), f"300 events were delivered: {counts}")
    must(counts.oldest_at is None, "oldest_at must be None once nothing waits")


def _check_dead_letters_keep_everything(desk: Desk) -> None:
    desk.put(("a", b"poison"), ("a", b"next"))
    for _ in range(2):
        desk.spool.settle([Outcome(event, "retry", NOW) for event in desk.take()])
    poison = desk.take()
    desk.spool.settle([Outcome(event, "dead", reason="400: no such service") for event in poison])
    must(
        bodies(desk.drain()) == [b"next"],
        "an update that was given up held up the next of its record, or came again",
    )
    told = {"reason": "activity is missing", "input": {"a": 1}, "problems": [{"field": "activity"}]}
    for opaque in (json.dumps(told).encode(), b"\xff what is no JSON"):
        desk.spool.put([Item(opaque, is_letter=True)])
    letters = list(desk.spool.letters())
    must(len(letters) == 3, f"three events are dead, and letters() gives {len(letters)}")
    first, second, third = letters
    must(first.body == b"poison", f"a dead letter must keep its body, not {first.body!r}")
    must(
        first.reason == "400: no such service",
        f"a dead letter must keep its reason, not {first.reason!r}",
    )
    must(first.attempts == 3, f"a dead letter must tell its attempts: 3, not {first.attempts}")
    must(
        first.accepted_at == poison[0].accepted_at, "a dead letter must keep its time of acceptance"
    )
    must(
        first.dead_at >= first.accepted_at,
        "a dead letter must keep the time at which it was given up",
    )
    kept = (second.body, second.reason, second.input, list(second.problems))
    must(
        kept == (None, *told.values()),
        f"a refused event must be kept as it was refused, not {kept}",
    )
    must("what is no JSON" in third.reason, "what is put as a letter must be kept byte for byte")
    must(desk.take(FAR) == [], "a dead letter came out for delivery")
    must(desk.spool.counts().dead == 3, "three events are dead, and counts must say so")
    desk.check_counts()


def _check_counts_add_up_at_every_step(desk: Desk) -> None:
    desk.check_counts()
    for number in range(12):
        desk.put((f"record {number}", b"body"))
        desk.check_counts()
    must(desk.spool.counts().accepted == 12, "twelve events were accepted, and counts must say so")
    must(
        desk.spool.counts().oldest_at is not None,
        "oldest_at must tell when the oldest event was accepted",
    )
    for number, event in enumerate(desk.take()):
        verdicts: list[Outcome] = [
            Outcome(event, "delivered"),
            Outcome(event, "retry", FAR),
            Outcome(event, "dead"),
        ]
        desk.spool.settle([verdicts[number % 3]])
        desk.check_counts()
    counts = desk.spool.counts()
    got = (counts.delivered, counts.retrying, counts.dead, counts.queued, counts.in_flight)
    must(got == (4, 4, 4, 0, 0), f"four each were delivered, put off and given up: {counts}")


def _check_pending_before_a_mark(desk: Desk) -> None:
    spool = desk.spool
    must(not spool.pending_before(None), "nothing is pending in an empty spool")
    desk.put(("a", b"1"))
    mark = spool.mark()
    desk.put(("b", b"2"))
    first, second = desk.take()
    desk.settle([second])
    must(spool.pending_before(mark), "what is out before the mark is pending")
    spool.settle([Outcome(first, "retry", NOW)])
    must(spool.pending_before(mark), "what is to be tried again before the mark is pending")
    desk.put(("b", b"3"))
    desk.settle([event for event in desk.take() if event.about == ("a",)])
    if type(spool).pending_before is not Spool.pending_before:  # which takes more for pending
        must(not spool.pending_before(mark), "nothing before the mark is pending any more")
    must(spool.pending_before(None), "what came after the mark is pending without a mark")


def _check_put_from_many_threads(desk: Desk) -> None:
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
    must(len(set(ids)) == 2 * each * _THREADS, "put gave one id to two events")
    records = by_record(taken)
    for name in range(_THREADS):
        own = records.pop(f"own {name}", [])
        must(
            sorted(own) == sorted(b"%d" % number for number in range(each)),
            "threads that put at once lose events",
        )
        must(
            own == [b"%d" % number for number in range(each)],
            "the events of one thread came out in another order",
        )
    shared = records.pop("shared", [])
    must(
        len(shared) == each * batch * _THREADS, "threads that put several items at once lose events"
    )
    for at in range(0, len(shared), batch):
        start = shared[at].rpartition(b" ")[0]
        expected = [b"%s %d" % (start, part) for part in range(batch)]
        must(
            shared[at : at + batch] == expected,
            "the items of one put must stay together and in order",
        )


def _check_put_that_may_not_wait(desk: Desk) -> None:
    event_id = desk.spool.put([Item(b"1", ("a",))], wait=False)
    expected = [] if event_id is None else [b"1"]
    must(
        bodies(desk.drain()) == expected,
        "with wait=False, put must store and return an id, or do neither",
    )


def _check_a_closed_spool(desk: Desk) -> None:
    desk.spool.close()
    desk.spool.close()
    desk.check_counts()
    with contextlib.suppress(SpoolClosed):
        desk.put(("a", b"while closed"))
    desk.spool.open(OWNER)
    desk.put(("a", b"again"))
    must(
        bodies(desk.drain())[-1:] == [b"again"],
        "a spool that was closed must work again after open",
    )
    desk.check_counts()


def _check_a_durable_spool_gives_back_what_was_not_settled(desk: Desk) -> None:
    if not desk.spool.durable:
        return
    for number in range(200):
        desk.put((f"record {number % 5}", b"%d" % number))
    out = bodies(desk.take())
    must(len(out) == 5, f"five records must give five updates, not {len(out)}")
    desk.spool.close()
    desk.spool.open(OWNER)
    again = desk.take()
    must(
        bodies(again) == out, "what was out when the spool was closed must come back, and in order"
    )
    desk.settle(again[:3])
    desk.spool.settle([Outcome(again[3], "retry", FAR), Outcome(again[4], "dead", reason="400")])
    done = {event.body for event in again if event not in again[3:4]}
    desk.spool.close()
    desk.spool.open(OWNER)
    rest = by_record(desk.drain())
    must(
        [each.body for each in desk.spool.letters()] == [again[4].body],
        "a dead letter must outlast a close",
    )
    for at in range(5):
        expected = [
            body for body in (b"%d" % number for number in range(at, 200, 5)) if body not in done
        ]
        got = rest.get(f"record {at}", [])
        must(not done & set(got), "what was settled came back after close and open")
        must(
            sorted(got) == sorted(expected),
            "what was not settled must come back after close and open",
        )
        must(
            got == expected,
            "after close and open the updates of a record came out in another order",
        )
    desk.check_counts()


def _check_a_forked_child_leaves_the_parents_events(desk: Desk) -> None:
    if not hasattr(os, "fork"):  # pragma: no cover
        return
    for number in range(20):
        desk.put((f"record {number}", b"parent %d" % number))
    out = desk.lease(10)
    desk.spool.before_fork()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # that other threads may hold locks is what is tested
        reading, writing = os.pipe()
        child = os.fork()
    if child == 0:
        _be_the_child(desk, writing)  # pragma: no cover
    desk.spool.after_fork(in_child=False)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    must(
        told.startswith(b"["),
        f"in a forked child, the spool failed: {told.decode(errors='replace')}",
    )
    theirs = [bytes.fromhex(each) for each in json.loads(told)]
    must(b"child" in theirs, "a forked child must be able to put and lease its own events")
    must(not set(theirs) & set(bodies(out)), "a forked child leased what its parent has out")
    desk.settle(out)
    everything = theirs + bodies(out) + bodies(desk.drain())
    expected = sorted([b"child", *(b"parent %d" % number for number in range(20))])
    must(sorted(set(everything)) == expected, "events of the parent were lost by a fork")
    must(
        sorted(everything) == expected,
        "an event came out both in the parent and in the forked child",
    )


def _be_the_child(
    desk: Desk, writing: int
) -> None:  # pragma: no cover - ends by os._exit, which saves no coverage
    try:
        desk.spool.after_fork(in_child=True)
        desk.spool.open(OWNER)
        desk.put(("record of the child", b"child"))
        told = json.dumps([body.hex() for body in bodies(desk.drain())])
        desk.spool.close()
    except BaseException:  # told to the parent, which raises
        told = traceback.format_exc()
    os.write(writing, told.encode()[:60_000])
    os._exit(0)


_CHECKS: tuple[Callable[[Desk], None], ...] = (
    _check_bodies_come_back_byte_for_byte,
    *ORDER,
    _check_a_lease_keeps_to_its_limit,
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

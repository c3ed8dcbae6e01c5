"""What dead processes left: who gets it, in which order, and what happens when several want it."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from spools import (
    FAR,
    NOW,
    OWNER,
    bodies,
    bury,
    by_lane,
    check_counts,
    closing,
    dead,
    deliver,
    drain,
    ended,
    fill,
    forked,
    lane_of,
    leave,
    leave_each,
    names,
    opened,
    put,
    retry,
)

from totango_sdk.spool import DiskSpool, opening, outlet, state, upkeep

if TYPE_CHECKING:
    from pathlib import Path

SMALL = 8192


def bury_all(spool: DiskSpool) -> None:
    bury(spool, spool.lease(9, NOW), "400")


def test_one_set_becomes_our_own_and_the_others_are_adopted(tmp_path: Path) -> None:
    left = leave_each(tmp_path, 3, 30, segment_bytes=SMALL)
    spool = opened(tmp_path)
    assert spool.counts().accepted == 30
    spool.maintain(adopt=False)
    assert spool.counts().accepted == 30
    spool.maintain(adopt=True)
    assert spool.counts().accepted == 90
    assert spool.pending_before(0)
    drained = drain(spool)
    assert sorted(bodies(drained)) == sorted(body for each in left for body in each)
    for each in left:
        for lane in range(5):
            assert [body for body in by_lane(drained)[f"lane {lane}"] if body in each] == each[lane::5]
    assert len(names(tmp_path, ".lock")) == 1
    spool.close()
    assert names(tmp_path) == []


def test_a_brief_process_takes_over_nothing_and_its_files_are_small(tmp_path: Path) -> None:
    left = leave(tmp_path, 30)
    before = set(names(tmp_path, ".log"))
    spool = DiskSpool(tmp_path)
    spool.be_brief()
    spool.open(OWNER)
    assert spool.counts().accepted == 0
    more = fill(spool, 10)
    sizes = [(tmp_path / name).stat().st_size for name in set(names(tmp_path, ".log")) - before]
    assert max(sizes) < 3 << 20
    spool.close()
    with closing(tmp_path) as last:
        last.maintain(adopt=True)
        assert sorted(bodies(drain(last))) == sorted([*left, *more])


@pytest.mark.parametrize("is_brief", [True, False])
def test_what_one_process_after_the_other_has_left_goes_in_their_order(
    tmp_path: Path, is_brief: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The later one's update is the newer one."""

    def live(number: int) -> None:
        spool = DiskSpool(tmp_path)
        if is_brief:
            spool.be_brief()
        spool.open(OWNER)
        for part in range(2):
            put(spool, b"%d.%d" % (number, part))

    with monkeypatch.context() as large:
        if not is_brief:  # what is there takes too long to read before the first event
            large.setattr(state, "_SOON_READ_BYTES", 0)
        for number in range(8):
            dead(lambda number=number: live(number))
    monkeypatch.setattr(upkeep, "_MOST_ADOPTED", 3)
    spool = opened(tmp_path)
    put(spool, b"ours")
    assert bodies(drain(spool)) == [*(b"%d.%d" % (number, part) for number in range(8) for part in range(2)), b"ours"]
    spool.close()
    assert names(tmp_path) == []


def test_letters_of_adopted_files_move_over_and_the_files_go(tmp_path: Path) -> None:
    leave_each(tmp_path, 2, 4, bury_all)
    spool = opened(tmp_path)
    spool.maintain(adopt=True)
    assert len(names(tmp_path, ".lock")) == 1
    assert len(list(spool.letters())) == 8
    check_counts(spool)
    spool.close()
    with closing(tmp_path) as spool:
        assert len(list(spool.letters())) == 8


def test_an_adopted_event_that_is_given_up_is_kept_as_a_letter(tmp_path: Path) -> None:
    leave_each(tmp_path, 3, 10)
    spool = opened(tmp_path)
    spool.maintain(adopt=True)
    out = spool.lease(5, NOW)
    bury(spool, out)
    assert len(drain(spool)) == 25
    assert sorted(letter.body or b"" for letter in spool.letters()) == sorted(bodies(out))
    assert len(names(tmp_path, ".lock")) == 1
    check_counts(spool)
    spool.close()


def test_where_letters_find_no_room_their_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_each(tmp_path, 2, 4, bury_all)
    spool = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(outlet.Outlet, "keep_letter", lambda *_: False)
        spool.maintain(adopt=True)
    assert len(list(spool.letters())) == 8
    spool.maintain(adopt=False)
    assert len(names(tmp_path, ".lock")) == 1
    assert len(list(spool.letters())) == 8
    spool.close()


def test_files_in_which_nothing_is_left_are_removed(tmp_path: Path) -> None:
    leave_each(tmp_path, 3, 0)
    with closing(tmp_path) as spool:
        spool.maintain(adopt=True)
        assert len(names(tmp_path, ".lock")) == 1


# -- order


def late(spool: Any, directory: Path, count: int = 10, **sizes: Any) -> list[bytes]:
    """Let another process die after ours has begun, and let ours adopt its events."""
    left = leave(directory, count, name="dead ", **sizes)
    spool.maintain(adopt=True)
    return left


@pytest.mark.parametrize("segment_bytes", [SMALL, 1 << 20])
def test_events_of_the_dead_go_before_ours_of_the_same_account(tmp_path: Path, segment_bytes: int) -> None:
    spool = opened(tmp_path, segment_bytes=segment_bytes)
    ours = fill(spool, 60)
    first = spool.lease(2, NOW)  # by this, ours are in their lanes
    deliver(spool, first)
    theirs = late(spool, tmp_path, segment_bytes=SMALL)
    more = fill(spool, 60, name="more ")
    lanes = by_lane(drain(spool))
    for lane in range(5):
        rest = [body for body in ours[lane::5] if body not in bodies(first)]
        assert lanes[f"lane {lane}"] == theirs[lane::5] + rest + more[lane::5]
    check_counts(spool)
    spool.close()


@pytest.mark.parametrize("segment_bytes", [SMALL, 1 << 20])
@pytest.mark.parametrize("settled", ["before", "after"])
def test_ours_that_were_out_go_behind_when_they_are_retried(tmp_path: Path, segment_bytes: int, settled: str) -> None:
    spool = opened(tmp_path, segment_bytes=segment_bytes)
    ours = fill(spool, 60)
    out = spool.lease(5, NOW)
    assert bodies(out) == ours[:5]
    retry(spool, out[:2], NOW + 5)
    theirs = late(spool, tmp_path)
    if settled == "before":
        retry(spool, out[2:4], NOW + 7)
        deliver(spool, out[4:])
    taken = spool.lease(9, NOW)
    if settled == "after":
        assert bodies(taken) == theirs[:2]
        retry(spool, out[2:4], NOW + 7)
        deliver(spool, out[4:])
    check_counts(spool)
    deliver(spool, taken)
    sent = taken + drain(spool)
    lanes = by_lane(sent)
    assert lanes["lane 4"] == theirs[4::5] + ours[9::5]
    assert sorted(body for lane in range(4) for body in lanes[f"lane {lane}"]) == sorted(
        body for lane in range(4) for body in theirs[lane::5]
    )
    assert spool.counts().retrying == 4
    assert spool.next_due() == NOW + 5
    again = spool.lease(9, NOW + 5)
    assert [(event.body, event.attempts) for event in again] == [(ours[0], 1), (ours[1], 1)]
    retry(spool, again, NOW + 6)
    rest = by_lane(drain(spool, now=FAR))
    for lane in range(4):
        assert rest[f"lane {lane}"] == ours[lane::5]
    check_counts(spool)
    spool.close()


def test_what_comes_while_ours_are_behind_is_not_brought_in_twice(tmp_path: Path) -> None:
    """Ours that were out come back while others of ours still have to be read from the database again."""
    spool = opened(tmp_path, segment_bytes=SMALL)
    ours = fill(spool, 200, lanes=40)
    out = spool.lease(30, NOW)
    theirs = late(spool, tmp_path, count=1)
    retry(spool, out[:10], NOW)
    deliver(spool, out[10:20])
    sent = spool.lease(3, NOW)
    retry(spool, out[20:], NOW)
    retry(spool, sent, NOW)
    sent = drain(spool)
    expected = theirs + [body for body in ours if body not in bodies(out[10:20])]
    assert sorted(bodies(sent)) == sorted(expected)
    for lane, got in by_lane(sent).items():
        mine = [body for body in got if body not in theirs]
        assert mine == [body for body in ours if body in mine], lane
    spool.close()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_in_whatever_order_each_process_keeps_its_own(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    spool = opened(tmp_path, segment_bytes=4096)
    sources: dict[str, list[bytes]] = {"ours": []}
    lanes_of: dict[bytes, str] = {}
    out: list[Any] = []
    sent: list[Any] = []
    for step in range(60):
        choice = chance.random()
        if choice < 0.4:
            for _ in range(chance.randrange(12)):
                body = b"ours %d" % len(sources["ours"]) + b" " * chance.randrange(200)
                lanes_of[body] = f"lane {chance.randrange(5)}"
                put(spool, body, lane=lanes_of[body])
                sources["ours"].append(body)
        elif choice < 0.5 and len(sources) < 5:
            name = f"dead {step} "
            sources[name] = leave(tmp_path, chance.randrange(1, 30), name=name, segment_bytes=4096, size=100)
            lanes_of.update({body: f"lane {at % 5}" for at, body in enumerate(sources[name])})
            spool.maintain(adopt=True)
        elif choice < 0.75:
            out += spool.lease(chance.randrange(1, 6), NOW + step)
        elif out:
            event = out.pop(chance.randrange(len(out)))
            if chance.random() < 0.5:
                retry(spool, [event], NOW + step + chance.randrange(3))
            else:
                deliver(spool, [event])
                sent.append(event)
        check_counts(spool)
    for event in out:
        retry(spool, [event], NOW)
    sent += drain(spool, now=FAR)
    assert len({event.id for event in sent}) == len(sent)
    for source, put_in in sources.items():
        known = set(put_in)
        for lane in range(5):
            name = f"lane {lane}"
            got = [event.body for event in sent if lane_of(event) == name and event.body in known]
            assert got == [body for body in put_in if lanes_of[body] == name], source
    spool.close()
    assert names(tmp_path) == []


# -- the living


def test_two_spools_of_one_process_do_not_take_each_others_files(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    put(first, b"1")
    put(second, b"2")
    third = opened(tmp_path)
    for spool in (first, second, third):
        spool.maintain(adopt=True)
    leave(tmp_path, 10)  # looking at the others' locks must not let go of them
    assert [len(drain(spool, adopt=False)) for spool in (first, second, third)] == [1, 1, 0]
    for spool in (first, second, third):
        spool.close()
    with closing(tmp_path) as spool:
        assert len(drain(spool)) == 10


def test_files_of_a_living_process_are_never_touched(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=SMALL)
    put_in = fill(spool, 100)

    def look() -> None:
        with closing(tmp_path) as other:
            assert drain(other) == []

    for _ in range(3):
        assert ended(forked(look)) == 0
    assert sorted(bodies(drain(spool))) == sorted(put_in)
    spool.close()


def test_a_process_that_starts_beside_one_that_looks_gets_files_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making a lock file and locking it, another process may take it for a dead one's."""
    from totango_sdk.spool import paths

    holders = []
    lock = paths._lock

    def late(fd: int, path: str) -> Any:
        if not holders:
            told, tell = os.pipe()
            waiting, end = os.pipe()

            def hold() -> None:
                monkeypatch.undo()
                os.close(end)
                paths.LockFile.take(path, create=False)
                os.write(tell, b"!")
                os.read(waiting, 1)

            holders.append((forked(hold), end))
            os.close(tell)
            assert os.read(told, 1) == b"!"
        return lock(fd, path)

    monkeypatch.setattr(paths, "_lock", late)
    with closing(tmp_path) as spool:
        put(spool, b"1")
        assert len(names(tmp_path, ".lock")) == 2
        assert len(drain(spool)) == 1
    ((child, end),) = holders
    os.close(end)
    assert ended(child) == 0


def test_of_many_that_start_at_once_exactly_one_gets_each_event(tmp_path: Path) -> None:
    left = [body for each in leave_each(tmp_path, 5, 40, segment_bytes=SMALL) for body in each]
    reading, writing = os.pipe()
    started, start = os.pipe()

    def work() -> None:
        os.read(started, 1)
        spool = opened(tmp_path)
        sent = b"".join(body.rstrip(b".") + b"\n" for body in bodies(drain(spool)))
        assert len(sent) < 4096  # what a pipe takes in one piece
        os.write(writing, sent)
        spool.close()

    children = [forked(work) for _ in range(8)]
    os.write(start, b"!" * 8)
    os.close(writing)
    assert [ended(child) for child in children] == [0] * 8
    with open(reading, "rb") as pipe:
        sent = pipe.read().splitlines()
    with closing(tmp_path) as spool:  # what nobody got, since it was locked while they looked
        sent += [body.rstrip(b".") for body in bodies(drain(spool))]
    assert sorted(sent) == sorted(body.rstrip(b".") for body in left)
    assert names(tmp_path) == []


# -- many


def test_no_more_than_so_many_are_adopted_at_once_and_the_rest_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_MOST_ADOPTED", 3)
    leave_each(tmp_path, 9, 4)
    spool = opened(tmp_path)
    spool.maintain(adopt=True)
    assert spool.counts().accepted == 16
    assert not spool.needs_care
    assert spool.pending_before(0)
    assert len(drain(spool)) == 36
    assert not spool.pending_before(0)
    spool.close()
    assert names(tmp_path) == []


def test_a_set_whose_ids_cannot_be_told_from_ours_waits_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "new_base", lambda: 7 << 32)
    leave_each(tmp_path, 2, 10)
    for rest in (10, 10):
        with closing(tmp_path) as spool:
            put_in = fill(spool, 5)
            assert len(drain(spool)) == rest + len(put_in)
    assert names(tmp_path) == []


def test_an_adopted_set_of_just_so_many_rows_comes_before_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "_PULL", 10)
    spool = opened(tmp_path)
    left = [late(spool, tmp_path, lanes=1), late(spool, tmp_path, lanes=1)]
    ours = fill(spool, 10, lanes=1)
    sent = bodies(drain(spool))
    assert sent[20:] == ours
    assert sorted(sent[:20]) == sorted(left[0] + left[1])
    spool.close()


def test_adopted_files_are_given_back_when_the_spool_closes(tmp_path: Path) -> None:
    left = leave_each(tmp_path, 3, 20)
    spool = opened(tmp_path)
    spool.maintain(adopt=True)
    sent = spool.lease(5, NOW)
    deliver(spool, sent)
    spool.lease(5, NOW)
    spool.close()
    check_counts(spool)
    with closing(tmp_path, OWNER) as spool:
        rest = drain(spool)
    assert sorted(bodies(sent + rest)) == sorted(body for each in left for body in each)

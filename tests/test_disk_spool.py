"""The spool on disk in ordinary and in hard times; crashes and damage have files of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from spools import (
    FAR,
    NOW,
    OTHER,
    OWNER,
    at_once,
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
    update,
)

from totango_sdk.errors import SpoolError, SpoolFull
from totango_sdk.spool import DiskSpool, Item, SpoolClosed, outlet, room, state
from totango_sdk.spool.log import Log
from totango_sdk.spool.mapped import PAGE_BYTES, MappedFile
from totango_sdk.spool.records import Head, survey_of
from totango_sdk.spool.room import Room
from totango_sdk.spool.segment import SEGMENT_BYTES, Segment
from totango_sdk.spool.survey import held, requeue, survey

SMALL = 8192


def refusal(reason: str, size: int = 0) -> Item:
    told = {"reason": reason, "input": {"x": "y" * size}, "problems": []}
    return Item(json.dumps(told).encode(), is_letter=True)


# -- ordinary times


def test_in_normal_running_there_are_two_segments_and_nothing_is_left_behind(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=SMALL)
    for _ in range(30):
        fill(spool, 10)
        drain(spool)
        assert len(names(tmp_path, ".log")) <= 2
    spool.close()
    assert names(tmp_path) == []


def test_what_does_not_leave_in_time_stays_where_it_is(tmp_path: Path) -> None:
    with closing(tmp_path, segment_bytes=SMALL) as spool:
        put_in = fill(spool, 200)
        assert len(names(tmp_path, ".log")) > 5
        drained = drain(spool)
        assert sorted(bodies(drained)) == sorted(put_in)
        assert by_lane(drained) == {f"lane {number}": put_in[number::5] for number in range(5)}
        spool.maintain(adopt=False)
        assert not spool.needs_care
        assert len(names(tmp_path, ".log")) <= 2
    assert names(tmp_path) == []


def test_what_is_out_while_its_segment_is_written_anew_is_not_delivered_again(tmp_path: Path) -> None:
    with closing(tmp_path, segment_bytes=100_000) as spool:
        fill(spool, 2000, lanes=2000)
        leased = spool.lease(2000, NOW)
        out = leased[::200]
        deliver(spool, [event for event in leased if event not in out])
        before = sum(path.stat().st_size for path in tmp_path.glob("*.log"))
        spool.maintain(adopt=False)
        assert sum(path.stat().st_size for path in tmp_path.glob("*.log")) < before / 2
        retry(spool, out[:5])
        deliver(spool, out[5:])
        assert bodies(drain(spool)) == bodies(out[:5])
        check_counts(spool)
        assert spool.counts().delivered == 2000


def test_bodies_that_go_through_many_segments_come_back_byte_for_byte(tmp_path: Path) -> None:
    odd = [b"", bytes(range(256)), b"\xf5Tg\xf6" * 20, b"x" * 8000]
    with closing(tmp_path, segment_bytes=SMALL) as spool:
        for _ in range(5):
            put(spool, *odd[:3])
            put(spool, odd[3])
        assert bodies(drain(spool)) == odd * 5


@pytest.mark.parametrize("lane", ["", "a\0b", "x" * 5000, "\ud800", "ü" * 300])
def test_any_name_of_a_lane_will_do(tmp_path: Path, lane: str) -> None:
    with closing(tmp_path, segment_bytes=SMALL) as spool:
        for number in range(9):
            put(spool, b"%d" % number, lane=lane)
        assert len(spool.lease(9, NOW)) == 1
    with closing(tmp_path, segment_bytes=SMALL) as spool:
        for number in range(9, 12):
            put(spool, b"%d" % number, lane=lane)
        assert bodies(drain(spool)) == [b"%d" % number for number in range(12)]


@pytest.mark.parametrize("name", [b"\xc3\xbc \xff", b"a\nb", b"100%?x=1#y", b"'; --"])
def test_any_path_will_do(tmp_path: Path, name: bytes) -> None:
    directory = os.path.join(os.fsencode(tmp_path), name)
    spool = DiskSpool(os.fsdecode(directory), segment_bytes=SMALL)
    spool.open(OWNER)
    put_in = fill(spool, 100)
    spool.close()
    spool.open(OWNER)
    assert sorted(bodies(drain(spool))) == sorted(put_in)
    spool.close()
    assert os.listdir(directory) == []


def test_ids_go_on_behind_those_of_the_dead_process(tmp_path: Path) -> None:
    with closing(tmp_path) as spool:
        first = put(spool, b"1")
    with closing(tmp_path) as spool:
        second = put(spool, b"2")
    assert int(second or "", 16) > int(first or "", 16)


def test_ids_go_on_behind_those_of_processes_of_which_a_dead_letter_is_all_that_is_left(tmp_path: Path) -> None:
    given = []
    for _ in range(4):
        with closing(tmp_path) as spool:
            given += [put(spool, b"1"), put(spool, b"2")]
            leased = spool.lease(16, NOW)
            if len(given) == 2:
                bury(spool, [leased.pop()])
            deliver(spool, leased)
            deliver(spool, spool.lease(16, NOW))
    assert [int(each or "", 16) for each in given] == sorted({int(each or "", 16) for each in given})


def test_a_backlog_in_many_lanes_is_not_held_up_by_one_that_is_blocked(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    blocked, others, body = 20_000, 30_000, b"x" * 100
    for at in range(0, blocked, 100):
        spool.put([update("blocked", body) for _ in range(at, at + 100)])
    for at in range(0, others, 100):
        spool.put([update(f"lane {number % 999}", body) for number in range(at, at + 100)])
    retry(spool, spool.lease(1, NOW), FAR)
    tracemalloc.start()
    drained = 0
    while leased := spool.lease(64, NOW):
        assert all(lane_of(event) != "blocked" for event in leased)
        deliver(spool, leased)
        drained += len(leased)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert drained == others
    assert peak < 20e6
    counts = spool.counts()
    assert (counts.retrying, counts.queued, counts.in_flight) == (1, blocked - 1, 0)
    spool.close()


def test_only_so_much_of_a_backlog_is_brought_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "_WINDOW", 500)
    monkeypatch.setattr(outlet, "_PULL", 100)
    with closing(tmp_path, segment_bytes=SMALL) as spool:
        fill(spool, 3000, lanes=1500, size=20)
        spool.lease(1, NOW)
        spool.lease(1000, NOW)
        assert spool._outlet.lanes.waiting_ids <= 1100
        assert spool.next_due() == 0.0
        put_in = spool.counts().accepted
        assert len(drain(spool)) < put_in


def test_the_time_of_the_oldest_is_told_wherever_it_is(tmp_path: Path) -> None:
    with closing(tmp_path, segment_bytes=SMALL) as spool:
        assert spool.counts().oldest_at is None
        fill(spool, 100)
        first = spool.lease(1, NOW)
        assert spool.counts().oldest_at == first[0].accepted_at
        drain(spool)
        deliver(spool, first)
        drain(spool)
        assert spool.counts().oldest_at is None


# -- waiting, and not waiting


def test_put_that_may_not_wait_does_not_store_where_it_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = opened(tmp_path, segment_bytes=SMALL)
    while spool.put([update("a", b"x" * 1000)], wait=False) is not None:
        pass
    accepted = spool.counts().accepted
    assert accepted >= 7
    assert spool.put([update("a", b"x" * 9000)], wait=False) is None
    spool.maintain(adopt=False)
    assert spool.put([update("a", b"x" * 1000)], wait=False) is not None
    assert len(drain(spool)) == accepted + 1
    spool.close()
    power = opened(tmp_path / "power", durability="power")
    assert power.put([update("a", b"1")], wait=False) is None
    assert power.counts().accepted == 0
    power.close()


def test_with_durability_power_threads_wait_for_the_disk_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = []
    turn = threading.Event()
    sync = MappedFile.sync

    def counted(self: MappedFile) -> None:
        syncs.append(self)
        if len(syncs) == 1:
            turn.wait(10)  # until the others are there
        sync(self)

    monkeypatch.setattr(MappedFile, "sync", counted)
    spool = opened(tmp_path, durability="power")

    def work(number: int) -> None:
        for _ in range(5):
            put(spool, b"x", lane=f"lane {number}")
            assert syncs

    watcher = threading.Thread(target=lambda: (_until(lambda: spool.counts().accepted >= 8), turn.set()))
    watcher.start()
    at_once(8, work)
    watcher.join()
    assert spool.counts().accepted == 40
    assert len(syncs) < 40
    spool.close()


def _until(condition: Any) -> None:
    while not condition():
        os.sched_yield()


def test_with_durability_power_each_put_is_synced_and_so_is_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[MappedFile] = []

    def sync(file: MappedFile) -> None:
        synced.append(file)

    monkeypatch.setattr(MappedFile, "sync", sync)
    spool = opened(tmp_path, durability="power", segment_bytes=SMALL)
    for _ in range(50):
        written = spool._state.active
        synced.clear()
        put(spool, b"x" * 300)
        assert spool._state.active and spool._state.active.file in synced
        assert written and written.file in synced  # and what was sealed meanwhile
    synced.clear()
    spool.close()
    assert synced
    synced.clear()
    spool._intake._sync(spool.mark() + 1)
    assert synced == []
    with closing(tmp_path, durability="power") as spool:
        assert len(drain(spool)) == 50


# -- large ones


def test_a_large_letter_is_kept_and_an_event_of_that_size_is_refused(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    put(spool, b"before")
    letter_id = spool.put([refusal("too much", 10_000_000)])
    put(spool, b"after")
    with pytest.raises(SpoolFull, match=f"an event of more than {SEGMENT_BYTES} bytes cannot be kept"):
        put(spool, b"x" * SEGMENT_BYTES)
    assert bodies(drain(spool)) == [b"before", b"after"]
    (letter,) = spool.letters()
    assert letter.id == letter_id
    assert letter.input is not None
    assert len(letter.input["x"]) == 10_000_000
    check_counts(spool)
    spool.close()
    with closing(tmp_path) as spool:
        assert list(spool.letters()) == []  # not read at once: that would hold up the first event
        spool.maintain(adopt=True)
        assert [letter.reason for letter in spool.letters()] == ["too much"]


def test_each_large_letter_gets_its_own_id_while_others_put(tmp_path: Path) -> None:
    with closing(tmp_path, segment_bytes=SMALL) as spool:
        ids: list[str | None] = []

        def work(number: int) -> None:
            for _ in range(30):
                ids.append(spool.put([refusal("large", 9000)]) if number % 2 else put(spool, b"x"))

        at_once(6, work)
        assert len(set(ids)) == 180
        assert {letter.id for letter in spool.letters()} <= set(ids)
        check_counts(spool)
        assert len(list(spool.letters())) == 90


def test_a_large_letter_for_a_spool_that_is_closed_meanwhile_is_refused(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=SMALL)
    assert spool._state.own is not None
    spool._state.own = None
    with pytest.raises(SpoolError, match="closed"):
        spool.put([refusal("large", 9000)])


# -- the dead


def test_dead_letters_of_every_kind_are_kept_through_every_way(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=SMALL)
    spool.put([refusal("refused")])
    put(spool, b"poison", lane="a")
    bury(spool, spool.lease(1, NOW), "400")
    fill(spool, 100)
    assert [letter.reason for letter in spool.letters()] == ["refused", "400"]
    bury(spool, [event for event in spool.lease(2, NOW) if lane_of(event) == "lane 0"], "from the database")
    assert spool.counts().dead == 3
    check_counts(spool)
    spool.close()
    with closing(tmp_path, segment_bytes=SMALL) as spool:
        assert [letter.reason for letter in spool.letters()] == ["refused", "400", "from the database"]
        assert len(drain(spool)) == 99


def test_a_dead_letter_that_finds_no_room_is_one_byte_and_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SpoolFull("no room")

    spool = opened(tmp_path, segment_bytes=SMALL)
    put_in = fill(spool, 26, lanes=26)
    monkeypatch.setattr(Log, "new_segment", full)
    first, *others = spool.lease(26, NOW)
    bury(spool, [first], "400")
    assert [letter.body for letter in spool.letters()] == [put_in[0]]
    bury(spool, others, "400 again")
    check_counts(spool)
    letters = list(spool.letters())
    assert sorted(letter.body or b"" for letter in letters) == sorted(put_in)
    assert {letter.reason for letter in letters} == {"400", "400 again"}
    assert {letter.attempts for letter in letters} == {1}
    spool.close()
    monkeypatch.undo()
    with closing(tmp_path) as spool:
        assert drain(spool) == []
        assert sorted(letter.body or b"" for letter in spool.letters()) == sorted(put_in)


def test_dead_letters_pin_no_space(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=100_000)
    poison = []
    for number in range(40):
        put_in = fill(spool, 250, name=f"{number}: ", lanes=250)
        leased = spool.lease(250, NOW)
        bury(spool, leased[:1])
        poison += put_in[:1]
        deliver(spool, leased[1:])
        spool.maintain(adopt=False)
    assert sorted(letter.body or b"" for letter in spool.letters()) == sorted(poison)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.log")) < 400_000
    check_counts(spool)
    spool.close()
    with closing(tmp_path) as spool:
        assert sorted(letter.body or b"" for letter in spool.letters()) == sorted(poison)


def test_an_event_that_waits_for_hours_pins_no_space(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=100_000)
    late = []
    for number in range(20):
        for each in range(500):
            put(spool, (b"%d: %d" % (number, each)).ljust(300), lane=f"{number}: {each}")
        first, *leased = spool.lease(500, NOW)
        retry(spool, [first], FAR)
        late.append(first.body)
        deliver(spool, leased)
        spool.maintain(adopt=False)
    assert sum(path.stat().st_size for path in tmp_path.glob("*.log")) < 600_000
    assert bodies(drain(spool, now=FAR)) == late
    check_counts(spool)
    spool.close()
    assert names(tmp_path) == []


def test_however_much_waits_there_are_never_many_files(tmp_path: Path) -> None:
    with closing(tmp_path, segment_bytes=SMALL) as spool:
        put_in = fill(spool, 20_000, lanes=20_000)
        assert len(names(tmp_path, ".log")) < 130
        assert bodies(drain(spool)) == put_in


def test_what_waits_is_not_in_memory_whoever_makes_room_for_it(tmp_path: Path) -> None:
    with closing(tmp_path, segment_bytes=SMALL) as spool:
        fill(spool, 100)
        spool.lease(1, NOW)
        fill(spool, 2000)
        maps = Path("/proc/self/maps").read_text()
        assert len(names(tmp_path, ".log")) > 30
        assert sum(f"{tmp_path}/" in line for line in maps.splitlines()) < 5


def test_what_is_sent_again_by_hand_goes_before_what_came_later(tmp_path: Path) -> None:
    def work() -> None:
        spool = opened(tmp_path)
        put(spool, b"old", b"new")
        bury(spool, spool.lease(1, NOW))

    dead(work)
    (left,) = survey(str(tmp_path))
    assert (left.waiting, left.dead) == (1, 1)
    with held(str(tmp_path), left.stem, left.owner) as log:
        assert requeue(log, list(log.dead_letters()), lambda _: (("lane",), ("lane",))) == 1
    with closing(tmp_path) as spool:
        assert bodies(drain(spool)) == [b"old", b"new"]
        assert list(spool.letters()) == []


def test_all_that_waits_in_a_living_process_can_be_seen(tmp_path: Path) -> None:
    with closing(tmp_path, segment_bytes=SMALL) as spool:
        fill(spool, 300)
        retry(spool, spool.lease(2, NOW), FAR)
        bury(spool, spool.lease(1, NOW), "400")
        deliver(spool, spool.lease(1, NOW))
        before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path, ".log")}
        told, tell = os.pipe()

        def look() -> None:
            (left,) = survey(str(tmp_path))
            seen = left.is_alive, left.waiting, left.dead, len(left.put_off), left.put_off[0].reason
            os.write(tell, repr(seen).encode())

        dead(look)
        assert os.read(told, 1000).decode() == repr((True, 298, 1, 2, "503"))
        assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path, ".log")} == before
        os.close(told)
        os.close(tell)
        assert len(drain(spool, now=FAR)) == 298


# -- quota and full disks


def test_at_its_quota_put_is_refused_and_after_deliveries_there_is_room(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=32 << 10, quota_bytes=256 << 10)
    with pytest.raises(SpoolFull, match="raise the quota"):
        fill(spool, 5000)
    accepted = spool.counts().accepted
    assert 500 < accepted < 1500
    with pytest.raises(SpoolFull, match="raise the quota"):
        put(spool, b"x" * 300)
    assert spool.put([update("a", b"x" * 300)], wait=False) is None
    spool.maintain(adopt=True)
    check_counts(spool)
    for _ in range(40):
        deliver(spool, spool.lease(16, NOW))
    again = fill(spool, 20, name="again ")
    assert len(drain(spool)) == accepted - 40 * 5 + len(again)
    check_counts(spool)
    assert fill(spool, 100)
    assert len(drain(spool)) == 100
    spool.close()


def test_at_its_quota_every_event_can_still_become_a_dead_letter(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=32 << 10, quota_bytes=256 << 10)
    with pytest.raises(SpoolFull):
        fill(spool, 5000, lanes=40)
    accepted = spool.counts().accepted
    while leased := spool.lease(16, NOW):
        bury(spool, leased)
        spool.maintain(adopt=False)
    check_counts(spool)
    assert spool.counts().dead == len(list(spool.letters())) == accepted > 500
    with pytest.raises(SpoolFull, match="raise the quota"):
        fill(spool, 1000, name="more ")  # the quota holds for what is new
    drain(spool)
    spool.close()


def test_a_full_spool_is_not_looked_at_with_each_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(room.time, "monotonic", lambda: clock[0])
    tried = []

    def full(*_: object) -> None:
        tried.append(1)
        raise SpoolFull("no room")

    spool = opened(tmp_path, segment_bytes=SMALL)
    monkeypatch.setattr(Log, "new_segment", full)
    with pytest.raises(SpoolFull):
        fill(spool, 1000)
    before = len(tried)
    for _ in range(50):
        with pytest.raises(SpoolFull):
            put(spool, b"x" * 300)
    assert len(tried) == before
    assert not spool.needs_care  # or the sender would try all the time
    clock[0] += 1
    with pytest.raises(SpoolFull):
        put(spool, b"x" * 300)
    assert len(tried) > before
    spool.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    disk = tmp_path / "disk"
    disk.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", str(disk)]
    try:
        failed = subprocess.run(command, check=False, capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no disk of its own: {error}")
    if failed.returncode:
        pytest.skip(f"no disk of its own: {failed.stderr}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_on_a_disk_that_is_full_nothing_breaks_and_it_drains_once_there_is_room(small_disk: Path) -> None:
    spool = opened(small_disk / "spool")
    with pytest.raises(SpoolFull):
        fill(spool, 20_000)
    accepted = spool.counts().accepted
    assert accepted > 5000
    hog = small_disk / "hog"
    with hog.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    seen = []
    for _ in range(100):
        for event in spool.lease(16, NOW):
            seen.append(event.id)
            deliver(spool, [event])
        spool.maintain(adopt=True)
        check_counts(spool)
        try:
            put(spool, b"x" * 300, lane="new")
            accepted += 1
        except SpoolFull:
            pass
    hog.unlink()
    seen += [event.id for event in drain(spool)]
    assert len(seen) == len(set(seen)) == accepted
    assert put(spool, b"again") is not None
    assert len(drain(spool)) == 1
    spool.close()


def test_on_a_full_disk_a_poison_event_becomes_a_letter_and_its_account_goes_on(small_disk: Path) -> None:
    spool = opened(small_disk / "spool")
    with pytest.raises(SpoolFull):
        fill(spool, 20_000, lanes=50)
    accepted = spool.counts().accepted
    hog = small_disk / "hog"
    with hog.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    poison = spool.lease(50, NOW)
    bury(spool, poison, "400 Bad Request")
    spool.maintain(adopt=True)
    assert sorted(letter.body or b"" for letter in spool.letters()) == sorted(bodies(poison))
    following = spool.lease(50, NOW)
    assert {lane_of(event) for event in following} == {lane_of(event) for event in poison}
    deliver(spool, following)
    assert len(drain(spool)) == accepted - 100
    check_counts(spool)
    spool.close()
    with closing(small_disk / "spool") as spool:
        assert drain(spool) == []
        assert {letter.reason for letter in spool.letters()} == {"400 Bad Request"}
        assert len(list(spool.letters())) == 50


def test_a_disk_without_room_for_a_spool_is_told(small_disk: Path) -> None:
    (small_disk / "hog").write_bytes(bytes(2 << 20))
    spool = DiskSpool(small_disk / "spool")
    with pytest.raises(SpoolFull, match="free space"):
        spool.open(OWNER)
    assert names(small_disk / "spool") == []
    (small_disk / "hog").unlink()
    spool.open(OWNER)
    put(spool, b"1")
    assert len(drain(spool)) == 1
    spool.close()


def test_a_disk_that_fills_up_while_a_segment_is_written_anew_loses_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SpoolFull("no room")

    spool = opened(tmp_path, segment_bytes=100_000)
    fill(spool, 1000, lanes=1000)
    leased = spool.lease(1000, NOW)
    deliver(spool, leased[10:])
    with monkeypatch.context() as patch:
        patch.setattr(Segment, "create", full)
        spool.maintain(adopt=False)
        assert "the spool goes on after: no room" in caplog.text
        retry(spool, leased[:10])
    assert bodies(drain(spool)) == bodies(leased[:10])
    check_counts(spool)
    spool.close()
    assert names(tmp_path) == []


# -- whose files


def test_files_are_for_this_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    for umask in (0o022, 0):
        before = os.umask(umask)
        try:
            directory = tmp_path / f"spool {umask}"
            spool = opened(directory, segment_bytes=SMALL)
            fill(spool, 100)
            bury(spool, spool.lease(1, NOW))
            modes = {name.split(".")[-1]: (directory / name).stat().st_mode & 0o777 for name in names(directory)}
            assert modes == {"lock": 0o600, "log": 0o600}
            assert directory.stat().st_mode & 0o777 == 0o700
            spool.close()
        finally:
            os.umask(before)


def test_a_path_that_is_not_safe_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(SpoolError, match="symbolic link"):
        opened(tmp_path / "link")
    assert names(tmp_path / "outside") == []


def test_a_directory_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = DiskSpool(tmp_path / "spool")
    monkeypatch.setattr(os, "listdir", lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(SpoolError, match="Permission denied"):
        spool.open(OWNER)


def test_a_directory_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = DiskSpool(tmp_path / "spool")
    real = os.open

    def refuse(path: str, flags: int, *rest: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SpoolError, match="Read-only file system"):
        spool.open(OWNER)


def test_two_names_for_a_set_are_never_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter([b"same", b"same", b"othr", *[os.urandom(4) for _ in range(9)]])
    with monkeypatch.context() as patch:
        patch.setattr(os, "urandom", lambda _: next(numbers))
        first, second = opened(tmp_path), opened(tmp_path)
        assert len(names(tmp_path, ".lock")) == 2
    first.close()
    second.close()


def test_another_owner_never_gets_what_was_left(tmp_path: Path) -> None:
    left = leave(tmp_path, 20)
    elsewhere = OWNER._replace(endpoint="https://elsewhere.invalid/")
    for owner in (OTHER, elsewhere):
        with closing(tmp_path, owner) as spool:
            assert drain(spool) == []
    with closing(tmp_path) as spool:
        assert sorted(bodies(drain(spool))) == sorted(left)


def test_files_of_another_owner_under_our_name_are_left_alone(tmp_path: Path) -> None:
    leave(tmp_path, 100, segment_bytes=SMALL)
    (stem,) = {name.split(".")[0] for name in names(tmp_path)}
    for name in names(tmp_path):
        (tmp_path / name).unlink()
    leave(tmp_path, 100, owner=OTHER, segment_bytes=SMALL)
    theirs = names(tmp_path, ".log")
    for name in theirs:
        shutil.copy(tmp_path / name, tmp_path / f"{stem}.{name.partition('.')[2]}")
    with closing(tmp_path) as spool:
        assert drain(spool) == []
    assert len(names(tmp_path, f"{stem}.0")) == len(theirs)


def test_a_newer_version_is_left_alone_and_named_and_others_are_delivered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    leave(tmp_path, 100, segment_bytes=SMALL)
    newer = names(tmp_path, ".log")[3]
    with (tmp_path / newer).open("r+b") as file:
        head = Head.read(file.read(PAGE_BYTES))
        assert head is not None
        file.seek(0)
        file.write(head._replace(schema=99).packed())
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    left = leave(tmp_path / "second", 50)
    for name in names(tmp_path / "second"):
        shutil.move(tmp_path / "second" / name, tmp_path / name)
    (tmp_path / "second").rmdir()
    with closing(tmp_path) as spool:
        assert sorted(bodies(drain(spool))) == sorted(left)
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before
    assert caplog.text.count("newer version") == 1
    assert newer in caplog.text


# -- closing


def test_a_closed_spool_says_so_and_can_be_opened_again(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=SMALL)
    put_in = fill(spool, 100)
    out = spool.lease(3, NOW)
    retry(spool, out[:1], FAR)
    spool.close()
    check_counts(spool)
    counts = spool.counts()
    assert (counts.queued, counts.in_flight, counts.retrying) == (100, 0, 0)
    for use in (
        lambda: put(spool, b"x"),
        lambda: deliver(spool, out[1:]),
        lambda: bury(spool, out[1:]),
    ):
        with pytest.raises(SpoolClosed):
            use()
    assert spool.lease(9, NOW) == []
    assert not spool.needs_care
    assert spool.next_due() is None
    assert list(spool.letters()) == []
    assert not spool.pending_before(None)
    spool.maintain(adopt=True)
    spool.open(OWNER)
    spool.open(OWNER)
    put_in += fill(spool, 10, name="again ")
    assert sorted(bodies(drain(spool))) == sorted(put_in)
    spool.close()


def test_threads_that_put_while_it_is_closed_store_or_are_told(tmp_path: Path) -> None:
    for durability in ("process", "power"):
        spool = opened(tmp_path / durability, segment_bytes=SMALL, durability=durability)
        stored: list[bytes] = []
        started = threading.Barrier(5)

        def work(number: int, spool: DiskSpool = spool, stored: list[bytes] = stored) -> None:
            started.wait()
            if number == 4:
                _until(lambda: len(stored) > 50)
                spool.close()
                return
            for at in range(100_000):
                body = b"%d %d" % (number, at)
                try:
                    put(spool, body.ljust(200), lane=f"lane {number}")
                except SpoolClosed:
                    return
                stored.append(body)

        at_once(5, work)
        with closing(tmp_path / durability) as spool:
            assert sorted(body.strip() for body in bodies(drain(spool))) == sorted(stored)


def test_an_error_while_it_closes_does_not_keep_it_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise SpoolError("no")

    spool = opened(tmp_path, segment_bytes=SMALL)
    fill(spool, 100)
    with monkeypatch.context() as patch:
        patch.setattr(Log, "close", fails)
        with pytest.raises(SpoolError):
            spool.close()
    with pytest.raises(SpoolClosed):
        put(spool, b"x")
    spool.open(OWNER)
    spool.close()


# -- fork


def hook(spool: DiskSpool) -> int:
    """Fork as a worker does."""
    spool.before_fork()
    child = forked_plainly()
    spool.after_fork(in_child=child == 0)
    return child


def forked_plainly() -> int:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def test_a_child_inherits_nothing_and_its_parents_files_stay_whole(tmp_path: Path) -> None:
    leave_each(tmp_path / "spool", 2, 10, segment_bytes=SMALL)
    spool = opened(tmp_path / "spool", segment_bytes=SMALL)
    spool.maintain(adopt=True)
    stop = threading.Event()
    stored: list[bytes] = []

    def work(number: int) -> None:
        at = 0
        while not stop.is_set():
            body = b"%d %d" % (number, at)
            put(spool, body.ljust(200), lane=f"lane {number}")
            stored.append(body)
            at += 1

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(3)]
    for thread in threads:
        thread.start()
    children = []
    for number in range(12):
        _until(lambda number=number: len(stored) > number * 20)
        child = hook(spool)
        if child == 0:
            code = 1
            try:
                spool.open(OWNER)
                spool.maintain(adopt=True)
                assert spool.lease(99, NOW) == []
                own = fill(spool, 60)
                assert sorted(bodies(drain(spool))) == sorted(own)
                spool.close()
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    stop.set()
    for thread in threads:
        thread.join()
    assert [ended(child) for child in children] == [0] * 12
    drained = drain(spool)
    assert len(drained) == len(stored) + 20
    assert spool.counts().accepted == len(stored) + 20
    spool.close()
    assert names(tmp_path / "spool") == []


EXITS = """
import os, sys
sys.path[:0] = {path!r}
from spools import *
spool = opened({directory!r}, segment_bytes=8192)
put_in = fill(spool, 100)
deliver(spool, spool.lease(1, NOW))
spool.before_fork()
child = os.fork()
spool.after_fork(in_child=not child)
if not child:
    sys.exit(7)
assert ended(child) == 7
assert len(drain(spool)) == 99
os._exit(0)
"""


def test_a_child_that_ends_in_the_usual_way_does_not_touch_its_parents_files(tmp_path: Path) -> None:
    script = EXITS.format(path=[str(Path(__file__).parent), *sys.path], directory=str(tmp_path / "spool"))
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=60)


def test_a_child_adopts_what_its_dead_parent_left(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    result, telling = os.pipe()

    def parent() -> None:
        spool = opened(tmp_path / "spool", segment_bytes=SMALL)
        fill(spool, 100)
        child = hook(spool)
        if child == 0:
            os.read(reading, 1)  # until the parent is dead
            with closing(tmp_path / "spool") as theirs:
                os.write(telling, b"%d" % len(drain(theirs)))
            os._exit(0)

    assert ended(forked(parent)) == 0
    os.write(writing, b"!")
    os.close(telling)
    assert os.read(result, 9) == b"100"
    for fd in (reading, writing, result):
        os.close(fd)


def test_a_fork_that_no_hook_has_told_of_can_be_told_afterwards(tmp_path: Path) -> None:
    spool = opened(tmp_path / "spool")
    put(spool, b"parents")

    def child() -> None:
        spool.after_fork(in_child=True)
        spool.open(OWNER)
        assert drain(spool) == []

    dead(child)
    assert bodies(drain(spool)) == [b"parents"]
    spool.close()


def test_what_a_child_lets_go_of_stays_as_it_is(tmp_path: Path) -> None:
    """As in a child, but here, where it can be seen: nothing is closed, removed or finalized."""
    leave_each(tmp_path, 2, 10, segment_bytes=SMALL)
    spool = opened(tmp_path, segment_bytes=SMALL)
    spool.maintain(adopt=True)
    put_in = fill(spool, 100)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    spool.before_fork()
    spool.after_fork(in_child=True)
    assert spool.counts().accepted == 0
    assert spool.lease(9, NOW) == []
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before

    def other() -> None:
        with closing(tmp_path) as other:
            assert len(drain(other)) == len(put_in) + 20

    dead(other)
    DiskSpool(tmp_path).after_fork(in_child=True)  # nothing to let go of


# -- racing threads


def test_put_lease_settle_and_looking_go_on_at_once(tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=SMALL)
    done = threading.Event()
    delivered: list[Any] = []

    def work(number: int) -> None:
        if number == 0:
            while not (done.is_set() and not spool.pending_before(None)):
                spool.maintain(adopt=False)
                leased = spool.lease(16, FAR)
                retry(spool, [event for event in leased if event.attempts == 0 and event.id % 7 == 0], 0.0)
                rest = [event for event in leased if event.attempts or event.id % 7]
                bury(spool, [event for event in rest if event.id % 11 == 0])
                deliver(spool, [event for event in rest if event.id % 11])
                delivered.extend(rest)
        elif number < 4:
            try:
                for at in range(400):
                    put(spool, b"%d" % at + b" " * 200, lane=f"lane {number}")
                    if at % 50 == 0:
                        spool.put([refusal("why")])
            finally:
                counted.release()
                if number == 3:
                    for _ in range(3):
                        counted.acquire()
                    done.set()
        else:
            while not done.is_set():
                check_counts(spool)
                spool.pending_before(spool.mark())
                list(spool.letters())

    counted = threading.Semaphore(0)
    at_once(6, work)
    lanes = by_lane(delivered)
    assert {lane: [int(body) for body in each] for lane, each in lanes.items()} == {
        f"lane {number}": list(range(400)) for number in (1, 2, 3)
    }
    counts = spool.counts()
    assert counts.accepted == 1224
    assert len(list(spool.letters())) == counts.dead
    spool.close()


# -- recovering in the middle


def test_a_dead_letter_that_was_not_struck_off_yet_is_not_sent_again(tmp_path: Path) -> None:
    def work() -> None:
        spool = opened(tmp_path)
        put(spool, b"1", b"2")
        Segment.strike = lambda *_: os._exit(0)  # type: ignore[assignment, method-assign]
        bury(spool, spool.lease(1, NOW))

    dead(work)
    with closing(tmp_path) as spool:
        assert bodies(drain(spool)) == [b"2"]
        assert [letter.body for letter in spool.letters()] == [b"1"]


def test_files_that_cannot_be_recovered_are_left_and_new_ones_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    leave(tmp_path, 100, segment_bytes=SMALL)

    def full(_: Log) -> None:
        raise SpoolFull("no room")

    before = len(names(tmp_path, ".lock"))
    monkeypatch.setattr(Log, "recover", full)
    spool = opened(tmp_path)
    assert len(names(tmp_path, ".lock")) == before + 1
    put(spool, b"new")
    assert bodies(drain(spool)) == [b"new"]
    assert caplog.text.count("what another process left is not delivered: no room") == 1
    monkeypatch.undo()
    assert len(drain(spool)) == 100
    spool.close()


def test_a_lock_that_was_deleted_does_not_make_its_files_orphans(tmp_path: Path) -> None:
    left = leave(tmp_path, 100, segment_bytes=SMALL)
    (tmp_path / names(tmp_path, ".lock")[0]).unlink()
    with closing(tmp_path) as spool:
        assert sorted(bodies(drain(spool))) == sorted(left)


def test_a_lock_that_cannot_be_made_again_leaves_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(tmp_path, 10)
    (lock,) = names(tmp_path, ".lock")
    (tmp_path / lock).unlink()
    real = os.open

    def refuse(path: str, flags: int, *rest: Any) -> int:
        if str(path).endswith(lock):
            raise OSError(30, "Read-only file system")
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)
    with closing(tmp_path) as spool:
        assert drain(spool) == []


def test_a_large_log_becomes_no_own_one_but_is_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = leave(tmp_path, 100, segment_bytes=SMALL)
    monkeypatch.setattr(state, "_SOON_READ_BYTES", 1000)
    with closing(tmp_path) as spool:
        assert spool.counts().accepted == 0
        assert sorted(bodies(drain(spool))) == sorted(left)
    assert names(tmp_path) == []


def test_a_segment_says_whose_it_is(tmp_path: Path) -> None:
    leave(tmp_path, 1)
    data = (tmp_path / names(tmp_path, ".log")[0]).read_bytes()
    head = Head.read(data)
    assert head is not None
    assert head.text.decode() == "\n".join(OWNER)
    assert survey_of(data).waiting == 1


# -- damage that appears while the spool is open


def scribble(path: Path, at: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(size))


def test_pages_that_are_lost_while_it_is_open_cost_no_more_than_what_was_in_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = opened(tmp_path, segment_bytes=64 << 10)
    put_in = fill(spool, 2000, lanes=50)
    out = spool.lease(20, NOW)
    logs = names(tmp_path, ".log")
    for number, page in ((2, 3), (2, 4), (5, 9), (7, 2)):
        scribble(tmp_path / logs[number], page * 4096, 4096)
    retry(spool, out[:10])
    deliver(spool, out[10:])
    drained = bodies(drain(spool)) + bodies(out[10:])
    assert set(drained) <= set(put_in)
    assert len(set(drained)) == len(drained) > 1900
    spool.maintain(adopt=False)
    counts = spool.counts()
    check_counts(spool)
    assert counts.dead == 2000 - len(drained) > 10
    assert (counts.queued, counts.in_flight) == (0, 0)
    assert not spool.pending_before(None)
    assert "could not be read from a damaged spool file" in caplog.text
    spool.close()


def test_a_body_that_changes_on_the_disk_becomes_a_dead_letter_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = opened(tmp_path, segment_bytes=SMALL)
    put_in = fill(spool, 200)
    for name in names(tmp_path, ".log")[1:]:
        data = (tmp_path / name).read_bytes()
        for body in put_in[::10]:
            if body in data:
                scribble(tmp_path / name, data.index(body), 2)
    drained = drain(spool)
    assert all(len(body) == 300 for body in bodies(drained))
    letters = list(spool.letters())
    assert len(letters) > 10
    assert len(drained) + len(letters) == 200
    assert all(letter.body is None and "damaged on the disk" in letter.reason for letter in letters)
    check_counts(spool)
    assert caplog.text.count("damaged on the disk") == 1
    spool.close()


@pytest.mark.parametrize("sealed", [False, True])
def test_a_record_that_changes_after_its_first_try_becomes_a_dead_letter(tmp_path: Path, sealed: bool) -> None:
    spool = opened(tmp_path, segment_bytes=SMALL)
    put_in = fill(spool, 10)
    path = tmp_path / names(tmp_path, ".log")[0]
    scribble(path, path.read_bytes().index(put_in[4]), 100)
    retry(spool, spool.lease(16, NOW))  # what goes out for the first time is in memory still
    if sealed:
        fill(spool, 50, name="more ")
    drained = bodies(drain(spool))
    assert put_in[4] not in drained
    assert len(drained) == (59 if sealed else 9)
    assert [letter.body for letter in spool.letters()] == [None]
    check_counts(spool)
    spool.close()


def test_what_was_taken_from_its_lane_goes_back_if_it_cannot_be_read_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path, segment_bytes=SMALL)
    put_in = fill(spool, 200)
    with monkeypatch.context() as patch:
        retry(spool, spool.lease(16, NOW))  # what goes out for the first time is in memory still
        patch.setattr(Segment, "read", lambda *_: (_ for _ in ()).throw(SpoolError("not now")))
        for _ in range(3):
            with pytest.raises(SpoolError):
                spool.lease(16, NOW)
        assert spool.counts().in_flight == 0
    assert sorted(bodies(drain(spool))) == sorted(put_in)
    spool.close()


def test_a_segment_that_cannot_be_opened_now_is_read_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = leave(tmp_path, 200, segment_bytes=SMALL)
    spool = opened(tmp_path, segment_bytes=SMALL)

    def none_left(*_: object) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr("totango_sdk.spool.mapped.open_plain", none_left)
        with pytest.raises(SpoolError, match="ulimit -n"):
            spool.lease(16, NOW)
        assert spool.pending_before(None)
        check_counts(spool)
    assert sorted(bodies(drain(spool))) == sorted(left)
    spool.close()


def test_care_that_fails_is_told_and_the_rest_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    left = leave_each(tmp_path, 2, 10)[0]
    spool = opened(tmp_path)
    monkeypatch.setattr(Room, "clear", lambda *_: (_ for _ in ()).throw(SpoolError("untidy")))
    assert len(drain(spool)) == 2 * len(left)
    assert caplog.text.count("untidy") == 1
    monkeypatch.undo()
    spool.close()


def test_a_killed_process_says_nothing_and_loses_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()

    def work() -> None:
        spool = opened(tmp_path / "spool", segment_bytes=SMALL)
        for number in range(1_000_000):
            os.write(writing, b"%s\n" % (put(spool, b"%d" % number) or "").encode())

    child = forked(work)
    os.close(writing)
    with open(reading, "rb") as pipe:
        for _ in range(300):
            pipe.readline()
        os.kill(child, signal.SIGKILL)
        rest = pipe.read()
    assert ended(child) == -signal.SIGKILL
    told = 300 + rest.count(b"\n")
    with closing(tmp_path / "spool") as spool:
        found = bodies(drain(spool))
    assert found[:told] == [b"%d" % number for number in range(told)]
    assert len(found) <= told + 1

"""One file of the log: what is written there is read back, whatever became of it."""

from __future__ import annotations

import errno
import os
import random
import struct
from typing import TYPE_CHECKING

import pytest

from totango_sdk.errors import SpoolFull
from totango_sdk.spool.mapped import PAGE_BYTES
from totango_sdk.spool.records import (
    EVENT,
    RECORD_BYTES,
    REFUSED,
    SCHEMA,
    SETTLED,
    GivenUp,
    Head,
    record_at,
    survey_of,
    walk,
)
from totango_sdk.spool.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from totango_sdk.spool.records import Record

TEXT = b"SP-0000-01\nhttps://collector.invalid"
SIZE = PAGE_BYTES + 8192
NAMES = b"\x010\nlane"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.log"


@pytest.fixture
def segment(path: Path) -> Iterator[Segment]:
    made = Segment.create(None, str(path), Head(TEXT, SIZE, 5), "process")
    yield made
    made.file.close()


def add(segment: Segment, *ids: int, body: bytes = b"body of %d", kind: int = EVENT) -> list[int]:
    """Append some, and return where they stand."""
    places = []
    for event_id in ids:
        text = body % event_id if body.endswith(b"%d") else body
        assert segment.has_room(len(text) + len(NAMES), 1)
        places.append(segment.append(event_id, kind, NAMES, text, 1.5))
    return places


def alive(data: bytes) -> list[Record]:
    """What is alive in the bytes of a file, as far as it can be read."""
    spots = [spot for spot in walk(data, PAGE_BYTES, len(data)) if spot.state != SETTLED]
    found = [record_at(data, spot.at, len(data)) for spot in spots]
    return [record for record in found if record is not None]


def ids(data: bytes) -> list[int]:
    return [record.id for record in alive(data)]


def test_what_was_written_is_in_the_file_at_once_and_byte_for_byte(segment: Segment, path: Path) -> None:
    (at,) = add(segment, 7, body=bytes(range(256)))
    add(segment, 8, kind=REFUSED)
    data = path.read_bytes()
    event, letter = alive(data)
    assert event == (7, NAMES.decode(), bytes(range(256)), EVENT, 1.5, 0, "")
    assert (letter.id, letter.kind) == (8, REFUSED)
    found = survey_of(data)
    assert (found.last_id, found.is_damaged, found.waiting, found.letters) == (8, False, 1, 1)
    assert segment.read(at) == event
    assert [record for _, record in segment.letter_records()] == [letter]


def test_why_an_event_has_to_be_tried_again_can_be_seen_from_outside(segment: Segment, path: Path) -> None:
    for event_id, at in enumerate(add(segment, *range(1, 21)), 1):
        segment.put_off(at, 300 if event_id == 1 else 2, f"reason {event_id}, {'é' * 200}")
    records = alive(path.read_bytes())
    assert [record.attempts for record in records] == [255, *[2] * 19]
    assert [record.reason.split(",")[0] for record in records[:10]] == [f"reason {number}" for number in range(1, 11)]
    assert {record.reason[:9] for record in records[10:]} == {"reason 20"}


def test_reasons_of_an_earlier_process_are_kept(segment: Segment, path: Path) -> None:
    first, second, _ = add(segment, 1, 2, 3)
    segment.bury(first, 1, "400")
    segment.put_off(second, 1, "503")
    other = Segment(None, str(path), Head(b"", 0))
    other.survey()
    row = other.pull(other.tail, 9, 9999)[-1]
    other.put_off(row[5], 1, "timed out")
    assert [record.reason for record in alive(path.read_bytes())] == ["400", "503", "timed out"]
    other.file.close()


def test_what_is_struck_off_is_gone_and_its_id_is_not_given_again(segment: Segment, path: Path) -> None:
    first, second, third = add(segment, 11, 12, 13)
    segment.strike(first)
    segment.strike(third)
    assert ids(path.read_bytes()) == [12]
    assert survey_of(path.read_bytes()).last_id == 13
    assert (segment.alive, segment.is_empty) == (1, False)
    segment.strike(second)
    assert segment.is_empty


def test_what_is_buried_where_it_stands_is_a_letter(segment: Segment, path: Path) -> None:
    first, _ = add(segment, 1, 2)
    segment.bury(first, 3, "400")
    found = survey_of(path.read_bytes())
    assert (found.waiting, found.letters) == (1, 1)
    ((at, record),) = segment.letter_records()
    assert (record.id, record.attempts, record.reason, record.body) == (1, 3, "400", b"body of 1")
    segment.strike_letter(at)
    assert survey_of(path.read_bytes()).letters == 0


@pytest.mark.parametrize("body", [b"", b"body", None])
def test_what_is_kept_of_an_event_that_was_given_up_is_read_back(body: bytes | None) -> None:
    letter = GivenUp(1.5, 70_000, "refused: \N{SNOWMAN}", body)
    assert GivenUp.read(letter.packed()) == letter


def test_events_are_pulled_in_order_and_once(segment: Segment) -> None:
    places = add(segment, *range(1, 41))
    segment.strike(places[0])
    segment.pulled += 1
    rows = segment.pull(segment.tail, 10, 10_000)
    assert [row[0] for row in rows] == list(range(2, 12))
    rows = segment.pull(segment.tail, 100, 10_000)
    assert [row[0] for row in rows] == list(range(12, 41))
    assert segment.pull(segment.tail, 100, 10_000) == []
    assert rows[0][1:5] == (("lane",), (), b"body of 12", 1.5)


def test_records_of_an_earlier_use_are_neither_alive_nor_damage(segment: Segment, path: Path) -> None:
    chance = random.Random(1)
    last, places = 5, {}  # type: ignore[var-annotated]
    for _ in range(600):
        body = b"x" * chance.randrange(1, 900)
        if not segment.has_room(len(body) + len(NAMES), 1):
            for at in places.values():
                segment.strike(at)
            places = {}
            path = path.with_name(f"{last}.log")
            segment.begin_again(str(path), last)
            assert survey_of(path.read_bytes())[1:7] == (PAGE_BYTES, 0, 0, 0, last, False)
        last += 1
        (at,) = add(segment, last, body=body)
        if chance.random() < 0.5:
            segment.strike(at)
        else:
            places[last] = at
        found = survey_of(path.read_bytes())
        assert ids(path.read_bytes()) == sorted(places)
        assert (found.is_damaged, found.last_id, found.waiting) == (False, last, len(places))


def test_a_record_that_was_being_written_is_neither_alive_nor_damage(segment: Segment, path: Path) -> None:
    (first,) = add(segment, 1)
    before = path.read_bytes()
    (start,) = add(segment, 2)
    after = path.read_bytes()
    for cut in range(8, segment.tail - start):  # no processor copies less at once
        torn = bytearray(before)
        torn[start : start + cut] = after[start : start + cut]
        torn[start + 4] = SETTLED  # it comes to life last
        assert ids(bytes(torn)) == [1]
        found = survey_of(bytes(torn))
        assert (found.is_damaged, found.waiting) == (False, 1)
    alive_behind_the_end = bytearray(after)
    alive_behind_the_end[PAGE_BYTES - 8 : PAGE_BYTES] = before[PAGE_BYTES - 8 : PAGE_BYTES]
    found = survey_of(bytes(alive_behind_the_end))
    assert (found.is_damaged, found.waiting, found.tail) == (False, 2, segment.tail)


def test_what_a_signal_handler_broke_off_is_counted_again(segment: Segment) -> None:
    add(segment, 1)
    before = segment.tail, segment.events, segment.letters
    add(segment, 2, 3)
    tail = segment.tail
    segment.tail, segment.events = before[0], 17
    assert [spot.id for spot in segment.recount(*before)] == [2, 3]
    assert (segment.tail, segment.events, segment.letters) == (tail, 3, 0)


def test_a_record_that_changed_is_not_given_back(segment: Segment, path: Path) -> None:
    first, _ = add(segment, 1, 2)
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(data.index(b"body of 1"))
        file.write(b"b0dy")
    assert segment.read(first) is None
    assert segment.damaged() == 1
    assert [row[:4] for row in segment.pull(segment.tail, 9, 10_000)] == [
        (1, (), (), None),
        (2, ("lane",), (), b"body of 2"),
    ]
    assert ids(path.read_bytes()) == [2]
    assert survey_of(path.read_bytes()).is_damaged


@pytest.mark.parametrize("at", range(RECORD_BYTES))
def test_no_flipped_bit_in_a_record_goes_unnoticed(segment: Segment, path: Path, at: int) -> None:
    places = add(segment, 1, 2, 3)
    whole = alive(path.read_bytes())
    for number, place in enumerate(places):
        data = bytearray(path.read_bytes())
        data[place + at] ^= 1 << at % 8
        found = alive(bytes(data))
        if [record[:5] for record in found] == [record[:5] for record in whole]:
            # The state, of which one bit is not enough, what is only to be looked at, and what is unused.
            assert at in (4, 5, 6, 7)
        else:
            assert survey_of(bytes(data)).is_damaged
            assert found == whole[:number] + whole[number + 1 :]


def test_damage_to_the_end_is_noticed_too(segment: Segment, path: Path) -> None:
    _, second, _ = add(segment, 1, 2, 3)
    data = bytearray(path.read_bytes())
    data[second:] = bytes(len(data) - second)
    assert survey_of(bytes(data)).is_damaged


def test_a_gap_before_what_is_struck_off_is_damage(segment: Segment, path: Path) -> None:
    _, second = add(segment, 1, 2)
    segment.strike(second)
    data = bytearray(path.read_bytes())
    data[PAGE_BYTES] = 0
    assert alive(bytes(data)) == []
    assert survey_of(bytes(data)).is_damaged


@pytest.mark.parametrize("size", [0, 1, 11, 100, PAGE_BYTES, PAGE_BYTES + 4, PAGE_BYTES + 20, PAGE_BYTES + 900])
def test_what_was_cut_short_is_damaged(segment: Segment, path: Path, size: int) -> None:
    add(segment, *range(1, 40))
    data = path.read_bytes()[:size]
    assert survey_of(data).is_damaged
    assert ids(data) == list(range(1, len(ids(data)) + 1))


def test_records_are_found_without_the_head(segment: Segment, path: Path) -> None:
    add(segment, 1, 2)
    data = path.read_bytes()
    for broken in (
        bytes(PAGE_BYTES) + data[PAGE_BYTES:],
        data[:20] + b"\xff\xff" + data[22:],
        data[:40] + b"?" + data[41:],
        data[: PAGE_BYTES - 8] + bytes(8) + data[PAGE_BYTES:],
    ):
        found = survey_of(broken)
        assert (found.waiting, found.is_damaged) == (2, True)


def test_the_head_says_whose_it_is(segment: Segment, path: Path) -> None:
    assert Head.read(path.read_bytes()[:PAGE_BYTES]) == (TEXT, SIZE, 5, SCHEMA)
    assert Head.read(b"") is None


def test_a_copy_has_what_is_alive_and_no_more(segment: Segment, path: Path) -> None:
    places = add(segment, *range(1, 41))
    for at in places[::2]:
        segment.strike(at)
    segment.put_off(places[1], 2, "503")
    segment.bury(places[3], 1, "400")
    copy, there = segment.copy(None, str(path), "process", in_lanes={2})
    assert path.stat().st_size < SIZE / 2
    assert sorted(there) == [number for number in range(2, 41, 2) if number != 4]
    assert (copy.alive, copy.pulled, copy.letters) == (19, 1, 1)
    first = copy.read(there[2])
    assert first is not None
    assert (first.attempts, first.reason) == (2, "503")
    assert [row[0] for row in copy.pull(copy.tail, 99, 9999)] == sorted(there)[1:]
    assert not survey_of(path.read_bytes()).is_damaged
    copy.file.close()


def test_the_room_on_the_disk_is_taken_when_the_file_is_made(path: Path, segment: Segment) -> None:
    assert os.stat(path).st_blocks * 512 >= SIZE


def test_where_room_cannot_be_reserved_it_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    segment = Segment.create(None, str(path), Head(TEXT, PAGE_BYTES + 5000), "power")
    add(segment, 1)
    segment.file.sync()
    assert path.stat().st_size == PAGE_BYTES + 5000
    assert ids(path.read_bytes()) == [1]
    segment.file.close()


def test_a_disk_without_room_is_told_and_nothing_is_left(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    before = set(os.listdir("/dev/fd"))
    with pytest.raises(SpoolFull, match="free space"):
        Segment.create(None, str(path), Head(TEXT, SIZE), "process")
    assert set(os.listdir("/dev/fd")) == before
    assert os.listdir(path.parent) == []


def test_bodies_that_look_like_records_are_not_taken_for_any(segment: Segment, path: Path) -> None:
    (at,) = add(segment, 1)
    record = path.read_bytes()[at : segment.tail]
    segment.strike(at)
    add(segment, 2, body=record)
    data = path.read_bytes()
    assert [each.body for each in alive(data)] == [record]
    assert not survey_of(data).is_damaged


def test_any_garbage_is_read_without_an_error(path: Path, segment: Segment) -> None:
    add(segment, *range(1, 60))
    whole = path.read_bytes()
    bodies = {record.body for record in alive(whole)}
    chance = random.Random(3)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data))
            data[at : at + 8] = struct.pack("<Q", chance.getrandbits(64))[: len(data) - at]
        damaged = bytes(data[: chance.randrange(len(data))])
        survey_of(damaged)
        assert {record.body for record in alive(damaged)} <= bodies

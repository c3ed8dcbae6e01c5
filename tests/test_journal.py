from __future__ import annotations

import errno
import os
import random
import struct
from typing import TYPE_CHECKING

import pytest

from totango_sdk.spool.journal import Journal
from totango_sdk.spool.paths import create_file
from totango_sdk.spool.records import PAGE_BYTES, SCHEMA, checksum, read_header, recover

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEXT = b"SP-0000-01\nhttps://collector.invalid"
SEGMENT = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    made = Journal(create_file(str(path)), TEXT, SEGMENT)
    yield made
    made.close()


def add(journal: Journal, *ids: int, body: bytes = b"body of %d", is_letter: bool = False) -> None:
    for event_id in ids:
        text = body % event_id if body.endswith(b"%d") else body
        assert journal.has_room(len(text) + 4, 1)
        journal.append(event_id, b"lane", text, is_letter, 1.5)


def found(path: Path) -> list[int]:
    return [record.id for record in recover(path.read_bytes()).records]


def test_what_was_written_is_in_the_file_at_once_and_byte_for_byte(journal: Journal, path: Path) -> None:
    add(journal, 7, body=bytes(range(256)))
    add(journal, 8, is_letter=True)
    recovered = recover(path.read_bytes())
    event, letter = recovered.records
    assert event == (7, "lane", bytes(range(256)), False, 1.5, 0, "")
    assert (letter.id, letter.is_letter) == (8, True)
    assert (recovered.last_id, recovered.damaged) == (8, False)
    assert journal.read(7) == event
    assert journal.letters() == [letter]


def test_why_an_event_has_to_be_tried_again_can_be_seen_from_outside(journal: Journal, path: Path) -> None:
    add(journal, *range(1, 21))
    for event_id in range(1, 21):
        journal.put_off(event_id, 300 if event_id == 1 else 2, f"reason {event_id}, {'é' * 200}")
    journal.put_off(99, 1, "not here")
    records = recover(path.read_bytes()).records
    assert [record.attempts for record in records] == [255, *[2] * 19]
    assert [record.reason.split(",")[0] for record in records[:10]] == [f"reason {number}" for number in range(1, 11)]
    assert {record.reason[:9] for record in records[10:]} == {"reason 20"}


def test_what_is_struck_off_is_gone_and_its_id_is_not_given_again(journal: Journal, path: Path) -> None:
    add(journal, 1, 2, 3)
    assert journal.oldest == 1
    assert journal.strike(1)
    assert journal.strike(3)
    assert not journal.strike(3)
    assert (journal.oldest, journal.holds(2), journal.holds(3), journal.read(3)) == (2, True, False, None)
    assert found(path) == [2]
    assert recover(path.read_bytes()).last_id == 3
    journal.strike(2)
    assert journal.is_empty
    assert journal.oldest is None


def test_a_full_segment_is_sealed_and_the_other_one_goes_on(journal: Journal, path: Path) -> None:
    assert journal.could_fit(SEGMENT - 48, 1)
    assert not journal.could_fit(SEGMENT - 47, 1)
    add(journal, 1, 2)
    assert not journal.has_room(SEGMENT, 1)
    assert journal.switch()
    add(journal, 3)
    assert not journal.switch()
    assert journal.sealed_ids() == [1, 2]
    assert journal.oldest == 1
    journal.strike(1)
    assert found(path) == [2, 3]
    journal.moved([2])
    assert (journal.sealed_count, found(path)) == (0, [3])
    journal.unseal()
    assert journal.read(2) is None
    assert found(path) == [3]
    assert journal.switch()


def test_records_of_earlier_rounds_are_neither_alive_nor_damage(journal: Journal, path: Path) -> None:
    chance = random.Random(1)
    last, alive = 0, {0: [], 1: []}  # type: ignore[var-annotated]
    for _ in range(400):
        body = b"x" * chance.randrange(1, 900)
        if not journal.has_room(len(body) + 4, 1):
            journal.switch()
            sealed = journal.sealed
            assert sealed is not None
            assert journal.sealed_ids() == alive[sealed]
            alive[sealed] = []
            journal.moved(journal.sealed_ids())
            journal.unseal()
        last += 1
        add(journal, last, body=body)
        if chance.random() < 0.5:
            journal.strike(last)
        else:
            alive[journal._active].append(last)
        recovered = recover(path.read_bytes())
        assert [record.id for record in recovered.records] == sorted(alive[0] + alive[1])
        assert (recovered.damaged, recovered.last_id) == (False, last)


def test_a_record_that_was_being_written_is_neither_alive_nor_damage(journal: Journal, path: Path) -> None:
    add(journal, 1)
    before = path.read_bytes()
    add(journal, 2)
    after = path.read_bytes()
    start = PAGE_BYTES + 8 + 40 + len(b"lanebody of 1")
    for cut in range(8, 40 + len(b"lanebody of 2")):  # no processor copies less at once
        torn = bytearray(before)
        torn[start : start + cut] = after[start : start + cut]
        torn[start + 4] = 0x5A  # it comes to life last
        recovered = recover(bytes(torn))
        assert [record.id for record in recovered.records] == [1]
        assert not recovered.damaged


def test_a_record_that_changed_is_not_given_back(journal: Journal, path: Path) -> None:
    add(journal, 1, 2)
    data = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(data.index(b"body of 1"))
        file.write(b"b0dy")
    assert journal.read(1) is None
    assert journal.holds(1)
    recovered = recover(path.read_bytes())
    assert [record.id for record in recovered.records] == [2]
    assert recovered.damaged


@pytest.mark.parametrize("at", range(40))
def test_no_flipped_bit_in_a_record_goes_unnoticed(journal: Journal, path: Path, at: int) -> None:
    add(journal, 1, 2, 3)
    whole = recover(path.read_bytes()).records
    for number in range(3):
        data = bytearray(path.read_bytes())
        data[PAGE_BYTES + 8 + number * (40 + 13) + at] ^= 1 << at % 8
        recovered = recover(bytes(data))
        if [record[:5] for record in recovered.records] == [record[:5] for record in whole]:
            # The state, of which one bit is not enough, what is only to be looked at, and what is unused.
            assert at in (4, 5, 6, 7)
        else:
            assert recovered.damaged
            assert recovered.records == whole[:number] + whole[number + 1 :]


def test_damage_to_the_end_is_noticed_too(journal: Journal, path: Path) -> None:
    add(journal, 1, 2, 3)
    data = bytearray(path.read_bytes())
    cut = data.index(b"body of 2")
    data[cut - 60 : PAGE_BYTES + SEGMENT] = bytes(PAGE_BYTES + SEGMENT - cut + 60)
    assert recover(bytes(data)).damaged


def test_a_gap_before_what_is_struck_off_is_damage(journal: Journal, path: Path) -> None:
    add(journal, 1, 2)
    journal.strike(2)
    data = bytearray(path.read_bytes())
    data[PAGE_BYTES + 8] = 0
    recovered = recover(bytes(data))
    assert (recovered.records, recovered.damaged) == ([], True)


@pytest.mark.parametrize("size", [0, 1, 11, 100, PAGE_BYTES, PAGE_BYTES + 4, PAGE_BYTES + 20, PAGE_BYTES + 900])
def test_what_was_cut_short_is_damaged(journal: Journal, path: Path, size: int) -> None:
    add(journal, *range(1, 40))
    recovered = recover(path.read_bytes()[:size])
    assert recovered.damaged
    assert [record.id for record in recovered.records] == list(range(1, len(recovered.records) + 1))


def test_records_are_found_without_the_header_and_in_both_segments(journal: Journal, path: Path) -> None:
    add(journal, 1)
    journal.switch()
    add(journal, 2)
    data = path.read_bytes()
    for broken in (
        bytes(PAGE_BYTES) + data[PAGE_BYTES:],
        data[:20] + b"\xff\xff" + data[22:],
        data[:30] + b"?" + data[31:],
    ):
        assert read_header(broken) is None
        recovered = recover(broken)
        assert [record.id for record in recovered.records] == [1, 2]
        assert recovered.damaged


def test_the_header_says_whose_it_is(journal: Journal, path: Path) -> None:
    assert read_header(path.read_bytes()[:PAGE_BYTES]) == (TEXT, SCHEMA, SEGMENT)
    assert read_header(b"") is None


def test_a_checksum_changes_with_every_part() -> None:
    row = {"event_id": 1 << 40, "lane": "lane", "body": b"body", "accepted_at": 1.0}
    changed = [{"event_id": 1}, {"lane": "Lane"}, {"body": b"bodi"}, {"accepted_at": 2.0}]
    changed.append({"lane": "laneb", "body": b"ody"})
    assert len({checksum(**row), *(checksum(**{**row, **change}) for change in changed)}) == 6


def test_the_room_on_the_disk_is_taken_when_the_file_is_made(path: Path, journal: Journal) -> None:
    assert os.stat(path).st_blocks * 512 >= PAGE_BYTES + 2 * SEGMENT


def test_where_room_cannot_be_reserved_it_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    journal = Journal(create_file(str(path)), TEXT, 5000)
    add(journal, 1)
    assert path.stat().st_size == PAGE_BYTES + 10_000
    assert found(path) == [1]
    journal.close()


def test_a_disk_without_room_is_told_and_the_file_is_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    fd = create_file(str(path))
    with pytest.raises(OSError, match="full"):
        Journal(fd, TEXT, SEGMENT)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_bodies_that_look_like_records_are_not_taken_for_any(journal: Journal, path: Path) -> None:
    add(journal, 1)
    record = path.read_bytes()[PAGE_BYTES + 8 : PAGE_BYTES + 8 + 53]
    journal.strike(1)
    add(journal, 2, body=record)
    recovered = recover(path.read_bytes())
    assert [each.body for each in recovered.records] == [record]
    assert not recovered.damaged


def test_syncing_goes_to_the_disk(journal: Journal) -> None:
    add(journal, 1)
    journal.sync()


def test_any_garbage_is_read_without_an_error(path: Path, journal: Journal) -> None:
    add(journal, *range(1, 60))
    whole = path.read_bytes()
    bodies = {record.body for record in recover(whole).records}
    chance = random.Random(3)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data))
            data[at : at + 8] = struct.pack("<Q", chance.getrandbits(64))[: len(data) - at]
        recovered = recover(bytes(data[: chance.randrange(len(data))]))
        assert {record.body for record in recovered.records} <= bodies

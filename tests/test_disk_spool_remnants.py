"""What a process leaves that stored an event or two, as RQ's work horses do: it is adopted as it lies there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from spools import (
    NOW,
    OWNER,
    bodies,
    bury,
    check_counts,
    closing,
    dead,
    deliver,
    drain,
    fill,
    leave,
    names,
    opened,
    put,
    retry,
)

from totango_sdk.spool import DiskSpool, Item

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = 8192


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[DiskSpool]:
    spool = opened(tmp_path, segment_bytes=SMALL)
    yield spool
    spool.close()


def adopt(spool: DiskSpool, directory: Path, count: int = 3, **sizes: Any) -> list[bytes]:
    """Let another process store a little and end without a word, and adopt that."""
    left = leave(directory, count, **sizes)
    spool.maintain(adopt=True)
    return left


def test_little_is_adopted_where_it_lies_and_goes_with_its_delivery(spool: DiskSpool, tmp_path: Path) -> None:
    left = adopt(spool, tmp_path)
    assert len(names(tmp_path, ".log")) == 2
    assert spool.counts().queued == 3
    assert spool.counts().oldest_at is not None
    assert spool.pending_before(0)
    assert bodies(drain(spool, adopt=False)) == left
    assert len(names(tmp_path, ".log")) == 1
    assert len(names(tmp_path, ".lock")) == 1


def test_what_was_delivered_or_given_up_of_it_is_not_sent_by_the_next_process(tmp_path: Path) -> None:
    left = leave(tmp_path, 4)

    def adopts_and_dies() -> None:
        spool = opened(tmp_path, segment_bytes=SMALL)  # takes what was left for its own
        drain(spool)
        adopt(spool, tmp_path, 4)
        out = spool.lease(3, NOW)
        deliver(spool, out[:1])
        spool.maintain(adopt=False)
        retry(spool, out[1:2])
        deliver(spool, out[2:])
        spool.maintain(adopt=False)
        bury(spool, spool.lease(1, NOW))
        spool.maintain(adopt=False)

    dead(adopts_and_dies)
    with closing(tmp_path) as spool:
        assert bodies(drain(spool)) == left[3:]
        assert [letter.body for letter in spool.letters()] == left[1:2]


def test_an_event_of_it_that_is_given_up_is_a_letter_and_the_others_go(spool: DiskSpool, tmp_path: Path) -> None:
    left = adopt(spool, tmp_path)
    out = spool.lease(1, NOW)
    bury(spool, out)
    check_counts(spool)
    assert bodies(drain(spool, adopt=False)) == left[1:]
    assert [letter.body for letter in spool.letters()] == bodies(out)
    assert len(names(tmp_path, ".lock")) == 1


def test_letters_of_it_move_over(spool: DiskSpool, tmp_path: Path) -> None:
    def refuses_one() -> None:
        brief = DiskSpool(tmp_path)
        brief.be_brief()
        brief.open(OWNER)
        brief.put([Item(b'{"reason": "no ID"}', is_letter=True)])
        put(brief, b"body")

    dead(refuses_one)
    spool.maintain(adopt=True)
    assert len(list(spool.letters())) == 1
    assert bodies(drain(spool, adopt=False)) == [b"body"]
    assert len(names(tmp_path, ".lock")) == 1
    assert len(list(spool.letters())) == 1


def test_it_goes_before_ours_and_is_given_back_when_the_spool_closes(spool: DiskSpool, tmp_path: Path) -> None:
    ours = fill(spool, 3, lanes=1)
    left = adopt(spool, tmp_path, lanes=1)
    first = spool.lease(1, NOW)
    assert bodies(first) == left[:1]
    retry(spool, first)
    spool.close()
    with closing(tmp_path) as following:
        assert sorted(bodies(drain(following))) == sorted([*left, *ours])


def test_a_fork_leaves_it_to_the_parent(spool: DiskSpool, tmp_path: Path) -> None:
    left = adopt(spool, tmp_path)
    spool.before_fork()
    child = os.fork()
    spool.after_fork(in_child=child == 0)
    if child == 0:
        spool.open(OWNER)
        spool.maintain(adopt=True)
        os._exit(spool.counts().accepted)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert bodies(drain(spool, adopt=False)) == left


@pytest.mark.parametrize("at", [0, 2600, 4070, 4090, 4096, 4104, 4108, 4116, 4200, 4900])
def test_what_is_damaged_of_it_is_told_and_the_rest_is_delivered(at: int, spool: DiskSpool, tmp_path: Path) -> None:
    before = names(tmp_path, ".log")
    left = leave(tmp_path, 3)
    (log,) = [name for name in names(tmp_path, ".log") if name not in before]
    data = bytearray((tmp_path / log).read_bytes())
    data[at] ^= 0x10
    (tmp_path / log).write_bytes(data)
    spool.maintain(adopt=True)
    found = bodies(drain(spool, adopt=False))
    assert set(found) <= set(left)
    assert len(found) >= 2
    assert len(found) == 3 or names(tmp_path, ".corrupt-")

"""A process that starts again and again while nothing leaves: it takes no more room than what waits, and little time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from spools import OWNER, bodies, check_counts, closing, dead, drain, opened, put

from totango_sdk.spool.segment import SEGMENT_BYTES

if TYPE_CHECKING:
    from pathlib import Path

RESTARTS = 40


def started(directory: Path, name: str, *, ends: str, durability: str = "process") -> None:
    """A process puts an event and ends, by itself or killed."""

    def live() -> None:
        spool = opened(directory, OWNER, quota_bytes=4 * SEGMENT_BYTES, durability=durability)
        put(spool, name.encode(), lane=name)
        if ends == "closed":
            spool.close()

    dead(live)


def size_of(directory: Path) -> int:
    """Bytes that the files take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in directory.iterdir())


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("ends", ["closed", "killed"])
def test_restarts_during_an_outage_fill_no_quota(tmp_path: Path, ends: str, durability: str) -> None:
    """Each left a segment of 3 MB with one event in it: after 170 the quota was used up, and events were lost."""
    for number in range(RESTARTS):
        started(tmp_path, f"event {number}", ends=ends, durability=durability)
    last = SEGMENT_BYTES + 8192 if ends == "killed" else 0
    assert size_of(tmp_path) <= last + RESTARTS * 12288
    with closing(tmp_path, quota_bytes=4 * SEGMENT_BYTES) as spool:
        check_counts(spool)
        assert [each.decode() for each in bodies(drain(spool))] == [f"event {number}" for number in range(RESTARTS)]


def test_what_was_given_back_is_kept_where_that_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the two: the first page says already how long the file will be."""
    started(tmp_path, "first", ends="killed")

    def die(_: int, __: int) -> None:
        os._exit(0)

    def take_over() -> None:
        monkeypatch.setattr(os, "ftruncate", die)
        opened(tmp_path)
        os._exit(1)

    dead(take_over)
    with closing(tmp_path) as spool:
        assert bodies(drain(spool)) == [b"first"]
    assert os.listdir(tmp_path) == []

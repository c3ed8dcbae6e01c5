"""Files that are removed, replaced or cut short under a living process are noticed, and made anew."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from spools import NOW, bodies, bury, check_counts, closing, deliver, drain, ended, fill, forked, names, opened, put

from totango_sdk.errors import SpoolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = 8192


def only(directory: Path, suffix: str) -> Path:
    (path,) = directory.glob(f"*.{suffix}")
    return path


def remove_all(directory: Path) -> None:
    shutil.rmtree(directory)


def swap(directory: Path) -> None:
    directory.rename(directory.with_name("elsewhere"))
    directory.mkdir(0o700)


def remove_log(directory: Path) -> None:
    only(directory, "log").unlink()


def replace_log(directory: Path) -> None:
    path = only(directory, "log")
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def remove_lock(directory: Path) -> None:
    only(directory, "lock").unlink()


def remove_sealed(directory: Path) -> None:
    for path in sorted(directory.glob("*.log"))[:-1]:
        path.unlink()


TAKEN_AWAY = [remove_all, swap, remove_log, replace_log, remove_lock]


def cut(size: int) -> Callable[[Path], None]:
    def shorten(directory: Path) -> None:
        os.truncate(only(directory, "log"), size)

    return shorten


@pytest.mark.parametrize("do", TAKEN_AWAY, ids=lambda do: do.__name__)
def test_what_was_taken_away_is_told_and_made_anew_with_all_that_was_in_it(
    tmp_path: Path, do: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "spool"
    with closing(directory) as spool:
        put_in = fill(spool, 20)
        out = spool.lease(2, NOW)
        do(directory)
        spool.maintain(adopt=True)
        assert "removed or replaced" in caplog.text
        check_counts(spool)
        put_in += fill(spool, 20, name="more ")
        assert len(list(directory.glob("*.lock"))) == 1
        deliver(spool, out)
        assert sorted(bodies(out) + bodies(drain(spool))) == sorted(put_in)
        check_counts(spool)
        spool.maintain(adopt=True)
        assert len(caplog.records) == 1
    assert [name for name in names(directory) if ".corrupt-" not in name] == []


@pytest.mark.parametrize("do", [*TAKEN_AWAY, cut(0), cut(5000)], ids=lambda do: do.__name__)
def test_what_is_accepted_afterwards_outlasts_a_kill(tmp_path: Path, do: Callable[[Path], None]) -> None:
    directory = tmp_path / "spool"

    def work() -> None:
        spool = opened(directory)
        fill(spool, 20)
        do(directory)
        spool.maintain(adopt=True)
        fill(spool, 20, name="more ")

    assert ended(forked(work)) == 0
    with closing(directory) as spool:
        found = bodies(drain(spool))
    assert {f"more {number} ".encode().ljust(300, b".") for number in range(20)} <= set(found)


@pytest.mark.parametrize("do", [remove_all, remove_sealed], ids=lambda do: do.__name__)
def test_what_waits_in_sealed_segments_comes_along(tmp_path: Path, do: Callable[[Path], None]) -> None:
    directory = tmp_path / "spool"
    with closing(directory, segment_bytes=SMALL) as spool:
        put_in = fill(spool, 200)
        bury(spool, dead := spool.lease(1, NOW))
        out = spool.lease(2, NOW)
        deliver(spool, delivered := spool.lease(1, NOW))
        do(directory)
        spool.maintain(adopt=True)
        put_in += fill(spool, 20, name="more ")
        assert [letter.body for letter in spool.letters()] == bodies(dead)
        deliver(spool, out)
        found = bodies(dead) + bodies(out) + bodies(delivered) + bodies(drain(spool))
        assert sorted(found) == sorted(put_in)
        check_counts(spool)


@pytest.mark.parametrize("size", [0, 100, 4096, 5000, 20_000])
def test_a_segment_that_is_cut_short_ends_no_process_at_the_next_call(
    tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    directory = tmp_path / "spool"
    with closing(directory) as spool:
        put_in = fill(spool, 30)
        out = spool.lease(2, NOW)
        cut(size)(directory)
        put_in += fill(spool, 20, name="more ")
        assert "was cut short" in caplog.text
        deliver(spool, out)
        found = sorted(bodies(out) + bodies(drain(spool)))
        assert found == sorted(put_in)  # also those from before, which were still in memory
        check_counts(spool)


@pytest.mark.parametrize("size", [0, 12_000])
def test_what_is_cut_off_and_not_in_memory_is_counted_as_dead(tmp_path: Path, size: int) -> None:
    directory = tmp_path / "spool"
    with closing(directory) as spool:
        put_in = fill(spool, 30)
        out = spool.lease(2, NOW)
        spool._outlet._ahead.clear()
        cut(size)(directory)
        deliver(spool, out)
        spool.maintain(adopt=False)
        put_in += fill(spool, 20, name="more ")
        found = bodies(out) + bodies(drain(spool))
        assert set(found) >= set(put_in[30:])
        counts = spool.counts()
        assert counts.dead == 50 - len(found) > 0
        check_counts(spool)
        assert len(list(spool.letters())) == counts.dead
        assert all("damaged" in letter.reason for letter in spool.letters())


def test_put_that_may_not_wait_makes_nothing_anew(tmp_path: Path) -> None:
    from spools import update

    directory = tmp_path / "spool"
    with closing(directory) as spool:
        put(spool, b"1", lane="a")
        cut(0)(directory)
        assert spool.put([update("b", b"2")], wait=False) is None
        assert put(spool, b"2", lane="b")
        assert sorted(bodies(drain(spool))) == [b"1", b"2"]


def test_where_nothing_can_be_made_anew_nothing_outside_is_touched_and_what_is_there_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory, other = tmp_path / "spool", tmp_path / "other"
    other.mkdir(0o700)
    with closing(directory, segment_bytes=SMALL) as spool:
        put_in = fill(spool, 10)
        directory.rename(tmp_path / "elsewhere")
        directory.symlink_to(other)
        spool.maintain(adopt=True)
        assert "removed or replaced" in caplog.text
        assert "symbolic link" in caplog.text
        put_in += fill(spool, 5, name="more ")
        with pytest.raises(SpoolError):
            fill(spool, 200, name="too many ")
        accepted = spool.counts().accepted
        assert len(drain(spool)) == accepted
        assert names(other) == []
    assert names(other) == []

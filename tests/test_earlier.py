"""What version 0.1 of the spool has left on the disk (earlier.zip, made by it) is taken over and delivered."""

from __future__ import annotations

import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from spools import NOW, OTHER, OWNER, bodies, bury, by_lane, closing, drain, ended, forked, names, put, retry

from totango_sdk.spool.survey import survey

KEPT = Path(__file__).with_name("earlier.zip")
KILLED = [f"{number} ".encode().ljust(300, b".") for number in range(120)]
MORE = [f"more {number} ".encode().ljust(300, b".") for number in range(30)]
CLOSED = [f"other {number} ".encode().ljust(300, b".") for number in range(60)]


@pytest.fixture
def left(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir(mode=0o700)
    with zipfile.ZipFile(KEPT) as kept:
        kept.extractall(directory)
    for name in names(directory):
        (directory / name).chmod(0o600)
    return directory


def without_earlier(directory: Path) -> bool:
    return all(name.endswith((".lock", ".log")) for name in names(directory))


def test_all_of_it_is_delivered_in_order_and_its_letters_are_kept(left: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with closing(left) as spool:
        drained = drain(spool)
        of_lanes = by_lane(drained)
        assert len(drained) == len(KILLED) + len(MORE) + len(CLOSED)
        assert set(bodies(drained)) <= {*KILLED, *MORE, *CLOSED}
        for each in of_lanes.values():
            killed = [body for body in each if body in KILLED + MORE]
            assert killed == sorted(killed, key=(KILLED + MORE).index)
        refused, given_up = sorted(spool.letters(), key=lambda letter: letter.body is not None)
        assert (refused.reason, refused.input) == ("refused", {"x": 1})
        assert (given_up.reason, given_up.body, given_up.attempts) == ("400 Bad Request", b"poison", 1)
        assert without_earlier(left)
        assert put(spool, b"new")
    assert "an earlier version has left were taken over" in caplog.text


def dies_at(at: int, directory: Path) -> None:
    """Take it over, and die without a word before the line of `earlier.py` with this number."""
    lines = 0

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal lines
        if "earlier.py" not in frame.f_code.co_filename:
            return trace if event == "call" else None
        lines += event == "line"
        if lines == at:
            os._exit(0)
        return trace

    sys.settrace(trace)
    with closing(directory) as spool:
        spool.maintain(adopt=True)


AT = (1, 40, 150, 300, 600, 1200, 2400, 4000)


def test_it_is_taken_over_once_whenever_that_is_broken_off(left: Path, tmp_path: Path) -> None:
    for at in AT:
        directory = tmp_path / str(at)
        shutil.copytree(left, directory)
        directory.chmod(0o700)
        assert ended(forked(lambda at=at, directory=directory: dies_at(at, directory))) == 0  # type: ignore[misc]
        with closing(directory) as spool:
            drained = bodies(drain(spool))
            assert len(drained) == len(set(drained)) == len(KILLED) + len(MORE) + len(CLOSED), at
            assert len(list(spool.letters())) == 2
        assert without_earlier(directory)


def test_what_is_another_services_is_left_alone(left: Path) -> None:
    before = {name: (left / name).read_bytes() for name in names(left)}
    with closing(left, OTHER) as spool:
        assert drain(spool) == []
    assert {name: (left / name).read_bytes() for name in names(left)} == before


def test_it_can_be_looked_at(left: Path) -> None:
    sets = survey(str(left))
    assert [found.owner for found in sets] == [OWNER, OWNER]
    assert sum(found.waiting for found in sets) == len(KILLED) + len(MORE) + len(CLOSED)
    assert sum(found.dead for found in sets) == 2


def test_a_damaged_database_of_it_is_set_aside_and_the_rest_is_delivered(
    left: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in names(left, ".db"):
        (left / name).write_bytes(os.urandom(20_000))
    with closing(left) as spool:
        assert set(MORE[15:]) <= set(bodies(drain(spool)))
    assert names(left, ".db.corrupt-")
    assert "is damaged" in caplog.text


def test_what_is_damaged_of_it_is_read_again_whenever_that_is_broken_off(left: Path, tmp_path: Path) -> None:
    for name in names(left, ".journal"):
        data = (left / name).read_bytes()
        at = data.find(b"more 20 ")
        if at >= 0:
            (left / name).write_bytes(data[:at] + b"less" + data[at + 4 :])
    for at in range(1000, 5000, 60):
        directory = tmp_path / str(at)
        shutil.copytree(left, directory)
        directory.chmod(0o700)
        assert ended(forked(lambda at=at, directory=directory: dies_at(at, directory))) == 0  # type: ignore[misc]
        with closing(directory) as spool:
            assert set(bodies(drain(spool))) == {*KILLED, *MORE[:20], *MORE[21:], *CLOSED}, at


def test_where_python_has_no_sqlite_it_stays_and_is_told(
    left: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "sqlite3", None)
        with closing(left) as spool:
            assert put(spool, b"new")
            assert bodies(drain(spool)) == [b"new"]
    assert "this Python has no sqlite3" in caplog.text
    with closing(left) as spool:
        leased = spool.lease(1, NOW)
        retry(spool, leased)
        assert len(drain(spool)) == len(KILLED) + len(MORE) + len(CLOSED)


def test_nothing_but_that_needs_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlite3", None)
    monkeypatch.setitem(sys.modules, "_sqlite3", None)
    put_in = [b"%d" % number for number in range(500)]
    with closing(tmp_path / "spool", segment_bytes=8192) as spool:
        for body in put_in:
            put(spool, body.ljust(300), lane="lane")
        bury(spool, spool.lease(1, NOW))
    with closing(tmp_path / "spool") as spool:
        assert [body.strip() for body in bodies(drain(spool))] == put_in[1:]
        assert len(list(spool.letters())) == 1

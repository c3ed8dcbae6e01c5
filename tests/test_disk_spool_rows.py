"""Rows that SQLite takes for sound, and that are not what was stored: each is known by its checksum alone."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest
from spools import NOW, OWNER, bodies, bury, check_counts, closing, dead, drain, fill, names, opened, put

from totango_sdk.spool.survey import survey

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 100
VALUES = ("x'00'", "x'ff'", "''", "'never'", "7", "-1e300", "1e300", "9e999")
LANES = ("char(1) || 'p' || char(10) || 'a'", "char(1) || '9' || char(10) || 'a'", "char(1)", "char(10)")
# Every id that is in its order passes SQLite's check.
IDS = ("-7", "9223372036854775807", "9223372032559808513")
EVENTS = [
    *[("lane", value) for value in (*VALUES, *LANES)],
    *[(column, value) for column in ("body", "accepted_at", "checksum") for value in VALUES],
    *[("id", value) for value in IDS],
]
LETTERS = [
    (column, value)
    for column in ("body", "refused", "reason", "attempts", "accepted_at", "dead_at", "checksum")
    for value in VALUES
]


def leave_database(directory: Path) -> Path:
    """Let another process leave events and a dead letter in a database, and return its path."""

    def work() -> None:
        spool = opened(directory, segment_bytes=8192)
        put(spool, b"poison", lane="poison")
        bury(spool, spool.lease(1, NOW))
        fill(spool, COUNT)
        spool.maintain(adopt=False)  # which brings into the database what the journal has no room for
        spool.close()

    dead(work)
    (name,) = names(directory, ".db")
    return directory / name


def run(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute(statement).rowcount == 1
        database.commit()


@pytest.mark.parametrize(("column", "value"), EVENTS)
def test_an_event_of_which_anything_is_damaged_keeps_no_other_from_leaving(
    tmp_path: Path, column: str, value: str
) -> None:
    path = leave_database(tmp_path / "spool")
    which = "max" if value[0] == "9" and column == "id" else "min"
    run(path, f"UPDATE events SET {column} = {value} WHERE id = (SELECT {which}(id) FROM events)")
    assert [left.trouble for left in survey(str(path.parent))] == [None]
    with closing(path.parent) as spool:
        assert put(spool, b"new", lane="new") is not None
        sent = bodies(drain(spool))
        check_counts(spool)
        letters = list(spool.letters())
        counts = spool.counts()
        assert not spool.pending_before(None)
    assert (counts.queued, counts.retrying, counts.in_flight, counts.oldest_at) == (0, 0, 0, None)
    assert len(sent) == COUNT - 1 + 1
    assert [letter.body for letter in letters][:1] == [b"poison"]


@pytest.mark.parametrize(("column", "value"), LETTERS)
def test_a_dead_letter_of_which_anything_is_damaged_can_be_looked_at(tmp_path: Path, column: str, value: str) -> None:
    path = leave_database(tmp_path / "spool")
    run(path, f"UPDATE dead SET {column} = {value}")
    (left,) = survey(str(path.parent))
    assert left.letters is not None
    with closing(path.parent, OWNER) as spool:
        assert len(drain(spool)) == COUNT
        (letter,) = spool.letters()
    assert letter.body in (b"poison", None)
    assert (type(letter.reason), type(letter.attempts)) == (str, int)
    assert 0 <= letter.accepted_at < 1e11
    assert 0 <= letter.dead_at < 1e11

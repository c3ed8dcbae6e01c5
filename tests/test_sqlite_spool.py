"""The database of a spool, and what can be saved of a damaged one."""

from __future__ import annotations

import errno
import os
import random
import sqlite3
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from spools import OTHER, OWNER, dead, ended, forked

from totango_sdk.errors import SpoolCorrupt, SpoolError, SpoolFull, SpoolLocked
from totango_sdk.spool import salvage, sqlite, sqlite_errors
from totango_sdk.spool.records import Record
from totango_sdk.spool.salvage import is_damaged, mend
from totango_sdk.spool.sqlite import Database, SpoolForeign, make_draft

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 4096
QUOTA = 64 << 20


_opened: list[Database] = []


@pytest.fixture(autouse=True)
def none_is_left_open() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close(remove=False)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "a.db")


def opened(path: str, *, quota_bytes: int = QUOTA, durability: str = "process") -> Database:
    database = Database(path, OWNER, durability=durability, quota_bytes=quota_bytes)
    _opened.append(database)
    return database


def made(path: str, **options: Any) -> Database:
    Database.create(path, OWNER, durability=options.get("durability", "process"))
    return opened(path, **options)


def records(*ids: int, size: int = 300) -> list[Record]:
    return [
        Record(each, f"lane {each % 3}", b"%d " % each + b"x" * size, is_letter=False, accepted_at=each / 2)
        for each in ids
    ]


def row(
    event_id: int, body: bytes | None = b"body", reason: str = "400"
) -> tuple[int, bytes | None, str, int, float, float]:
    return event_id, body, reason, 2, 1.5, 2.5


def raw(path: str, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def overwrite(path: str, at: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


# -- what is kept


def test_events_come_back_as_they_were_stored(path: str) -> None:
    database = made(path)
    database.insert(records(1, 2, 3))
    assert (database.waiting, database.after(1, 9, 999).rows) == (3, [(2, "lane 2"), (3, "lane 0")])
    assert database.fetch([1, 3, 9]) == {each.id: (each.body, each.accepted_at) for each in records(1, 3)}
    assert len(database.fetch(list(range(1, 1200)))) == 3
    assert (database.last_id(), database.oldest(), database.oldest({1, 2})) == (3, (1, 0.5), (3, 1.5))
    assert database.ids_after(1) == [2, 3]
    database.insert(records(3, 4))  # once more after a crash
    assert database.waiting == 4
    database.strike([1, 2, 77])
    assert database.waiting == 2
    database.close(remove=False)
    again = opened(path)
    assert (again.waiting, again.last_id()) == (2, 4)
    again.close(remove=True)
    assert os.listdir(os.path.dirname(path)) == []


def test_the_dead_are_moved_with_everything(path: str) -> None:
    database = made(path)
    database.insert(records(1, 2))
    database.insert([Record(3, "", b'{"reason": "why", "input": {"a": 1}}', is_letter=True, accepted_at=1.0)])
    database.bury(row(1))
    assert (database.waiting, database.dead, database.buried([1, 2])) == (1, 2, {1})
    first, second = database.letters()
    assert (first.id, first.body, first.reason, first.attempts, first.accepted_at, first.dead_at) == (
        "1",
        b"body",
        "400",
        2,
        1.5,
        2.5,
    )
    assert (second.reason, second.input, second.body) == ("why", {"a": 1}, None)
    other = made(path + "2")
    other.add_letters(database.raw_letters())
    other.add_letters(database.raw_letters())
    assert (other.dead, other.letters()) == (2, [first, second])
    other.close(remove=True)
    database.close(remove=False)
    assert opened(path).dead == 2


def test_dead_letters_can_be_deleted_for_good(path: str) -> None:
    database = made(path)
    database.bury(row(1))
    database.bury(row(2))
    database.forget_dead([1, 7])
    assert (database.dead, [letter.id for letter in database.letters()]) == (1, ["2"])
    database.close(remove=True)


def test_what_changed_on_the_disk_is_never_given_back(path: str) -> None:
    database = made(path)
    database.insert(records(1, 2, 3, 4, 5))
    database.bury(row(9))
    database.close(remove=False)
    raw(
        path,
        "UPDATE events SET body = x'00' WHERE id = 1",
        "UPDATE events SET lane = 'other' WHERE id = 2",
        "UPDATE events SET accepted_at = 'never' WHERE id = 3",
        "UPDATE events SET lane = x'00' WHERE id = 4",
        "UPDATE dead SET body = x'00'",
    )
    again = opened(path)
    assert set(again.fetch([1, 2, 3, 4, 5])) == {5}
    (letter,) = again.letters()
    assert (letter.body, letter.reason) == (None, "400 (what was kept of it is damaged)")


def test_a_quota_is_a_full_spool_until_something_is_struck_off(path: str) -> None:
    database = made(path, quota_bytes=100_000)
    with pytest.raises(SpoolFull, match="raise the quota"):
        for first in range(1, 10_000, 10):
            database.insert(records(*range(first, first + 10)))
    waiting = database.waiting
    assert 100 < waiting < 330
    with pytest.raises(SpoolFull):
        database.insert(records(*range(20_000, 20_100)))
    database.strike(range(1, 101))
    assert database.waiting == waiting - 100
    database.insert(records(*range(30_000, 30_050)))
    database.close(remove=False)


def test_the_log_is_emptied_once_it_is_long(path: str) -> None:
    database = made(path)
    database.insert(records(*range(1, 100)))
    database.checkpoint(1_000_000)
    assert os.path.getsize(f"{path}-wal") > 0
    database.insert(records(*range(1000, 1010), size=500_000))
    database.checkpoint(1_000_000)
    assert os.path.getsize(f"{path}-wal") == 0
    database.close(remove=False)


def test_files_are_for_this_user_alone(path: str) -> None:
    before = os.umask(0)
    try:
        database = made(path)
        database.insert(records(1))
        modes = {
            name: os.stat(os.path.join(os.path.dirname(path), name)).st_mode & 0o777
            for name in os.listdir(os.path.dirname(path))
        }
        assert modes == {"a.db": 0o600, "a.db-wal": 0o600}
    finally:
        os.umask(before)
        database.close(remove=False)


def test_with_durability_power_everything_is_synced(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), fsync(fd)))
    database = made(path, durability="power")
    assert synced == [f"{path}.draft", os.path.dirname(path)]
    assert database._all("PRAGMA synchronous") == [(2,)]
    database.close(remove=False)


# -- what is not ours, and what is damaged


def test_a_newer_version_is_left_as_it_is(path: str) -> None:
    made(path).close(remove=False)
    raw(path, f"PRAGMA user_version={sqlite.SCHEMA + 1}")
    with open(path, "rb") as file:
        before = file.read()
    with pytest.raises(SpoolForeign, match=r"newer version .schema 2; this one knows 1.*upgrade totango-sdk"):
        opened(path)
    with open(path, "rb") as file:
        assert file.read() == before


def test_another_owner_is_refused(path: str) -> None:
    made(path).close(remove=False)
    with pytest.raises(SpoolForeign, match="SP-0000-01"):
        Database(path, OTHER, durability="process", quota_bytes=QUOTA)


@pytest.mark.parametrize(
    "damage",
    [
        "PRAGMA user_version=0",
        "PRAGMA application_id=1",
        "UPDATE meta SET value='SP-0000-99' WHERE name='service_id'",
        "DELETE FROM meta",
        "DROP TABLE dead",
    ],
)
def test_a_file_that_is_not_as_we_made_it_is_damaged_and_can_be_mended(path: str, damage: str) -> None:
    database = made(path)
    database.insert(records(1, 2))
    database.close(remove=False)
    raw(path, damage)
    with pytest.raises(SpoolCorrupt):
        opened(path)
    mend(path, OWNER, "process")
    mended = opened(path)
    assert (mended.waiting, set(mended.fetch([1, 2]))) == (2, {1, 2})


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, bytes(8192)])
def test_what_is_no_database_is_damaged(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
    assert is_damaged(path)
    with pytest.raises(SpoolCorrupt):
        opened(path)
    mend(path, OWNER, "process")
    assert opened(path).waiting == 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_FULL, SpoolFull),
        (sqlite3.SQLITE_IOERR_WRITE, SpoolFull),
        (sqlite3.SQLITE_IOERR_SHORT_READ, SpoolCorrupt),
        (sqlite3.SQLITE_BUSY, SpoolLocked),
        (sqlite3.SQLITE_CORRUPT_INDEX, SpoolCorrupt),
        (sqlite3.SQLITE_NOMEM, SpoolError),
        (None, SpoolCorrupt),
    ],
)
def test_what_sqlite_says_is_told_as_ours(code: int | None, kind: type[SpoolError]) -> None:
    error = sqlite3.OperationalError("so it is")
    if code is not None:
        error.sqlite_errorcode = code
    with (
        pytest.raises(SpoolError, match=r"a.db cannot be used \(so it is\)") as raised,
        sqlite_errors.translated("a.db"),
    ):
        raise error
    assert type(raised.value) is kind


def test_words_of_sqlite_that_cannot_be_read_mean_damage() -> None:
    with pytest.raises(SpoolCorrupt, match="it is damaged"), sqlite_errors.translated("a.db"):
        b"\xff".decode()


def test_a_mistake_of_ours_is_no_damage(path: str) -> None:
    database = made(path)
    database.close(remove=False)
    with pytest.raises(SpoolError) as raised:
        database.after(0, 1, 999)
    assert type(raised.value) is SpoolError


def test_a_file_that_another_program_has_open_is_told(path: str) -> None:
    database = made(path)
    database.insert(records(1))

    def look() -> None:
        with pytest.raises(SpoolLocked, match="close that"):
            opened(path)

    dead(look)
    database.close(remove=False)


def test_a_child_can_open_the_file_of_its_dead_parent(path: str) -> None:
    """SQLite in the child would take the locks that it has inherited in its memory for those of a living one."""
    reading, writing = os.pipe()

    def parent() -> None:
        database = made(path)
        database.insert(records(1, 2))
        if forked(lambda: child(database)):
            os._exit(9)

    def child(database: Database) -> None:
        kept = database.disown()
        os.read(reading, 1)  # until the parent is gone
        again = opened(path)
        os.write(writing2, b"%d" % again.waiting)
        assert kept is not None

    reading2, writing2 = os.pipe()
    assert ended(forked(parent)) == 9
    os.write(writing, b"!")
    os.close(writing2)
    assert os.read(reading2, 9) == b"2"
    for fd in (reading, writing, reading2):
        os.close(fd)


def test_a_full_disk_while_the_file_is_made_leaves_nothing_behind(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(SpoolFull):
        Database.create(path, OWNER, durability="process")
    with pytest.raises(SpoolFull):
        mend(path, OWNER, "process")
    monkeypatch.undo()
    monkeypatch.setattr(sqlite, "_connect", lambda *_, **__: refuse())
    with pytest.raises(SpoolFull):
        Database.create(path, OWNER, durability="process")
    assert not os.path.exists(path)


# -- salvage


def damaged(path: str, count: int = 500, size: int = 300) -> list[Record]:
    """Make a database with so many events, all of it in the one file."""
    stored = records(*range(1 << 40, (1 << 40) + count), size=size)
    database = made(path)
    database.insert(stored)
    database.bury(row(1 << 41))
    database.close(remove=False)
    return stored


def mended(path: str) -> Database:
    mend(path, OWNER, "process")
    return opened(path)


def page_of(path: str, needle: bytes) -> int:
    with open(path, "rb") as file:
        return file.read().index(needle) // PAGE


def test_what_is_set_aside_is_kept_and_told_once(path: str, caplog: pytest.LogCaptureFixture) -> None:
    damaged(path)
    with open(path, "rb") as file:
        before = file.read()
    for _ in range(2):
        mended(path).close(remove=False)
    aside = [name for name in os.listdir(os.path.dirname(path)) if ".corrupt-" in name]
    assert len(aside) == 2
    assert before in [Path(path).with_name(name).read_bytes() for name in aside]
    assert len(caplog.records) == 1
    assert aside[0] in caplog.text or aside[1] in caplog.text


def test_damage_in_some_pages_takes_no_more_than_what_is_in_them(path: str) -> None:
    stored = damaged(path)
    lost = set()
    for number in (0, 100, 120, 300, 499):
        page = page_of(path, b"%d x" % (stored[number].id))
        with open(path, "rb") as file:
            file.seek(page * PAGE)
            content = file.read(PAGE)
        lost |= {record.id for record in stored if b"%d x" % record.id in content}
        overwrite(path, page * PAGE, os.urandom(PAGE))
    database = mended(path)
    found = database.fetch([record.id for record in stored])
    assert set(found) == {record.id for record in stored} - lost
    assert all(found[record.id][0] == record.body for record in stored if record.id in found)
    assert len(lost) < 80
    assert [letter.reason for letter in database.letters()] == ["400"]


def test_damage_to_the_root_of_a_table_takes_nothing(path: str) -> None:
    damaged(path)
    overwrite(path, PAGE, os.urandom(PAGE))
    database = mended(path)
    assert (database.waiting, database.dead) == (500, 1)


def test_damage_to_the_first_page_takes_nothing(path: str) -> None:
    stored = damaged(path)
    overwrite(path, 0, os.urandom(PAGE))
    assert mended(path).waiting == len(stored)


def test_what_was_cut_short_gives_what_is_left(path: str) -> None:
    damaged(path)
    os.truncate(path, os.path.getsize(path) // 2 + 100)
    assert 100 < mended(path).waiting < 400


def test_what_is_free_is_not_taken_for_what_waits(path: str) -> None:
    stored = damaged(path)
    database = opened(path)
    database.strike([record.id for record in stored[:400]])
    database.close(remove=False)
    overwrite(path, PAGE, bytes(PAGE))
    database = mended(path)
    assert set(database.fetch([record.id for record in stored])) == {record.id for record in stored[400:]}


@pytest.mark.parametrize("size", [3900, 4030, 4061, 4100, 8200, 70_000])
def test_large_bodies_are_saved_too(path: str, size: int) -> None:
    stored = damaged(path, count=20, size=size)
    overwrite(path, 60, bytes(4))
    database = mended(path)
    assert database.fetch([record.id for record in stored]) == {
        each.id: (each.body, each.accepted_at) for each in stored
    }


def test_numbers_of_every_size_are_saved(path: str) -> None:
    stored = [Record(1 << shift, "", b"", is_letter=False, accepted_at=at) for shift in range(62) for at in (1.0, 1.5)]
    stored = [record._replace(id=record.id + number % 2) for number, record in enumerate(stored)][2:]
    database = made(path)
    database.insert(stored)
    for number in range(20):
        database.bury((number, None if number == 7 else b"", "", 1 << number, 0.0, float(1 << 2 * number)))
    waiting = database.waiting
    database.close(remove=False)
    overwrite(path, 60, bytes(4))
    database = mended(path)
    assert (database.waiting, database.dead) == (waiting, 19)


def test_whatever_the_pages_hold_the_end_is_reached(path: str) -> None:
    stored = {record.body for record in damaged(path, count=100)}
    whole = Path(path).read_bytes()
    chance = random.Random(5)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 30)):
            page = chance.randrange(len(data) // PAGE)
            at = page * PAGE + chance.choice((0, chance.randrange(12), chance.randrange(PAGE)))
            data[at : at + 2] = bytes([chance.choice((0, 1, 5, 13, 255, chance.randrange(256))) for _ in range(2)])
        Path(path).write_bytes(data)
        database = mended(path)
        found = database.fetch(database.ids_after(0))
        assert {body for body, _ in found.values()} <= stored
        database.close(remove=True)


def test_damaged_letters_are_not_saved(path: str) -> None:
    damaged(path)
    raw(path, "UPDATE dead SET body = x'00'", "INSERT INTO dead VALUES (5, 5, NULL, '', 0, 0, 0, 0)")
    assert mended(path).dead == 0


def with_log(path: str) -> list[Record]:
    """Make a database of which most is in its write-ahead log, since its process was killed."""
    stored = records(*range(1, 201))

    def work() -> None:
        database = made(path)
        for at in range(0, 200, 10):
            database.insert(stored[at : at + 10])

    dead(work)
    assert os.path.getsize(f"{path}-wal") > 20 * PAGE
    return stored


def test_a_whole_log_is_no_damage(path: str) -> None:
    with_log(path)
    assert not is_damaged(path)
    assert not is_damaged(f"{path}-none")
    database = opened(path)
    assert database.waiting == 200
    database.strike(range(1, 20))
    assert not is_damaged(path)
    database.checkpoint()
    database.insert(records(300))
    assert not is_damaged(path)
    database.close(remove=False)


def test_a_log_that_ends_in_the_middle_of_a_transaction_is_no_damage(path: str) -> None:
    with_log(path)
    os.truncate(f"{path}-wal", os.path.getsize(f"{path}-wal") - 3000)
    assert not is_damaged(path)
    assert opened(path).waiting == 190


@pytest.mark.parametrize("at", [0, 5, 9, 18, 32, 33, 40, 60, 1000, 30_000])
def test_transactions_behind_damage_in_the_log_are_not_passed_over_in_silence(path: str, at: int) -> None:
    stored = with_log(path)
    with open(f"{path}-wal", "rb") as file:
        file.seek(at)
        (byte,) = file.read(1)
    overwrite(f"{path}-wal", at, bytes([byte ^ 16]))
    assert is_damaged(path)
    database = mended(path)
    found = database.fetch([record.id for record in stored])
    assert len(found) > 150
    assert all(found[record.id] == (record.body, record.accepted_at) for record in stored if record.id in found)
    assert [name for name in os.listdir(os.path.dirname(path)) if name.startswith("a.db-wal.corrupt") or "-wal" in name]


def test_a_log_without_its_file_is_enough(path: str) -> None:
    stored = with_log(path)
    os.unlink(path)
    assert is_damaged(path)
    assert mended(path).waiting == len(stored)


def test_a_log_of_garbage_is_ignored(path: str) -> None:
    made(path).close(remove=False)
    for garbage in (b"", b"garbage" * 2000, bytes(9000), struct.pack(">8I", *[7] * 8) + bytes(9000)):
        with open(f"{path}-wal", "wb") as file:
            file.write(garbage)
        opened(path).close(remove=False)
        with open(f"{path}-wal", "wb") as file:
            file.write(garbage)
        database = mended(path)
        assert database.waiting == 0
        database.close(remove=False)


def test_an_interrupted_mending_is_finished(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = damaged(path)
    renames = []
    rename = os.rename
    for stop_after in range(5):
        renames.clear()

        def some(old: str, new: str, stop_after: int = stop_after) -> None:
            if len(renames) >= stop_after:
                raise KeyboardInterrupt
            rename(old, new)
            renames.append(new)

        monkeypatch.setattr(os, "rename", some)
        try:
            mend(path, OWNER, "process")
        except KeyboardInterrupt:
            pass
        monkeypatch.undo()
        salvage.finish(path)
        database = opened(path)
        assert database.waiting == len(stored)
        database.close(remove=False)


def test_a_draft_is_whole_or_not_there(path: str) -> None:
    make_draft(path, OWNER, records(1))
    assert os.listdir(os.path.dirname(path)) == ["a.db"]

    def fails() -> Any:
        yield records(1)[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_draft(path + "2", OWNER, fails())
    assert os.listdir(os.path.dirname(path)) == ["a.db"]

from __future__ import annotations

import errno
import importlib.util
import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest
from spools import OWNER, dead, ended, forked

from totango_sdk.errors import SpoolError, SpoolFull, SpoolLocked
from totango_sdk.spool import paths
from totango_sdk.spool.files import Files
from totango_sdk.spool.paths import (
    LockFile,
    check_directory,
    create_file,
    default_directory,
    disk_error,
    make_directory,
)

if TYPE_CHECKING:
    from pathlib import Path

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to somebody else")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.mark.parametrize("umask", [0o022, 0, 0o077])
def test_directories_are_made_for_this_user_alone(home: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_directory(str(home / "a" / "b" / "spool"))
    finally:
        os.umask(before)
    assert [mode(home / path) for path in ("a", "a/b", "a/b/spool")] == [0o700] * 3


def test_a_directory_of_its_own_is_closed_to_others(home: Path) -> None:
    (home / "spool").mkdir(mode=0o755)
    (home / "spool" / "1234abcd-1.db-wal").touch()
    make_directory(str(home / "spool"))
    assert mode(home / "spool") == 0o700


def test_a_directory_that_holds_other_things_is_not_closed_to_others(home: Path) -> None:
    (home / "site").mkdir(mode=0o755)
    (home / "site" / "index.html").touch()
    with pytest.raises(SpoolError, match=r"holds other things \('index.html'\): give it one of its own"):
        make_directory(str(home / "site"))
    assert mode(home / "site") == 0o755


def test_a_link_is_refused_and_nothing_outside_is_touched(home: Path) -> None:
    (home / "outside").mkdir(mode=0o755)
    (home / "spool").symlink_to(home / "outside")
    with pytest.raises(SpoolError, match="symbolic link: give the directory that it leads to"):
        make_directory(str(home / "spool"))
    assert mode(home / "outside") == 0o755
    assert os.listdir(home / "outside") == []


def test_a_link_above_that_only_we_could_have_made_is_followed(home: Path) -> None:
    (home / "real").mkdir(mode=0o700)
    (home / "link").symlink_to(home / "real")
    make_directory(str(home / "link" / "spool"))
    assert (home / "real" / "spool").is_dir()


def test_where_a_link_above_leads_to_is_looked_at_too(home: Path) -> None:
    (home / "open").mkdir()
    (home / "open").chmod(0o777)
    (home / "open" / "real").mkdir(mode=0o700)
    (home / "open" / "real" / "spool").mkdir()
    (home / "open" / "real" / "spool").chmod(0o777)
    (home / "link").symlink_to(home / "open" / "real")
    with pytest.raises(SpoolError, match="can be written by others"):
        make_directory(str(home / "link" / "spool"))
    assert os.listdir(home / "open" / "real" / "spool") == []


def test_a_link_in_a_directory_that_others_can_write_to_is_refused(home: Path) -> None:
    (home / "shared").mkdir()
    (home / "shared").chmod(0o1777)
    (home / "real").mkdir(mode=0o700)
    (home / "shared" / "link").symlink_to(home / "real")
    with pytest.raises(SpoolError, match="symbolic link"):
        make_directory(str(home / "shared" / "link" / "spool"))


@pytest.mark.parametrize("bits", [0o770, 0o777, 0o702, 0o1777])
def test_a_directory_that_others_can_write_to_is_refused(home: Path, bits: int) -> None:
    (home / "spool").mkdir()
    (home / "spool").chmod(bits)
    with pytest.raises(SpoolError, match="run chmod go-w .* or give a directory below it, such as .*totango_sdk"):
        make_directory(str(home / "spool"))
    assert mode(home / "spool") == bits


@pytest.mark.parametrize("bits", [0o777, 0o1777, 0o2775, 0o775])
def test_a_parent_that_others_can_write_to_is_accepted(home: Path, bits: int) -> None:
    (home / "parent").mkdir()
    (home / "parent").chmod(bits)
    make_directory(str(home / "parent" / "a" / "spool"))
    assert [mode(home / "parent" / path) & 0o777 for path in ("a", "a/spool")] == [0o700] * 2


@pytest.mark.parametrize("path", ["/tmp/a\0b", "/tmp/\ud800"])
def test_a_path_that_the_system_cannot_spell_is_refused(path: str) -> None:
    with pytest.raises(SpoolError, match="cannot be looked at"):
        check_directory(path)


def test_a_directory_that_is_swapped_while_the_lock_is_taken_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, outside = home / "spool", home / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    take = LockFile.take.__func__  # type: ignore[attr-defined]

    def swapped(path: str, *, create: bool) -> LockFile:
        directory.rename(home / "away")
        outside.rename(directory)
        lock: LockFile = take(LockFile, path, create=create)
        return lock

    make_directory(str(directory))
    monkeypatch.setattr(LockFile, "take", swapped)
    with pytest.raises(SpoolError, match="was replaced while it was opened"):
        Files.create(str(directory), OWNER)
    assert os.listdir(directory) == []


@needs_root
def test_what_belongs_to_somebody_else_is_refused(home: Path) -> None:
    (home / "spool").mkdir(mode=0o700)
    os.chown(home / "spool", 12345, 12345)
    for path in (home / "spool", home / "spool" / "below"):
        with pytest.raises(SpoolError, match="belongs to user 12345, not to 0"):
            make_directory(str(path))


@needs_root
def test_what_belongs_to_root_is_no_spool_of_another_user(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "spool").mkdir(mode=0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(SpoolError, match="belongs to user 0, not to 12345"):
        check_directory(str(home / "spool"))


def test_what_is_no_directory_is_refused(home: Path) -> None:
    (home / "file").touch()
    for path in ("file", "file/spool"):
        with pytest.raises(SpoolError, match="is not a directory|cannot be looked at"):
            make_directory(str(home / path))


def test_a_directory_that_cannot_be_made_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(SpoolError, match="cannot be made .Read-only file system.: choose another spool="):
        make_directory(str(home / "spool"))


def test_the_default_is_the_users_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert default_directory() == "/state/totango_sdk"
    monkeypatch.setenv("HOME", "/home/me")
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", unset)
        assert default_directory() == "/home/me/.local/state/totango_sdk"


def test_a_user_without_a_home_gets_a_directory_of_his_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert default_directory() == f"/var/tmp/totango_sdk-{os.geteuid()}"


def test_a_file_is_made_for_this_user_alone_and_never_through_a_link(home: Path) -> None:
    before = os.umask(0)
    try:
        os.close(create_file(str(home / "file")))
    finally:
        os.umask(before)
    assert mode(home / "file") == 0o600
    (home / "link").symlink_to(home / "target")
    with pytest.raises(FileExistsError):
        create_file(str(home / "link"))
    assert not (home / "target").exists()


def test_errors_of_the_disk_say_what_to_do() -> None:
    full = disk_error("x", OSError(errno.ENOSPC, "No space left on device"))
    assert isinstance(full, SpoolFull)
    assert "free space" in str(full)
    other = disk_error("x", OSError(errno.EACCES, "Permission denied"))
    assert type(other) is SpoolError
    assert "Permission denied" in str(other)


# -- locks


def test_a_lock_is_held_once_in_a_process(home: Path) -> None:
    path = str(home / "a.lock")
    lock = LockFile.take(path, create=True)
    with pytest.raises(SpoolLocked, match="another client of this process"):
        LockFile.take(path, create=False)
    dead(lambda: pytest.raises(SpoolLocked, LockFile.take, path, create=False))
    lock.release(remove=False)
    LockFile.take(path, create=False).release(remove=True)
    assert os.listdir(home) == []
    with pytest.raises(SpoolLocked, match="cannot be opened"):
        LockFile.take(path, create=False)


def test_of_many_threads_only_one_gets_a_lock(home: Path) -> None:
    path = str(home / "a.lock")
    LockFile.take(path, create=True).release(remove=False)
    taken = []
    barrier = threading.Barrier(8)

    def take() -> None:
        barrier.wait()
        try:
            taken.append(LockFile.take(path, create=False))
        except SpoolLocked:
            taken.append(None)

    for _ in range(20):
        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (lock,) = [lock for lock in taken if lock is not None]
        lock.release(remove=False)
        taken.clear()


def test_a_lock_is_not_inherited_by_a_fork_and_ends_with_its_process(home: Path) -> None:
    path = str(home / "a.lock")
    lock = LockFile.take(path, create=True)

    def child() -> None:
        with pytest.raises(SpoolLocked, match="another process"):
            LockFile.take(path, create=False)
        lock.abandon()

    assert ended(forked(child)) == 0
    dead(lambda: pytest.raises(SpoolLocked, LockFile.take, path, create=False))
    lock.release(remove=False)

    dead(lambda: LockFile.take(path, create=False))
    LockFile.take(path, create=False).release(remove=False)


def test_a_lock_is_seen_by_another_copy_of_the_package(home: Path) -> None:
    spec = importlib.util.find_spec(paths.__name__)
    assert spec is not None and spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    path = str(home / "a.lock")
    lock = LockFile.take(path, create=True)
    with pytest.raises(SpoolLocked, match="another client of this process"):
        copy.LockFile.take(path, create=False)
    dead(lambda: pytest.raises(SpoolLocked, LockFile.take, path, create=False))  # it was not let go of
    lock.release(remove=False)
    copy.LockFile.take(path, create=False).release(remove=False)


def test_a_lock_that_two_copies_take_at_once_is_nobodys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(home / "a.lock")
    LockFile.take(path, create=True).release(remove=False)
    opening, opened = paths._open_existing, []

    def twice(path: str) -> int:
        opened.extend((opening(path), opening(path)))
        return opened[0]

    monkeypatch.setattr(paths, "_open_existing", twice)
    with pytest.raises(SpoolLocked, match="just taken by another client"):
        LockFile.take(path, create=False)
    for fd in opened:
        os.close(fd)


def test_a_lock_that_was_removed_meanwhile_is_not_taken(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(home / "a.lock")
    LockFile.take(path, create=True).release(remove=False)
    opening = paths._open_existing

    def slow(path: str) -> int:
        fd = opening(path)
        os.unlink(path)
        return fd

    monkeypatch.setattr(paths, "_open_existing", slow)
    with pytest.raises(SpoolLocked, match="just removed"):
        LockFile.take(path, create=False)


def test_a_lock_file_that_is_a_link_is_not_followed(home: Path) -> None:
    (home / "outside").touch()
    (home / "a.lock").symlink_to(home / "outside")
    with pytest.raises(SpoolLocked):
        LockFile.take(str(home / "a.lock"), create=False)

"""What lies among a dead process's files that is none of a spool's, and what a power cut leaves of new ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from spools import bodies, closing, drain, leave, names, put

from totango_sdk.log import forget_told

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def a_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


STRANGE: dict[str, Callable[[str], object]] = {
    "a named pipe": os.mkfifo,
    "a directory": os.mkdir,
    "a link": lambda path: os.symlink("/etc/hostname", path),
    "a socket": a_socket,
}
BESIDE = ("journal.draft", "db-shm", "db-journal", "db.draft", "db.new")


def stem_in(spool: Path) -> str:
    return str(spool / names(spool, ".lock")[0].removesuffix("lock"))


@pytest.mark.parametrize("suffix", BESIDE)
@pytest.mark.parametrize("kind", STRANGE)
def test_what_is_no_plain_file_among_a_spools_is_set_aside_and_keeps_nothing_from_leaving(
    kind: str, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = tmp_path / "s"
    left = leave(spool, 50, segment_bytes=6000)
    STRANGE[kind](stem_in(spool) + suffix)
    with closing(spool) as found:
        assert sorted(bodies(drain(found))) == sorted(left)
        assert put(found, b"fresh")
        assert bodies(drain(found)) == [b"fresh"]
    assert [record.message for record in caplog.records if "is no plain file" in record.message]
    assert [name for name in names(spool) if ".corrupt-" not in name] == []


@pytest.mark.parametrize("suffix", ["journal", "db", "db-wal"])
@pytest.mark.parametrize("kind", STRANGE)
def test_what_stands_in_the_place_of_a_spools_file_is_set_aside_and_not_followed(
    kind: str, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = tmp_path / "s"
    left = leave(spool, 50, segment_bytes=6000)
    path = stem_in(spool) + suffix
    os.unlink(path)
    STRANGE[kind](path)
    forget_told()
    with closing(spool) as found:
        assert set(bodies(drain(found))) <= set(left)
        assert put(found, b"fresh")
        assert bodies(drain(found)) == [b"fresh"]
    assert [record.message for record in caplog.records if f"{path} is no plain file" in record.message]


@pytest.mark.parametrize("kind", STRANGE)
def test_what_stands_in_the_place_of_a_lock_is_set_aside_and_all_behind_it_leaves(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = tmp_path / "s"
    left = leave(spool, 50, segment_bytes=6000)
    path = f"{stem_in(spool)}lock"
    os.unlink(path)
    STRANGE[kind](path)
    with closing(spool) as found:
        assert sorted(bodies(drain(found))) == sorted(left)
    assert [record.message for record in caplog.records if f"{path} is no plain file" in record.message]
    assert [name for name in names(spool) if ".corrupt-" not in name] == []


@pytest.mark.parametrize("content", [b"", bytes(8192), os.urandom(8192)], ids=["empty", "zeros", "noise"])
def test_a_mended_database_whose_content_a_power_cut_has_taken_does_not_replace_the_old_one(
    content: bytes, tmp_path: Path
) -> None:
    spool = tmp_path / "s"
    left = leave(spool, 50, segment_bytes=6000)
    with open(f"{stem_in(spool)}db.new", "wb") as file:
        file.write(content)
    with closing(spool) as found:
        assert sorted(bodies(drain(found))) == sorted(left)


def test_a_journal_that_was_made_longer_takes_no_more_memory_than_its_records(tmp_path: Path) -> None:
    spool = tmp_path / "s"
    left = leave(spool, 50)
    os.truncate(f"{stem_in(spool)}journal", 1 << 36)
    with closing(spool) as found:
        assert sorted(bodies(drain(found))) == sorted(left)


@pytest.mark.parametrize("suffix", ["journal", "db"])
def test_a_named_pipe_holds_nobody_who_looks_at_a_spool(suffix: str, tmp_path: Path) -> None:
    spool = tmp_path / "s"
    leave(spool, 50, segment_bytes=6000)
    os.unlink(stem_in(spool) + suffix)
    os.mkfifo(stem_in(spool) + suffix)
    code = "import sys; from totango_sdk.cli import main; sys.exit(main(['spool', 'status', '--spool', sys.argv[1]]))"
    command = [sys.executable, "-c", code, str(spool)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("start", [0, 30])
def test_a_log_whose_header_and_first_page_are_damaged_still_gives_the_rest(start: int, tmp_path: Path) -> None:
    spool = tmp_path / "s"
    left = leave(spool, 300, segment_bytes=6000)
    log = f"{stem_in(spool)}db-wal"
    with open(log, "r+b") as file:
        file.seek(start)
        file.write(os.urandom(94 - start))
    with closing(spool) as found:
        assert len(set(bodies(drain(found))) & set(left)) > 250

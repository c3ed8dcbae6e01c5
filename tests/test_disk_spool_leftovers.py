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
BESIDE = ("01000009.log", "1.log.draft", "log", "journal", "db-wal", "db.new")
FIRST = "01000000.log"


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


@pytest.mark.parametrize("suffix", [FIRST, "01000001.log"])
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
def test_a_new_segment_whose_content_a_power_cut_has_taken_keeps_nothing_from_leaving(
    content: bytes, tmp_path: Path
) -> None:
    spool = tmp_path / "s"
    left = leave(spool, 50, segment_bytes=6000)
    with open(f"{stem_in(spool)}01000009.log", "wb") as file:
        file.write(content)
    with closing(spool) as found:
        assert sorted(bodies(drain(found))) == sorted(left)


def test_a_segment_that_was_made_longer_takes_no_more_memory_than_its_records(tmp_path: Path) -> None:
    spool = tmp_path / "s"
    left = leave(spool, 50)
    os.truncate(stem_in(spool) + FIRST, 1 << 36)
    with closing(spool) as found:
        assert sorted(bodies(drain(found))) == sorted(left)


@pytest.mark.parametrize("suffix", [FIRST, "01000001.log"])
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
def test_a_segment_whose_first_page_is_damaged_still_gives_the_rest(start: int, tmp_path: Path) -> None:
    spool = tmp_path / "s"
    left = leave(spool, 300, segment_bytes=60_000)
    with open(stem_in(spool) + FIRST, "r+b") as file:
        file.seek(start)
        file.write(os.urandom(4096 - start))
    with closing(spool) as found:
        assert sorted(bodies(drain(found))) == sorted(left)

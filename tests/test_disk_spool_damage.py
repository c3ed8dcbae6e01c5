"""Files that were damaged while nobody had them open: it always starts, and gives what can be read."""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING, NamedTuple

import pytest
from spools import NOW, bodies, bury, check_counts, closing, dead, drain, fill, names, opened, put

from totango_sdk.errors import SpoolFull
from totango_sdk.spool.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = 8192
MUTANTS = int(os.environ.get("SPOOL_MUTANTS", "60"))
LANES = 5


class Left(NamedTuple):
    directory: Path
    earlier: Path  # the same files some time before
    put_in: list[bytes]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    """What a process left that was killed: events in all files, and a dead letter."""
    directory = tmp_path_factory.mktemp("left")
    earlier = tmp_path_factory.mktemp("earlier")
    shutil.rmtree(earlier)

    def work() -> None:
        spool = opened(directory, segment_bytes=SMALL)
        put(spool, b"poison", lane="poison")
        bury(spool, spool.lease(1, NOW))
        put_in = fill(spool, 200)
        shutil.copytree(directory, earlier)
        fill(spool, 150, name="more ")
        assert put_in

    dead(work)
    put_in = [f"{number} ".encode().ljust(300, b".") for number in range(200)]
    put_in += [f"more {number} ".encode().ljust(300, b".") for number in range(150)]
    assert len(names(directory, ".log")) > 10
    return Left(directory, earlier, put_in)


def flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 1, 5, 100))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def zero(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((1, 100, 4096, 20_000, len(data))))
    data[start:end] = bytes(end - start)


def spoil(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data)) // 4096 * 4096
    end = min(len(data), start + chance.choice((16, 512, 4096, 8192, len(data))))
    data[start:end] = chance.randbytes(end - start)


def head(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(min(200, len(data)))
    data[at] = chance.choice((0, 1, 255, chance.randrange(256)))


def append(data: bytearray, chance: random.Random) -> None:
    data += chance.randbytes(chance.choice((1, 4096, 10_000)))


def empty(data: bytearray, _: random.Random) -> None:
    data.clear()


KINDS: list[Callable[[bytearray, random.Random], None]] = [flip, flip, cut, zero, spoil, head, append, empty]


def mutate(directory: Path, left: Left, chance: random.Random) -> str:
    """Damage one file, or take a stale one. Returns what was done."""
    suffix = chance.choice(("log",) * 9 + ("lock",))
    name = chance.choice(names(directory, f".{suffix}"))
    path = directory / name
    if suffix == "lock":
        path.write_bytes(chance.randbytes(10))
        return "lock written to"
    choice = chance.random()
    if choice < 0.08:
        path.unlink()
        return f"{suffix} removed"
    if choice < 0.16:
        if (left.earlier / name).exists():
            shutil.copy(left.earlier / name, path)
        return f"{suffix} stale"
    data = bytearray(path.read_bytes())
    kind = chance.choice(KINDS)
    kind(data, chance)
    path.write_bytes(data)
    return f"{suffix} {kind.__name__}"


@pytest.mark.parametrize("seed", range(MUTANTS))
def test_a_damaged_spool_starts_and_gives_what_can_be_read(
    left: Left, seed: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)
    directory = tmp_path / "spool"
    shutil.copytree(left.directory, directory)
    directory.chmod(0o700)
    done = mutate(directory, left, chance)
    with closing(directory, segment_bytes=SMALL) as spool:
        assert put(spool, b"new", lane="new") is not None
        sent = bodies(drain(spool))
        check_counts(spool)
        letters = [letter.body for letter in spool.letters()]
        damaged = letters.count(None)
        counts = spool.counts()
        assert (counts.queued, counts.retrying, counts.in_flight) == (0, 0, 0), done
    assert sent.count(b"new") == 1
    put_in = left.put_in
    known = {body: number for number, body in enumerate(put_in)}
    got = [body for body in sent if body != b"new"]
    assert not [body for body in got if body not in known], f"{done}: a body has changed"
    assert len(got) == len(set(got)), f"{done}: something came twice"
    assert {body for body in letters if body is not None} <= {b"poison"}
    for lane in range(LANES):
        numbers = [known[body] for body in got if known[body] % LANES == lane]
        assert numbers == sorted(numbers), f"{done}: out of order"
    aside = names(directory, ".corrupt-")
    told = aside or "newer version" in caplog.text or "events are lost" in caplog.text
    if done not in ("log removed", "log stale"):  # nothing else says what those had
        assert told or len(got) + damaged == len(put_in), f"{done}: {len(put_in) - len(got)} lost without a word"
    assert not aside or caplog.text.count("was set aside as") >= 1
    if "newer version" not in caplog.text:
        assert len(got) + damaged >= _readable(done, len(put_in)), done


def _readable(done: str, count: int) -> int:
    """The least that must be read in spite of such a damage."""
    if done in ("lock written to", "log append"):
        return count
    return count - 30  # of one segment


def test_the_long_form_of_each_damage_to_each_file(left: Left, tmp_path: Path) -> None:
    """Each file gone or empty: what the others have is delivered."""
    for name in names(left.directory):
        for gone in (True, False):
            directory = tmp_path / f"{name} {gone}"
            shutil.copytree(left.directory, directory)
            directory.chmod(0o700)
            (directory / name).unlink() if gone else (directory / name).write_bytes(b"")
            with closing(directory) as spool:
                sent = bodies(drain(spool))
            assert set(sent) <= set(left.put_in)
            assert len(sent) >= len(left.put_in) - (0 if name.endswith(".lock") else 30)


def test_damage_does_not_keep_others_from_being_delivered(left: Left, tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    shutil.copytree(left.directory, directory)
    directory.chmod(0o700)
    for name in names(directory):
        if not name.endswith(".lock"):
            (directory / name).write_bytes(os.urandom(9000))
    spool = opened(directory)
    put_in = fill(spool, 10)
    assert sorted(bodies(drain(spool))) == sorted(put_in)
    spool.close()
    with closing(directory) as spool:
        assert drain(spool) == []
    assert all(".corrupt-" in name for name in names(directory))


def test_where_there_is_no_room_to_set_damage_aside_it_is_read_past(
    left: Left, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise SpoolFull("no room")

    directory = tmp_path / "spool"
    shutil.copytree(left.directory, directory)
    directory.chmod(0o700)
    path = directory / names(directory, ".log")[2]
    data = bytearray(path.read_bytes())
    data[5000:5100] = bytes(100)
    path.write_bytes(data)
    with monkeypatch.context() as patch:
        patch.setattr(Segment, "copy", full)
        with closing(directory) as spool:
            assert len(drain(spool)) >= len(left.put_in) - 2
            check_counts(spool)
    assert "it stays where it is: no room" in caplog.text
    assert names(directory, ".corrupt-") == []

"""Whatever moment a process dies at, what it had accepted is there, in order, and little comes twice."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from spools import (
    NOW,
    bodies,
    bury,
    closing,
    deliver,
    drain,
    ended,
    fill,
    forked,
    leave_each,
    names,
    opened,
    put,
    retry,
)

from totango_sdk.spool import Item, segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = 4096
RUNS = int(os.environ.get("SPOOL_CRASHES", "60"))
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def small_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments here hold some twenty events; a real one of which little is alive is written anew too."""
    monkeypatch.setattr(segment, "_LEAST_SPARED", 0)
    monkeypatch.setattr(segment, "_SPARSE", 3)


class Ledger:
    """What a process told before it died: one line for each thing that it knows to be done."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self.told: dict[str, list[bytes]] = defaultdict(list)

    def tell(self, what: str, *told: bytes) -> None:
        os.write(self._writing, b"".join(b"%s %s\n" % (what.encode(), each.split(b".")[0]) for each in told))

    def run(self, work: Callable[[], object]) -> int:
        """Fork, work there until it dies, and read what it told. Returns its exit code."""
        child = forked(work)
        os.close(self._writing)
        with open(self._reading, "rb") as pipe:
            for line in pipe.read().splitlines():
                what, each = line.split(b" ", 1)
                self.told[what.decode()].append(each)
        return ended(child)


def scenario(directory: Path, ledger: Ledger) -> None:
    """Do a little of everything: spill, retry, bury, adopt, let go, close."""
    spool = opened(directory, segment_bytes=SMALL)

    def some(name: str, count: int) -> None:
        for number in range(count):
            body = b"%s %d" % (name.encode(), number)
            put(spool, body + b"." * 150, lane=f"lane {number % 4}")
            ledger.tell("put", body)

    def send(limit: int) -> None:
        leased = spool.lease(limit, NOW)
        ledger.tell("out", *bodies(leased))
        retry(spool, leased[:1], NOW)
        bury(spool, leased[1:2])
        deliver(spool, leased[2:])
        ledger.tell("settled", *bodies(leased[1:]))

    some("first", 10)
    spool.maintain(adopt=True)
    send(4)
    some("second", 60)
    for _ in range(4):
        send(4)
        spool.maintain(adopt=False)
    some("third", 40)
    spool.put([Item(json.dumps({"reason": "refused"}).encode(), is_letter=True)])
    for _ in range(30):
        send(4)
    spool.maintain(adopt=True)
    spool.close()


def left(directory: Path) -> list[bytes]:
    for name in names(directory) if directory.exists() else []:
        (directory / name).unlink()
    return [body.split(b".")[0] for each in leave_each(directory, 2, 20, segment_bytes=SMALL) for body in each]


def dies_at(count: int, scenario: Callable[[], object]) -> None:
    """Run the scenario, and die without a word before the line of the spool's code with this number."""
    lines = 0

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal lines
        if "totango_sdk/spool" not in frame.f_code.co_filename:
            return None
        if event == "line":
            lines += 1
            if lines == count:
                os._exit(9)
        return trace

    sys.settrace(trace)
    scenario()
    sys.settrace(None)
    os.write(2, b"%d lines\n" % lines)


def count_lines(work: Callable[[], object]) -> int:
    reading, writing = os.pipe()

    def counted() -> None:
        os.dup2(writing, 2)
        dies_at(-1, work)

    assert ended(forked(counted)) == 0
    os.close(writing)
    with open(reading, "rb") as pipe:
        return int(pipe.read().split()[0])


def check(directory: Path, ledger: Ledger, earlier: list[bytes]) -> int:
    """Check what is left of a process that died. Returns how many events come again."""
    with closing(directory, segment_bytes=SMALL) as spool:
        sent = [body.split(b".")[0] for body in bodies(drain(spool))]
        buried = [letter.body.split(b".")[0] for letter in spool.letters() if letter.body is not None]
    told = ledger.told
    out, settled = told["out"], set(told["settled"])
    accepted = earlier + told["put"]
    assert not set(accepted) - set(sent) - set(out) - set(buried), "lost"
    unknown = set(sent) - set(accepted)
    assert len(unknown) <= 1, "only the last may have been stored without being told"
    assert len(sent) == len(set(sent))
    again = settled & set(sent)
    for name in {body.split(b" ")[0] for body in sent}:
        for lane in range(4 if name.isalpha() else 5):
            numbers = [int(body.split()[1]) for body in sent if body.startswith(name + b" ")]
            of_lane = [number for number in numbers if number % (4 if name.isalpha() else 5) == lane]
            assert of_lane == sorted(of_lane), "out of order"
    assert names(directory, ".corrupt-") == [], "a crash is no damage"
    return len(again)


def test_no_crash_between_any_two_lines_loses_anything(tmp_path: Path) -> None:
    left(tmp_path / "count")
    lines = count_lines(lambda: scenario(tmp_path / "count", Ledger()))
    chance = random.Random(os.urandom(8))
    again = 0
    for at in sorted(chance.sample(range(1, lines), min(RUNS, lines - 1))):
        directory = tmp_path / "spool"
        earlier = left(directory)
        ledger = Ledger()
        code = ledger.run(lambda at=at, ledger=ledger: dies_at(at, lambda: scenario(directory, ledger)))
        assert code in (0, 9)
        try:
            again += check(directory, ledger, earlier)
        except AssertionError as error:
            error.add_note(f"when it dies before line {at} of {lines}")
            raise
    assert again <= RUNS * 100  # what was delivered and not struck off yet


def test_no_crash_while_files_are_recovered_loses_anything(tmp_path: Path) -> None:
    """What dies while it takes over or adopts leaves everything to the next, which may die in its turn."""
    chance = random.Random(os.urandom(8))
    for _ in range(max(RUNS // 10, 3)):
        directory = tmp_path / "spool"
        earlier = left(directory)
        for _ in range(4):
            at = chance.randrange(1, 1500)

            def recover(at: int = at) -> None:
                dies_at(at, lambda: opened(directory, segment_bytes=SMALL).maintain(adopt=True))

            assert ended(forked(recover)) in (0, 9)
        assert check(directory, Ledger(), earlier) == 0


@pytest.mark.parametrize("durability", ["process", "power"])
@pytest.mark.parametrize("sends", [False, True])
def test_no_kill_loses_what_was_accepted(tmp_path: Path, durability: str, sends: bool) -> None:
    chance = random.Random(os.urandom(8))
    directory = tmp_path / "spool"
    for number in range(max(RUNS // 6, 3)):
        size = chance.choice([SMALL, 8192, 1 << 20])
        put_before = chance.randrange(1, 400 if durability == "process" else 40)
        reading, writing = os.pipe()

        def work(number: int = number, size: int = size, writing: int = writing) -> None:
            spool = opened(directory, segment_bytes=size, durability=durability)
            threading.Thread(target=send, args=(spool, writing), daemon=True).start() if sends else None
            for at in range(1_000_000):
                body = b"%d/%d" % (number, at)
                put(spool, body + b"." * 200, lane=f"lane {at % 7}")
                os.write(writing, b"put " + body + b"\n")

        def send(spool: Any, writing: int) -> None:
            while True:
                spool.maintain(adopt=False)
                leased = spool.lease(4, NOW)
                os.write(writing, b"".join(b"out " + body.split(b".")[0] + b"\n" for body in bodies(leased)))
                deliver(spool, leased)

        child = forked(work)
        os.close(writing)
        told = []
        with open(reading, "rb") as pipe:
            for _ in range(put_before):
                told.append(pipe.readline())
            os.kill(child, signal.SIGKILL)
            told += pipe.read().splitlines(keepends=True)
        assert ended(child) == -signal.SIGKILL
        lines = [line.split() for line in told if line.endswith(b"\n")]
        accepted = [body for what, body in lines if what == b"put"]
        out = {body for what, body in lines if what == b"out"}
        with closing(directory, segment_bytes=size) as spool:
            sent = [body.split(b".")[0] for body in bodies(drain(spool))]
        assert not set(accepted) - set(sent) - out, "lost"
        assert len(set(sent) - set(accepted) - out) <= 1 + 4 * sends
        for lane in range(7):
            numbers = [at for body in sent if (at := int(body.split(b"/")[1])) % 7 == lane]
            assert numbers == sorted(set(numbers)), "out of order"
        if not sends:
            assert sent[: len(accepted)] != [] or not accepted
    assert names(directory) == []


def test_a_lock_that_ends_with_its_process_lets_another_deliver_what_it_left_once(tmp_path: Path) -> None:
    told, tell = os.pipe()
    waiting, end = os.pipe()

    def hold() -> None:
        os.close(end)
        fill(opened(tmp_path), 50)
        os.write(tell, b"!")
        os.read(waiting, 1)

    child = forked(hold)
    os.close(tell)
    assert os.read(told, 1) == b"!"
    spool = opened(tmp_path)
    assert drain(spool) == []
    os.kill(child, signal.SIGKILL)
    ended(child)
    assert len(drain(spool)) == 50
    assert drain(spool) == []
    spool.close()
    for fd in (told, waiting, end):
        os.close(fd)

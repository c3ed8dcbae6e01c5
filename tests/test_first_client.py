"""Making the first client of a process, which loads what delivers: deadlines and forks in the middle of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers import Collector

TESTS = Path(__file__).parent

START = """
import os, random, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")
from totango_sdk import Totango
from deadlines import Deadline, arm
spool, endpoint = sys.argv[1:3]

def make():
    return Totango("SP-1-1", account="A", user="U", module="M", spool=spool, endpoint=endpoint, transport="httpx")
"""

STRUCK = """
def struck_within(seconds):
    arm()
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        make()
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Deadline:
        pass
    made = []
    other = threading.Thread(target=lambda: made.append(make()), daemon=True)
    other.start()
    other.join(20)
    if not made:
        return "an import is held"
    if Deadline.struck and not made[0].track("after"):
        return "nothing is accepted"
    return "" if made[0].flush(30) else "nothing is sent"

def time_of_making():
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        began = time.perf_counter()
        make()
        os.write(writes, str(time.perf_counter() - began).encode())
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return float(os.read(reads, 100))

needed = time_of_making()
for number in range(60):
    pid = os.fork()
    if pid == 0:
        what = struck_within(needed * (number + random.random()) / 50)
        if what:
            print(what, file=sys.stderr)
        os._exit(1 if what else 0)
    assert os.waitpid(pid, 0)[1] == 0
"""

FORKED = """
from slow_import import slow_down

reached = slow_down({module!r})
made = []
maker = threading.Thread(target=lambda: made.append(make()))
maker.start()
assert reached.wait(30)
pid = os.fork()
if pid == 0:
    client = make()
    client.track("child")
    os._exit(0 if client.flush(30) else 1)
assert os.waitpid(pid, 0)[1] == 0
maker.join(30)
made[0].track("parent")
assert made[0].flush(30)
made[0].close()
"""


def run(code: str, spool: Path, endpoint: str) -> None:
    command = [sys.executable, "-c", START + code, str(spool), endpoint]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=TESTS)
    assert done.returncode == 0, done.stderr


def test_a_deadline_in_the_making_of_the_first_client_leaves_nothing_half_loaded(
    collector: Collector, tmp_path: Path
) -> None:
    run(STRUCK, tmp_path / "spool", collector.endpoint)


@pytest.mark.parametrize("module", ["totango_sdk.assembly", "totango_sdk.delivery.worker", "totango_sdk.spool.disk"])
def test_a_fork_while_a_thread_makes_the_first_client_leaves_a_child_that_delivers(
    module: str, collector: Collector, tmp_path: Path
) -> None:
    run(FORKED.format(module=module), tmp_path / "spool", collector.endpoint)
    assert sorted(collector.activities) == ["child", "parent"]

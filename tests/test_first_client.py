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

LOADED = """
class Noted:
    found = []
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread() and is_import_of_ours(sys._getframe(2)):
            self.found.append(name)

def is_import_of_ours(frame):
    if frame.f_code.co_name == "find_spec":  # who asks whether there is such a module imports nothing
        return False
    while frame is not None and "totango_sdk" not in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None

sys.meta_path.insert(0, Noted())
{use}
assert not Noted.found, Noted.found
"""

USES = {
    "options": "make().close()",
    "environment": "os.environ['TOTANGO_SERVICE_ID'] = 'SP-1-1'; Totango.from_env(spool='memory', transport='curl').close()",
    "page": "Totango.from_options({'service_id': 'SP-1-1', 'account': {'id': 'A'}}, spool=spool).close()",
    "proxy": "Totango('SP-1-1', proxy='http://127.0.0.1:9', spool=spool).close()",
    "wrong": "try: Totango('SP-1-1', acount='A')\nexcept Exception: pass",
    "wrong endpoint": "try: Totango('SP-1-1', endpoint='http://10.0.0.1/')\nexcept Exception: pass",
    "calls": (
        "client = make(); client.track('x'); client.identify(account={'id': 'B', 'name': 'B'}); client.track('', '');"
        "client.set_account_attributes({'a': 1.5, 'Create Date': 'x'}); client.flush(5); client.stats(); client.close()"
    ),
    "letters": "client = make(); client.track('x', 'y', account='a@b'); list(client.dead_letters()); client.close()",
}


def run(code: str, spool: Path, endpoint: str) -> None:
    command = [sys.executable, "-c", START + code, str(spool), endpoint]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=TESTS)
    assert done.returncode == 0, done.stderr


def test_a_deadline_in_the_making_of_the_first_client_leaves_nothing_half_loaded(
    collector: Collector, tmp_path: Path
) -> None:
    run(STRUCK, tmp_path / "spool", collector.endpoint)


@pytest.mark.parametrize("use", USES)
def test_what_a_client_needs_is_loaded_where_no_deadline_strikes(
    use: str, collector: Collector, tmp_path: Path
) -> None:
    run(LOADED.format(use=USES[use]), tmp_path / "spool", collector.endpoint)


@pytest.mark.parametrize("module", ["totango_sdk.assembly", "totango_sdk.delivery.worker", "totango_sdk.spool.disk"])
def test_a_fork_while_a_thread_makes_the_first_client_leaves_a_child_that_delivers(
    module: str, collector: Collector, tmp_path: Path
) -> None:
    run(FORKED.format(module=module), tmp_path / "spool", collector.endpoint)
    assert sorted(collector.activities) == ["child", "parent"]

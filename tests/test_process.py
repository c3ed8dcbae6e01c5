"""Forks, signals and the end of the interpreter, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from servers import PATIENCE, Collector, mute, refusing_port, wait_for

from totango_sdk import Totango

if TYPE_CHECKING:
    from subprocess import CompletedProcess

TESTS = Path(__file__).parent

START = """
import _imp, atexit, ctypes, os, random, signal, sys, threading, time, warnings
warnings.simplefilter("ignore")
from totango_sdk import Totango
from unannounced import fork_in_c
spool, endpoint, how = sys.argv[1:4]
client = Totango("SP-1-1", account="A", user="U", module="M", spool=spool, endpoint=endpoint, transport=how.split()[0])
"""


def run(code: str, spool: Path | str, endpoint: str, how: str = "httpx", seconds: float = 120) -> CompletedProcess[str]:
    command = [sys.executable, "-c", START + code, str(spool), endpoint, how]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, cwd=TESTS)


def deliver_the_rest(spool: Path, endpoint: str) -> None:
    with Totango("SP-1-1", account="A", user="U", module="M", spool=spool, endpoint=endpoint) as client:
        client.track("next process")
        wait_for(lambda: client.flush(PATIENCE))


# -- forks

IN_THE_MIDDLE = """
from slow_import import slow_down

reached = slow_down({module!r})
client.track("parent")
assert reached.wait(30)
pid = os.fork() if {kind!r} == "announced" else fork_in_c()
if pid == 0:
    if {kind!r} == "in C":
        if not _imp.lock_held():
            _imp.acquire_lock()  # as whoever announces a fork does; Python lets go of it
        ctypes.pythonapi.PyOS_AfterFork_Child()
    client.track("child")
    os._exit(0 if client.flush(30) else 1)
assert os.waitpid(pid, 0)[1] == 0
assert client.flush(30)
client.close()
"""


@pytest.mark.parametrize("kind", ["announced", "in C"])
@pytest.mark.parametrize(
    "module", ["httpx", "httpx._client", "httpcore._sync.connection", "totango_sdk.delivery.transports.httpx"]
)
def test_a_fork_in_the_middle_of_an_import_leaves_a_child_that_delivers(
    module: str, kind: str, collector: Collector, tmp_path: Path
) -> None:
    done = run(IN_THE_MIDDLE.format(module=module, kind=kind), tmp_path / "spool", collector.endpoint)
    assert done.returncode == 0, done.stderr
    assert sorted(collector.activities) == ["child", "parent"]


AT_ANY_MOMENT = """
client.track("parent")
children = []
for number in range(12):
    time.sleep(random.uniform(0, 0.15))
    pid = os.fork()
    if pid == 0:
        client.track(f"child {number}")
        os._exit(0 if client.flush(30) else 1)
    children.append(pid)
assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
assert client.flush(30)
client.close()
"""


@pytest.mark.parametrize("transport", ["httpx", "curl"])
def test_children_of_any_moment_after_the_first_event_deliver(
    transport: str, collector: Collector, tmp_path: Path
) -> None:
    done = run(AT_ANY_MOMENT, tmp_path / "spool", collector.endpoint, transport)
    assert done.returncode == 0, done.stderr
    assert sorted(collector.activities) == sorted(["parent", *(f"child {number}" for number in range(12))])


# -- signals

DEADLINES = """
from deadlines import Deadline, arm

caught = 0

arm()
while caught < 150:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00005, 0.003), 0.5)
        while True:
            chance = random.random()
            if chance < 0.9:
                client.track("x", account=f"A{random.randrange(5)}")
            elif chance < 0.95:
                client.identify(user="V")
            elif chance < 0.98:
                client.flush(0.001)
            else:
                client.close(0.01)
    except Deadline:
        caught += 1
signal.setitimer(signal.ITIMER_REAL, 0)
assert Deadline.struck == caught == 150, (Deadline.struck, caught)
elsewhere = []
other = threading.Thread(target=lambda: elsewhere.append(client.track("elsewhere")), daemon=True)
other.start()
other.join(10)
assert elsewhere and elsewhere[0], "a lock is held"
assert client.track("last")
assert client.flush(30)
stats = client.stats()
assert stats.durable or spool == "memory"
assert stats.accepted == stats.delivered and stats.dropped == stats.in_flight == 0, stats
client.close()
ends = time.monotonic() + 20  # a connection's thread ends by itself, once it notices
while names := [thread.name for thread in threading.enumerate() if thread.name.startswith("totango")]:
    assert time.monotonic() < ends, names
    time.sleep(0.01)
"""


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_each_deadline_reaches_the_host_and_leaves_nothing_behind(
    where: str, collector: Collector, tmp_path: Path
) -> None:
    done = run(DEADLINES, tmp_path / "spool" if where == "disk" else "memory", collector.endpoint)
    assert done.returncode == 0, done.stderr
    assert {"elsewhere", "last"} <= set(collector.activities)


FIRST = """
from deadlines import Deadline, arm

arm()
signal.setitimer(signal.ITIMER_REAL, float(how.split()[1]), 0.5)
try:
    client.track("first")
    signal.pause()
except Deadline:
    signal.setitimer(signal.ITIMER_REAL, 0)
assert client.track("second")
assert client.stats().durable
assert client.flush(30)
client.close()
"""


@pytest.mark.parametrize("after", [0.0001, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016])
def test_a_deadline_in_the_very_first_call_leaves_the_spool_on_disk(
    after: float, collector: Collector, tmp_path: Path
) -> None:
    done = run(FIRST, tmp_path / "spool", collector.endpoint, f"httpx {after}")
    assert done.returncode == 0, done.stderr
    assert "in memory only" not in done.stderr
    assert "second" in collector.activities


IMPORTS = """
import _imp, colorsys

class Deadline(Exception):
    pass

def handler(frame, event, arg):
    if event == "c_return" and arg is _imp.acquire_lock:  # the lock of all imports
        sys.setprofile(None)
        raise Deadline

for call in (lambda: client.track(""), client.carry, client.dead_letters, client.snippet, lambda: client.close(1)):
    sys.setprofile(handler)
    try:
        call()
    except Deadline:
        pass
    sys.setprofile(None)
del sys.modules["colorsys"]
other = threading.Thread(target=__import__, args=("colorsys",), daemon=True)
other.start()
other.join(20)
print("held" if other.is_alive() else "free", flush=True)
os._exit(0)
"""


def test_a_deadline_in_a_call_leaves_no_import_half_done(tmp_path: Path) -> None:
    """What a call imports later than the package was left to Python, which left its own lock held."""
    done = run(IMPORTS, tmp_path / "spool", f"http://127.0.0.1:{refusing_port()}/pixel.gif/")
    assert (done.returncode, done.stdout) == (0, "free\n"), done.stderr


# -- the end

ENDS = {
    "a global object's __del__": """
class Last:
    def __del__(self):
        client.track("late")
sys.last = Last()
client.track("x")
""",
    "a __del__ with the first event": """
class Last:
    def __del__(self):
        client.track("late")
sys.last, sys.client = Last(), client
""",
    "atexit before ours": """
from totango_sdk.delivery import process
atexit.unregister(process.end)
atexit.register(client.track, "late")
atexit.register(process.end)
client.track("x")
""",
    "atexit after ours": """
client.track("x")
atexit.register(client.track, "late")
""",
    "daemon threads, and a __del__": """
def work():
    while True:
        client.track("busy")
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
class Last:
    def __del__(self):
        client.track("late")
sys.last = Last()
client.track("x")
time.sleep(0.2)
""",
}


@pytest.mark.parametrize("outage", ["refused", "mute"])
@pytest.mark.parametrize("end", ENDS)
def test_a_process_ends_in_time_whatever_tracks_at_its_end(end: str, outage: str, tmp_path: Path) -> None:
    code = "import time\n" + ENDS[end].rstrip() + '\nprint("began", time.monotonic(), flush=True)\n'
    with Collector(lambda _: mute) as silent:
        endpoint = silent.endpoint if outage == "mute" else f"http://127.0.0.1:{refusing_port()}/pixel.gif/"
        done = run(code, tmp_path / "spool", endpoint, seconds=60)
        took = time.monotonic() - float(done.stdout.split()[1])
    assert done.returncode == 0, done.stderr
    # 2 are promised; the rest is the interpreter's own end, on a machine that may be busy. What this is
    # about never ended.
    assert took < 10, f"{took:.1f} s"


def test_what_is_tracked_after_our_own_end_waits_for_the_next_process(collector: Collector, tmp_path: Path) -> None:
    done = run(ENDS["atexit before ours"], tmp_path / "spool", collector.endpoint)
    assert done.returncode == 0, done.stderr
    deliver_the_rest(tmp_path / "spool", collector.endpoint)
    assert sorted(collector.activities) == ["late", "next process", "x"]

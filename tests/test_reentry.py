"""Calls that interrupt another call of the same thread: signal handlers, and `__del__` in a collection of garbage."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from servers import PATIENCE, Collector, wait_for

from totango_sdk import Totango

if TYPE_CHECKING:
    from pathlib import Path

INTERRUPTED = """
import gc, signal, sys
from totango_sdk import Totango

how, spool, endpoint = sys.argv[1:]
client = Totango("SP-1-1", account="A", user="U", module="M", spool=spool, endpoint=endpoint, strict=False)
inner = 0
over = False

def interrupt(*_):
    global inner
    inner += 1
    client.track("inner", account=f"B{inner % 7}")
    if how == "signal" and not over:
        signal.setitimer(signal.ITIMER_REAL, 0.0002)

class Session:
    def __init__(self):
        self.itself = self
    def __del__(self):
        interrupt()

if how == "signal":
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0002)
else:
    gc.set_threshold(1)  # so that a collection comes in the middle of anything, in any thread
outer = 0
while outer < 2000 or inner < 200:
    outer += 1
    client.track("outer", account=f"A{outer % 5}")
    if how == "garbage":
        Session()
    if outer % 50 == 0:
        client.stats()
over = True
if how == "signal":
    signal.setitimer(signal.ITIMER_REAL, 0)
else:
    gc.collect()
    gc.set_threshold(0)
import threading
for thread in threading.enumerate():
    if thread.name == "totango-late":
        thread.join()
assert client.flush(30)
client.close()
stats = client.stats()
assert stats.accepted == stats.delivered == outer + inner, (stats, outer, inner)
print(outer, inner)
"""


@pytest.mark.parametrize("spool", ["disk", "memory"])
@pytest.mark.parametrize("how", ["signal", "garbage"])
def test_a_call_that_interrupts_another_neither_hangs_nor_loses_anything(
    how: str, spool: str, collector: Collector, tmp_path: Path
) -> None:
    where = spool if spool == "memory" else str(tmp_path / "spool")
    command = [sys.executable, "-c", INTERRUPTED, how, where, collector.endpoint]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    outer, inner = map(int, done.stdout.split())
    assert len(collector.requests) == outer + inner
    assert collector.activities.count("inner") == inner


@pytest.mark.parametrize("lock", ["memory", "disk", "house"])
def test_what_comes_while_this_thread_is_inside_the_spool_is_stored_by_another(
    lock: str, collector: Collector, tmp_path: Path
) -> None:
    with Totango(
        "SP-1-1", account="A", user="U", module="M", spool=tmp_path / "spool", endpoint=collector.endpoint
    ) as client:
        if lock != "house":  # that one is held while the spool is opened
            client.track("before")
        with getattr(client._core.worker.spool._state, lock):
            assert client.track("x") is None
        wait_for(lambda: client.stats().accepted == (1 if lock == "house" else 2))
        assert client.flush(PATIENCE)
        assert "x" in collector.activities

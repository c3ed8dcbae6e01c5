"""Under gevent no greenlet is held, whenever it has patched; each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import socket
    import threading
    from pathlib import Path

    from servers import Collector

CODE = """
import os, sys, time, warnings
warnings.simplefilter("ignore")
spool, endpoint, when, transport = sys.argv[1:]
if when == "before":
    import gevent.monkey
    gevent.monkey.patch_all()
from totango_sdk import Totango
client = Totango("SP-1-1", account="A", user="U", module="M", spool=spool, endpoint=endpoint, transport=transport)
if when == "fork":
    client.track("parent")
    assert client.flush(30)
    pid = os.fork()
    if pid:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
if when != "before":
    import gevent.monkey
    gevent.monkey.patch_all()
import gevent

def request(number):
    return [client.track(f"x{number}-{at}") for at in range(5)]

ticks = []

def tick():
    while True:
        gevent.sleep(0.01)
        ticks.append(time.monotonic())

requests = [gevent.spawn(request, number) for number in range(8)]
gevent.joinall(requests, raise_error=True)
assert all(event_id for each in requests for event_id in each.value)
assert client.flush(30)
assert type(client._core.worker._drive.sender._transport).__name__ == "HttpxTransport"
ticker = gevent.spawn(tick)
client.track("slow")
assert client.flush(30)
longest = max(after - before for before, after in zip(ticks, ticks[1:]))
assert len(ticks) > 5, "no greenlet ran while a request was out"
print(longest)
client.close()
sys.stdout.flush()
os._exit(0)
"""


def slow(connection: socket.socket, ended: threading.Event) -> None:
    ended.wait(0.5)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    connection.close()


@pytest.mark.parametrize("transport", ["auto", "curl"])
@pytest.mark.parametrize("when", ["before", "after", "fork"])
def test_greenlets_run_while_a_request_is_out(when: str, transport: str, collector: Collector, tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    collector.plan = lambda request: slow if b"slow" in request.body else 200
    command = [sys.executable, "-c", CODE, str(tmp_path / "spool"), collector.endpoint, when, transport]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert len([name for name in collector.activities if name.startswith("x")]) == 40
    assert ("transport='curl' is httpx here" in done.stderr) == (transport == "curl")

"""A host that closes all descriptors, as one does that becomes a daemon, and the limits of a process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from spools import closing, drain, fill
from test_process import deliver_the_rest, run

from totango_sdk.errors import SpoolError
from totango_sdk.spool.paths import check_directory, disk_error

if TYPE_CHECKING:
    from pathlib import Path

    from servers import Collector

CLOSED = """
import socket

from servers import wait_for
from totango_sdk.spool import DiskSpool

os.chdir(os.path.dirname(spool))
client = Totango(
    "SP-1-1", account="A", user="U", module="M", endpoint=endpoint, transport=how,
    spool=DiskSpool(spool, segment_bytes=64 << 10),
)
for number in range({before}):
    client.track(f"before {{number}}")
if {calm}:
    assert client.flush(60)
else:
    wait_for(lambda: (stats := client.stats()).retrying and not stats.in_flight)
# Nobody can help what is read or written in the very moment: a module that is imported, an answer.
held = client._core.worker.spool
held.before_fork()
os.closerange(3, 1024)
# What is opened now gets the numbers that we had, and is nobody's to write to or to close.
pairs = [socket.socketpair() for number in range({sockets})]
files = [open(f"own{{number}}", "wb", buffering=0) for number in range(60)]
held.after_fork(in_child=False)
open("closed", "wb").close()
for number in range(300):
    assert client.track(f"after {{number}}")
assert client.flush(60), client.stats()
assert client.stats().durable
client.close()
for each, other in pairs:
    each.send(b"the host's own")
    assert other.recv(100) == b"the host's own"
    other.send(b"the host's own")
    assert each.recv(100) == b"the host's own"
for file in files:
    file.write(b"the host's own")
    file.close()
for number in range(60):
    with open(f"own{{number}}", "rb") as file:
        assert file.read() == b"the host's own", number
"""


@pytest.mark.parametrize("transport", ["httpx", "curl"])
@pytest.mark.parametrize("sockets", [0, 30], ids=["opening files", "opening sockets"])
@pytest.mark.parametrize("calm", [True, False], ids=["idle", "with events in the database"])
def test_a_host_that_closes_all_descriptors_loses_nothing_and_keeps_its_own(
    calm: bool, sockets: int, transport: str, collector: Collector, tmp_path: Path
) -> None:
    before = 5 if calm else 1500
    if not calm:
        collector.plan = lambda _: 200 if (tmp_path / "closed").exists() else 503
    code = CLOSED.format(before=before, calm=calm, sockets=sockets)
    done = run(code, tmp_path / "spool", collector.endpoint, transport)
    assert done.returncode == 0, done.stderr
    deliver_the_rest(tmp_path / "spool", collector.endpoint)
    tracked = {f"before {number}" for number in range(before)} | {f"after {number}" for number in range(300)}
    assert set(collector.activities) == tracked | {"next process"}


def test_a_path_that_is_too_long_is_refused_at_the_start_and_any_other_works(tmp_path: Path) -> None:
    deep = tmp_path
    while len(os.fsencode(deep)) < 3800:
        deep = deep / ("x" * 100)
    longest = deep / ("y" * (4000 - len(os.fsencode(deep)) - 1))
    with pytest.raises(SpoolError, match="is 4001 bytes long, and the system takes at most 4000: choose a shorter"):
        check_directory(f"{longest}y")
    with closing(longest, segment_bytes=64 << 10) as spool:
        put_in = fill(spool, 1000)
        assert sorted(event.body for event in drain(spool)) == sorted(put_in)


@pytest.mark.parametrize(
    ("number", "advice"),
    [(24, "ulimit -n"), (27, "ulimit -f"), (12, "ulimit -v"), (30, "on a disk that can be written"), (13, "the right")],
)
def test_an_error_of_the_system_says_what_would_mend_it(number: int, advice: str) -> None:
    assert advice in str(disk_error("/spool", OSError(number, os.strerror(number))))


def test_a_limit_on_the_size_of_files_ends_no_process_that_does_not_ignore_its_signal(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
from totango_sdk import Totango
client = Totango("SP-1-1", account="A", user="U", module="M", spool=sys.argv[1])
client._core.worker.open()
assert not client.stats().durable
"""
    command = [sys.executable, "-c", code, str(tmp_path / "spool")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert "ulimit -f" in done.stderr

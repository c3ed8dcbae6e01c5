"""gunicorn with gevent, pycurl installed and a collector that takes a second for each answer: no greenlet is held."""

from __future__ import annotations

import concurrent.futures
import http.client
import importlib.util
import json
import sys
from typing import TYPE_CHECKING

import pytest
from chaos.servers import free_port, program, wait_until_open
from servers import PATIENCE, Collector, python_path, response, wait_for

if TYPE_CHECKING:
    import socket
    import threading
    from pathlib import Path

MOST_SECONDS = 0.2
ROUNDS = 5


def slow(connection: socket.socket, ended: threading.Event) -> None:
    ended.wait(1.0)
    connection.sendall(response(200))


def get(port: int, path: str, account: str = "A") -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", path, headers={"X-Account": account})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200, text
    return text


@pytest.mark.parametrize("transport", ["auto", "curl"])
@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_no_greenlet_is_held_by_a_slow_collector(preload: bool, transport: str, tmp_path: Path) -> None:
    assert importlib.util.find_spec("pycurl"), "without pycurl there would be nothing to show"
    port, log = free_port(), tmp_path / "gunicorn.log"
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-k",
        "gevent",
        "-w",
        "1",
        "-b",
        f"127.0.0.1:{port}",
        "gevent_site:app",
    ]
    command += ["--preload"] if preload else []
    with Collector(lambda _: slow) as collector:
        env = {
            "TOTANGO_ENDPOINT": collector.endpoint,
            "TOTANGO_SPOOL": str(tmp_path / "spool"),
            "PYTHONPATH": python_path(),
            "SITE_TRANSPORT": transport,
        }
        with program(log, *command, env=env) as process, concurrent.futures.ThreadPoolExecutor(20) as browsers:
            wait_until_open(port, process, log)
            get(port, "/watch")
            longest = []
            for number in range(ROUNDS):
                before = len(collector.activities)
                ids = list(
                    browsers.map(lambda at, number=number: get(port, f"/track/e{number}-{at}", f"A{at}"), range(20))
                )
                assert "None" not in ids
                wait_for(lambda before=before: len(collector.activities) >= before + 16)
                found = json.loads(get(port, "/longest"))
                assert found["transport"] == "HttpxTransport"
                longest.append(found["longest"])
            wait_for(lambda: len(collector.activities) >= 20 * ROUNDS, 60)
        told = {(request.names["sdr_o"], request.names["sdr_a"]) for request in collector.requests}
    # A machine that is busy keeps a greenlet waiting at times; a wait for the collector would show in every round.
    assert min(longest) < MOST_SECONDS, longest
    assert told == {(f"A{at}", f"e{number}-{at}") for at in range(20) for number in range(ROUNDS)}
    assert ("transport='curl' is httpx here" in log.read_text()) == (transport == "curl")
    print("longest", sorted(round(each, 3) for each in longest))

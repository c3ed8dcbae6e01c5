"""The outbox when web and relay are killed: nothing is lost, and an account's updates keep their order.

`python -m pytest tests/test_outbox_crashes.py` kills 4 times; with OUTBOX_KILLS=100 it takes half an hour.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from chaos.servers import free_port, wait_until_open
from postgres import have_pgbouncer, have_postgres, pgbouncer, postgres
from servers import Collector, wait_for
from test_integration_django_servers import HERE, get, site_environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLS = int(os.environ.get("OUTBOX_KILLS", "4"))
# A relay that was killed is followed after 15 seconds: in those, and so often, what is ordered must not grow beyond
# what a collector in Python can take at the end.
PAUSE = 0.01 if KILLS < 20 else 0.2
MANAGE = os.path.join(HERE, "django_site", "manage.py")


class Place:
    """A web server and relays on one database."""

    def __init__(self, directory: Path, env: dict[str, str], stack: contextlib.ExitStack) -> None:
        self.directory = directory
        self.env = os.environ | env
        self._stack = stack
        self.port = free_port()
        subprocess.run([sys.executable, MANAGE, "migrate", "-v", "0"], env=self.env, check=True, timeout=120)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        log = (self.directory / "log").open("ab")
        process = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, cwd=self.directory)
        log.close()
        self._stack.callback(self.end, process)
        return process

    def end(self, process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        process.wait(60)

    def web(self) -> subprocess.Popen[bytes]:
        process = self.start(
            sys.executable, "-m", "uvicorn", "django_site.asgi:application", "--port", str(self.port), "--lifespan", "off"
        )  # fmt: skip
        wait_until_open(self.port, process, self.directory / "log")
        return process

    def relay(self) -> subprocess.Popen[bytes]:
        return self.start(sys.executable, MANAGE, "totango_relay", "--poll", "0.05", "--batch", "20")

    @property
    def dsn(self) -> str:
        return f"host=127.0.0.1 user=postgres dbname=postgres port={self.env['SITE_POSTGRES']}"

    def ask(self, sql: str) -> list[Any]:
        """Ask the database itself, by its own driver."""
        if "SITE_POSTGRES" in self.env:
            with psycopg.connect(self.dsn, prepare_threshold=None) as connection:
                return connection.execute(sql).fetchall()
        with contextlib.closing(sqlite3.connect(self.env["SITE_DB"], timeout=30)) as connection:
            return connection.execute(sql).fetchall()

    @property
    def committed(self) -> set[str]:
        """What business data there is: the names of the groups."""
        return {row[0] for row in self.ask("SELECT name FROM auth_group")}

    @property
    def waiting(self) -> int:
        return int(self.ask("SELECT COUNT(*) FROM totango_outbox")[0][0])


@pytest.fixture
def postgres_place(tmp_path: Path, collector: Collector) -> Iterator[Place]:
    if not have_postgres():
        pytest.skip("needs PostgreSQL")
    with contextlib.ExitStack() as stack:
        env = site_environment(tmp_path, collector.endpoint) | {"SITE_OUTBOX": "1"}
        env["SITE_POSTGRES"] = str(stack.enter_context(postgres()))
        yield Place(tmp_path, env, stack)


@pytest.fixture(params=["sqlite", "pgbouncer"])
def place(request: pytest.FixtureRequest, tmp_path: Path, collector: Collector) -> Iterator[Place]:
    with contextlib.ExitStack() as stack:
        env = site_environment(tmp_path, collector.endpoint) | {"SITE_OUTBOX": "1"}
        if request.param == "pgbouncer":
            if not have_pgbouncer():
                pytest.skip("needs PostgreSQL and pgbouncer")
            env["SITE_POSTGRES"] = str(stack.enter_context(pgbouncer(stack.enter_context(postgres()))))
        yield Place(tmp_path, env, stack)


class Visitors:
    """Orders, one after another in each account, until told to stop."""

    def __init__(self, port: int, accounts: int = 4) -> None:
        self._port = port
        self._ended = threading.Event()
        # Daemons, so that a test that fails ends.
        self._threads = [threading.Thread(target=self._order, args=(f"A{at}",), daemon=True) for at in range(accounts)]
        for thread in self._threads:
            thread.start()

    def _order(self, account: str) -> None:
        for at in itertools.count():
            if self._ended.is_set():
                return
            with contextlib.suppress(OSError, Exception):  # the server is dead just now
                get(self._port, f"/order/{account}-{at}", account)
            self._ended.wait(PAUSE)

    def stop(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(60)


def orders(collector: Collector) -> list[str]:
    return [request.names["sdr_o.Order"] for request in collector.requests if "sdr_o.Order" in request.names]


def first_seen_in_order(told: list[str]) -> bool:
    """Whether an account's updates came in its order; a repeated batch may go back, and repeats that order."""
    seen: dict[str, int] = {}
    for account, at in (name.split("-") for name in dict.fromkeys(told)):
        if int(at) < seen.get(account, -1):
            return False
        seen[account] = int(at)
    return True


def test_kills_of_web_and_relay_lose_nothing(place: Place, collector: Collector) -> None:
    web, relay = place.web(), place.relay()
    visitors = Visitors(place.port)
    for at in range(KILLS):
        before = len(collector.requests)
        wait_for(lambda before=before: len(collector.requests) > before + 5, 60)
        if at % 2:
            place.end(web)
            web = place.web()
        else:
            place.end(relay)
            relay = place.relay()
    visitors.stop()
    wait_for(lambda: place.waiting == 0, 60)
    place.end(relay, signal.SIGTERM)
    committed = place.committed
    assert len(committed) > KILLS
    wait_for(lambda: set(orders(collector)) >= committed, 60)
    assert set(orders(collector)) == committed
    assert first_seen_in_order(orders(collector))


def test_without_kills_each_row_goes_once_though_two_relays_run(place: Place, collector: Collector) -> None:
    place.web()
    relays = [place.relay(), place.relay()]
    visitors = Visitors(place.port)
    wait_for(lambda: len(orders(collector)) > 100, 60)
    visitors.stop()
    wait_for(lambda: place.waiting == 0, 60)
    for relay in relays:
        place.end(relay, signal.SIGTERM)
    assert sorted(orders(collector)) == sorted(place.committed)
    assert first_seen_in_order(orders(collector))


@pytest.mark.skipif(KILLS < 100, reason="waits for a leader's silence: with OUTBOX_KILLS=100, by hand")
def test_a_leader_that_is_stopped_is_followed_and_stands_by_when_it_wakes(place: Place, collector: Collector) -> None:
    place.web()
    leader = place.relay()
    visitors = Visitors(place.port, 2)
    wait_for(lambda: len(orders(collector)) > 10, 60)
    second = place.relay()
    leader.send_signal(signal.SIGSTOP)
    stopped, before = time.monotonic(), len(orders(collector))
    try:
        # Stopped in the midst of a batch, it holds the row of the leader until it goes on.
        wait_for(lambda: len(orders(collector)) > before + 30 or time.monotonic() > stopped + 25, 60)
    finally:
        leader.send_signal(signal.SIGCONT)
    assert time.monotonic() - stopped > 10
    woken = len(orders(collector))
    wait_for(lambda: len(orders(collector)) > woken + 30, 60)
    visitors.stop()
    wait_for(lambda: place.waiting == 0, 60)
    for relay in (leader, second):
        place.end(relay, signal.SIGTERM)
    wait_for(lambda: set(orders(collector)) >= place.committed, 60)
    assert set(orders(collector)) == place.committed
    assert first_seen_in_order(orders(collector))


def stop_in_a_batch(place: Place) -> tuple[subprocess.Popen[bytes], int]:
    """Start a relay, and stop it between what it has put into its spool and its commit; gives its PostgreSQL session.

    A lock on an event's row holds its DELETE back until it has been stopped.
    """
    get(place.port, "/order/A-0", "A")
    with psycopg.connect(place.dsn) as holder:
        holder.execute("SELECT id FROM totango_outbox FOR UPDATE")
        leader = place.relay()
        waits = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'DELETE FROM totango%'"
        ((session,),) = wait_for(lambda: place.ask(waits), 60)
        leader.send_signal(signal.SIGSTOP)
    is_idle = f"SELECT 1 FROM pg_stat_activity WHERE pid = {session} AND state = 'idle in transaction'"
    wait_for(lambda: place.ask(is_idle), 60)
    return leader, session


def leader_of(place: Place) -> str:
    return str(place.ask("SELECT holder FROM totango_outbox_relay")[0][0])


def finish(place: Place, collector: Collector, *relays: subprocess.Popen[bytes]) -> list[str]:
    """Let everything be delivered, and return the orders that arrived."""
    wait_for(lambda: place.waiting == 0, 60)
    for relay in relays:
        place.end(relay, signal.SIGTERM)
    committed = place.committed
    wait_for(lambda: set(orders(collector)) >= committed, 60)
    assert set(orders(collector)) == committed
    return orders(collector)


def test_a_leader_stopped_in_a_batch_holds_the_outbox_and_loses_nothing(
    postgres_place: Place, collector: Collector
) -> None:
    """Its row lock keeps a stand-by from a second batch at once; awake, it commits and goes on."""
    place = postgres_place
    place.web()
    leader, _ = stop_in_a_batch(place)
    name = leader_of(place)
    second = place.relay()
    for at in range(1, 30):
        get(place.port, f"/order/A-{at}", "A")
    blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE totango%'"
    if KILLS >= 100:  # the stand-by has seen 15 seconds of silence, and waits for the row
        wait_for(lambda: place.ask(blocked), 60)
    assert place.waiting == 30
    assert set(orders(collector)) <= {"A-0"}  # its sender may have been quicker than we were
    leader.send_signal(signal.SIGCONT)
    told = finish(place, collector, leader, second)
    assert told == [f"A-{at}" for at in range(30)]
    assert leader_of(place) in ("", name)


def test_a_leader_whose_session_the_database_ends_in_a_batch_is_followed(
    postgres_place: Place, collector: Collector
) -> None:
    """As `idle_in_transaction_session_timeout` does. The rows of that batch go twice at most."""
    place = postgres_place
    place.web()
    leader, session = stop_in_a_batch(place)
    assert place.ask(f"SELECT pg_terminate_backend({session})")
    assert leader_of(place) == ""  # nothing of its batch was committed
    second = place.relay()
    for at in range(1, 30):
        get(place.port, f"/order/A-{at}", "A")
    wait_for(lambda: len(set(orders(collector))) == 30, 60)
    assert first_seen_in_order(orders(collector))
    leader.send_signal(signal.SIGCONT)  # it finds its session gone, stands by, and sends what its spool has
    finish(place, collector, second)
    wait_for(lambda: orders(collector).count("A-0") == 2, 60)
    place.end(leader, signal.SIGTERM)
    assert all(orders(collector).count(name) == 1 for name in place.committed - {"A-0"})

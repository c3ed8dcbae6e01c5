"""Celery: real workers over a real Redis; a task knows who enqueued it.

Workers are restarted twice in each of four ways; with CELERY_RESTARTS=13 that is 52 times, and takes some ten minutes.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from chaos.servers import have_redis, program, redis_server
from forged import forged_texts
from servers import Collector, python_path, wait_for

from totango_sdk import Totango
from totango_sdk.integrations import celery as integration
from totango_sdk.testing.plugin import totango_events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["totango_events"]
RESTARTS = int(os.environ.get("CELERY_RESTARTS", "2"))
HERE = os.path.dirname(__file__)
pytestmark = pytest.mark.skipif(not have_redis(), reason="needs redis-server")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    with redis_server(tmp_path) as address:
        yield address


@pytest.fixture
def site(redis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The tasks' module in this process, which enqueues."""
    from celery import signals

    monkeypatch.setenv("SITE_REDIS", redis)
    monkeypatch.setenv("TOTANGO_SPOOL", str(tmp_path / "producer"))
    monkeypatch.setattr(integration, "_installed", None)
    before = {
        name: list(signal.receivers)
        for name, signal in vars(signals).items()
        if isinstance(getattr(signal, "receivers", None), list)
    }
    sys.modules.pop("celery_site", None)
    module = importlib.import_module("celery_site")
    yield module
    for name, receivers in before.items():
        getattr(signals, name).receivers[:] = receivers
        getattr(signals, name).sender_receivers_cache.clear()
    module.app.pool.force_close_all()
    module.app.close()
    module.totango.close()


def worker(tmp_path: Path, redis: str, collector: Collector, *options: str, **env: str) -> Any:
    command = [sys.executable, "-m", "celery", "-A", "celery_site", "worker", "--concurrency", "2"]
    command += ["--without-gossip", "--without-mingle", "--without-heartbeat", *options]
    env = {
        "SITE_REDIS": redis,
        "TOTANGO_ENDPOINT": collector.endpoint,
        "TOTANGO_SPOOL": str(tmp_path / "spool"),
        "PYTHONPATH": python_path(),
        "C_FORCE_ROOT": "1",
        **env,
    }
    return program(tmp_path / "celery.log", *command, env=env)


def told(collector: Collector) -> list[tuple[str, str]]:
    return sorted((request.names["sdr_o"], request.names["sdr_a"]) for request in collector.requests)


@pytest.mark.parametrize("pool", ["prefork", "threads", "solo", "gevent"])
def test_a_task_has_the_identity_of_whoever_enqueued_it(
    pool: str, site: Any, redis: str, tmp_path: Path, collector: Collector
) -> None:
    with worker(tmp_path, redis, collector, "--pool", pool):
        with site.totango.context(account="A", user="U"):
            site.stubborn.delay()
            site.outer.delay()
            (site.paid.si(1) | site.paid.si(2)).delay()
        for number in range(10):
            with site.totango.context(account=f"B{number}", user="U"):
                site.paid.delay(number)
        wait_for(lambda: len(collector.activities) >= 20)
    modules = {request.names["sdr_m"] for request in collector.requests if "try" in request.names["sdr_a"]}
    assert len(modules) == 1  # the header does not grow
    tries = [("A", f"try {number}") for number in range(4)]
    outer = [("A", "outer"), ("A", "Outer done"), ("Within", "paid eager"), ("A", "paid from a task")]
    chained = [("A", "paid 1"), ("A", "paid 2")]
    assert told(collector) == sorted([*tries, *outer, *chained, *((f"B{n}", f"paid {n}") for n in range(10))])


def test_a_task_without_a_header_has_nothing_of_the_one_before(
    site: Any, redis: str, tmp_path: Path, collector: Collector
) -> None:
    with worker(tmp_path, redis, collector, "--pool", "solo"):
        for _ in range(3):
            with site.totango.context(account="A", user="U"):
                site.rejected.delay()
            site.paid.delay("by nobody")
        with site.totango.context(account="Z", user="U"):
            site.paid.delay("last")
        wait_for(lambda: ("Z", "paid last") in told(collector))
    assert told(collector) == [("A", "rejected")] * 3 + [("Z", "paid last")]


def test_forged_headers_are_nobodys_and_told_once(site: Any, redis: str, tmp_path: Path, collector: Collector) -> None:
    with worker(tmp_path, redis, collector, "--pool", "solo"):
        for number, text in enumerate(forged_texts(2000)):
            site.paid.apply_async([number], headers={integration.HEADER: text})
        with site.totango.context(account="Z", user="U"):
            site.paid.delay("last")
        wait_for(lambda: ("Z", "paid last") in told(collector), 120)
    assert told(collector) == [("Z", "paid last")]
    assert (tmp_path / "celery.log").read_text().count("identity that is ignored") == 1


@pytest.mark.parametrize("limit", ["soft_time_limit", "time_limit"])
def test_a_time_limit_leaves_no_identity_to_the_next_task(
    limit: str, site: Any, redis: str, tmp_path: Path, collector: Collector
) -> None:
    with worker(tmp_path, redis, collector, "--pool", "prefork", "--concurrency", "1"):
        with site.totango.context(account="A", user="U"):
            site.endless.apply_async(["endless"], **{limit: 1})
        site.paid.delay("by nobody")
        with site.totango.context(account="Z", user="U"):
            site.paid.delay("last")
        wait_for(lambda: ("Z", "paid last") in told(collector) and "endless" in collector.activities)
    assert told(collector) == [("A", "endless"), ("Z", "paid last")]


def ended(process: subprocess.Popen[bytes], number: int) -> bool:
    """End a worker as a supervisor does, which kills one that takes too long: Celery's own wait may be 30 seconds."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        if number is not signal.SIGKILL:
            process.send_signal(number)
            process.wait(10)
            return True
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)
    return False


@pytest.mark.parametrize(("end", "tasks"), [("warm", "0"), ("warm", "1"), ("cold", "0"), ("killed", "0")])
def test_restarts_under_load_lose_nothing(
    end: str, tasks: str, site: Any, redis: str, tmp_path: Path, collector: Collector
) -> None:
    """Warm, cold or killed, with children that live for one task each or for all; the last worker finds what is left."""
    number = {"warm": signal.SIGTERM, "cold": signal.SIGQUIT, "killed": signal.SIGKILL}[end]
    ledger, total, was_cut = tmp_path / "ledger", 0, False
    for _ in range(RESTARTS):
        with worker(
            tmp_path, redis, collector, "--pool", "prefork", SITE_TASKS=tasks, SITE_LEDGER=str(ledger)
        ) as process:
            for _ in range(20):
                with site.totango.context(account=f"A{total % 3}", user="U"):
                    site.written.delay(total)
                total += 1
            seen = len(collector.activities)
            wait_for(lambda seen=seen: len(collector.activities) > seen + 3)
            was_cut |= not ended(process, number)
    with worker(tmp_path, redis, collector, "--pool", "solo", SITE_LEDGER=str(ledger)):
        with site.totango.context(account="Z", user="U"):
            site.paid.delay("last")
        wait_for(lambda: {*ledger.read_text().split(), "last"} <= {name.split()[1] for name in collector.activities})
    accepted = ledger.read_text().split()
    if end == "warm" and not was_cut:  # else Celery itself loses what it has taken from the queue
        assert set(accepted) == set(map(str, range(total)))
    print(
        f"{end}: {RESTARTS} restarts, {len(accepted)} accepted of {total} tasks, {len(collector.activities) - 1} delivered"
    )


def test_eager_tasks_keep_the_callers_identity(totango_events: Any, site: Any) -> None:
    site.app.conf.task_always_eager = True
    with site.totango.context(account="A", user="U"):
        site.outer.delay()
        site.totango.track("afterwards")
    totango_events.assert_tracked("paid eager", account="Within")
    totango_events.assert_tracked("paid from a task", account="A")
    totango_events.assert_tracked("afterwards", account="A")


def test_another_client_is_refused(site: Any) -> None:
    integration.install(site.totango)
    with Totango("SP-1-1", spool="memory") as other, pytest.raises(RuntimeError, match="another client"):
        integration.install(other)

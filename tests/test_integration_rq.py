"""RQ: real workers over a real Redis; the horse stores, and the worker delivers.

60 jobs each; with RQ_JOBS=200 the cost of a job is held to its bound too, which needs a quiet machine.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
import rq.job
from chaos.servers import have_redis, program, redis_server
from forged import forged_texts
from redis import Redis
from rq import Queue
from rq.registry import FinishedJobRegistry
from servers import Collector, mute, python_path, wait_for

from totango_sdk.spool.segment import LEAST_SEGMENT_BYTES, SEGMENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORGED = 2000
JOBS = int(os.environ.get("RQ_JOBS", "60"))
MOST_SECONDS = 0.010  # for each job, beyond what RQ itself takes
HERE = os.path.dirname(__file__)
pytestmark = pytest.mark.skipif(not have_redis(), reason="needs redis-server")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    with redis_server(tmp_path) as address:
        yield address


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("TOTANGO_SPOOL", str(tmp_path / "producer"))
    sys.modules.pop("rq_site", None)
    module = importlib.import_module("rq_site")
    yield module
    module.totango.close()


def worker(tmp_path: Path, redis: str, endpoint: str, kind: str = "Worker", *options: str) -> Any:
    command = [sys.executable, "-m", "rq.cli", "worker", "--url", redis, "--worker-class", f"rq_site.{kind}", *options]
    env = {
        "TOTANGO_ENDPOINT": endpoint,
        "TOTANGO_SPOOL": str(tmp_path / "spool"),
        "PYTHONPATH": python_path(),
    }
    return program(tmp_path / "rq.log", *command, env=env)


def enqueue(site: Any, redis: str, count: int, function: Any = None) -> None:
    with Redis.from_url(redis) as connection:
        queue = Queue("default", connection=connection, job_class=site.Job)
        for number in range(count):
            with site.totango.context(account=f"A{number % 5}", user="U"):
                queue.enqueue(function or site.paid, number)


def told(collector: Collector) -> list[tuple[str, str]]:
    return sorted((request.names["sdr_o"], request.names["sdr_a"]) for request in collector.requests)


@pytest.mark.parametrize("kind", ["Worker", "Spawning", "Simple"])
def test_every_job_is_delivered_once_by_the_worker(
    kind: str, site: Any, redis: str, tmp_path: Path, collector: Collector
) -> None:
    if not hasattr(site, kind):
        pytest.skip("this RQ has no SpawnWorker")
    count = 5 if kind == "Spawning" else JOBS
    enqueue(site, redis, count)
    with worker(tmp_path, redis, collector.endpoint, kind):
        wait_for(lambda: len(collector.activities) >= count)
    assert told(collector) == sorted((f"A{number % 5}", f"paid {number}") for number in range(count))
    if kind == "Worker":
        assert collector.connections <= 16  # the worker's own, and none for each horse


def test_a_mute_collector_holds_no_job_and_everything_is_delivered_once_it_speaks(
    site: Any, redis: str, tmp_path: Path
) -> None:
    spoken: list[str] = []
    with Collector(lambda _: 200 if spoken else mute) as collector:
        enqueue(site, redis, JOBS)
        with worker(tmp_path, redis, collector.endpoint), Redis.from_url(redis) as connection:
            # Not until the queue is empty: RQ itself loses a job that it has taken out when it is told to end.
            done = FinishedJobRegistry("default", connection=connection)
            wait_for(lambda: done.count == JOBS, 60)
            taken = sum(path.stat().st_blocks * 512 for path in (tmp_path / "spool").glob("*.log"))
            # The worker's own, that of a horse about to end, and a few pages for each job: a long outage must not fill
            # the disk.
            assert taken <= SEGMENT_BYTES + LEAST_SEGMENT_BYTES + 16384 + JOBS * 12288
        unheard = len(collector.requests)
        spoken.append("now")
        with worker(tmp_path, redis, collector.endpoint):
            wait_for(lambda: len(collector.requests) - unheard >= JOBS)
        heard = [request.names["sdr_a"] for request in collector.requests[unheard:]]
    assert sorted(heard) == sorted(f"paid {number}" for number in range(JOBS))


def seconds(site: Any, redis: str, tmp_path: Path, endpoint: str, kind: str, function: Any) -> float:
    """How long a worker takes for all jobs, from the first one's start to the last one's end."""
    with Redis.from_url(redis) as connection:
        queue = Queue("default", connection=connection, job_class=rq.job.Job if kind == "Bare" else site.Job)
        with site.totango.context(account="A", user="U"):
            jobs = [queue.enqueue(function, number, result_ttl=600) for number in range(JOBS)]
        with worker(tmp_path, redis, endpoint, kind):
            wait_for(lambda: all(job.get_status() == "finished" for job in jobs[-1:]), 120)
        for job in jobs:
            job.refresh()
        return (jobs[-1].ended_at - jobs[0].started_at).total_seconds()


@pytest.mark.skipif(JOBS < 200, reason="measures: with RQ_JOBS=200, by hand, on a quiet machine")
@pytest.mark.parametrize("plan", [200, mute], ids=["healthy", "mute"])
def test_a_job_takes_at_most_10_ms_more(plan: Any, site: Any, redis: str, tmp_path: Path) -> None:
    rounds: list[tuple[float, float]] = []
    with Collector(lambda _: plan) as collector:
        for _ in range(3):
            without = seconds(site, redis, tmp_path, collector.endpoint, "Bare", site.nothing)
            rounds.append((without, seconds(site, redis, tmp_path, collector.endpoint, "Worker", site.paid)))
    more = sorted((ours - without) / JOBS for without, ours in rounds)
    print([f"{without / JOBS * 1000:.1f} ms, ours {ours / JOBS * 1000:.1f} ms" for without, ours in rounds])
    assert more[1] <= MOST_SECONDS


def test_a_horse_that_is_killed_after_tracking_loses_nothing(
    site: Any, redis: str, tmp_path: Path, collector: Collector
) -> None:
    enqueue(site, redis, 10, site.killed)
    with worker(tmp_path, redis, collector.endpoint):
        wait_for(lambda: len(collector.activities) >= 10)
    assert told(collector) == sorted((f"A{number % 5}", f"paid {number}") for number in range(10))


def test_forged_meta_is_nobodys_and_told_once(site: Any, redis: str, tmp_path: Path, collector: Collector) -> None:
    forged = forged_texts(FORGED)
    with Redis.from_url(redis) as connection:
        queue = Queue("default", connection=connection, job_class=site.Job)
        for number, text in enumerate(forged):
            queue.enqueue(site.paid, number, meta={"totango-context": text})
    enqueue(site, redis, 1)
    with worker(tmp_path, redis, collector.endpoint, "Simple"):
        wait_for(lambda: collector.activities, 120)
    assert told(collector) == [("A0", "paid 0")]
    assert (tmp_path / "rq.log").read_text().count("identity that is ignored") == 1
    assert (tmp_path / "rq.log").read_text().count("Job OK") == FORGED + 1

"""Row 3: a client made before the fork, in real servers."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from . import servers
from .collector import Collector
from .exits import together
from .hosts import Site, finish, python
from .kills import check_finish
from .ledger import read
from .oracle import Row, judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_ACCOUNTS = 20
_BEFORE_FORK = 50
_PATIENCE = 30.0
KINDS = ("sync", "gthread", "gevent")
_SLOW = 0.02  # of each answer: what was tracked before the fork is under way during it


def under(fault: str, directory: Path, use: Callable[[dict[str, Any]], int], *, once: str | None = "before") -> Row:
    """Let something fork; `use` returns how many events must be in the ledger at the least.

    What the parent has tracked before the fork (the streams named `once`) must never be sent by a child as well.
    """
    with Collector() as collector:
        collector.behave("ok", delay=_SLOW)
        site = Site(directory, collector)
        least = use(site.config(accounts=_ACCOUNTS, before_fork=_BEFORE_FORK))
        collector.behave("ok")
        ended = site.finish()
        obligations = read(site.ledger)
        collector.wait_for(len(obligations), 2)
        arrivals = collector.arrivals()
        # A process that is told to end, or ends by os._exit, may leave what is under way to be sent again.
        leavers = len({each.stream for each in obligations})
        row = judge(fault, "3", obligations, arrivals, bound=leavers * 16, once=once)
    check_finish(row, ended)
    row.require(row.events > least, f"only {row.events} of {least} events were accepted")
    return row


def gunicorn(directory: Path, *, preload: bool, requests: int = 40, workers: int = 3) -> Row:
    def use(config: dict[str, Any]) -> int:
        with servers.gunicorn(directory, config, workers=workers, preload=preload) as port:
            streams: list[str] = []
            with ThreadPoolExecutor(8) as pool:
                while len(streams) < requests or (len(set(streams)) < 2 and len(streams) < 20 * requests):
                    streams += pool.map(lambda _: servers.get(port), range(requests))
            assert len(set(streams)) > 1, "only one worker has served"
        return len(streams) * 5 + _BEFORE_FORK * (1 if preload else len(set(streams)))

    return under(f"fork: gunicorn{' --preload' if preload else ''}", directory, use)


def preloaded(directory: Path, *, kind: str, times: int) -> Row:
    """Row 18: one `track` while the application loads, and gunicorn forks at once; every worker delivers."""
    rows = []
    for number in range(times):
        place = directory / str(number)
        place.mkdir()
        transport = "httpx" if kind == "gevent" or number % 2 else "curl"
        rows.append(_preloaded_once(place, kind, transport))
    return together(f"fork: gunicorn --preload, {kind}", "18", rows)


def _preloaded_once(directory: Path, kind: str, transport: str, *, workers: int = 2, requests: int = 8) -> Row:
    with Collector() as collector:
        site = Site(directory, collector)
        config = site.config(accounts=_ACCOUNTS, before_fork=1, options={"transport": transport})
        streams: set[str] = set()
        with servers.gunicorn(directory, config, workers=workers, preload=True, kind=kind) as port:
            until = time.monotonic() + _PATIENCE
            while len(streams) < workers and time.monotonic() < until:
                with ThreadPoolExecutor(requests) as pool:
                    streams |= set(pool.map(lambda _: servers.get(port), range(requests)))
            owed = len(read(site.ledger))
            arrived = collector.wait_for(owed, _PATIENCE)
        ended = site.finish()
        row = judge(
            f"{kind}, {transport}", "18", read(site.ledger), collector.arrivals(), bound=workers * 16, once="before"
        )
    row.require(len(streams) == workers, f"{len(streams)} of {workers} workers have served")
    row.require(arrived == owed, f"{arrived} of {owed} were delivered while the server ran")
    check_finish(row, ended)
    return row


def celery(directory: Path, *, tasks: int = 20) -> Row:
    def use(config: dict[str, Any]) -> int:
        with servers.redis_server(directory) as redis, servers.celery_worker(directory, config, redis):
            from celery import Celery

            with Celery("asker", broker=redis, backend=redis) as asker:
                results = [asker.send_task("chaos.track", (5,)) for _ in range(tasks)]
                streams = {result.get(timeout=60) for result in results}
                asker.backend.client.close()
            assert streams, "no task has run"
        return tasks * 5 + _BEFORE_FORK

    return under("fork: Celery prefork", directory, use)


def rq(directory: Path, *, jobs: int = 10) -> Row:
    def use(config: dict[str, Any]) -> int:
        from redis import Redis
        from rq import Queue

        with servers.redis_server(directory) as address, Redis.from_url(address) as redis:
            queue = Queue("chaos", connection=redis)
            queued = [queue.enqueue("chaos.apps.job", 5) for _ in range(jobs)]
            servers.rq_worker(directory, config, address)
            failed = [job.id for job in queued if not job.get_status(refresh=True) == "finished"]
            assert not failed, (directory / "rq.log").read_text()[-3000:]
        return jobs * 5 + _BEFORE_FORK

    return under("fork: RQ work horse", directory, use)


def forker(directory: Path, kind: str, *, forks: int = 200) -> Row:
    """`pools` of `multiprocessing`, or `many` forks while a thread tracks."""

    def use(config: dict[str, Any]) -> int:
        ended = finish(python("-m", "chaos.forker", json.dumps({**config, "kind": kind, "forks": forks})), 120)
        assert ended.code == 0, ended.log[-3000:]
        return forks * 3 if kind == "many" else 100 + 24 * 5

    name = {"pools": "multiprocessing", "many": f"{forks} times while a thread tracks"}[kind]
    return under(f"fork: {name}", directory, use)

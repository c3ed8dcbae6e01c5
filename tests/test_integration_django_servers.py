"""The Django site behind the servers that people use, with a real collector."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from chaos.servers import free_port, program, wait_until_open
from servers import PATIENCE, Collector, python_path, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = os.path.dirname(__file__)
_HOOKS = os.path.join(HERE, "django_site", "gunicorn_hooks.py")
GUNICORN = ("gunicorn", "django_site.wsgi:application", "-c", _HOOKS, "--workers", "2", "--bind")
UVICORN = ("uvicorn", "django_site.asgi:application", "--lifespan", "off", "--port")
SERVERS = {
    "sync": (*GUNICORN, "127.0.0.1:{}", "--worker-class", "sync"),
    "preload": (*GUNICORN, "127.0.0.1:{}", "--worker-class", "sync", "--preload"),
    "gthread": (*GUNICORN, "127.0.0.1:{}", "--worker-class", "gthread", "--threads", "4"),
    "gevent": (*GUNICORN, "127.0.0.1:{}", "--worker-class", "gevent"),
    "uvicorn": (*UVICORN, "{}"),
    "uvicorn 2": (*UVICORN, "{}", "--workers", "2"),
}


# There gevent gives nothing back to asyncio that a thread has done (gevent's issue 2213): in a server of its, a view
# that awaits `sync_to_async` never ends, without this SDK either.
GEVENT_LOSES_THREADS = (3, 13, 12) <= sys.version_info < (3, 14) or sys.version_info >= (3, 14, 3)


def site_environment(tmp_path: Path, endpoint: str) -> dict[str, str]:
    return {
        "TOTANGO_ENDPOINT": endpoint,
        "TOTANGO_SPOOL": str(tmp_path / "spool"),
        "SITE_DB": str(tmp_path / "site.sqlite3"),
        "PYTHONPATH": python_path(),
        "DJANGO_SETTINGS_MODULE": "django_site.settings",
    }


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def served(server: str, tmp_path: Path, collector: Collector) -> Iterator[int]:
    port, log = free_port(), tmp_path / "server.log"
    env = site_environment(tmp_path, collector.endpoint)
    if server == "uvicorn":  # once with an async identity function
        env["SITE_IDENTITY"] = "django_site.who.who_later"
    command = [part.format(port) for part in SERVERS[server]]
    with program(log, sys.executable, "-m", *command, env=env) as process:
        wait_until_open(port, process, log)
        yield port
    assert "different Context" not in log.read_text()


def get(port: int, path: str, account: str | None = None, method: str = "GET") -> tuple[int, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request(method, path, headers={} if account is None else {"X-Account": account})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def told(collector: Collector) -> list[tuple[str, str]]:
    return sorted((request.names["sdr_o"], request.names.get("sdr_a", "")) for request in collector.requests)


def test_500_requests_at_once_each_have_their_own_account(served: int, server: str, collector: Collector) -> None:
    # Django answers 500 to async views that run at once in greenlets: to asyncio, these are all one thread.
    paths = ("track", "track" if server == "gevent" else "atrack")
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda at: get(served, f"/{paths[at % 2]}/e{at}", f"A{at % 20}"), range(500)))
    wait_for(lambda: len(collector.activities) >= 500)
    assert told(collector) == sorted((f"A{at % 20}", f"e{at}") for at in range(500))


def test_streams_and_tracked_views_have_the_identity_of_their_request(served: int, collector: Collector) -> None:
    assert get(served, "/stream", "S") == (200, "ab")
    for status in (200, 302, 404, 500):
        assert get(served, f"/done/{status}", "D")[0] == status
    get(served, "/done/200", "D", method="HEAD")
    wait_for(lambda: len(collector.activities) >= 3)
    assert told(collector) == [("D", "Done"), ("D", "Done"), ("S", "streamed")]


def test_async_streams_and_tracked_views_have_the_identity_of_their_request(
    served: int, server: str, collector: Collector
) -> None:
    if server == "gevent" and GEVENT_LOSES_THREADS:
        pytest.skip("gevent and asyncio do not go together on this Python")
    assert get(served, "/astream", "S") == (200, "ab")
    assert [get(served, f"/adone/{status}", "E")[0] for status in (200, 404)] == [200, 404]
    wait_for(lambda: len(collector.activities) >= 2)
    assert told(collector) == [("E", "Done later"), ("S", "streamed")]


def test_where_nothing_is_tracked_no_sender_starts(served: int, server: str, tmp_path: Path) -> None:
    assert "totango" not in get(served, "/quiet", "A")[1]
    if "uvicorn" in server:  # gunicorn's hook here tracks
        assert not (tmp_path / "spool").exists()


def test_the_autoreloaders_two_processes_start_nothing(tmp_path: Path, collector: Collector) -> None:
    port, log = free_port(), tmp_path / "server.log"
    env = site_environment(tmp_path, collector.endpoint)
    manage = os.path.join(HERE, "django_site", "manage.py")
    subprocess.run([sys.executable, manage, "migrate", "-v", "0"], env=os.environ | env, check=True, timeout=120)
    with program(log, sys.executable, manage, "runserver", str(port), env=env) as process:
        wait_until_open(port, process, log)
        assert "totango" not in get(port, "/quiet")[1]
        assert not (tmp_path / "spool").exists()
        get(port, "/track/x", "A")
        wait_for(lambda: collector.activities == ["x"])
        assert len(list((tmp_path / "spool").rglob("*.lock"))) == 1

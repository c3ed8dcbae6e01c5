"""Each example, run by the command of its README, against a real sandbox."""

from __future__ import annotations

import os
import shlex
import subprocess
import sysconfig
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from chaos.servers import free_port, have_redis, program, redis_server, wait_until_open
from servers import PATIENCE, wait_for

from totango_sdk.testing import sandbox_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
SCRIPTS = Path(sysconfig.get_path("scripts"))
needs_redis = pytest.mark.skipif(not have_redis(), reason="needs redis-server")
ADA, BEN = ("1001", "ada@dune.example"), ("1002", "ben@ember.example")


def commands(example: str) -> list[list[str]]:
    """The commands of an example's README, but for those of a visitor; from any folder."""
    text = (EXAMPLES / example / "README.md").read_text()
    found = [shlex.split(line) for line in text.splitlines() if line.startswith("    ")]
    programs = {"python", "uvicorn", "celery", "rq"}
    wanted = [words for words in found if words[0] in programs]
    return [[str(SCRIPTS / words[0]), *map(from_anywhere, words[1:])] for words in wanted]


def from_anywhere(word: str) -> str:
    return str(ROOT / word) if word.startswith("examples/") else word


@pytest.fixture
def sandbox() -> Iterator[Any]:
    with sandbox_server() as server:
        yield server


@pytest.fixture
def environment(sandbox: Any, tmp_path: Path) -> dict[str, str]:
    return {
        "TOTANGO_SERVICE_ID": "SP-1234-01",
        "TOTANGO_ENDPOINT": sandbox.endpoint,
        "TOTANGO_SPOOL": str(tmp_path / "spool"),
        "PYTHONPATH": str(ROOT),
        "C_FORCE_ROOT": "1",
    }


@contextmanager
def served(command: list[str], environment: dict[str, str], tmp_path: Path) -> Iterator[httpx.Client]:
    port, log = free_port(), tmp_path / "server.log"
    with program(log, *command, "--port", str(port), env=environment) as process:
        wait_until_open(port, process, log)
        address = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=address, trust_env=False, follow_redirects=True, timeout=PATIENCE) as browser:
            yield browser


def told(sandbox: Any) -> list[tuple[str, str, str, str]]:
    """Who did what: account or product account, user, activity, module."""
    names = ("account", "user", "activity", "module")
    events = [event for event in sandbox.events() if event["activity"]]
    return sorted(tuple(event[name] for name in names) for event in events)  # type: ignore[misc]


def test_the_flask_app_tells_what_its_customers_and_its_job_do(
    sandbox: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    (command,) = commands("flask_app")
    with served(command, environment, tmp_path) as browser:
        assert "A new workspace" in browser.get("/").text
        assert browser.post("/documents", data={"title": "Draft"}).status_code == 401
        browser.post("/workspaces", data={"id": "1001", "name": "Dune Coffee", "plan": "Team"})
        page = browser.post("/login", data={"workspace": "1001", "email": ADA[1], "name": "Ada"})
        assert '"account": {"id": "1001", "name": "Dune Coffee", "Plan": "Team"}' in page.text
        assert "<li>Draft</li>" in browser.post("/documents", data={"title": "Draft"}).text
        assert "is no e-mail address" in browser.post("/documents/share", data={"title": "Draft", "to": "bob"}).text
        browser.post("/documents/share", data={"title": "Draft", "to": "bob@elsewhere.example"})
        browser.post("/signatures", data={"title": "Draft", "signer": "bob@elsewhere.example"})
    assert told(sandbox) == [
        ("1001", ADA[1], "Login", "App"),
        ("1001_docs", ADA[1], "Document shared", "Sharing"),
        ("1001_docs", ADA[1], "Document uploaded", "Documents"),
        ("1001_docs", ADA[1], "Preview made", "Documents"),
        ("1001_sign", ADA[1], "Signature requested", "Signing"),
    ]


def test_the_fastapi_app_tells_what_its_members_and_its_background_task_do(
    sandbox: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    (command,) = commands("fastapi_app")
    team = {"team": "1001", "name": "Dune Coffee", "plan": "Team", "email": ADA[1]}
    with served(command, environment, tmp_path) as browser:
        assert browser.post("/cards", json={"title": "Order beans"}).status_code == 401
        token = browser.post("/teams", json=team).json()["token"]
        browser.headers["Authorization"] = f"Bearer {token}"
        assert browser.get("/cards").json() == []
        for _ in range(2):
            assert browser.post("/cards", json={"title": "Order beans"}).status_code == 201
        assert browser.get("/cards").json() == ["Order beans", "Order beans"]
    added = [(*ADA, "Card added", "Board")] * 2
    assert told(sandbox) == sorted(
        [*added, (*ADA, "Team created", "Board"), (*ADA, "Twin found", "Board"), (*ADA, "Board read", "Board")]
    )


@needs_redis
@pytest.mark.parametrize(
    ("example", "broker", "activities"),
    [
        (
            "celery_worker",
            "CELERY_BROKER_URL",
            [("Document uploaded", "Documents"), ("Preview announced", "Notices"), ("Preview made", "Documents")],
        ),
        ("rq_worker", "RQ_REDIS_URL", [("Report made", "Reports"), ("Report ordered", "Reports")]),
    ],
)
def test_the_worker_tells_what_it_did_as_whoever_has_ordered_it(
    sandbox: Any,
    environment: dict[str, str],
    tmp_path: Path,
    example: str,
    broker: str,
    activities: list[tuple[str, str]],
) -> None:
    work, order = commands(example)
    expected = [(*who, *activity) for who in (ADA, BEN) for activity in activities]
    with redis_server(tmp_path) as address:
        environment[broker] = address
        everything = {**os.environ, **environment}
        with program(tmp_path / "worker.log", *work, env=environment):
            subprocess.run(order, env=everything, cwd=tmp_path, check=True, timeout=PATIENCE * 2)
            wait_for(lambda: len(told(sandbox)) >= len(expected), PATIENCE * 2)
    assert told(sandbox) == expected

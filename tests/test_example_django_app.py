"""The Django example, started by the command of its README, and its own tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.parse
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.servers import free_port, program, wait_until_open
from servers import PATIENCE, Collector, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

APP = Path(__file__).resolve().parent.parent / "examples" / "django_app"


class Browser:
    """Keeps cookies, and sends the form's token."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._cookies: dict[str, str] = {}
        self.page = ""

    def ask(self, method: str, path: str, form: Mapping[str, str] | None = None) -> int:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', self.page)
        fields = {"csrfmiddlewaretoken": token[1] if token else ""} | dict(form or {})
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        if method == "POST":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, urllib.parse.urlencode(fields) if method == "POST" else None, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            name, _, rest = cookie.partition("=")
            self._cookies[name] = rest.partition(";")[0]
        connection.close()
        if answer.status == 302:
            return self.ask("GET", answer.headers["Location"])
        self.page = text if answer.status == 200 else self.page
        return answer.status


def test_the_command_of_the_readme_serves_pages_that_track(tmp_path: Path, collector: Collector) -> None:
    assert "python examples/django_app/manage.py demo" in (APP / "README.md").read_text()
    port, log = free_port(), tmp_path / "log"
    env = {
        "TOTANGO_ENDPOINT": collector.endpoint,
        "TOTANGO_SPOOL": str(tmp_path / "spool"),
        "SHOP_DATABASE": str(tmp_path / "shop.sqlite3"),
    }
    with program(log, sys.executable, str(APP / "manage.py"), "demo", "--port", str(port), env=env) as process:
        wait_until_open(port, process, log)
        browser = Browser(port)
        assert browser.ask("GET", "/") == 200
        assert "totango_options" not in browser.page
        assert browser.ask("POST", "/sign-in", {"person": "1"}) == 200
        assert '"account": {"id": "1", "name": "Stanfield Ltd", "Plan": "Free"}' in browser.page
        assert re.search(r'<script nonce="[\w-]+">window.totango_options', browser.page)
        assert browser.ask("POST", "/write", {"title": ""}) == 200
        assert "needs a title" in browser.page
        assert browser.ask("POST", "/write", {"title": "Notes"}) == 200
        assert browser.ask("POST", "/share/1") == 200
        assert browser.ask("POST", "/share/99") == 404
        assert browser.ask("POST", "/upgrade") == 200
        wait_for(lambda: len(collector.requests) >= 4)
        found = [request.names for request in collector.requests]
    assert {names["sdr_o"] for names in found} == {"1"}
    assert sorted(names.get("sdr_a", "") for names in found) == ["", "Document shared", "Document written", "Signed in"]
    assert any(names.get("sdr_o.Plan") == "Pro" for names in found)


def test_its_own_tests_pass(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        os.devnull,
        "--rootdir",
        str(APP),
        "-p",
        "no:cacheprovider",
        "shop/tests.py",
    ]
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "shop.settings", "PYTHONPATH": str(APP)}
    ended = subprocess.run(
        command, cwd=APP, env=env, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 passed" in ended.stdout

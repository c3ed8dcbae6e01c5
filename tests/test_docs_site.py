"""The site of `make docs`: built without a warning, whole by itself, and fit for a phone."""

from __future__ import annotations

import functools
import http.server
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsers import CHROMIUM
from pages import NARROW, WIDE

import totango_sdk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The site, built and served."""
    built = subprocess.run(
        [sys.executable, ROOT / "scripts" / "docs.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "each link leads somewhere" in built.stdout
    assert "WARNING" not in built.stdout + built.stderr
    handler = functools.partial(Quiet, directory=ROOT / "build" / "docs" / "site")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_public_name_has_its_place_in_the_reference() -> None:
    told = {
        found for page in REFERENCE.glob("*.md") for found in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)
    }
    missing = {f"totango_sdk.{name}" for name in totango_sdk.__all__ if name != "__version__"} - told
    assert missing == set()


def test_the_reference_has_the_calls_with_their_docstrings(site: str) -> None:
    text = (ROOT / "build" / "docs" / "site" / "docs" / "reference" / "clients.html").read_text()
    for call in ("track", "identify", "snippet", "carry", "dead_letters"):
        assert f'id="totango_sdk.Totango.{call}"' in text
    assert "Report one activity of a user in a module, below an account." in text


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_pages_fit_and_ask_nobody_else(site: str, size: dict[str, int], page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size(size)  # type: ignore[arg-type]
    pages = [path for path in (ROOT / "build" / "docs" / "site").rglob("*.html") if path.name != "404.html"]
    for path in pages:
        page.goto(f"{site}/{path.relative_to(ROOT / 'build' / 'docs' / 'site')}")
        assert page.locator("h1").count() == 1, path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is too wide"
    assert [url for url in asked if not url.startswith(site)] == []

"""Takes the pictures of the examples for the documentation: each app's page beside what the sandbox has heard of it.

    .venv/bin/python scripts/pictures.py

Writes docs/images/example-NAME-1440.png, and example-NAME-375.png with the page on a phone. Needs Chromium.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import expect, sync_playwright

from totango_sdk.testing import sandbox_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
_HALF = {"width": 716, "height": 760}
_PHONE = {"width": 375, "height": 700}
_PAIR = """<body style="margin:0;background:#dfe3ea;display:flex;gap:8px"><img src="{}"><img src="{}"></body>"""


@contextmanager
def served(command: list[str], directory: Path, endpoint: str) -> Iterator[str]:
    """Run an example; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    env = os.environ | {
        "TOTANGO_SERVICE_ID": "SP-1234-01",
        "TOTANGO_ENDPOINT": endpoint,
        "TOTANGO_SPOOL": str(directory / "spool"),
        "SHOP_DATABASE": str(directory / "shop.sqlite3"),
    }
    process = subprocess.Popen(
        [sys.executable, *command, "--port", str(port)], env=env, stdout=subprocess.DEVNULL
    )
    try:
        _wait_until_open(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _wait_until_open(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        time.sleep(0.05)
    msg = f"nothing listens on port {port}"
    raise RuntimeError(msg)


def use_flask(page: Page) -> int:
    """Be a customer of Paperboat; returns how many events that makes."""
    page.get_by_role("button", name="Create").click()
    page.get_by_role("button", name="Sign in").click()
    for title in ("Draft", "Price list", "Contract"):
        page.get_by_label("Title").first.fill(title)
        page.get_by_role("button", name="Upload").click()
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Ask to sign").click()
    return 9


def use_django(page: Page) -> int:
    """Be a customer of the shop; returns how many events that makes."""
    page.get_by_role("button", name="Sign in").first.click()
    for title in ("Price list", "Contract"):
        page.get_by_label("Title").fill(title)
        page.get_by_role("button", name="Write").click()
    page.get_by_role("button", name="Share").first.click()
    page.get_by_role("button", name="Upgrade").click()
    return 5


EXAMPLES: dict[str, tuple[list[str], Callable[[Page], int]]] = {
    "flask": (["examples/flask_app/paperboat.py"], use_flask),
    "django": (["examples/django_app/manage.py", "demo"], use_django),
}


def take(name: str, browser: Browser, directory: Path) -> None:
    """Use one example, and take its pictures."""
    command, use = EXAMPLES[name]
    with sandbox_server() as sandbox, served(command, directory, sandbox.endpoint) as address:
        page, log, phone, pair = (
            browser.new_page(viewport=size)  # type: ignore[arg-type]
            for size in (_HALF, _HALF, _PHONE, {"width": 1440, "height": _HALF["height"]})
        )
        page.goto(address)
        count = use(page)
        log.goto(sandbox.url)
        expect(log.locator("#total-events")).to_have_text(str(count))
        # Nothing in a picture depends on the port.
        log.evaluate(
            "document.getElementById('endpoint').textContent = 'http://127.0.0.1:8035/pixel.gif/'"
        )
        pair.set_content(_PAIR.format(*(_data(each) for each in (page, log))))
        pair.wait_for_function("[...document.images].every((image) => image.complete)")
        pair.screenshot(path=IMAGES / f"example-{name}-1440.png")
        phone.context.add_cookies(page.context.cookies())  # type: ignore[arg-type]
        phone.goto(page.url)
        phone.screenshot(path=IMAGES / f"example-{name}-375.png")


def _data(page: Page) -> str:
    picture = base64.b64encode(page.screenshot(animations="disabled")).decode()
    return f"data:image/png;base64,{picture}"


def main() -> None:
    """Take the pictures of all examples, or of those that are named."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as directory:
        browser = playwright.chromium.launch(executable_path=found, args=["--disable-gpu"])
        for name in sys.argv[1:] or EXAMPLES:
            (Path(directory) / name).mkdir()
            take(name, browser, Path(directory) / name)
        browser.close()


if __name__ == "__main__":
    os.chdir(ROOT)
    main()

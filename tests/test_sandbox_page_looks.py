"""The sandbox's page in a real Chromium: safe whatever comes, good for everybody, and how it looks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from pages import (
    AFTER_A_GOOD_DAY,
    NARROW,
    TABS,
    WIDE,
    event,
    mixed,
    open_tab,
    page,
    rows,
    sandbox,
    send,
    visit,
)
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from totango_sdk.sandbox import Sandbox

__all__ = ["page", "sandbox"]

IMAGES = Path(__file__).parent.parent / "docs" / "images"
HOSTILE = [
    "<script>window.__pwned=1</script>",
    "\"><img src=x onerror='window.__pwned=2'>",
    "' onmouseover='window.__pwned=3' autofocus onfocus='window.__pwned=3",
    "</script></code></template><svg onload=window.__pwned=4>",
    "{{7*7}}{% for x in y %}${7*7}#{7*7}<%= 7*7 %>",
    "javascript:window.__pwned=5",
    "a\u202ecod.exe\u2066b\u2069\u200f",
    "null",
    "__proto__",
    "👩‍👩‍👧‍👦 é \U0001f3f3️‍🌈",
    "שלום עולם مرحبا",
    "&lt;b&gt;&amp;amp;&#x3c;",
    "line\nbreak\ttab\r\nevent: reset\ndata: {}\n\n",
    "../../..%2f%00",
    "-->]]><!--",
    "W" * 10_000,
]


# Safe


def test_hostile_text_in_every_field_runs_nothing_and_is_shown_as_text(page: Page, sandbox: Sandbox) -> None:
    fields = ("sdr_o", "sdr_u", "sdr_a", "sdr_m", "sdr_o.parent_id", "sdr_o.product_id")
    for number, text in enumerate(HOSTILE):
        said = [
            ("sdr_odn", text),
            ("sdr_u.name", text),
            ("sdr_o.Plan", text),
            (f"sdr_o.{text}", text),
            ("sdr_ofid", text),
        ]
        send(
            sandbox,
            [*((name, text) for name in fields), *said, (text, text)],
            # Totango drops that one for its IDs; this one makes an account.
            [("sdr_o", f"A-{number}"), ("sdr_u", "u@x.com"), ("sdr_a", text), ("sdr_m", text), *said],
        )
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    visit(page, sandbox)
    expect(page.locator("#total-events")).to_have_text(str(2 * len(HOSTILE)))
    page.locator("#filter-text").fill("<script>window.__pwned=1")
    expect(rows(page)).to_have_count(2)
    expect(rows(page).first.locator(".activity")).to_have_text(HOSTILE[0])
    page.get_by_role("button", name="Clear").click()
    for number in range(1, 2 * len(HOSTILE) + 1):
        page.evaluate(f"location.hash = 'event-{number}'")
        expect(page.locator(".about")).to_contain_text(f"Event {number} ")
        text = HOSTILE[(number - 1) // 2]
        seen = page.locator("#event").evaluate("(element) => element.textContent")
        assert text.strip().replace("\r\n", "\n")[:300] in seen.replace("\r\n", "\n")
    page.keyboard.press("Escape")
    for name in TABS[1:]:
        panel = open_tab(page, name)
        expect(panel.locator(".part > *").first).to_be_attached()
        panel.evaluate("(panel) => panel.querySelectorAll('details').forEach((each) => { each.open = true; })")
        if name == "accounts":
            # What is loaded for each account is there, or says that it is not.
            expect(panel.locator(".details:empty")).to_have_count(0)
            expect(panel.locator(".details .empty")).to_have_count(0)
        for text in HOSTILE[:3] if name == "accounts" else ():
            assert text in panel.evaluate("(panel) => panel.textContent")
    assert dialogs == []
    assert page.evaluate("window.__pwned") is None
    assert (
        page.locator("main :is(script, img, iframe, style), [onerror], [onload], [onfocus], [style*=url]").count() == 0
    )


def test_nothing_is_loaded_from_elsewhere_and_nothing_inline(page: Page, sandbox: Sandbox) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    mixed(sandbox)
    visit(page, sandbox)
    for name in TABS[1:]:
        open_tab(page, name)
    page.evaluate("location.hash = 'event-1'")
    expect(page.locator("#event-title")).to_be_visible()
    assert {address for address in asked if not address.startswith((sandbox.url, "data:,"))} == set()
    for path in ("", "parts/accounts", "parts/users", "parts/binding", "parts/event/1", "parts/account?id=A1"):
        answer = httpx.get(sandbox.url + path, trust_env=False)
        assert answer.status_code == 200
        assert "script-src 'self';" in answer.headers["content-security-policy"]
        assert not re.search(r"\son\w+=|style=|<script(?! type=\"module\" src=)|javascript:", answer.text)


# For everybody


@AFTER_A_GOOD_DAY
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing_serious(page: Page, sandbox: Sandbox, scheme: Any, size: Any) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    page.set_viewport_size(size)
    visit(page, sandbox)
    expect(rows(page).first).to_be_visible()
    page.keyboard.press("ArrowDown")
    axe_finds_nothing(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for name in TABS[1:]:
        panel = open_tab(page, name)
        expect(panel.locator(".part > *").first).to_be_attached()
        if name != "binding":
            panel.locator("summary").first.click()
            expect(panel.locator(".details h4").first).to_be_visible()
        axe_finds_nothing(page)
    page.evaluate("location.hash = 'event-1'")
    expect(page.locator("#event-title")).to_be_visible()
    axe_finds_nothing(page)
    page.keyboard.press("Escape")
    sandbox.faults("status")
    expect(page.locator("#fault-bar")).to_be_visible()
    for name in ("Faults…", "Reset…", "Keys"):
        page.get_by_role("button", name=name).click()
        axe_finds_nothing(page)
        page.keyboard.press("Escape")


def axe_finds_nothing(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    grave = [each for each in found if each["impact"] in ("serious", "critical")]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]][:3]) for each in grave] == []


def test_new_problems_are_said_and_not_each_event(page: Page, sandbox: Sandbox) -> None:
    visit(page, sandbox)
    page.clock.install()
    page.reload()
    expect(page.locator("#connection")).to_have_text("Live")
    page.clock.fast_forward(10_000)
    send(sandbox, event(activity="Fine"), event(" A4", activity="Wrong"))
    expect(page.locator("#total-events")).to_have_text("2")
    page.clock.fast_forward(10_000)
    expect(page.locator("#said")).to_have_text(re.compile("^A new problem: error in Wrong"))


@AFTER_A_GOOD_DAY
def test_the_pictures_of_the_documentation(page: Page, sandbox: Sandbox) -> None:
    IMAGES.mkdir(exist_ok=True)
    visit(page, sandbox)
    count = len(sandbox.events())
    expect(page.locator("#total-events")).to_have_text(str(count))
    expect(page.locator("#binding-count")).to_be_visible()
    # Nothing in a picture depends on the port.
    page.evaluate("document.getElementById('endpoint').textContent = 'http://127.0.0.1:8035/pixel.gif/'")

    def picture(name: str) -> None:
        page.screenshot(path=IMAGES / f"sandbox-{name}.png", animations="disabled")

    picture("log-light-1440")
    page.emulate_media(color_scheme="dark")
    picture("log-dark-1440")
    page.set_viewport_size(NARROW)
    page.evaluate(f"location.hash = 'event-{count - 1}'")
    expect(page.locator("#event-title")).to_be_visible()
    picture("drawer-dark-375")
    page.get_by_role("button", name=re.compile("^Close")).click()
    picture("log-dark-375")
    page.emulate_media(color_scheme="light")
    picture("log-light-375")
    page.set_viewport_size(WIDE)
    accounts = open_tab(page, "accounts")
    accounts.locator("summary").first.click()
    expect(accounts.locator(".details h4").first).to_be_visible()
    picture("accounts-light-1440")
    open_tab(page, "binding")
    picture("binding-light-1440")
    for name in ("log-light-1440", "drawer-dark-375", "binding-light-1440"):
        assert (IMAGES / f"sandbox-{name}.png").stat().st_size > 10_000

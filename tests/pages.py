"""What tests of the sandbox's page share: how to send to it, and how to read it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.sync_api import expect

from totango_sdk.sandbox import Store
from totango_sdk.sandbox.arrival import understand
from totango_sdk.testing import sandbox_server
from totango_sdk.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from totango_sdk.sandbox import Sandbox

SERVICE = ("sdr_s", "SP-1234-01")
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
SDK = "totango-sdk/0.1.0"
TABS = ("log", "accounts", "users", "binding")
AFTER_A_GOOD_DAY = pytest.mark.parametrize("sandbox", [True], indirect=True, ids=["filled"])
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 375, "height": 812}


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox: empty, or, with `AFTER_A_GOOD_DAY`, filled."""
    db = tmp_path / "good.db" if getattr(request, "param", None) else None
    if db is not None:
        good_day(db)
    with sandbox_server(db=db) as running:
        yield running


@pytest.fixture
def page(sandbox: Sandbox, page: Page) -> Page:
    """A page that is closed before the sandbox is, so that it misses nothing."""
    return page


def send(sandbox: Sandbox, *events: list[tuple[str, str]], agent: str = "curl/8") -> None:
    with httpx.Client(headers={"user-agent": agent}, trust_env=False) as http:
        for event in events:
            http.post(sandbox.endpoint, content=encode([SERVICE, *event]))


def event(
    account: str = "819332",
    user: str = "marlo@barksdale.com",
    activity: str = "Invoice paid",
    module: str = "Billing",
    *more: tuple[str, str],
) -> list[tuple[str, str]]:
    return [("sdr_o", account), ("sdr_u", user), ("sdr_a", activity), ("sdr_m", module), *more]


def rows(page: Page) -> Locator:
    return page.locator("#rows .row")


def shown(page: Page) -> list[str]:
    """The activities that are shown, the newest first."""
    return page.evaluate(
        "() => [...document.querySelectorAll('#rows .row')]"
        ".sort((a, b) => a.getAttribute('aria-rowindex') - b.getAttribute('aria-rowindex'))"
        ".map((row) => row.querySelector('.activity').textContent)"
    )


def visit(page: Page, sandbox: Sandbox, at: str = "") -> None:
    page.goto(sandbox.url + at)
    expect(page.locator("#connection")).to_have_text("Live")


def open_tab(page: Page, name: str) -> Locator:
    page.get_by_role("tab", name=re.compile(f"^{name}", re.IGNORECASE)).click()
    panel = page.locator(f"#{name}")
    expect(panel).to_be_visible()
    return panel


def mixed(sandbox: Sandbox) -> None:
    send(
        sandbox,
        event(activity="One", account="A1", user="ann@x.com"),
        event(activity="Two", account="A2", user="bob@x.com", module="Reports"),
        event(activity="__heartbeat", account="A2", user="bob@x.com", module="__system"),
        [("sdr_o", "A3"), ("sdr_o.Plan", "Gold")],
        event(activity="Wrong", account=" A4", user="cy@x.com"),
    )
    send(sandbox, event(activity="Clicked", account="A5", user="dee@x.com"), agent=BROWSER)


def good_day(path: Path) -> None:
    """Fill a database with what two small companies' programs might send, and what goes wrong on it."""
    product = [("sdr_o.parent_id", "819332"), ("sdr_o.product_id", "FLEET"), ("sdr_odn", "Fleet")]
    acme = [
        ("sdr_odn", "Barksdale Freight"),
        ("sdr_o.Plan", "Gold"),
        ("sdr_o.Licenses", "40"),
        ("sdr_o.Status", "Paying"),
    ]
    keys = [("sdr_o.foreignkeyid", "0012000000msDD0EAM"), ("sdr_o.Jira Account ID", "10233")]
    uk = [("sdr_odn", "Barksdale Freight UK"), ("sdr_o.parent_id", "819332"), ("sdr_o.Plan", "Pro")]
    sent = [
        (SDK, [("sdr_o", "819332"), *acme, *keys]),
        (SDK, [("sdr_o", "204411"), *uk]),
        (
            SDK,
            [("sdr_o", "654321"), ("sdr_odn", "Stanfield Logistics"), ("sdr_o.Plan", "Pro"), ("sdr_o.Licenses", "12")],
        ),
        (
            SDK,
            event("819332_FLEET", "marlo@barksdale.com", "Route planned", "Routes", *product, ("sdr_u.name", "Marlo")),
        ),
        (
            SDK,
            event(
                "654321_PAY",
                "kima@stanfield.example",
                "Login",
                "App",
                ("sdr_o.parent_id", "654321"),
                ("sdr_o.product_id", "PAY"),
            ),
        ),
    ]
    people = ["marlo@barksdale.com", "avon@barksdale.com", "kima@stanfield.example", "omar@stanfield.example"]
    acts = [("Invoice paid", "Billing"), ("Report opened", "Reports"), ("Login", "App"), ("Route planned", "Routes")]
    for number in range(60):
        user, (activity, module) = people[number * 3 % 7 % 4], acts[number * 5 % 7 % 4]
        accounts = ["819332", "819332_FLEET"] if "barksdale" in user else ["654321", "654321_PAY"]
        account = accounts[number % 3 % 2]
        sent.append((SDK, event(account, user, activity, module)))
        if number % 4 == 3:
            sent.append((BROWSER, event(account, user, "Page viewed", module)))
        if number % 9 == 3:
            sent.append((BROWSER, event(account, user, "__heartbeat", "__system")))
    sent += [
        ("curl/8", event("ACME-7", "Bunk@Acme.example", "Export finished", "Reports")),
        (BROWSER, event("acme-7", "bunk@acme.example", "Page viewed", "Reports")),
        ("curl/8", event("654321", "kima@stanfield.example", "Seats changed", "Billing", ("sdr_o.Licenses", "14"), ("sdr_o.foreignkeyid", "0012000000msDD0"))),
        ("503", event("819332", "marlo@barksdale.com", "Invoice paid", "Billing")),
        (SDK, event("819332", "marlo@barksdale.com", "Invoice paid", "Billing")),
        (SDK, event("819332", "avon@barksdale.com", "Plan changed", "Billing", ("sdr_o.Plan", "Platinum"), ("sdr_o.Licenses", "60"))),
        ("curl/8", event(" 654321", "kima@stanfield.example", "Invoice paid", "Billing", ("sdr_o.Plan", "Gold"))),
        (SDK, event("819332_FLEET", "marlo@barksdale.com", "Route planned", "Routes")),
    ]  # fmt: skip
    with Store(path) as store:
        moment = 1_760_000_000.0
        for number, (agent, pairs) in enumerate(sent):
            moment += 0.4 + number * 37 % 11 * 2.317
            fault = "503" if agent == "503" else None
            told = SDK if fault else agent
            body = encode([SERVICE, *pairs])
            store.record(understand(time=moment, method="POST", query=b"", body=body, user_agent=told, fault=fault))

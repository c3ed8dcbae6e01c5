"""The sandbox's page in a real Chromium: what a person sees of what a program sends."""

from __future__ import annotations

import contextlib
import re
import statistics
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from pages import BROWSER, SERVICE, event, mixed, open_tab, page, rows, sandbox, send, shown, visit
from playwright.sync_api import expect
from servers import wait_for

from totango_sdk import Account, Product, Totango, User
from totango_sdk.sandbox import Store
from totango_sdk.sandbox.arrival import understand
from totango_sdk.testing import sandbox_server
from totango_sdk.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from totango_sdk.sandbox import Sandbox

__all__ = ["page", "sandbox"]


@pytest.fixture
def client(sandbox: Sandbox) -> Iterator[Totango]:
    with Totango("SP-1234-01", endpoint=sandbox.endpoint, spool="memory") as totango:
        yield totango


# The log


def test_a_track_shows_within_a_second(page: Page, sandbox: Sandbox, client: Totango) -> None:
    visit(page, sandbox)
    client.track("Warm", "Up", account="1", user="a")
    expect(rows(page)).to_have_count(1)
    account, product = Account("819332"), Product("ABC")
    took = []
    for number in range(5):
        began = time.monotonic()
        client.track(f"Invoice {number} paid", "Billing", account=account, product=product, user=User("marlo"))
        expect(page.locator("#rows")).to_contain_text(f"Invoice {number} paid")
        took.append(time.monotonic() - began)
    print(f"a track shows after {statistics.median(took) * 1000:.0f} ms, the median of five")
    assert min(took) < 1  # others use this machine too; a fault of ours would show in each of them
    first = rows(page).filter(has_text="Invoice 0 paid")
    for name, text in {
        "account": "819332_ABC",
        "product": "ABC",
        "user": "marlo",
        "module": "Billing",
        "source": "SDK",
    }.items():
        expect(first.locator(f".{name}")).to_have_text(text)


def test_an_empty_page_says_where_to_send_and_copies_it(page: Page, sandbox: Sandbox) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visit(page, sandbox)
    expect(page.locator("#empty")).to_contain_text(sandbox.endpoint)
    page.get_by_role("button", name="Copy the endpoint").click()
    assert wait_for(lambda: page.evaluate("navigator.clipboard.readText()")) == sandbox.endpoint


def test_totals_stand_in_the_header(page: Page, sandbox: Sandbox) -> None:
    visit(page, sandbox)
    mixed(sandbox)
    totals = sandbox.summary()["totals"]
    expect(page.locator("#total-events")).to_have_text("6")
    expect(page.locator("#total-accounts")).to_have_text(str(totals["accounts"]))
    expect(page.locator("#total-users")).to_have_text(str(totals["users"]))
    expect(page.locator("#total-dropped")).to_have_text(str(totals["dropped"]))
    expect(page.locator("#total-problems")).not_to_have_text("0")


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("text", "REPORTS", ["Two"]),
        ("account", "a2", ["heartbeat", "Two"]),
        ("user", "ann@", ["One"]),
        ("kind", "heartbeat", ["heartbeat"]),
        ("kind", "attributes", ["attributes"]),
        ("source", "browser", ["Clicked"]),
        ("problem", "error", ["Wrong"]),
        ("problem", "any", ["Wrong"]),
        ("problem", "fault", []),
    ],
)
def test_each_filter_shows_what_it_says(page: Page, sandbox: Sandbox, name: str, value: str, found: list[str]) -> None:
    mixed(sandbox)
    visit(page, sandbox)
    expect(rows(page)).to_have_count(6)
    field = page.locator(f"#filters [name={name}]")
    field.select_option(value) if name in ("kind", "source", "problem") else field.fill(value)
    expect(rows(page)).to_have_count(len(found))
    assert shown(page) == found
    expect(page.locator("#found")).to_have_text(f"{len(found)} of 6")
    page.get_by_role("button", name="Clear").click()
    expect(rows(page)).to_have_count(6)


def test_pause_holds_back_and_counts_what_waits(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, event(activity="Before"))
    visit(page, sandbox)
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    send(sandbox, event(activity="After"), event(activity="Last"))
    expect(page.locator("#pause")).to_have_text("Paused: 2 waiting")
    assert shown(page) == ["Before"]
    page.locator("#pause").click()
    expect(rows(page)).to_have_count(3)
    assert shown(page) == ["Last", "After", "Before"]


def test_everything_in_the_log_can_be_done_with_keys(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, *(event(activity=f"Act {number}") for number in range(100)))
    visit(page, sandbox)
    expect(rows(page).first).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#rows [aria-selected=true]")).to_contain_text("Act 98")
    page.keyboard.press("Enter")
    expect(page.locator("#event-title")).to_have_text("Act 98")
    expect(page.locator("#event")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()
    expect(page.locator("#grid")).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator("#rows [aria-selected=true]")).to_contain_text("Act 0")
    expect(page.locator("#rows [aria-selected=true]")).to_be_in_viewport()
    page.keyboard.press("/")
    page.keyboard.type("act 5?p")
    expect(page.locator("#filter-text")).to_have_value("act 5?p")
    expect(page.locator("#none-found")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#grid")).to_be_focused()
    page.keyboard.press("p")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()


def test_tabs_follow_the_arrow_keys_and_the_address(page: Page, sandbox: Sandbox) -> None:
    visit(page, sandbox, "#users")
    expect(page.locator("#users")).to_be_visible()
    page.locator("#tab-users").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#binding")).to_be_visible()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-log")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page).to_have_url(re.compile("#binding$"))


def test_what_is_read_further_down_stays_under_the_eyes(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, *(event(activity=f"Act {number}") for number in range(200)))
    visit(page, sandbox)
    expect(page.locator("#total-events")).to_have_text("200")
    page.evaluate("document.getElementById('grid').scrollTop = 3000")
    row = rows(page).filter(has_text=re.compile("Act 95"))
    before = row.bounding_box()
    send(sandbox, *(event(activity=f"New {number}") for number in range(20)))
    expect(page.locator("#grid")).to_have_attribute("aria-rowcount", "221")
    assert row.bounding_box() == before


def test_ten_thousand_events_are_filtered_in_less_than_300_ms(page: Page, sandbox: Sandbox) -> None:
    with httpx.Client(trust_env=False) as http:
        for number in range(10_000):
            http.post(
                sandbox.endpoint, content=encode([SERVICE, *event(f"account-{number % 500}", activity=f"Act {number}")])
            )
    visit(page, sandbox)
    expect(page.locator("#grid")).to_have_attribute("aria-rowcount", "10001")
    assert rows(page).count() < 60
    took = page.evaluate(
        """async () => {
          const field = document.getElementById("filter-text");
          const took = {};
          for (let round = 0; round < 5; round += 1) {
            for (const text of ["a", "account-7", "act 99", "nothing", ""]) {
              const began = performance.now();
              field.value = text;
              field.dispatchEvent(new Event("input", { bubbles: true }));
              await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
              (took[text] ??= []).push(Math.round(performance.now() - began));
            }
          }
          return took;
        }"""
    )
    print("ms that a filter over 10,000 events takes, until it is painted:", took)
    # The median: the machine may do something else at the same time, and then a frame comes late.
    assert max(statistics.median(each) for each in took.values()) < 300
    expect(page.locator("#grid")).to_have_attribute("aria-rowcount", "10001")


def test_a_sandbox_that_was_started_anew_is_found_again(chromium: Browser) -> None:
    with chromium.new_context() as context, contextlib.ExitStack() as stack:
        page = context.new_page()
        first = stack.enter_context(sandbox_server())
        port = httpx.URL(first.url).port or 0
        send(first, event(activity="Old"), event(activity="Older"))
        visit(page, first)
        expect(rows(page)).to_have_count(2)
        stack.close()
        expect(page.locator("#connection")).to_have_text("Not connected, trying again")
        with sandbox_server(port=port) as second:
            send(second, event(activity="New"))
            expect(page.locator("#connection")).to_have_text("Live")
            expect(rows(page)).to_have_count(1)
            assert shown(page) == ["New"]
            page.close()


def test_what_was_forgotten_is_said(page: Page, tmp_path: Path) -> None:
    with Store(tmp_path / "full.db", most_events=20) as store:
        for _ in range(30):
            body = encode([SERVICE, *event()])
            store.record(understand(time=1.0, method="POST", query=b"", body=body, user_agent=""))
            store.flush()
        forgotten = store.summary()["totals"]["forgotten"]
    assert forgotten
    with sandbox_server(db=tmp_path / "full.db") as full:
        visit(page, full)
        expect(page.locator("#notes")).to_contain_text(f"The oldest {forgotten} events were forgotten")
        expect(page.locator("#total-events")).to_have_text("30")
        page.goto("about:blank")


# The drawer


def test_the_drawer_shows_what_came_what_it_does_and_how_to_mend_it(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, event("819332", "marlo@barksdale.com", "Login", "App", ("sdr_o.Plan", "Free")))
    send(sandbox, event(" 819332", "marlo@barksdale.com", "Login", "App", ("sdr_o.Plan", "Gold")))
    send(sandbox, event("819332", "marlo@barksdale.com", "Login", "App", ("sdr_o.Plan", "Gold")))
    visit(page, sandbox)
    rows(page).nth(0).click()
    drawer = page.get_by_role("dialog")
    expect(drawer.locator(".about")).to_contain_text("Event 3")
    expect(drawer.locator(".effects")).to_contain_text("Plan")
    expect(drawer.locator(".effect.attribute")).to_contain_text(re.compile("Free.*→.*Gold", re.DOTALL))
    page.get_by_role("button", name="Older").click()
    expect(drawer.locator(".about")).to_contain_text("Event 2")
    expect(page).to_have_url(re.compile("#event-2$"))
    expect(drawer.locator(".problem").first).to_contain_text("✕ error")
    expect(drawer.locator("#mend")).to_contain_text("sdr_o=819332")  # a form, to a client of others
    expect(drawer.get_by_text("As it came")).to_be_visible()
    expect(drawer.get_by_text("As Totango understands it")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Close")).click()
    expect(page).not_to_have_url(re.compile("#event"))
    expect(page.locator("#grid")).to_be_focused()


def test_an_event_has_an_address_of_its_own(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, event(activity="Linked"))
    visit(page, sandbox, "#event-1")
    expect(page.locator("#event-title")).to_have_text("Linked")


def test_an_event_that_is_gone_says_so(page: Page, sandbox: Sandbox) -> None:
    with httpx.Client(base_url=sandbox.url, trust_env=False) as http:
        for number in ("77", "x", "9" * 30):
            answer = http.get(f"/parts/event/{number}")
            assert answer.status_code == 404
            assert "no longer here" in answer.json()["error"]
        assert http.get("/parts/account?id=x").status_code == 404
        assert http.get("/static/x").status_code == 404


# Accounts, users, binding


def test_accounts_stand_as_a_tree_with_their_details(page: Page, sandbox: Sandbox, client: Totango) -> None:
    client.identify(Account("819332", name="Acme", attributes={"Plan": "Gold"}, foreign_keys={"Jira Account ID": "j7"}))
    client.identify(Account("77", name="Acme UK", parent="819332"))
    client.track(
        "Login", "App", account="819332", product=Product("ABC", name="Shop"), user=User("marlo", name="Marlo")
    )
    assert client.flush()
    visit(page, sandbox)
    tree = open_tab(page, "accounts")
    inner = tree.locator("ul.tree > li").filter(has_text="Acme").locator("ul li")
    expect(inner).to_have_count(2)
    expect(inner.filter(has_text="819332_ABC").locator("summary")).to_contain_text("Product")
    tree.locator("summary", has_text="Acme").first.click()
    details = tree.locator("details[open] .details")
    for text in ("Plan", "Gold", "Jira Account ID", "j7"):
        expect(details).to_contain_text(text)
    inner.filter(has_text="819332_ABC").locator("summary").click()
    expect(inner.filter(has_text="819332_ABC").locator("svg[role=img] rect").first).to_be_attached()
    expect(inner.filter(has_text="819332_ABC")).to_contain_text("marlo")
    inner.filter(has_text="819332_ABC").get_by_role("button", name="Show its events").click()
    expect(page.locator("#log")).to_be_visible()
    assert set(shown(page)) == {"Login"}


def test_users_are_listed_and_the_server_filters_them(page: Page, sandbox: Sandbox) -> None:
    mixed(sandbox)
    visit(page, sandbox)
    users = open_tab(page, "users")
    expect(users.locator(".tree > li")).to_have_count(3)
    users.get_by_role("searchbox").fill("bob")
    expect(users.locator(".tree > li")).to_have_count(1)
    users.locator("summary").click()
    expect(users.locator(".details")).to_contain_text("A2")
    users.get_by_role("button", name="Show this user's events").click()
    assert shown(page) == ["heartbeat", "Two"]


def test_a_tab_in_which_somebody_reads_waits_to_be_asked(page: Page, sandbox: Sandbox) -> None:
    mixed(sandbox)
    visit(page, sandbox)
    users = open_tab(page, "users")
    users.locator("summary").first.click()
    send(sandbox, event(user="new@x.com"))
    users.get_by_role("button", name="Show what is new").click()
    expect(users).to_contain_text("new@x.com")
    send(sandbox, event(user="newer@x.com"))
    expect(users).to_contain_text("newer@x.com")


def test_binding_shows_both_sides_and_an_example(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, event("Acme-1"))
    send(sandbox, event("acme-1"), agent=BROWSER)
    visit(page, sandbox)
    expect(page.locator("#binding-count")).not_to_have_text("")
    panel = open_tab(page, "binding")
    finding = panel.locator(".finding").filter(has_text="acme-1").first
    expect(finding.locator(".side").filter(has_text=re.compile("Acme-1"))).to_contain_text("Other")
    expect(finding.locator(".side").filter(has_text=re.compile("acme-1"))).to_contain_text("Browser")
    expect(finding.locator(".advice")).to_be_visible()
    finding.get_by_role("link").first.click()
    expect(page.locator("#event-title")).to_have_text("Invoice paid")
    page.keyboard.press("Escape")
    expect(panel).to_be_visible()


# Faults and reset


def test_the_faults_form_makes_a_client_see_503(page: Page, sandbox: Sandbox) -> None:
    visit(page, sandbox)
    page.get_by_role("button", name="Faults…").click()
    form = page.get_by_role("dialog", name="Faults on demand")
    form.get_by_label("What happens").select_option("status")
    form.get_by_label("Retry-After").fill("7")
    form.get_by_role("button", name="Apply").click()
    expect(form).to_be_hidden()
    expect(page.locator("#fault-bar")).to_contain_text("All requests are answered 503 with Retry-After: 7.")
    answer = httpx.post(sandbox.endpoint, content=encode([SERVICE, *event()]), trust_env=False)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    expect(rows(page).locator(".mark")).to_have_text("⊘ 503")
    page.get_by_role("button", name="Faults…").click()
    expect(form.get_by_label("Retry-After")).to_have_value("7")
    form.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Stop faults").click()
    expect(page.locator("#fault-bar")).to_be_hidden()
    assert httpx.post(sandbox.endpoint, content=encode([SERVICE, *event()]), trust_env=False).status_code == 200


def test_faults_set_elsewhere_show_too(page: Page, sandbox: Sandbox) -> None:
    visit(page, sandbox)
    sandbox.faults("close", share=0.25, delay=0.01)
    expect(page.locator("#fault-bar")).to_contain_text("25 % of the requests are closed without an answer.")
    sandbox.faults()
    expect(page.locator("#fault-bar")).to_be_hidden()


def test_reset_asks_first(page: Page, sandbox: Sandbox) -> None:
    mixed(sandbox)
    visit(page, sandbox)
    expect(rows(page)).to_have_count(6)
    page.get_by_role("button", name="Reset…").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert len(sandbox.events()) == 6
    page.get_by_role("button", name="Reset…").click()
    page.get_by_role("dialog").get_by_role("button", name="Forget everything").click()
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#total-events")).to_have_text("0")
    assert sandbox.events() == []

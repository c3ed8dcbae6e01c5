"""The sandbox's page for daily work, in a real Chromium: search, addresses, copies, resend, sessions, ignoring."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
from pages import BROWSER, event, mixed, open_tab, page, rows, sandbox, send, shown, visit
from playwright.sync_api import expect
from servers import wait_for

from totango_sdk.testing import sandbox_server
from totango_sdk.wire import encode

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from totango_sdk.sandbox import Sandbox

__all__ = ["page", "sandbox"]


def test_search_finds_words_anywhere_and_quotes_keep_them_together(page: Page, sandbox: Sandbox) -> None:
    send(
        sandbox,
        event("A", "u@x.com", "One", "M", ("sdr_o.Region", "New York")),
        event("B", "u@x.com", "Two", "M", ("sdr_o.Region", "York New")),
        event(" C", "u@x.com", "Three", "M"),
    )
    send(sandbox, event("D", "u@x.com", "Four", "M"), agent="Trampoline/7")
    visit(page, sandbox)
    for text, found in {
        "york region": ["Two", "One"],
        '"New York"': ["One"],
        "leading": ["Three"],
        "trampoline": ["Four"],
        "one york": ["One"],
        "nowhere": [],
    }.items():
        page.locator("#filter-text").fill(text)
        expect(page.locator("#found")).to_have_text(f"{len(found)} of 4")
        assert shown(page) == found
    page.locator("#filter-text").fill("york")
    expect(rows(page)).to_have_count(2)
    send(sandbox, event("E", "u@x.com", "Five", "M", ("sdr_o.Region", "York")))
    expect(rows(page)).to_have_count(3)


def test_filters_stand_in_the_address_and_are_read_from_it(page: Page, sandbox: Sandbox) -> None:
    mixed(sandbox)
    visit(page, sandbox, "?kind=activity&account=a2#users")
    expect(page.locator("#users")).to_be_visible()
    open_tab(page, "log")
    expect(rows(page)).to_have_count(1)
    assert shown(page) == ["Two"]
    page.locator("#filters [name=account]").fill("a1")
    expect(page).to_have_url(re.compile(r"[?&]account=a1&kind=activity$"))
    page.reload()
    expect(rows(page)).to_have_count(1)
    assert shown(page) == ["One"]
    page.get_by_role("button", name="Clear").click()
    expect(page).to_have_url(sandbox.url)


def test_since_now_leaves_out_what_was_before(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, event(activity="Before"))
    visit(page, sandbox)
    expect(rows(page)).to_have_count(1)
    page.get_by_role("button", name="Since now").click()
    expect(rows(page)).to_have_count(0)
    send(sandbox, event(activity="After"))
    expect(rows(page)).to_have_count(1)
    assert shown(page) == ["After"]
    page.locator("#filters [name=from]").fill("")
    page.locator("#filters [name=to]").fill("2001-01-01T00:00")
    expect(rows(page)).to_have_count(0)


def test_back_closes_the_drawer_and_forward_opens_it(page: Page, sandbox: Sandbox) -> None:
    mixed(sandbox)
    visit(page, sandbox)
    rows(page).nth(0).click()
    expect(page.locator("#drawer")).to_be_visible()
    page.get_by_role("button", name="Older").click()
    expect(page).to_have_url(re.compile("#event-5$"))
    page.go_back()
    expect(page.locator("#drawer")).to_be_hidden()
    expect(page).to_have_url(sandbox.url)
    page.go_forward()
    expect(page.locator(".about")).to_contain_text("Event 5")
    page.keyboard.press("Escape")
    expect(page).to_have_url(sandbox.url)


def test_the_drawer_has_the_request_and_copies_it(page: Page, sandbox: Sandbox) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    send(sandbox, event("A", "u@x.com", "One", "M"), agent="Trampoline/7")
    visit(page, sandbox, "#event-1")
    expect(page.locator(".about")).to_contain_text("Trampoline/7")
    expect(page.locator(".about time")).to_have_text(re.compile(r"\d\d:\d\d:\d\d[.,]\d\d\d"))
    expect(page.locator("#as-raw")).to_contain_text("POST /pixel.gif/")
    expect(page.get_by_role("rowheader", name="user-agent")).to_be_visible()
    for title, begins in {"As curl": "curl ", "As Python": "totango.track("}.items():
        page.get_by_role("button", name=f"Copy {title}").click()
        assert wait_for(lambda begins=begins: page.evaluate("navigator.clipboard.readText()").startswith(begins))


def test_one_or_many_events_go_to_another_endpoint_and_to_totango_only_by_its_name(
    page: Page, sandbox: Sandbox
) -> None:
    mixed(sandbox)
    with sandbox_server() as other:
        visit(page, sandbox)
        page.locator("#filters [name=kind]").select_option("heartbeat")
        page.locator("#resend-shown").click()
        dialog = page.get_by_role("dialog", name="Send again")
        expect(dialog).to_contain_text("Event 3")
        dialog.get_by_label("To the endpoint").fill(other.endpoint)
        expect(dialog.get_by_label("Type its host name")).to_be_hidden()
        dialog.get_by_role("button", name="Send").click()
        expect(dialog.locator(".done")).to_have_text("1 sent")
        assert [each["activity"] for each in other.events()] == ["__heartbeat"]
        dialog.get_by_label("To the endpoint").fill("https://sdr.totango.com/pixel.gif/")
        dialog.get_by_label("Type its host name").fill("totango")
        dialog.get_by_role("button", name="Send").click()
        expect(dialog.locator(".wrong")).to_contain_text("sdr.totango.com")
        dialog.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="Clear").click()
        page.locator("#resend-shown").click()
        expect(dialog).to_contain_text("6 events, as shown")
        dialog.get_by_label("To the endpoint").fill(other.endpoint)
        dialog.get_by_role("button", name="Send").click()
        expect(dialog.locator(".done")).to_have_text("6 sent")
        assert len(other.events()) == 7


def test_a_session_is_saved_and_opened_again_and_what_is_shown_is_saved_as_csv(
    page: Page, sandbox: Sandbox, tmp_path: Path
) -> None:
    mixed(sandbox)
    visit(page, sandbox)
    page.locator("#filters [name=source]").select_option("browser")
    page.get_by_role("button", name="Session").click()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save the session").click()
    saved.value.save_as(tmp_path / "session.ndjson")
    with page.expect_download() as table:
        page.get_by_role("button", name="Save what is shown").click()
    table.value.save_as(tmp_path / "events.csv")
    lines = (tmp_path / "events.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2
    assert '"Clicked"' in lines[1]
    sandbox.reset()
    dialog = page.get_by_role("dialog", name="Session")
    dialog.get_by_label("Open a saved session").set_input_files(tmp_path / "session.ndjson")
    dialog.get_by_role("button", name="Open", exact=True).click()
    expect(dialog.locator(".done")).to_have_text("6 events opened")
    assert len(sandbox.events()) == 6


def test_a_finding_is_ignored_until_it_is_taken_seriously_again(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, event("Acme-1"))
    send(sandbox, event("acme-1"), agent=BROWSER)
    visit(page, sandbox)
    panel = open_tab(page, "binding")
    expect(panel.locator(".findings > .finding").first).to_be_visible()
    before = panel.locator(".findings > .finding").count()
    panel.get_by_role("button", name="Ignore this").first.click()
    expect(panel.locator(".findings > .finding")).to_have_count(before - 1)
    panel.locator(".ignored summary").click()
    panel.get_by_role("button", name="Take it seriously again").click()
    expect(panel.locator(".findings > .finding")).to_have_count(before)


def test_numbers_in_the_header_lead_to_what_they_count(page: Page, sandbox: Sandbox) -> None:
    mixed(sandbox)
    visit(page, sandbox)
    page.get_by_role("button", name=re.compile("accounts$")).click()
    expect(page.locator("#accounts .tree > li")).to_have_count(int(page.locator("#total-accounts").inner_text()))
    page.get_by_role("button", name=re.compile("users$")).click()
    expect(page.locator("#users .tree > li")).to_have_count(int(page.locator("#total-users").inner_text()))
    page.get_by_role("button", name=re.compile("dropped$")).click()
    expect(rows(page)).to_have_count(1)
    assert shown(page) == ["Wrong"]
    page.get_by_role("button", name=re.compile("events$")).first.click()
    expect(rows(page)).to_have_count(6)


def test_two_service_ids_make_a_column_and_a_filter(page: Page, sandbox: Sandbox) -> None:
    send(sandbox, event(activity="One"))
    visit(page, sandbox)
    expect(rows(page)).to_have_count(1)
    expect(page.locator(".head .service")).to_be_hidden()
    other = encode([("sdr_s", "SP-77-02"), *event(activity="Two")])
    httpx.post(sandbox.endpoint, content=other, trust_env=False)
    expect(page.locator(".head .service")).to_be_visible()
    page.locator("#filters [name=service]").fill("sp-1234")
    expect(page.locator("#found")).to_contain_text("of 2")

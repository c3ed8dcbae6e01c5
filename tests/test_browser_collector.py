"""The stand-in for the browser's collector, in a real browser, beside a backend that uses the client."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from flask import Flask
from servers import wait_for
from werkzeug.serving import make_server

from totango_sdk import Account, Product, Totango, User
from totango_sdk.testing import RecordingTransport, sandbox_server
from totango_sdk.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from totango_sdk.sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "browser_app.py"
VECTORS = json.loads((Path(__file__).parent / "vectors" / "wire.json").read_text(encoding="utf-8"))
WHO = {"service_id": "SP-1234-01", "account": "A", "user": "u", "module": "M"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Sandbox]:
    with sandbox_server() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared: Sandbox) -> Sandbox:
    shared.reset()
    return shared


@contextlib.contextmanager
def serving(index: Callable[[], str]) -> Iterator[str]:
    """The address of an application that has one page."""
    app = Flask(__name__)
    app.add_url_rule("/", view_func=index)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def html(sandbox: Sandbox, options: Any, then: str) -> str:
    """A page with these options, as they are JavaScript or JSON, and the collector."""
    script = options if isinstance(options, str) else json.dumps(options)
    first = "" if options is None else f"<script>window.totango_options = {script}</script>"
    return (
        f'<!doctype html><title>.</title><link rel="icon" href="data:,">{first}'
        f'<script src="{sandbox.url}collector.js"></script><script>{then}</script>'
    )


@pytest.fixture
def load(page: Page, sandbox: Sandbox) -> Iterator[Callable[..., Page]]:
    shown = [""]

    def load(options: Any = None, *, then: str = "") -> Page:
        shown[0] = html(sandbox, options, then)
        page.goto(address)
        return page

    with serving(lambda: shown[0]) as address:
        yield load


def call(page: Page, name: str, *arguments: Any) -> None:
    page.evaluate("([name, given]) => { totango[name](...given) }", [name, list(arguments)])


def events(sandbox: Sandbox, count: int) -> list[dict[str, Any]]:
    """So many events, once they have come."""
    found = wait_for(lambda: found if len(found := sandbox.events()) >= count else None)
    assert len(found) == count
    return found  # type: ignore[no-any-return]


def sent(event: dict[str, Any]) -> list[list[str]]:
    """Its parameters, without the random number that comes last."""
    *pairs, (name, value) = event["params"]
    assert name == "r"
    assert 0 <= float(value) < 1
    assert event["query"].endswith(f"&r={value}")
    # As encodeURIComponent writes it, and then as an address has it.
    assert event["query"] == encode([(name, value) for name, value in event["params"]]).decode().replace("'", "%27")
    return pairs  # type: ignore[no-any-return]


def kept(sandbox: Sandbox) -> list[dict[str, Any]]:
    """Accounts, without what says only when they came."""
    return [
        {key: value for key, value in account.items() if not key.endswith("_event") and key != "number"}
        for account in sandbox.accounts()
    ]


# Both sides of one application


@pytest.fixture
def paperboat(sandbox: Sandbox, tmp_path: Path) -> Iterator[str]:
    """The address of the example, run as its reader runs it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("TOTANGO_")}
    own |= {"TOTANGO_SERVICE_ID": "SP-1234-01", "TOTANGO_ENDPOINT": sandbox.endpoint, "TOTANGO_SPOOL": str(tmp_path)}
    command = [sys.executable, str(EXAMPLE), "--port", "0", "--collector", f"{sandbox.url}collector.js"]
    with subprocess.Popen(command, env=own, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_browser_and_backend_report_on_one_product_account(paperboat: str, sandbox: Sandbox, page: Page) -> None:
    page.goto(paperboat)
    page.click("#preview")
    events(sandbox, 2)  # the account's own, and the product account's
    page.click("text=Save")
    page.wait_for_url("**/save")
    found = wait_for(lambda: found if len(found := [each for each in sandbox.events() if each["activity"]]) == 2 else 0)
    assert {(each["source"], each["account"], each["user"], each["activity"], each["module"]) for each in found} == {
        ("browser", "1001_editor", "ada@dune.example", "Preview opened", "Editor"),
        ("sdk", "1001_editor", "ada@dune.example", "Document saved", "Editor"),
    }
    assert [each["problems"] for each in sandbox.events() if each["problems"]] == []
    account, product = sorted(sandbox.accounts(), key=lambda each: str(each["id"]))
    assert (account["id"], account["name"], account["attributes"]) == ("1001", "Dune Coffee", {"Plan": "Team"})
    assert (product["id"], product["name"], product["parent_id"]) == ("1001_editor", "Paperboat Editor", "1001")
    assert [user["id"] for user in product["users"]] == ["ada@dune.example"]


@pytest.fixture
def shop(sandbox: Sandbox) -> Iterator[str]:
    """The address of an application whose page spells the account in its own way."""

    def index() -> str:
        client.track("Page served", account="Acme-1")
        own = {"service_id": "SP-1234-01", "account": "acme-1", "user": "ada@dune.example", "module": "Shop"}
        return html(sandbox, own, "totango.track('Page seen')")

    options: Any = {"endpoint": sandbox.endpoint, "spool": "memory", "user": "ada@dune.example", "module": "Shop"}
    with Totango("SP-1234-01", **options) as client, serving(index) as address:
        yield address


def test_a_page_that_spells_the_account_in_another_case_does_not_bind(shop: str, sandbox: Sandbox, page: Page) -> None:
    page.goto(shop)
    events(sandbox, 2)
    assert {each["id"] for each in sandbox.accounts()} == {"Acme-1", "acme-1"}
    binding = httpx.get(f"{sandbox.url}problems.json", trust_env=False).json()["binding"]
    (found,) = [each for each in binding if each["kind"] == "case" and each["sides"][0]["what"] == "account"]
    assert {(side["id"], *side["sources"]) for side in found["sides"]} == {("Acme-1", "sdk"), ("acme-1", "browser")}


# The same on the wire as the client


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_each_case_makes_the_same_accounts_as_the_client(
    case: dict[str, Any], load: Callable[..., Page], sandbox: Sandbox
) -> None:
    with httpx.Client(trust_env=False) as http:
        for pairs in case["sent"]:
            http.post(sandbox.endpoint, content=encode([(name, value) for name, value in pairs]))
    posted, activities = kept(sandbox), sandbox.summary()["totals"]["activities"]
    assert bool(posted) == any(name == "sdr_o" for pairs in case["sent"] for name, _ in pairs)
    sandbox.reset()
    page = load({name: value for name, value in case["options"].items() if name != "api_token"})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name, *arguments in case["calls"]:
        call(page, name, *arguments)
    if not case["sent"]:
        page.wait_for_load_state("networkidle")
        assert (asked, sandbox.events()) == ([], [])
        return
    wait_for(lambda: len(sandbox.events()) >= len(case["sent"]) and kept(sandbox) == posted)
    wait_for(lambda: sandbox.summary()["totals"]["activities"] == activities)
    assert {each["source"] for each in sandbox.events()} == {"browser"}
    # The first request for each account says all that the client says, in the same order.
    told = {next((value for name, value in pairs if name == "sdr_o"), ""): pairs for pairs in reversed(case["sent"])}
    came = {each["account"] or "": sent(each) for each in reversed(sandbox.events())}
    assert came == {where: [pair for pair in pairs if pair[0] != "api-token"] for where, pairs in told.items()}


def test_the_snippet_makes_the_browser_say_what_the_client_says(load: Callable[..., Page], sandbox: Sandbox) -> None:
    transport = RecordingTransport()
    client = Totango(
        "SP-1234-01",
        account=Account("A", name="Ä & Sons", parent="P", foreignkeyid="0012000000msDD0BDU", ofid="o",
                        attributes={"name": "x", "odn": "y", "Licenses": 2.0, "Empty": "", "__a": "b"}),
        product=Product("E", name="Editor", module="Ed", attributes={"module": "z", "Rev": 5}),
        user=User("u@x.com", name="Marlo", contact=True, key_contact=False, attributes={"u": "v", "vip": True}),
        transport=transport,
        spool="memory",
        strict=True,
    )  # fmt: skip
    client.track("Open")
    assert client.flush()
    told = client.snippet().partition(" = ")[2].removesuffix(";</script>")
    call(load(told), "track", "Open")
    found = sorted((sent(each) for each in events(sandbox, 2)), key=len)
    expected = sorted(([list(pair) for pair in pairs] for pairs in transport.sent), key=len)
    assert [sorted(pairs) for pairs in found] == [sorted(pairs) for pairs in expected]
    client.close()


# What it does of its own


def test_names_and_attributes_ride_along_on_every_call(load: Callable[..., Page], sandbox: Sandbox) -> None:
    page = load({**WHO, "account": {"id": "A", "name": "Acme", "Plan": "Gold"}, "user": {"id": "u", "role": "x"}})
    call(page, "track", "One")
    call(page, "heartbeat")
    for event in events(sandbox, 2):
        assert event["params"][-4:-1] == [["sdr_odn", "Acme"], ["sdr_o.Plan", "Gold"], ["sdr_u.role", "x"]]


def test_it_beats_once_a_minute_while_the_page_is_seen(load: Callable[..., Page], sandbox: Sandbox, page: Page) -> None:
    page.clock.install()
    load(WHO)
    page.evaluate("Object.defineProperty(document, 'visibilityState', {get: () => window.seen || 'visible'})")
    page.clock.run_for(59_000)
    call(page, "track", "After 59 seconds")
    assert events(sandbox, 1)[0]["activity"] == "After 59 seconds"
    page.clock.run_for(1_000)
    assert events(sandbox, 2)[1]["params"][2:5] == [["sdr_u", "u"], ["sdr_a", "__heartbeat"], ["sdr_m", "M"]]
    page.evaluate("window.seen = 'hidden'")
    page.clock.run_for(600_000)
    call(page, "track", "Hidden")
    assert events(sandbox, 3)[2]["activity"] == "Hidden"
    page.evaluate("window.seen = 'visible'")
    page.clock.run_for(60_000)
    assert events(sandbox, 4)[3]["activity"] == "__heartbeat"


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"heartbeat_timeout_sec": 20}, 6),
        ({"heartbeat_timeout_sec": "30"}, 4),
        ({"heartbeat_timeout_sec": 10**9}, 0),
        ({"heartbeat_timeout_sec": -1}, 2),
        ({"heartbeat_timeout_sec": "soon"}, 2),
        ({"disable_heartbeat": True}, 0),
        ({"user": None}, 0),
        ({"account": ""}, 0),
    ],
)
def test_how_often_it_beats_is_an_option(
    options: dict[str, Any], count: int, load: Callable[..., Page], sandbox: Sandbox, page: Page
) -> None:
    page.clock.install()
    load({**WHO, **options})
    page.clock.run_for(120_000)
    call(page, "track", "End", "M", "A", "u")
    assert wait_for(lambda: sum(each["activity"] == "End" for each in sandbox.events())) == 1
    wait_for(lambda: len(sandbox.events()) == count + 1)


def test_options_that_change_count_after_go(load: Callable[..., Page], sandbox: Sandbox) -> None:
    page = load({"service_id": "SP-1234-01"})
    call(page, "track", "Nobody", "M")
    page.evaluate("totango_options = {service_id: 'SP-1234-01', username: 'u', o: 'A', odn: 'Acme'}; totango.go()")
    call(page, "track", "Login", "M")
    (event,) = events(sandbox, 1)
    assert sent(event)[1:] == [
        ["sdr_o", "A"],
        ["sdr_u", "u"],
        ["sdr_a", "Login"],
        ["sdr_m", "M"],
        ["sdr_odn", "Acme"],
    ]


def test_what_the_page_does_wrong_is_seen_in_the_sandbox(load: Callable[..., Page], sandbox: Sandbox) -> None:
    load(
        "{service_id: 'SP-1234-01', account: {id: 'Acme Inc.', Seats: 0 / 0, Owner: {id: 1}, Gone: undefined, "
        "Since: new Date(0)}, user: 'u'}",
        then="totango.track('Login')",
    )
    (event,) = events(sandbox, 1)
    assert ["sdr_o.Since", "1970-01-01T00:00:00.000Z"] in event["params"]
    problems = {problem["field"] for problem in event["problems"]}
    assert problems == {"account", "account.Seats", "account.Owner", "module"}


@pytest.mark.parametrize("options", [None, "null", "'text'", "{}", "{account: 'A', user: 'u'}", "[]"])
def test_without_options_nothing_is_sent_and_the_page_works(
    options: str | None, load: Callable[..., Page], sandbox: Sandbox
) -> None:
    page = load(options)
    for name in ("track", "identify", "set_account_attributes", "set_user_attributes", "heartbeat", "go"):
        call(page, name, "a", "b", "c", "d")
    page.wait_for_load_state("networkidle")
    assert sandbox.events() == []


def test_it_never_throws_into_the_page(load: Callable[..., Page], sandbox: Sandbox) -> None:
    # A page error would fail this test.
    load(
        WHO,
        then="""
        const trap = {get id() { throw new Error("no") }};
        const proxy = new Proxy({}, {ownKeys() { throw new Error("no") }});
        for (const bad of [trap, proxy, Symbol("x"), "\\ud800", {id: Symbol("x")}, {id: {toString: null}}, 1n, () => 0]) {
          for (const name of Object.keys(totango)) {
            totango[name](bad, bad, bad, bad, bad);
            totango[name]({id: "A", x: bad}, {id: "u", x: bad});
          }
        }
        window.totango_options = {...trap_options()};
        function trap_options() { return {service_id: {toString() { throw new Error("no") }}, account: "A", user: "u"} }
        totango.go();
        totango.track("x", "y");
        window.totango_options = null;
        totango.go();
        window.totango_options = {service_id: "SP-1234-01", account: "A", user: "u"};
        totango.go();
        totango.track("Last", "M");
        """,
    )
    wait_for(lambda: any(each["activity"] == "Last" for each in sandbox.events()))


def test_the_script_may_be_loaded_from_any_page(sandbox: Sandbox) -> None:
    answer = httpx.get(f"{sandbox.url}collector.js", trust_env=False)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_script_names_no_other_address() -> None:
    text = (ROOT / "totango_sdk" / "sandbox" / "static" / "collector.js").read_text(encoding="utf-8")
    assert "//" not in text.replace(" // ", "")

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
from totango_sdk.testing import RecordingTransport
from totango_sdk.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from totango_sdk.sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "browser_app.py"
VECTORS = json.loads((Path(__file__).parent / "vectors" / "wire.json").read_text(encoding="utf-8"))
BROWSERS_NAMES = {"set_account_attributes": "setAccountAttributes", "set_user_attributes": "setUserAttributes"}
QUIET = {"disable_heartbeat": True}
WHO = {"service_id": "SP-1234-01", "account": "A", "user": "u", "module": "M"}
# As Totango documents it, around the options and the address of the script.
LOADER = """
(function() {
  var tracker_name = window.totango_options.tracker_name || "totango";
  window.totango_tmp_stack = [];
  window[tracker_name] = {
    go: function() { return -1; },
    setAccountAttributes: function() {},
    identify: function() {},
    track: function(t, o, n, a) {
      window.totango_tmp_stack.push({activity: t, module: o, org: n, user: a});
      return -1;
    }
  };
  var e = document.createElement("script");
  e.type = "text/javascript";
  e.async = true;
  e.src = "COLLECTOR";
  var s = document.getElementsByTagName("script")[0];
  s.parentNode.insertBefore(e, s);
})();
"""


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
    """Call it by the browser's name for it."""
    name = BROWSERS_NAMES.get(name, name)
    page.evaluate("([name, given]) => { totango[name](...given) }", [name, list(arguments)])


def events(sandbox: Sandbox, count: int) -> list[dict[str, Any]]:
    """So many events, once they have come."""
    found = wait_for(lambda: found if len(found := sandbox.events()) >= count else None)
    assert len(found) == count
    return found  # type: ignore[no-any-return]


def acts(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The events that say what somebody did."""
    return [each for each in sandbox.events() if each["activity"] not in (None, "__heartbeat")]


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
    events(sandbox, 4)  # the account's own and the product account's, also of the heartbeat at load
    page.click("text=Save")
    page.wait_for_url("**/save")
    found = wait_for(lambda: found if len(found := acts(sandbox)) == 2 else None)
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
        own = {**QUIET, "service_id": "SP-1234-01", "account": "acme-1", "user": "ada@dune.example", "module": "Shop"}
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
    page = load({**{name: value for name, value in case["options"].items() if name != "api_token"}, **QUIET})
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
    call(load({**json.loads(told), **QUIET}), "track", "Open")
    found = sorted((sent(each) for each in events(sandbox, 2)), key=len)
    expected = sorted(([list(pair) for pair in pairs] for pairs in transport.sent), key=len)
    assert [sorted(pairs) for pairs in found] == [sorted(pairs) for pairs in expected]
    client.close()


# What it does of its own


def test_names_and_attributes_ride_along_on_every_call(load: Callable[..., Page], sandbox: Sandbox) -> None:
    page = load(
        {**WHO, **QUIET, "account": {"id": "A", "name": "Acme", "Plan": "Gold"}, "user": {"id": "u", "role": "x"}}
    )
    call(page, "track", "One")
    call(page, "heartbeat")
    for event in events(sandbox, 2):
        assert event["params"][-4:-1] == [["sdr_odn", "Acme"], ["sdr_o.Plan", "Gold"], ["sdr_u.role", "x"]]


def test_it_beats_once_a_minute_while_the_page_is_seen(load: Callable[..., Page], sandbox: Sandbox, page: Page) -> None:
    page.clock.install()
    load(WHO)
    page.evaluate("Object.defineProperty(document, 'visibilityState', {get: () => window.seen || 'visible'})")
    assert events(sandbox, 1)[0]["activity"] == "__heartbeat"  # at load
    page.clock.run_for(59_000)
    call(page, "track", "After 59 seconds")
    assert events(sandbox, 2)[1]["activity"] == "After 59 seconds"
    page.clock.run_for(1_000)
    assert events(sandbox, 3)[2]["params"][2:5] == [["sdr_u", "u"], ["sdr_a", "__heartbeat"], ["sdr_m", "M"]]
    page.evaluate("window.seen = 'hidden'")
    page.clock.run_for(600_000)
    call(page, "track", "Hidden")
    assert events(sandbox, 4)[3]["activity"] == "Hidden"
    page.evaluate("window.seen = 'visible'")
    page.clock.run_for(60_000)
    assert events(sandbox, 5)[4]["activity"] == "__heartbeat"


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"heartbeat_timeout_sec": 20}, 7),
        ({"heartbeat_timeout_sec": "30"}, 5),
        ({"heartbeat_timeout_sec": 10**9}, 1),
        ({"heartbeat_timeout_sec": -1}, 3),
        ({"heartbeat_timeout_sec": "soon"}, 3),
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
    assert {each["activity"] for each in events(sandbox, 2)} == {"__heartbeat", "Login"}
    (event,) = acts(sandbox)
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
        "Since: new Date(0)}, user: 'u', disable_heartbeat: true}",
        then="totango.track('Login')",
    )
    (event,) = events(sandbox, 1)
    assert ["sdr_o.Since", "1970-01-01T00:00:00.000Z"] in event["params"]
    problems = {problem["field"] for problem in event["problems"]}
    assert problems == {"account", "account.Seats", "account.Owner", "module"}


# Early, late, and by another name


def early_page(sandbox: Sandbox, options: str, early: str, version: str) -> str:
    """A page with the documented loader, and calls that are made before the script has come."""
    loader = LOADER.replace("COLLECTOR", f"{sandbox.url}collector.js{version}")
    return (
        '<!doctype html><title>.</title><link rel="icon" href="data:,">'
        f"<script>window.totango_options = {options};{loader}{early}</script>"
    )


@pytest.mark.parametrize("version", ["", "?v=2"], ids=["now", "version 2"])
def test_the_documented_loader_early_calls_go_another_name_and_clear(
    version: str, sandbox: Sandbox, page: Page
) -> None:
    options = (
        "{service_id: 'SP-1234-01', tracker_name: 'meter', module: 'Home', region: 'eu1', order_limit: 'none', "
        "account: {id: 'A', name: 'Acme', Plan: 'Gold'}, user: {id: 'ann@x.com', name: 'Ann'}}"
    )
    early = "var early = [meter.track('Early'), meter.track('Also early', 'App'), meter.go()];"
    shown = early_page(sandbox, options, early, version)
    with serving(lambda: shown) as address:
        page.goto(address)
        assert page.evaluate("early") == [-1, -1, -1]
        wait_for(lambda: len(acts(sandbox)) == 2)
        assert page.evaluate("[typeof window.totango, totango_tmp_stack.length]") == ["undefined", 0]
        page.evaluate("window.first = (given) => Array.isArray(given) ? given[0] : given")
        assert page.evaluate("first(meter.track('Later')).src").startswith(f"{sandbox.url}pixel.gif/?sdr_s=SP-1234-01&")
        wait_for(lambda: len(acts(sandbox)) == 3)
        assert page.evaluate("meter.go({user: {id: 'bob@x.com'}, account: {id: 'B'}, module: 'Shop'})") == 1
        page.evaluate("meter.track('As Bob')")
        wait_for(lambda: len(acts(sandbox)) == 4)
        page.evaluate("meter.setAccountAttributes({id: 'B', Plan: 'Pro'})")
        wait_for(lambda: len(sandbox.events()) == 7)
        page.evaluate("meter.clear()")
        page.evaluate("meter.track('Nobody?')")
        page.evaluate("meter.track('End', 'App', 'C', 'cy@x.com')")
        wait_for(lambda: any(each["activity"] == "End" for each in sandbox.events()))

    acme = [["sdr_odn", "Acme"], ["sdr_o.Plan", "Gold"], ["sdr_u.name", "Ann"]]
    ann = [["sdr_s", "SP-1234-01"], ["sdr_o", "A"], ["sdr_u", "ann@x.com"]]
    bob = [["sdr_s", "SP-1234-01"], ["sdr_o", "B"], ["sdr_u", "bob@x.com"]]
    is_2 = bool(version)
    expected = [
        [*ann, ["sdr_a", "__heartbeat"], ["sdr_m", "Home"], *acme],
        [*ann, ["sdr_a", "Early"], ["sdr_m", "Home"], *acme],
        [*ann, ["sdr_a", "Also early"], ["sdr_m", "App"], *acme],
        [*ann, ["sdr_a", "Later"], ["sdr_m", "Home"], *acme],
        [*bob, ["sdr_a", "__heartbeat"], ["sdr_m", "Shop"]],
        [*bob, ["sdr_a", "As Bob"], ["sdr_m", "Shop"]],
        # Version 2 names the user and the module beside attributes too.
        [*(bob if is_2 else bob[:2]), *([["sdr_m", "Shop"]] if is_2 else []), ["sdr_o.Plan", "Pro"]],
        # What the page has told version 2 holds until the page is left: clear() is for what it keeps.
        *([[*bob, ["sdr_a", "Nobody?"], ["sdr_m", "Shop"]]] if is_2 else []),
        [["sdr_s", "SP-1234-01"], ["sdr_o", "C"], ["sdr_u", "cy@x.com"], ["sdr_a", "End"], ["sdr_m", "App"]],
    ]
    wait_for(lambda: len(sandbox.events()) == len(expected))
    found = [sent(each) for each in sandbox.events()]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("version", ["", "?v=2"], ids=["now", "version 2"])
def test_the_snippet_fits_the_documented_loader(version: str, sandbox: Sandbox, page: Page) -> None:
    account = Account("A", name="Acme", parent="P", attributes={"Plan": "</script>", "o": "x"})
    with Totango("SP-1234-01", account=account, user=User("u", contact=True), module="M", spool="memory") as client:
        told = client.snippet()
    loader = LOADER.replace("COLLECTOR", f"{sandbox.url}collector.js{version}")
    shown = f'<!doctype html><title>.</title><link rel="icon" href="data:,">{told}<script>{loader}</script>'
    with serving(lambda: shown) as address:
        page.goto(address)
        (beat,) = events(sandbox, 1)
    assert sorted(sent(beat)[1:]) == sorted([
        ["sdr_o", "A"], ["sdr_u", "u"], ["sdr_a", "__heartbeat"], ["sdr_m", "M"], ["sdr_odn", "Acme"],
        ["sdr_o.parent_id", "P"], ["sdr_o.Plan", "</script>"], ["sdr_o.o", "x"], ["sdr_u.Contact", "yes"],
    ])  # fmt: skip


def test_version_2_knows_no_product_and_what_go_lacks_stays(sandbox: Sandbox, page: Page) -> None:
    options = json.dumps({**WHO, **QUIET, "product": {"id": "P", "module": "Ed"}, "module": "M"})
    shown = early_page(sandbox, options, "totango.track('Early', undefined, {id: 'A', parent: 'Q'}, 'v')", "?v=2")
    with serving(lambda: shown) as address:
        page.goto(address)
        wait_for(lambda: acts(sandbox))
        page.evaluate("totango.go({module: 'N'})")
        page.evaluate("totango.go({module: 'N', disable_heartbeat: true})")
        page.evaluate("totango.track('Late', null, null, null, {id: 'P'})")
        wait_for(lambda: len(acts(sandbox)) == 2)
    early, late = acts(sandbox)
    # Its attribute `parent` is one as any other.
    assert sent(early)[1:] == [
        ["sdr_o", "A"], ["sdr_u", "v"], ["sdr_a", "Early"], ["sdr_m", "M"], ["sdr_o.parent", "Q"]
    ]  # fmt: skip
    assert sent(late)[1:] == [["sdr_o", "A"], ["sdr_u", "u"], ["sdr_a", "Late"], ["sdr_m", "N"]]
    assert {each["account"] for each in sandbox.events()} == {"A"}


def test_version_2_remembers_who_identify_named_on_the_next_page_until_clear(sandbox: Sandbox, page: Page) -> None:
    options = {"service_id": "SP-1234-01", **QUIET}
    shown = html(sandbox, options, "").replace("collector.js", "collector.js?v=2")
    with serving(lambda: shown) as address:
        page.goto(address)
        assert page.evaluate("totango.setAccountAttributes({Plan: 'Gold'})") is None  # of whom? kept until then
        assert page.evaluate("[totango.track('Nobody', 'M'), totango.identify('A', 'u')]") == [None, None]
        page.goto(address)
        page.evaluate("totango.track('Second page', 'M')")
        wait_for(lambda: len(sandbox.events()) == 1)
        page.evaluate("totango.clear()")
        page.goto(address)
        assert page.evaluate("totango.track('Third page', 'M')") is None
        assert page.evaluate("document.cookie") == ""
    (event,) = events(sandbox, 1)
    assert sent(event)[1:] == [
        ["sdr_o", "A"], ["sdr_u", "u"], ["sdr_a", "Second page"], ["sdr_m", "M"], ["sdr_o.Plan", "Gold"]
    ]  # fmt: skip


def test_version_2_beats_only_while_the_page_is_used(sandbox: Sandbox, page: Page) -> None:
    page.clock.install()
    shown = html(sandbox, {**WHO, "heartbeat_timeout_sec": 50}, "").replace("collector.js", "collector.js?v=2")
    with serving(lambda: shown) as address:
        page.goto(address)
        page.clock.run_for(50_000)
        events(sandbox, 2)
        page.clock.run_for(600_000)  # nobody is there
        events(sandbox, 2)
        page.evaluate("window.dispatchEvent(new Event('keyup'))")
        events(sandbox, 3)


@pytest.mark.parametrize("version", ["", "?v=2"], ids=["now", "version 2"])
def test_each_call_returns_what_the_real_one_returns(version: str, sandbox: Sandbox, page: Page) -> None:
    shown = html(sandbox, {**WHO, **QUIET}, "").replace("collector.js", f"collector.js{version}")
    image = "(given) => given === null ? null : (Array.isArray(given) ? given[0] : given).nodeName"
    with serving(lambda: shown) as address:
        page.goto(address)
        page.evaluate(f"window.kind = {image}")
        assert page.evaluate("Array.isArray(totango.track('x'))") is (version == "")
        assert (
            page.evaluate("[totango.track('x'), totango.setUserAttributes({}, {role: 'y'})].map(kind)") == ["IMG"] * 2
        )
        assert page.evaluate("totango.go({service_id: 'SP-1234-01', disable_heartbeat: true})") == 1
        page.evaluate("window.totango_options = {service_id: 'SP-1234-01', disable_heartbeat: true}")
        assert page.evaluate("[totango.go(), totango.track('x', 'M')]") == [-2, None]
        names = ["clear", "go", "heartbeat", "identify", "setAccountAttributes", "setUserAttributes", "track"]
        assert page.evaluate("Object.keys(totango).sort()") == names


def test_a_parents_own_name_and_attributes_go_on_its_own_request(load: Callable[..., Page], sandbox: Sandbox) -> None:
    above = {"id": "P", "name": "Holding", "Region": "EU"}
    page = load({**WHO, **QUIET, "account": {"id": "A", "parent": above}})
    call(page, "track", "x")
    own, of_child = sorted((sent(each)[1:] for each in events(sandbox, 2)), key=len)
    assert own == [["sdr_o", "P"], ["sdr_odn", "Holding"], ["sdr_o.Region", "EU"]]
    assert of_child == [["sdr_o", "A"], ["sdr_u", "u"], ["sdr_a", "x"], ["sdr_m", "M"], ["sdr_o.parent_id", "P"]]


@pytest.mark.parametrize(("version", "name"), [("", "first"), ("?v=2", "second")], ids=["now", "version 2"])
def test_of_two_names_for_one_thing_one_counts(version: str, name: str, sandbox: Sandbox, page: Page) -> None:
    account = {
        "id": "A-first",
        "o": "A-second",
        "name": "N-first",
        "odn": "N-second",
        "fid": "F-first",
        "ofid": "F-second",
    }
    user = {"id": "u-first", "u": "u-second"}
    options = {**WHO, **QUIET, "account": account, "user": user}
    shown = html(sandbox, options, "totango.track('x')").replace("collector.js", f"collector.js{version}")
    with serving(lambda: shown) as address:
        page.goto(address)
        (event,) = events(sandbox, 1)
    assert sent(event)[1:] == [
        ["sdr_o", f"A-{name}"], ["sdr_ofid", f"F-{name}"], ["sdr_u", f"u-{name}"], ["sdr_a", "x"], ["sdr_m", "M"],
        ["sdr_odn", f"N-{name}"],
    ]  # fmt: skip


def test_without_an_id_a_mapping_means_the_one_in_force(load: Callable[..., Page], sandbox: Sandbox) -> None:
    page = load({**WHO, **QUIET})
    call(page, "setAccountAttributes", {"Plan": "Gold"})
    call(page, "setUserAttributes", None, {"role": "x"})
    call(page, "track", "Login", "", {"Seats": 5}, "")
    found = sorted((sent(each)[1:] for each in events(sandbox, 3)), key=len)
    assert found == [
        [["sdr_o", "A"], ["sdr_o.Plan", "Gold"]],
        [["sdr_o", "A"], ["sdr_u", "u"], ["sdr_u.role", "x"]],
        [["sdr_o", "A"], ["sdr_u", "u"], ["sdr_a", "Login"], ["sdr_m", "M"], ["sdr_o.Seats", "5"]],
    ]


@pytest.mark.parametrize("options", [None, "null", "'text'", "{}", "{account: 'A', user: 'u'}", "[]"])
def test_without_options_nothing_is_sent_and_the_page_works(
    options: str | None, load: Callable[..., Page], sandbox: Sandbox
) -> None:
    page = load(options and options.replace("user: 'u'}", "user: 'u', disable_heartbeat: true}"))
    for name in ("track", "identify", "setAccountAttributes", "setUserAttributes", "heartbeat", "go", "clear"):
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

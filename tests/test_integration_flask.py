"""Flask: whose a request is, what it tracks, and what wrong settings say."""

from __future__ import annotations

import concurrent.futures
import http.client
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import flask
import flask_site
import pytest
from chaos.servers import free_port, program, wait_until_open
from servers import PATIENCE, Collector, python_path, wait_for

from totango_sdk import Identity, OptionsError, Totango
from totango_sdk.integrations.flask import TotangoFlask
from totango_sdk.testing import RecordingTransport
from totango_sdk.testing.plugin import totango_events

__all__ = ["totango_events"]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HERE = os.path.dirname(__file__)


@pytest.fixture
def transport() -> RecordingTransport:
    return RecordingTransport()


@pytest.fixture
def totango(transport: RecordingTransport) -> Iterator[TotangoFlask]:
    client = Totango("SP-1-1", module="M", spool="memory", transport=transport)
    yield TotangoFlask(client=client)
    client.close()


def site(totango: TotangoFlask, view: Callable[[], Any], **rule: Any) -> Any:
    app = flask.Flask("site")
    app.add_url_rule("/", view_func=view, **rule)
    totango.init_app(app)
    return app.test_client()


def sent(totango: TotangoFlask, transport: RecordingTransport) -> list[dict[str, str]]:
    assert totango.client.flush(PATIENCE)
    return [dict(pairs) for pairs in transport.sent]


def who(request: flask.Request) -> Identity | None:
    account = request.args.get("account")
    return Identity(account=account, user="U") if account else None


def test_one_line_is_all_that_a_view_needs(totango: TotangoFlask, transport: RecordingTransport) -> None:
    totango.identity(who)

    def view() -> str:
        totango.track("Shared")
        return "ok"

    browser = site(totango, view)
    assert browser.get("/?account=A").text == "ok"
    (event,) = sent(totango, transport)
    assert (event["sdr_o"], event["sdr_u"], event["sdr_a"], event["sdr_m"]) == ("A", "U", "Shared", "M")


def test_a_page_that_tracks_nothing_never_asks(totango: TotangoFlask) -> None:
    asked: list[flask.Request] = []
    totango.identity(asked.append)
    assert site(totango, lambda: "ok").get("/").status_code == 200
    assert asked == []


def test_nobody_and_a_failure_change_no_response(totango: TotangoFlask, transport: RecordingTransport) -> None:
    def broken(request: flask.Request) -> Any:
        if "fail" in request.args:
            raise RuntimeError("no session")

    totango.identity(broken)
    browser = site(totango, lambda: str(totango.track("x")))
    for _ in range(1000):
        assert browser.get("/").text == "None"
    assert browser.get("/?fail=1").status_code == 200
    assert sent(totango, transport) == []
    assert (totango.stats().dropped, totango.stats().dead) == (1000, 1)


def test_what_is_wrong_raises_in_development_only() -> None:
    with Totango("SP-1-1", module="M", spool="memory", strict=True, transport=RecordingTransport()) as client:
        totango = TotangoFlask(client=client, identity=lambda request: 42)
        browser = site(totango, lambda: str(totango.track("x")))
        browser.application.testing = True
        with pytest.raises(Exception, match="returned 42"):
            browser.get("/")


@pytest.mark.parametrize(
    ("status", "method", "told"),
    [(200, "GET", 1), (302, "GET", 1), (404, "GET", 0), (500, "GET", 0), (200, "HEAD", 0), (200, "OPTIONS", 0)],
)
def test_a_tracked_view_counts_when_it_succeeds(
    totango: TotangoFlask, transport: RecordingTransport, status: int, method: str, told: int
) -> None:
    totango.identity(who)

    @totango.tracked("Done")
    def view() -> flask.Response:
        return flask.Response("", status)

    browser = site(totango, view, methods=["GET", "OPTIONS"], provide_automatic_options=False)
    assert browser.open("/?account=A", method=method).status_code == status
    assert len(sent(totango, transport)) == told


def test_without_an_identity_function_the_status_counts_all_the_same(transport: RecordingTransport) -> None:
    with Totango("SP-1-1", account="A", user="U", module="M", spool="memory", transport=transport) as client:
        totango = TotangoFlask(client=client)
        browser = site(totango, totango.tracked("Done")(lambda: flask.Response("", int(flask.request.args["status"]))))
        for status in (200, 404):
            browser.get(f"/?status={status}")
        assert [event["sdr_o"] for event in sent(totango, transport)] == ["A"]


def test_a_login_view_tracks_as_the_user_who_has_just_signed_in(
    totango: TotangoFlask, transport: RecordingTransport
) -> None:
    totango.identity(lambda request: flask.g.get("who"))

    def view() -> str:
        assert totango.track("before") is None
        flask.g.who = Identity(account="A", user="U")
        assert totango.track("after")
        totango.identify(account="B")
        totango.track("later")
        return "ok"

    site(totango, view).get("/")
    assert [(event["sdr_o"], event.get("sdr_a")) for event in sent(totango, transport)] == [
        ("A", "after"),
        ("B", None),
        ("B", "later"),
    ]


def test_async_views_have_the_identity(totango: TotangoFlask, transport: RecordingTransport) -> None:
    totango.identity(who)

    @totango.tracked("Done")
    async def view() -> str:
        totango.track("x")
        return "ok"

    assert site(totango, view).get("/?account=A").text == "ok"
    assert [event["sdr_a"] for event in sent(totango, transport)] == ["x", "Done"]


def test_a_stream_has_the_identity_only_with_its_context(totango: TotangoFlask, transport: RecordingTransport) -> None:
    totango.identity(who)

    def view() -> flask.Response:
        def lines() -> Iterator[str]:
            totango.client.track("streamed")
            yield "x"

        kept = flask.request.args["kept"] == "1"
        return flask.Response(flask.stream_with_context(lines()) if kept else lines())

    browser = site(totango, view)
    assert browser.get("/?account=A&kept=1").text == "x"
    assert browser.get("/?account=A&kept=0").text == "x"
    assert [event["sdr_o"] for event in sent(totango, transport)] == ["A"]
    assert len(totango.client.dead_letters()) == 1


def test_two_apps_have_each_their_own_client(totango: TotangoFlask) -> None:
    apps = []
    ext = TotangoFlask()
    for number in (1, 2):
        app = flask.Flask(f"app{number}")
        app.config.update(TOTANGO_SERVICE_ID=f"SP-{number}-1", TOTANGO_SPOOL="memory")
        ext.init_app(app)
        apps.append(app)
    for number, app in enumerate(apps, 1):
        with app.app_context():
            assert ext.client._core.options.service_id == f"SP-{number}-1"
    with pytest.raises(RuntimeError, match="outside of application context"):
        _ = ext.client
    with pytest.raises(RuntimeError, match="already"):
        ext.init_app(apps[0])


def test_two_factories_apps_send_each_its_own_events() -> None:
    def make(service_id: str, transport: RecordingTransport) -> tuple[flask.Flask, TotangoFlask]:
        totango = TotangoFlask(identity=lambda request: Identity(account=service_id, user="U"))
        app = flask.Flask("site")
        app.config.update(
            TOTANGO_SERVICE_ID=service_id, TOTANGO_SPOOL="memory", TOTANGO_MODULE="M", TOTANGO_TRANSPORT=transport
        )
        app.add_url_rule("/", view_func=totango.tracked("Done")(lambda: "ok"))
        totango.init_app(app)
        return app, totango

    transports = RecordingTransport(), RecordingTransport()
    made = [make(service_id, transport) for service_id, transport in zip(("SP-1-1", "SP-2-1"), transports, strict=True)]
    for app, totango in made * 3:
        app.test_client().get("/")
        with app.app_context():  # outside of requests, and in a thread, the extension of one app is that app's
            assert totango.track("own", account="X", user="U")
        thread = threading.Thread(target=totango.track, args=("thread",))
        thread.start()
        thread.join()
        assert totango.flush(PATIENCE)
    for (_, totango), transport, service_id in zip(made, transports, ("SP-1-1", "SP-2-1"), strict=True):
        events = [dict(pairs) for pairs in transport.sent]
        assert {event["sdr_s"] for event in events} == {service_id}
        assert [event["sdr_o"] for event in events] == [service_id, "X"] * 3
        assert len(totango.dead_letters()) == 3  # the thread's have no account
        totango.close()


def test_the_page_gets_the_browsers_options(totango: TotangoFlask) -> None:
    totango.identity(who)
    app = flask.Flask("site")
    app.config["TOTANGO_NONCE"] = lambda request: "bm9uY2U="
    app.add_url_rule("/", view_func=lambda: flask.render_template_string("{{ totango_snippet() }}"))
    app.add_url_rule(
        "/own", "own", view_func=lambda: flask.render_template_string("{{ totango_snippet(nonce='YQ==') }}")
    )
    totango.init_app(app)
    browser = app.test_client()
    assert '<script nonce="bm9uY2U=">' in browser.get("/?account=A").text
    assert '<script nonce="YQ==">' in browser.get("/own?account=A").text
    assert browser.get("/").text == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"TOTANGO_SERVICE_ID": "SP-1-1", "TOTANGO_REGION": "mars"},
            "app.config[\"TOTANGO_REGION\"]: region='mars' is wrong: it is one of us, eu1, eu, test, such as region='us'",
        ),
        (
            {"TOTANGO_SERVICE_ID": "SP-1-1", "TOTANGO_REGIONS": "us"},
            "app.config[\"TOTANGO_REGIONS\"]: there is no option 'regions': did you mean 'region'?",
        ),
        ({}, 'app.config["TOTANGO_SERVICE_ID"]: service_id: is missing'),
        ({"TOTANGO_SERVICE_ID": "SP-1-1", "TOTANGO_NONCE": 5}, 'app.config["TOTANGO_NONCE"]=5 is wrong'),
    ],
)
def test_a_wrong_setting_is_told_at_the_start(settings: dict[str, Any], message: str) -> None:
    app = flask.Flask("site")
    app.config.update(settings)
    with pytest.raises(OptionsError) as raised:
        TotangoFlask(app)
    assert str(raised.value).startswith(message)


def test_what_is_no_identity_function_is_told_at_the_start() -> None:
    async def later(request: flask.Request) -> None:
        """Too late."""

    with pytest.raises(OptionsError) as raised:
        TotangoFlask(identity=42)  # type: ignore[arg-type]
    assert str(raised.value) == "identity=42 is wrong: it is a function of the request that returns an Identity or None"
    with pytest.raises(OptionsError, match="it is a plain function"):
        TotangoFlask().identity(later)


def test_where_it_is_disabled_no_service_id_is_needed() -> None:
    app = flask.Flask("site")
    app.config["TOTANGO_DISABLED"] = True
    TotangoFlask(app).client.close()


def test_the_environment_serves_where_the_settings_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTANGO_SERVICE_ID", "SP-7-1")
    monkeypatch.setenv("TOTANGO_REGION", "eu1")
    app = flask.Flask("site")
    app.config["TOTANGO_REGION"] = "test"
    options = TotangoFlask(app).client._core.options
    assert (options.service_id, options.region) == ("SP-7-1", "test")


@pytest.fixture(params=["sync", "gthread", "gthread-preload", "gevent", "gevent-preload"])
def served(request: pytest.FixtureRequest, tmp_path: Path, collector: Collector) -> Iterator[int]:
    kind, _, preload = request.param.partition("-")
    port, log = free_port(), tmp_path / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", "-k", kind, "-w", "2", "-b", f"127.0.0.1:{port}"]
    command += ["-c", os.path.join(HERE, "flask_hooks.py")]
    command += ["--threads", "8"] if kind == "gthread" else []
    command += ["--preload"] if preload else []
    env = {
        "TOTANGO_ENDPOINT": collector.endpoint,
        "TOTANGO_SPOOL": str(tmp_path / "spool"),
        "PYTHONPATH": python_path(),
    }
    with program(log, *command, "flask_site:app", env=env) as process:
        wait_until_open(port, process, log)
        yield port
    assert "different Context" not in log.read_text()


def get(port: int, path: str, account: str | None = None, method: str = "GET") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request(method, path, headers={} if account is None else {"X-Account": account})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def test_500_requests_at_once_each_have_their_own_account(served: int, collector: Collector) -> None:
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda at: get(served, f"/track/e{at}", f"A{at % 20}"), range(500)))
    assert get(served, "/outside/x", "A1") == 200
    wait_for(lambda: len(collector.activities) >= 500)
    found = {request.names["sdr_a"]: request.names["sdr_o"] for request in collector.requests}
    assert found == {f"e{at}": f"A{at % 20}" for at in range(500)}


def test_views_that_are_tracked_stream_and_sign_in_by_a_real_server(served: int, collector: Collector) -> None:
    for status in (200, 302, 404, 500):
        assert get(served, f"/done/{status}", "A") == status
    get(served, "/done/200", "A", method="HEAD")
    get(served, "/stream/1", "A")
    get(served, "/stream/0", "A")
    get(served, "/login", method="POST")
    wait_for(lambda: len(collector.activities) >= 4)
    told = sorted((request.names["sdr_o"], request.names["sdr_a"]) for request in collector.requests)
    assert told == [("A", "Done"), ("A", "Done"), ("A", "streamed 1"), ("signedin", "after")]


def test_the_plugins_fixture_stands_in_for_the_apps_client(totango_events: Any) -> None:
    with flask_site.app.test_client() as browser:
        browser.get("/track/Tested", headers={"X-Account": "A"})
        browser.get("/done/200", headers={"X-Account": "B"})
    totango_events.assert_tracked("Tested", account="A", user="A@x.com")
    totango_events.assert_tracked("Done", account="B", module="Decorated")


def known(_: flask.Request) -> Identity:
    return Identity(account="A", user="U")


def test_what_a_stream_does_is_tracked_once_the_view_has_succeeded(
    totango: TotangoFlask, transport: RecordingTransport
) -> None:
    totango.identity(known)
    row = totango.tracked("Row written")(lambda: "row")
    browser = site(totango, lambda: flask.Response(flask.stream_with_context(row() for _ in range(2))))
    assert browser.get("/").data == b"rowrow"
    assert [names["sdr_a"] for names in sent(totango, transport)] == ["Row written"] * 2


def test_what_a_thread_with_the_requests_context_does_is_tracked_with_the_view(
    totango: TotangoFlask, transport: RecordingTransport
) -> None:
    totango.identity(known)
    part = totango.tracked("Part")(lambda: None)

    @totango.tracked("Whole")
    def view() -> str:
        thread = threading.Thread(target=flask.copy_current_request_context(part))
        thread.start()
        thread.join()
        return "ok"

    site(totango, view).get("/")
    assert [names["sdr_a"] for names in sent(totango, transport)] == ["Part", "Whole"]


@pytest.mark.parametrize("status", [200, 503])
def test_the_status_is_what_the_browser_gets(status: int, totango: TotangoFlask, transport: RecordingTransport) -> None:
    totango.identity(known)
    browser = site(totango, totango.tracked("Done")(lambda: "ok"))

    @browser.application.after_request
    def change(response: flask.Response) -> flask.Response:
        response.status_code = status
        return response

    assert browser.get("/").status_code == status
    assert len(sent(totango, transport)) == (status == 200)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TOTANGO_REGION", "mars", "TOTANGO_REGION: region='mars' is wrong"),
        ("TOTANGO_ENDPOINT", "http://collector.example", "TOTANGO_ENDPOINT: endpoint='http://collector.example"),
        ("TOTANGO_SERVICE_ID", "SP-XXXX-XX", "TOTANGO_SERVICE_ID: service_id: 'SP-XXXX-XX' is the placeholder"),
        ("TOTANGO_STRICT", "maybe", "TOTANGO_STRICT='maybe' is wrong: it is true or false"),
    ],
)
def test_what_is_wrong_in_the_environment_is_told_by_its_variable(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTANGO_SERVICE_ID", "SP-1-1")
    monkeypatch.setenv(variable, value)
    with pytest.raises(OptionsError) as raised:
        TotangoFlask(flask.Flask("site"))
    assert str(raised.value).startswith(message)

"""Starlette and FastAPI: whose a request is, what it tracks, and how an app starts and ends."""

from __future__ import annotations

import asyncio
import concurrent.futures
import http.client
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
import starlette_site
from chaos.servers import free_port, program, wait_until_open
from servers import PATIENCE, Collector, python_path, wait_for
from starlette.applications import Starlette
from starlette.background import BackgroundTask, BackgroundTasks
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from totango_sdk import AsyncTotango, Identity, OptionsError, Totango
from totango_sdk.integrations.starlette import TotangoMiddleware, get_totango
from totango_sdk.testing import RecordingTransport
from totango_sdk.testing.plugin import totango_events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["totango_events"]
HERE = os.path.dirname(__file__)


def run_uvicorn(tmp_path: Path, collector: Collector, app: str = "app", workers: int = 1) -> Any:
    port, log = free_port(), tmp_path / "uvicorn.log"
    command = [sys.executable, "-m", "uvicorn", f"starlette_site:{app}", "--port", str(port), "--workers", str(workers)]
    env = {
        "TOTANGO_ENDPOINT": collector.endpoint,
        "TOTANGO_SPOOL": str(tmp_path / "spool"),
        "PYTHONPATH": python_path(),
    }
    return port, log, program(log, *command, env=env)


@pytest.fixture(params=[1, 2])
def served(request: pytest.FixtureRequest, tmp_path: Path, collector: Collector) -> Iterator[int]:
    port, log, running = run_uvicorn(tmp_path, collector, workers=request.param)
    with running as process:
        wait_until_open(port, process, log)
        yield port


def get(port: int, path: str, account: str | None = None, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=given | ({} if account is None else {"X-Account": account}))
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def told(collector: Collector) -> list[tuple[str, str]]:
    events = [request.names for request in collector.requests]
    return sorted((names["sdr_o"], names.get("sdr_a", "")) for names in events)


def test_500_requests_at_once_each_have_their_own_account(served: int, collector: Collector) -> None:
    paths = ("track", "plain")
    with concurrent.futures.ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda at: get(served, f"/{paths[at % 2]}/e{at}", f"A{at % 20}"), range(500)))
    assert get(served, "/track/nobody") == (200, '"nobody"')
    wait_for(lambda: len(collector.activities) >= 500)
    assert told(collector) == sorted((f"A{at % 20}", f"e{at}") for at in range(500))


def test_every_way_of_a_request_has_its_identity(served: int, collector: Collector) -> None:
    assert get(served, "/switched", "A", X_Switch="B")[0] == 200
    for status in (200, 302, 404, 500):
        assert get(served, f"/done/{status}", "C")[0] == status
    get(served, "/done/200", "C", method="HEAD")
    get(served, "/done-plain", "C")
    get(served, "/background", "D")
    wait_for(lambda: len(collector.requests) >= 7)
    done = [("C", "Done"), ("C", "Done"), ("C", "Done plainly")]
    assert told(collector) == [("B", ""), ("B", "switched"), *done, ("D", "from a task"), ("D", "in the background")]


def test_a_client_that_goes_half_way_ends_a_stream_quietly(tmp_path: Path, collector: Collector) -> None:
    port, log, running = run_uvicorn(tmp_path, collector)
    with running as process:
        wait_until_open(port, process, log)
        with socket.create_connection(("127.0.0.1", port)) as browser:
            browser.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\nX-Account: A\r\n\r\n")
            browser.recv(2000)
        get(port, "/track/after", "B")
        wait_for(lambda: "after" in collector.activities)
    assert {account for account, activity in told(collector) if activity.startswith("streamed")} == {"A"}
    assert "different Context" not in log.read_text()


def test_a_page_that_tracks_nothing_never_asks(served: int) -> None:
    assert get(served, "/quiet", "A") == (200, '"0"')


def test_one_sender_runs_in_each_process_that_tracks(served: int, collector: Collector) -> None:
    def senders() -> dict[str, str]:
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            return dict(threads.map(lambda _: get(served, "/senders")[1].strip('"').split(), range(40)))  # type: ignore[arg-type]

    assert set(senders().values()) == {"0"}
    get(served, "/track/x", "A")
    wait_for(lambda: collector.activities)
    after = senders()
    assert max(after.values()) == "1"
    for _ in range(40):
        get(served, "/track/x", "A")
    assert set(senders().values()) <= {"0", "1"}


def test_a_mounted_app_without_lifespan_opens_with_its_first_event(tmp_path: Path, collector: Collector) -> None:
    port, log, running = run_uvicorn(tmp_path, collector, "outer", workers=2)
    with running as process:
        wait_until_open(port, process, log)
        pids = {get(port, "/inner/track", "A")[1] for _ in range(20)}
        wait_for(lambda: len(collector.activities) >= 20)
    assert told(collector) == [("A", "mounted")] * 20
    stems = {path.stem for path in (tmp_path / "spool").rglob("*.lock")}
    assert len(stems) <= len(pids)


def test_a_websocket_is_one_request(totango_events: Any) -> None:
    async def talk(websocket: Any) -> None:
        await websocket.accept()
        for number in range(2):
            await websocket.receive_text()
            await get_totango(websocket).track(f"message {number}", "Chat")
        await websocket.close()

    from starlette.routing import WebSocketRoute

    app = Starlette(routes=[WebSocketRoute("/", talk)])
    client = AsyncTotango("SP-1-1", spool="memory")
    app.add_middleware(TotangoMiddleware, client=client, identity=lambda connection: Identity(account="A", user="U"))
    with TestClient(app) as browser, browser.websocket_connect("/") as opened:
        opened.send_text("a")
        opened.send_text("b")
        with pytest.raises(Exception, match=r"1000|"):
            opened.receive_text()
    totango_events.assert_tracked("message 0", account="A")
    totango_events.assert_tracked("message 1", account="A")


def site(identity: Any, view: Any, **options: Any) -> tuple[TestClient, AsyncTotango]:
    client = AsyncTotango("SP-1-1", module="M", spool="memory", transport=RecordingTransport(), **options)
    app = Starlette(routes=[Route("/", view)])
    app.add_middleware(TotangoMiddleware, client=client, identity=identity)
    return TestClient(app), client


def test_nobody_and_a_failure_change_no_response() -> None:
    async def view(request: Any) -> PlainTextResponse:
        return PlainTextResponse(str(await get_totango(request).track("x")))

    def who(connection: HTTPConnection) -> None:
        if connection.query_params.get("fail"):
            raise RuntimeError("no session")

    browser, client = site(who, view)
    with browser:
        for _ in range(1000):
            assert browser.get("/").text == "None"
        assert browser.get("/?fail=1").text == "None"
    assert (client.stats().dropped, client.stats().dead) == (1000, 1)


def test_an_async_function_that_is_not_awaited_is_a_dead_letter_that_says_so() -> None:
    async def who(connection: HTTPConnection) -> Identity:
        return Identity(account="A", user="U")

    async def view(request: Any) -> PlainTextResponse:
        return PlainTextResponse(str(get_totango(request).sync.track("x")))

    browser, client = site(who, view)
    with browser:
        assert browser.get("/").text == "None"
    (letter,) = asyncio.run(client.dead_letters())
    assert "use await" in letter.reason


def test_what_a_page_and_a_job_need_can_be_awaited(caplog: pytest.LogCaptureFixture) -> None:
    async def who(connection: HTTPConnection) -> Identity | None:
        await asyncio.sleep(0)
        return Identity(account="A", user="U") if "in" in connection.query_params else None

    async def view(request: Any) -> PlainTextResponse:
        totango = get_totango(request)
        said = [totango.snippet(), totango.carry() or ""]
        said += [await totango.asnippet("bm9uY2U="), await totango.acarry() or ""]
        return PlainTextResponse("\n".join([*said, totango.snippet(), totango.carry() or ""]))

    browser, _ = site(who, view)
    with browser:
        unasked, uncarried, awaited, carried, known, known_text = browser.get("/?in=1").text.split("\n")
        assert browser.get("/").text == "\n" * 5
    assert unasked == uncarried == ""
    assert awaited.startswith('<script nonce="bm9uY2U=">window.totango_options') and '"account": {"id": "A"}' in awaited
    assert '"account": {"id": "A"}' in known
    assert carried == known_text == '{"v":1,"s":"SP-1-1","a":"A","u":"U","m":"M"}'
    told = [record.message for record in caplog.records]
    assert len([text for text in told if text.startswith("snippet() is empty") and "asnippet" in text]) == 1
    assert len([text for text in told if text.startswith("a job is carried nobody") and "acarry" in text]) == 1


def test_a_view_that_signs_in_can_track_right_after() -> None:
    async def who(connection: HTTPConnection) -> Identity | None:
        return connection.scope.get("signed in")

    async def view(request: Any) -> PlainTextResponse:
        totango = get_totango(request)
        said = [await totango.track("before")]
        request.scope["signed in"] = Identity(account="A", user="U")
        said.append(await totango.track("after"))
        request.scope["signed in"] = Identity(account="B", user="U")
        said.append(await totango.track("later"))  # asked once, since it gave an identity
        return PlainTextResponse(str([each is not None for each in said]))

    browser, client = site(who, view)
    with browser:
        assert browser.get("/").text == "[False, True, True]"
        assert client.sync.flush(PATIENCE)
    transport: Any = client._core.options.transport
    assert [(dict(pairs)["sdr_o"], dict(pairs)["sdr_a"]) for pairs in transport.sent] == [
        ("A", "after"),
        ("A", "later"),
    ]


def test_a_thread_of_ones_own_has_no_identity() -> None:
    def view(request: Any) -> PlainTextResponse:
        thread = threading.Thread(target=get_totango(request).sync.track, args=("x",))
        thread.start()
        thread.join()
        return PlainTextResponse("ok")

    browser, client = site(lambda _: Identity(account="A", user="U"), view)
    with browser:
        browser.get("/")
    (letter,) = asyncio.run(client.dead_letters())
    assert letter.reason.startswith("account")


def test_without_an_identity_function_the_status_counts_all_the_same() -> None:
    transport = RecordingTransport()
    client = AsyncTotango("SP-1-1", account="A", user="U", module="M", spool="memory", transport=transport)

    @client.tracked("Done")
    async def view(request: Any) -> PlainTextResponse:
        return PlainTextResponse("", int(request.query_params["status"]))

    app = Starlette(routes=[Route("/", view)])
    app.add_middleware(TotangoMiddleware, client=client)
    with TestClient(app) as browser:
        for status in (200, 404):
            browser.get(f"/?status={status}")
        assert client.sync.flush(PATIENCE)
    assert [dict(pairs)["sdr_o"] for pairs in transport.sent] == ["A"]


def test_a_plain_client_serves_as_well() -> None:
    async def view(request: Any) -> PlainTextResponse:
        return PlainTextResponse(str(await get_totango(request).track("x")))

    transport = RecordingTransport()
    client = Totango("SP-1-1", module="M", spool="memory", transport=transport)
    app = Starlette(routes=[Route("/", view)])
    app.add_middleware(TotangoMiddleware, client=client, identity=lambda _: Identity(account="A", user="U"))
    with TestClient(app) as browser:
        assert browser.get("/").text != "None"
        assert client.flush(PATIENCE)
    assert dict(transport.sent[0])["sdr_o"] == "A"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"identity": 42}, "identity=42 is wrong: it is a function of the request that returns an Identity or None"),
        ({"client": 42}, "client=42 is wrong: it is an AsyncTotango or a Totango"),
        ({}, "TOTANGO_SERVICE_ID: service_id: is missing"),
        ({"TOTANGO_SERVICE_ID": "SP-1-1", "TOTANGO_REGION": "mars"}, "TOTANGO_REGION: region='mars' is wrong"),
    ],
)
def test_a_wrong_setting_ends_the_start(given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in given if name.isupper()]:
        monkeypatch.setenv(name, given[name])
    given = {name: value for name, value in given.items() if not name.isupper()}
    app = Starlette()
    app.add_middleware(TotangoMiddleware, **given)
    with pytest.raises(OptionsError) as raised, TestClient(app):
        pass
    assert str(raised.value).startswith(message)


def test_without_the_middleware_the_dependency_says_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match="add_middleware"):
        get_totango(HTTPConnection({"type": "http"}))


def test_the_plugins_fixture_stands_in_for_the_apps_client(totango_events: Any) -> None:
    with TestClient(starlette_site.app) as browser:
        browser.get("/track/Tested", headers={"X-Account": "A"})
        browser.get("/done/200", headers={"X-Account": "B"})
    totango_events.assert_tracked("Tested", account="A", user="A@x.com")
    totango_events.assert_tracked("Done", account="B", module="Decorated")


def test_what_a_background_task_does_is_tracked_if_the_request_has_succeeded() -> None:
    transport = RecordingTransport()
    client = AsyncTotango("SP-1-1", module="M", spool="memory", transport=transport)
    plain = client.sync.tracked("plain task")(lambda: None)

    @client.tracked("task")
    async def task() -> None:
        await asyncio.sleep(0)

    async def view(request: Any) -> PlainTextResponse:
        tasks = BackgroundTasks([BackgroundTask(task), BackgroundTask(plain)])
        return PlainTextResponse("", int(request.path_params["status"]), background=tasks)

    app = Starlette(routes=[Route("/{status}", client.tracked("view")(view))])
    app.add_middleware(TotangoMiddleware, client=client, identity=lambda _: Identity(account="A", user="U"))
    with TestClient(app) as browser:
        browser.get("/200")
        browser.get("/500")
        assert client.sync.flush(PATIENCE)
    assert [dict(pairs)["sdr_a"] for pairs in transport.sent] == ["view", "task", "plain task"]


def test_a_file_that_the_server_sends_is_a_whole_answer() -> None:
    transport = RecordingTransport()
    client = AsyncTotango("SP-1-1", module="M", spool="memory", transport=transport)

    class WholeFile(Response):
        """As `FileResponse` does it since Starlette 0.41, where the server can."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.pathsend", "path": __file__})

    async def view(_: Any) -> Response:
        return WholeFile()

    app = Starlette(routes=[Route("/", client.tracked("Exported")(view))])
    app.add_middleware(TotangoMiddleware, client=client, identity=lambda _: Identity(account="A", user="U"))
    told: list[str] = []

    async def send(message: Any) -> None:
        told.append(message["type"])

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def main() -> None:
        extensions = {"http.response.pathsend": {}}
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
        await app({**scope, "extensions": extensions}, receive, send)
        assert await client.flush(PATIENCE)
        await client.close()

    asyncio.run(main())
    assert told == ["http.response.start", "http.response.pathsend"]
    assert [dict(pairs)["sdr_a"] for pairs in transport.sent] == ["Exported"]


def test_the_plugins_fixture_stands_in_for_clients_that_were_made_before_the_app(totango_events: Any) -> None:
    client = AsyncTotango("SP-1-1", module="M", spool="memory", transport=RecordingTransport())
    plain = client.sync
    billing = plain.bind(account="B", user="V", module="Billing")

    def view(_: Any) -> PlainTextResponse:
        plain.track("by the twin")
        billing.track("by one bound")
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", view)])
    app.add_middleware(TotangoMiddleware, client=client, identity=lambda _: Identity(account="A", user="U"))
    with TestClient(app) as browser:
        browser.get("/")
    totango_events.assert_tracked("by the twin", account="A", module="M")
    totango_events.assert_tracked("by one bound", account="B", module="Billing")

"""The sandbox for programs: filters, the live stream, faults on demand, bounds, a token, and its description."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from servers import PATIENCE, wait_for

from totango_sdk import OptionsError, Totango
from totango_sdk.sandbox import Faults, Sandbox, Store, running
from totango_sdk.sandbox.arrival import understand
from totango_sdk.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

FORM = {"content-type": "application/x-www-form-urlencoded"}
SANDBOX = [sys.executable, "-c", "from totango_sdk.cli import main; raise SystemExit(main())", "sandbox", "--port", "0"]


def event(account: str = "A", activity: str = "Login", user: str = "u@x.com", module: str = "App") -> bytes:
    names = ("sdr_s", "sdr_o", "sdr_u", "sdr_a", "sdr_m")
    return encode(list(zip(names, ("SP-1-1", account, user, activity, module), strict=True)))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running() as sandbox:
        yield sandbox


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, trust_env=False, timeout=PATIENCE) as client:
        yield client


def send(http: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    return http.post("/pixel.gif/", content=body, headers=FORM | {"user-agent": "test", **headers})


def found(http: httpx.Client, **filters: str) -> list[str]:
    events = http.get("/events.json", params=filters).raise_for_status().json()["events"]
    return [each["activity"] or each["kind"] for each in events]


# Filters


def fill(http: httpx.Client) -> None:
    send(http, event(activity="one"))
    send(http, event("B", "two", "v@x.com"), **{"user-agent": "totango-sdk/1"})
    send(http, event("not an id", "three", module="Billing"))
    send(http, encode([("sdr_s", "SP-1-1"), ("sdr_o", "B"), ("sdr_o.Plan", "Gold")]), **{"user-agent": "Mozilla/5"})
    send(http, event("B", "__heartbeat"))
    send(http, encode([("sdr_s", "SP-1-1"), ("sdr_o", "C"), ("sdr_o.Plan", "undefined")]))


@pytest.mark.parametrize(
    ("filters", "events"),
    [
        ({"text": "BILLING"}, ["three"]),
        ({"text": "gold"}, ["attributes"]),
        ({"account": "B"}, ["two", "attributes", "__heartbeat"]),
        ({"user": "v@x.com"}, ["two"]),
        ({"kind": "heartbeat"}, ["__heartbeat"]),
        ({"kind": "attributes", "account": "B"}, ["attributes"]),
        ({"source": "sdk"}, ["two"]),
        ({"source": "browser"}, ["attributes"]),
        ({"problem": "error"}, ["three"]),
        ({"problem": "warning"}, ["attributes"]),
        ({"problem": "any"}, ["three", "attributes"]),
        ({"problem": "none", "source": "other"}, ["one", "__heartbeat"]),
        ({"text": "'; DROP TABLE requests; --"}, []),
        ({"text": ""}, ["one", "two", "three", "attributes", "__heartbeat", "attributes"]),
        ({"after": "4"}, ["__heartbeat", "attributes"]),
    ],
)
def test_filters_choose_events(filters: dict[str, str], events: list[str], http: httpx.Client) -> None:
    fill(http)
    assert found(http, **filters) == events


@pytest.mark.parametrize("name", ["kind", "source", "problem"])
def test_a_choice_that_there_is_not_is_refused_with_those_that_there_are(name: str, http: httpx.Client) -> None:
    answer = http.get("/events.json", params={name: "wrong"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{name}='wrong' is not one of ")


def test_one_event_is_found_by_its_number(http: httpx.Client) -> None:
    fill(http)
    assert http.get("/events/2.json").json() == http.get("/events.json?after=1&limit=1").json()["events"][0]
    for wrong in ("7", "0", "x", "9" * 30, "-1"):
        assert http.get(f"/events/{wrong}.json").status_code == 404


def test_problems_are_told_by_rule(http: httpx.Client) -> None:
    fill(http)
    told = http.get("/problems.json").json()
    assert {(problem["field"], problem["severity"]) for problem in told["problems"]} == {
        ("account", "error"),
        ("account.Plan", "warning"),
    }
    assert isinstance(told["binding"], list)


# The stream


@contextmanager
def streaming(sandbox: Sandbox, **params: Any) -> Iterator[Iterator[tuple[str, Any]]]:
    with (
        httpx.Client(trust_env=False, timeout=PATIENCE) as client,
        client.stream("GET", f"{sandbox.url}stream", params=params) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _messages(answer)


def _messages(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    name = ""
    for line in answer.iter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def test_the_stream_tells_what_was_there_what_comes_and_a_reset(sandbox: Sandbox, http: httpx.Client) -> None:
    fill(http)
    with streaming(sandbox) as messages:
        name, rows = next(messages)
        assert (name, [row[0] for row in rows]) == ("rows", [1, 2, 3, 4, 5, 6])
        number, at, *rest = rows[1]
        assert (number, rest) == (2, ["B", None, "v@x.com", "two", "App", "sdk", None, "activity", None, "SP-1-1"])
        assert at > 1.6e12
        assert [row[8:10] for row in rows[2:4]] == [["error", "activity"], [None, "attributes"]]
        name, state = next(messages)
        assert (name, state["totals"]["requests"], state["faults"]["mode"]) == ("state", 6, "none")
        send(http, event(activity="later"))
        assert next(data for name, data in messages if name == "rows")[0][5] == "later"
        sandbox.reset()
        assert next(data for name, data in messages if name == "reset") == {}
        send(http, event(activity="after it"))
        assert next(data for name, data in messages if name == "rows")[0][0] == 8


def test_a_stream_goes_on_where_it_was_broken_off(sandbox: Sandbox, http: httpx.Client) -> None:
    fill(http)
    with streaming(sandbox, after=4) as messages:
        assert [row[0] for row in next(messages)[1]] == [5, 6]
    headers = {"last-event-id": "5"}
    with http.stream("GET", "/stream?after=0", headers=headers) as answer:
        assert [row[0] for row in next(_messages(answer))[1]] == [6]


def test_a_stream_says_how_much_it_has_left_out(sandbox: Sandbox, http: httpx.Client) -> None:
    store: Store = sandbox._store
    for number in range(10_050):
        store.record(understand(time=0.0, method="GET", query=b"", body=event(f"A{number}"), user_agent=""))
    with streaming(sandbox, after=10) as messages:
        assert next(messages) == ("skipped", {"count": 40})
        assert next(messages)[1][0][0] == 51


def test_a_database_that_is_opened_again_shows_its_latest_rows(tmp_path: Any) -> None:
    with running(db=tmp_path / "s.db") as sandbox:
        httpx.post(sandbox.endpoint, content=event(activity="before"), trust_env=False)
    with running(db=tmp_path / "s.db") as sandbox, streaming(sandbox) as messages:
        assert next(messages)[1][0][5] == "before"


def test_the_sandbox_stops_while_a_page_is_open() -> None:
    with running() as sandbox, streaming(sandbox) as messages:
        next(messages)


# Faults


def test_a_status_is_answered_on_demand_and_nothing_is_taken(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.faults("status", status=429, retry_after=7)
    answer = send(http, event(activity="refused"))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert http.get("/faults.json").json()["mode"] == "status"
    assert http.get("/summary.json").json()["totals"]["faults"] == 1
    sandbox.faults()
    assert send(http, event(activity="taken")).status_code == 200
    assert [(each["activity"], each["fault"], each["accepted"]) for each in sandbox.events()] == [
        ("refused", "429", False),
        ("taken", None, True),
    ]
    assert sandbox.summary()["activities"] == {"App": {"taken": 1}}


@pytest.mark.parametrize(("mode", "label", "taken"), [("close", "closed", 0), ("lost", "lost", 1)])
def test_a_connection_is_closed_without_an_answer(
    mode: Any, label: str, taken: int, sandbox: Sandbox, http: httpx.Client
) -> None:
    sandbox.faults(mode)
    with pytest.raises(httpx.TransportError):
        send(http, event())
    (came,) = sandbox.events()
    assert (came["fault"], sandbox.summary()["totals"]["accepted"]) == (label, taken)


def test_a_mute_collector_never_answers_and_its_page_does(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.faults("mute")
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=sandbox.url, timeout=0.3, trust_env=False) as hasty:
        send(hasty, event())
    assert http.get("/summary.json").status_code == 200


def test_answers_are_delayed(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.faults(delay=0.2)
    assert send(http, event()).elapsed.total_seconds() >= 0.2
    assert sandbox.summary()["totals"]["accepted"] == 1
    sandbox.faults("status", delay=0.2)
    answer = send(http, event())
    assert (answer.status_code, answer.elapsed.total_seconds() >= 0.2) == (503, True)


def test_who_leaves_during_a_delay_gets_no_answer(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.faults(delay=60)
    with pytest.raises(httpx.ReadTimeout), httpx.Client(base_url=sandbox.url, timeout=0.2, trust_env=False) as hasty:
        send(hasty, event())
    sandbox.faults()
    assert send(http, event()).status_code == 200


def test_a_share_of_the_requests_is_hit(sandbox: Sandbox, http: httpx.Client) -> None:
    sandbox.faults("status", share=0.5)
    answers = [send(http, event()).status_code for _ in range(200)]
    assert 40 < answers.count(503) < 160  # beyond that, less than one in 10^16
    sandbox.faults("status", share=0)
    assert send(http, event()).status_code == 200


def test_a_fault_ends_by_itself(sandbox: Sandbox, http: httpx.Client) -> None:
    answer = http.post("/faults.json", json={"mode": "status", "seconds": 0.3})
    assert 0 < answer.json()["seconds"] <= 0.3
    wait_for(lambda: http.get("/faults.json").json()["mode"] == "none")
    assert send(http, event()).status_code == 200


def test_an_sdk_delivers_after_the_fault(sandbox: Sandbox) -> None:
    sandbox.faults("status", share=0.5)
    with Totango("SP-1-1", endpoint=sandbox.endpoint, account="A", user="U", module="M", spool="memory") as client:
        for number in range(20):
            client.track(f"x{number}", account=f"A{number}")
        wait_for(lambda: sandbox.summary()["totals"]["faults"])
        sandbox.faults()
        assert client.flush(PATIENCE)
    assert sandbox.summary()["totals"]["accepted"] == 20


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (b"", "the body is no JSON"),
        (b"[]", "the body is no JSON object"),
        (b"[" * 9000, "the body is no JSON"),
        (b"\xff", "the body is no JSON"),
        (b'{"mode": "explode"}', "mode='explode' is wrong: it is one of none, status, close, mute, lost"),
        (b'{"mode": ["close"]}', "mode=['close'] is wrong"),
        (b'{"status": 200}', "status=200 is wrong: it is a whole number from 300 to 599"),
        (b'{"status": true}', "status=True is wrong"),
        (b'{"share": 2}', "share=2 is wrong: it is a number from 0 to 1"),
        (b'{"delay": "1"}', "delay='1' is wrong"),
        (b'{"delay": NaN}', "delay=nan is wrong"),
        (b'{"seconds": -1}', "seconds=-1 is wrong"),
        (b'{"size": 1}', "there is no fault option 'size': they are mode, status"),
    ],
)
def test_a_wrong_fault_is_refused_and_changes_nothing(given: bytes, told: str, http: httpx.Client) -> None:
    answer = http.post("/faults.json", content=given)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(told)
    assert http.get("/faults.json").json()["mode"] == "none"


def test_a_large_or_foreign_request_sets_no_fault(http: httpx.Client) -> None:
    assert http.post("/faults.json", content=b" " * 10_001).status_code == 413
    answer = http.post("/faults.json", json={"mode": "mute"}, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    assert http.get("/faults.json").json()["mode"] == "none"


def test_faults_can_be_made_in_python() -> None:
    assert Faults(mode="status").label == "503"
    with pytest.raises(OptionsError, match=r"retry_after=-1 is wrong"):
        Faults(retry_after=-1)


# Bounds


def test_the_oldest_events_go_at_the_limit_and_it_is_said() -> None:
    with Store(most_events=100) as store:
        for number in range(350):
            store.record(understand(time=1.0, method="GET", query=b"", body=event(f"A{number}"), user_agent=""))
            if number % 10 == 0:
                store.flush()
        totals = store.summary()["totals"]
        left = [each["id"] for each in store.each_event()]
        assert len(left) <= 100
        assert left == list(range(351 - len(left), 351))
        assert (totals["requests"], totals["forgotten"]) == (350, 350 - len(left))


def test_events_are_bounded_in_bytes_too() -> None:
    with Store(most_bytes=1_000_000) as store:
        for number in range(50):
            body = event(f"A{number}") + b"&x=" + b"y" * 100_000
            store.record(understand(time=1.0, method="GET", query=b"", body=body, user_agent=""))
            store.flush()
        left = list(store.each_event())
        assert 1 <= len(left) <= 10
        assert left[-1]["account"] == "A49"


@pytest.mark.parametrize(("heads", "left"), [(1, 50), (50, 10)], ids=["the same", "another each time"])
def test_what_comes_before_a_body_counts_once_where_it_is_the_same(heads: int, left: int) -> None:
    with Store(most_bytes=1_000_000) as store:
        for number in range(50):
            head = f"POST / HTTP/1.1\nX-Client: {number % heads}{'x' * 100_000}"
            body = event(f"A{number}")
            store.record(understand(time=1.0, method="POST", query=b"", body=body, user_agent="", head=head))
            store.flush()
        kept = list(store.each_event())
        assert len(kept) <= left
        assert len(kept) == 50 or heads > 1
        assert kept[-1]["account"] == "A49"


def test_one_event_larger_than_the_limit_does_not_hang() -> None:
    with Store(most_bytes=1000) as store:
        store.record(understand(time=1.0, method="GET", query=b"", body=b"x" * 5000, user_agent=""))
        store.flush()
        assert store.summary()["totals"]["requests"] == 1


def test_the_bounds_hold_after_a_file_is_opened_again(tmp_path: Any) -> None:
    for _ in range(3):
        with Store(tmp_path / "s.db", most_events=30) as store:
            for number in range(25):
                store.record(understand(time=1.0, method="GET", query=b"", body=event(f"A{number}"), user_agent=""))
        with Store(tmp_path / "s.db") as store:
            assert len(list(store.each_event())) <= 30


@pytest.mark.parametrize("where", ["address", "header"])
def test_what_comes_before_a_body_is_bounded(where: str, sandbox: Sandbox, http: httpx.Client) -> None:
    host, port = sandbox.url.removeprefix("http://").rstrip("/").split(":")
    head = f"GET /pixel.gif/{{}} HTTP/1.1\r\nHost: {host}\r\n{{}}\r\n\r\n"
    filler = "x" * 1_000_001
    text = head.format(f"?x={filler}", "a: b") if where == "address" else head.format("", f"x: {filler}")
    with socket.create_connection((host, int(port))) as connection:
        with contextlib.suppress(ConnectionError):  # it need not read to the end
            connection.sendall(text.encode())
        connection.settimeout(PATIENCE)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(99).startswith(b"HTTP/1.1 400 ")
    assert sandbox.events() == []
    assert http.get(f"/pixel.gif/?x={filler[:60_000]}").status_code == 200


# A host that others can reach


@contextmanager
def command(*arguments: str) -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [*SANDBOX, "--json", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline()), process
        finally:
            process.terminate()  # nothing, if it has ended


def test_with_a_token_only_those_who_know_it_may_look_and_everybody_may_send() -> None:
    with command("--host", "0.0.0.0", "--token", "the-token") as (told, _):  # noqa: S104
        port = told["url"].split(":")[2].split("/")[0]
        base = f"http://127.0.0.1:{port}"
        with httpx.Client(base_url=base, trust_env=False, headers={"host": "somewhere.example"}) as http:
            assert send(http, event()).status_code == 200
            for path in ("/", "/events.json", "/summary.json?token=wrong", "/stream", "/openapi.json"):
                answer = http.get(path)
                assert (answer.status_code, "Authorization: Bearer" in answer.text) == (401, True)
            assert http.post("/reset").status_code == 401
            assert http.get("/summary.json", headers={"authorization": "Bearer the-token"}).status_code == 200
            answer = http.get("/summary.json?token=the-token")
            assert (answer.status_code, answer.headers["location"]) == (303, "/summary.json")
            assert "httponly" in answer.headers["set-cookie"].lower()
            assert http.get("/summary.json").status_code == 200


def test_a_token_is_made_up_on_demand() -> None:
    with command("--host", "0.0.0.0", "--token", "auto") as (told, _):  # noqa: S104
        assert len(told["url"].partition("?token=")[2]) > 20
        assert "token" not in told["endpoint"]


# The command line


def test_the_command_can_begin_with_a_fault() -> None:
    with command("--fault", "429", "--retry-after", "3") as (told, _):
        answer = httpx.post(told["endpoint"], content=event(), trust_env=False)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize(("fault", "told"), [("explode", "mode='explode' is wrong"), ("200", "status=200 is wrong")])
def test_a_wrong_fault_is_told_in_one_line(fault: str, told: str) -> None:
    done = subprocess.run([*SANDBOX, "--fault", fault], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_for_ci_the_first_wrong_event_ends_it() -> None:
    with command("--exit-on-problem") as (told, process):
        httpx.post(told["endpoint"], content=event("A"), trust_env=False)
        httpx.post(told["endpoint"], content=event("A", user="jo+test@x.com"), trust_env=False)  # only a warning
        assert process.poll() is None
        httpx.post(told["endpoint"], content=event("not an id"), trust_env=False)
        assert process.wait(PATIENCE) == 1
        assert process.stderr is not None
        assert "error: account: 'not an id'" in process.stderr.read()


def test_a_database_of_an_older_version_is_refused(tmp_path: Any) -> None:
    import sqlite3

    from totango_sdk.sandbox.schema import APPLICATION_ID

    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    with pytest.raises(OptionsError, match="was made by an older version"):
        Store(tmp_path / "s.db")


# The description


def test_the_description_fits_what_is_answered_whatever_is_asked(sandbox: Sandbox, http: httpx.Client) -> None:
    import schemathesis

    fill(http)
    schema = schemathesis.openapi.from_url(f"{sandbox.url}openapi.json")
    asked = []
    for operation in schema.get_all_operations():
        case_of = operation.ok()
        _ask_much(case_of, asked)
    assert len(asked) > 300
    assert {path for path, _ in asked} == set(http.get("/openapi.json").json()["paths"])
    assert not [status for _, status in asked if status >= 500]


def _ask_much(operation: Any, asked: list[tuple[str, int]]) -> None:
    from hypothesis import HealthCheck, Phase, given, settings

    @given(case=operation.as_strategy())
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    def ask(case: Any) -> None:
        if operation.path == "/faults.json" and operation.method == "post" and isinstance(case.body, dict):
            if case.body.get("mode") in ("mute", "close", "lost"):
                case.body["mode"] = "status"
            case.body["delay"] = 0
        answer = case.call()
        asked.append((operation.path, answer.status_code))
        case.validate_response(answer)

    ask()


# Many at once


def test_many_events_are_all_there_while_a_page_listens(sandbox: Sandbox) -> None:
    seen: set[int] = set()
    ready = threading.Event()

    def listen() -> None:
        with streaming(sandbox) as messages:
            for name, data in messages:
                ready.set()
                if name == "rows":
                    seen.update(row[0] for row in data)
                if len(seen) == 2000:
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    ready.wait(PATIENCE)
    with Totango("SP-1-1", endpoint=sandbox.endpoint, user="U", module="M", spool="memory") as client:
        for number in range(2000):
            client.track("x", account=f"A{number % 50}")
        assert client.flush(60)
    thread.join(PATIENCE)
    assert len(seen) == 2000
    assert sandbox.summary()["totals"]["accepted"] == 2000


def test_any_connection_that_says_nothing_is_no_harm(sandbox: Sandbox, http: httpx.Client) -> None:
    host, port = sandbox.url.removeprefix("http://").rstrip("/").split(":")
    with socket.create_connection((host, int(port))):
        assert http.get("/summary.json").status_code == 200

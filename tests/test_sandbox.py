"""The sandbox, through its own address: what it answers, keeps, tells and refuses."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import importlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totango_sdk.errors import OptionsError
from totango_sdk.sandbox import Sandbox, Store, create_app, running, serve
from totango_sdk.sandbox.arrival import understand
from totango_sdk.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

FORM = {"content-type": "application/x-www-form-urlencoded"}
SERVICE = ("sdr_s", "SP-1234-01")
EVENT = [
    SERVICE,
    ("sdr_o", "819332"),
    ("sdr_u", "marlo@barksdale.com"),
    ("sdr_a", "Invoice paid"),
    ("sdr_m", "Billing"),
]
TOKEN = "hunter2-hunter2"
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'&\x00"
VECTORS = json.loads((Path(__file__).parent / "vectors" / "wire.json").read_text(encoding="utf-8"))


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, trust_env=False) as client:
        yield client


def post(client: httpx.Client, *pairs: tuple[str, str], to: str = "/pixel.gif/", **headers: str) -> httpx.Response:
    return client.post(to, content=encode(pairs or EVENT), headers=FORM | headers)


def summary(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/summary.json").raise_for_status().json()
    return found


def accounts(client: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/accounts.json").raise_for_status().json()["accounts"]
    return found


def kept(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Accounts without what says only when they came."""
    return [{key: value for key, value in account.items() if not key.endswith("_event")} for account in found]


# The endpoint


def test_every_request_is_answered_with_a_pixel(http: httpx.Client) -> None:
    answers = [
        post(http),
        post(http, to="/pixel.gif"),
        post(http, to="/"),
        http.get("/pixel.gif/", params=dict(EVENT)),
        http.get("/pixel.gif"),
        http.post("/pixel.gif/", json={"sdr_s": "x"}),
        http.post("/pixel.gif/", files={"file": b"\xff"}),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/gif"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.content.startswith(b"GIF89a\x01\x00\x01\x00")
    assert summary(http)["totals"]["requests"] == len(answers)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.binary(max_size=300),
    query=st.binary(max_size=100).map(lambda raw: re.sub(rb"[^!-~]|#", b"", raw)),
    content_type=st.sampled_from(
        ["", "application/x-www-form-urlencoded", "application/json", "text/plain; charset=x"]
    ),
)
def test_any_bytes_are_answered_with_200_and_kept(
    http: httpx.Client, body: bytes, query: bytes, content_type: str
) -> None:
    before = summary(http)["totals"]["requests"]
    url = httpx.URL("/pixel.gif/").copy_with(query=query or None)
    assert http.post(url, content=body, headers={"content-type": content_type}).status_code == 200
    assert summary(http)["totals"] | {"requests": before + 1} == summary(http)["totals"]
    for path in ("/", "/accounts.json", f"/events.json?after={before}"):
        assert http.get(path).status_code == 200


@settings(max_examples=200, deadline=None)
@given(query=st.binary(), body=st.binary(), agent=st.text())
def test_any_bytes_can_be_understood_and_stored(query: bytes, body: bytes, agent: str) -> None:
    with Store() as store:
        store.record(understand(time=0.0, method="POST", query=query, body=body, user_agent=agent))
        assert store.summary()["totals"]["requests"] == 1
        assert store.summary()["totals"]["lost"] == 0


def test_what_is_no_http_is_answered_with_400_and_the_next_request_works(sandbox: Sandbox, http: httpx.Client) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(sandbox.url).port or 0)) as raw:
        raw.sendall(b"\x16\x03\x01 not http\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert post(http).status_code == 200


def test_a_client_that_leaves_in_the_middle_of_its_body_records_nothing(sandbox: Sandbox, http: httpx.Client) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(sandbox.url).port or 0)) as raw:
        raw.sendall(b"POST /pixel.gif/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\nsdr_s=")
    post(http)
    assert summary(http)["totals"]["requests"] == 1


def test_a_request_with_the_fewest_headers_is_taken_but_not_without_a_host(
    sandbox: Sandbox, http: httpx.Client
) -> None:
    for headers, status in ((b"host: localhost\r\n", b"200"), (b"", b"400")):
        with socket.create_connection(("127.0.0.1", httpx.URL(sandbox.url).port or 0)) as raw:
            raw.sendall(b"GET /pixel.gif/ HTTP/1.0\r\n" + headers + b"\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 " + status)
    assert [event["source"] for event in http.get("/events.json").json()["events"]] == ["other"]


def test_what_waits_is_written_when_it_becomes_much() -> None:
    class Watched(Store):
        written = 0

        def flush(self) -> None:
            super().flush()
            self.written += 1

    async def send() -> None:
        transport = httpx.ASGITransport(create_app(store))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            await client.post("/pixel.gif/", content=encode(EVENT))

    arrival = understand(time=0.0, method="POST", query=b"", body=encode(EVENT), user_agent="")
    with Watched() as store:
        for _ in range(499):
            store.record(arrival)
        asyncio.run(send())
        assert store.written == 1


def test_what_waits_is_written_when_the_store_is_closed(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store:
        store.record(understand(time=0.0, method="POST", query=b"", body=encode(EVENT), user_agent=""))
    store.close()
    with Store(tmp_path / "a.db") as store:
        assert store.summary()["totals"]["requests"] == 1


def test_a_body_of_a_million_bytes_is_taken_and_a_larger_one_refused(http: httpx.Client) -> None:
    assert http.post("/pixel.gif/", content=b"x" * 1_000_000).status_code == 200
    answer = http.post("/pixel.gif/", content=b"x" * 1_000_001)
    assert answer.status_code == 413
    assert "1000000 bytes" in answer.text
    assert http.post("/pixel.gif/", content=iter([b"x" * 600_000] * 3)).status_code == 413
    assert summary(http)["totals"]["requests"] == 1


def test_parameters_come_from_the_address_and_from_the_body_together(http: httpx.Client) -> None:
    http.post("/pixel.gif/", params=dict(EVENT[:2]), content=encode(EVENT[2:]), headers=FORM)
    assert summary(http)["activities"] == {"Billing": {"Invoice paid": 1}}


def test_half_a_million_parameters_are_cut_and_told(http: httpx.Client) -> None:
    body = encode(EVENT) + b"&a" * 400_000
    assert http.post("/pixel.gif/", content=body).status_code == 200
    (event,) = http.get("/events.json").json()["events"]
    assert len(event["params"]) == 1000
    assert event["accepted"]
    assert len(event["problems"]) == 101
    assert any(problem["field"] == "request" for problem in summary(http)["problems"])


def test_looking_with_head_records_nothing_and_other_methods_are_refused(http: httpx.Client) -> None:
    assert http.head("/pixel.gif/").status_code == 200
    assert http.put("/pixel.gif/").status_code == 405
    assert http.get("/nothing").status_code == 404
    assert summary(http)["totals"]["requests"] == 0


# What is understood


def test_an_event_makes_an_account_a_user_and_an_activity(http: httpx.Client) -> None:
    post(http, *EVENT, ("sdr_odn", "Acme"), ("sdr_o.Plan", "Gold"), ("sdr_u.name", "Marlo"))
    assert summary(http)["totals"] == {
        "requests": 1,
        "accepted": 1,
        "dropped": 0,
        "problems": 0,
        "faults": 0,
        "forgotten": 0,
        "lost": 0,
        "accounts": 1,
        "product_accounts": 0,
        "users": 1,
        "activities": 1,
        "heartbeats": 0,
    }
    (account,) = accounts(http)
    assert (account["id"], account["name"], account["attributes"]) == ("819332", "Acme", {"Plan": "Gold"})
    assert account["users"] == [{"id": "marlo@barksdale.com", "attributes": {"name": "Marlo"}}]


def test_later_names_and_attributes_are_merged_with_those_before(http: httpx.Client) -> None:
    post(http, *EVENT[:3], ("sdr_odn", "Acme"), ("sdr_o.Plan", "Gold"), ("sdr_o.Status", "Free"), ("sdr_u.a", "1"))
    post(http)
    post(http, *EVENT[:3], ("sdr_odn", "Acme 2"), ("sdr_o.Plan", "Pro"), ("sdr_ofid", "7"), ("sdr_u.b", "2"))
    (account,) = accounts(http)
    assert (account["name"], account["ofid"]) == ("Acme 2", "7")
    assert account["attributes"] == {"Plan": "Pro", "Status": "Free"}
    assert account["users"][0]["attributes"] == {"a": "1", "b": "2"}
    assert (account["first_event"] + 2, account["user_count"]) == (account["last_event"], 1)


def test_a_product_account_is_told_with_its_parent(http: httpx.Client) -> None:
    post(http, SERVICE, ("sdr_o", "819332_ABC"), ("sdr_o.parent_id", "819332"), ("sdr_o.product_id", "ABC"))
    post(http, SERVICE, ("sdr_o", "child"), ("sdr_o.parent_id", "819332"))
    found = summary(http)
    assert found["product_accounts"] == [
        {"id": "819332_ABC", "parent_id": "819332", "product_id": "ABC", "name": None},
    ]
    assert (found["totals"]["accounts"], found["totals"]["product_accounts"]) == (1, 1)


def test_ids_that_differ_in_case_are_two_accounts(http: httpx.Client) -> None:
    post(http, SERVICE, ("sdr_o", "ABC"))
    post(http, SERVICE, ("sdr_o", "abc"))
    assert summary(http)["totals"]["accounts"] == 2


def test_the_same_user_below_two_accounts_is_two_records(http: httpx.Client) -> None:
    post(http, SERVICE, ("sdr_o", "a"), ("sdr_u", "marlo"))
    post(http, SERVICE, ("sdr_o", "b"), ("sdr_u", "marlo"))
    assert summary(http)["totals"]["users"] == 2


def test_a_heartbeat_is_no_activity(http: httpx.Client) -> None:
    post(http, *EVENT[:3], ("sdr_a", "__heartbeat"), ("sdr_m", "__system"))
    found = summary(http)
    assert (found["totals"]["heartbeats"], found["totals"]["activities"], found["activities"]) == (1, 0, {})


def test_a_request_that_totango_would_drop_changes_nothing_but_is_kept(http: httpx.Client) -> None:
    post(http, SERVICE, ("sdr_o", "a b"), *EVENT[2:], ("sdr_odn", "Acme"))
    found = summary(http)
    assert found["totals"] | {"requests": 1, "dropped": 1} == found["totals"]
    assert not any(found["totals"][name] for name in ("accepted", "accounts", "users", "activities"))
    (event,) = http.get("/events.json").json()["events"]
    assert not event["accepted"]
    assert event["problems"][0]["field"] == "account"


def test_problems_of_one_kind_are_counted_together_with_one_example(http: httpx.Client) -> None:
    for wrong in ("a b", "what's up", "c" * 90 + " d"):
        post(http, SERVICE, ("sdr_o", wrong))
    (problem,) = summary(http)["problems"]
    assert (problem["field"], problem["severity"], problem["count"]) == ("account", "error", 3)
    assert (problem["example"]["value"], problem["example"]["event"] > 0) == ("a b", True)


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: case["name"])
def test_get_with_the_documented_display_name_makes_the_same_accounts_as_post(case: Any, http: httpx.Client) -> None:
    for sent in case["sent"]:
        assert post(http, *map(tuple, sent)).status_code == 200
    posted, told = kept(accounts(http)), summary(http)
    http.post("/reset")
    for sent in case["sent"]:
        pairs = [("sdr_o.account_name" if name == "sdr_odn" else name, value) for name, value in sent]
        http.get(f"/pixel.gif/?{encode(pairs).decode()}")
    assert kept(accounts(http)) == posted
    assert summary(http)["totals"] == told["totals"]


def test_a_request_says_where_it_probably_comes_from(http: httpx.Client) -> None:
    post(http, **{"user-agent": "totango-sdk/0.1.0"})
    post(http, **{"user-agent": "Mozilla/5.0"})
    post(http, *EVENT, ("sdrurl", "http://x/"), ("r", "0.5"))
    post(http, **{"user-agent": "curl/8"})
    sources = [event["source"] for event in http.get("/events.json").json()["events"]]
    assert sources == ["sdk", "browser", "browser", "other"]


# What programs read


def test_events_come_in_order_as_they_were_received(http: httpx.Client) -> None:
    sent = [[*EVENT, ("sdr_o.Plan", f"é+{number} &=%")] for number in range(3)]
    for pairs in sent:
        post(http, *pairs)
    events = http.get("/events.json").json()["events"]
    assert [event["params"] for event in events] == [[list(pair) for pair in pairs] for pairs in sent]
    assert [event["body"] for event in events] == [encode(pairs).decode() for pairs in sent]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"]) for event in events)
    assert (events[0]["account"], events[0]["user"]) == ("819332", "marlo@barksdale.com")


def test_events_are_paged(http: httpx.Client) -> None:
    for _ in range(5):
        post(http)
    first = http.get("/events.json", params={"limit": 3}).json()
    rest = http.get("/events.json", params={"after": first["next"]}).json()
    assert (len(first["events"]), len(rest["events"])) == (3, 2)
    assert http.get("/events.json", params={"after": rest["next"]}).json() == {"events": [], "next": None}


def test_a_page_of_large_events_is_cut_short(http: httpx.Client) -> None:
    for _ in range(10):
        http.post("/pixel.gif/", content=b"x" * 1_000_000)
    first = http.get("/events.json").json()
    assert 0 < len(first["events"]) < 10
    assert len(first["events"]) + len(http.get("/events.json", params={"after": first["next"]}).json()["events"]) == 10


@pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "9" * 30, "٣"])
def test_a_page_that_is_no_number_is_refused_with_the_reason(http: httpx.Client, value: str) -> None:
    answer = http.get("/events.json", params={"after": value})
    assert answer.status_code == 400
    assert "after is not a whole number" in answer.json()["error"]


def test_a_hundred_thousand_events_are_read_to_the_last() -> None:
    arrival = understand(time=0.0, method="POST", query=b"", body=encode(EVENT), user_agent="")
    with Store() as store:
        for _ in range(100_000):
            store.record(arrival)
        assert [event["id"] for event in store.each_event()] == list(range(1, 100_001))
        assert store.summary()["totals"]["activities"] == 100_000


def test_what_a_program_asks_in_process_is_what_it_would_get_over_http(sandbox: Sandbox, http: httpx.Client) -> None:
    post(http)
    assert sandbox.summary() == summary(http)
    assert sandbox.events() == http.get("/events.json").json()["events"]
    assert sandbox.accounts() == accounts(http)
    assert sandbox.endpoint == f"{sandbox.url}pixel.gif/"
    assert sandbox.url in repr(sandbox)


def test_a_reset_empties_everything_and_ids_go_on(http: httpx.Client) -> None:
    post(http)
    last = http.get("/events.json").json()["next"]
    assert http.post("/reset").json() == {"reset": True}
    assert not any(summary(http)["totals"].values())
    assert accounts(http) == []
    post(http)
    assert http.get("/events.json", params={"after": last}).json()["next"] == last + 1


def test_what_many_connections_send_at_once_is_all_there(sandbox: Sandbox, http: httpx.Client) -> None:
    def send(user: int) -> None:
        with httpx.Client(base_url=sandbox.url, trust_env=False) as client:
            for _ in range(50):
                post(client, *EVENT[:2], ("sdr_u", str(user)), *EVENT[3:])

    threads = [threading.Thread(target=send, args=(user,)) for user in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        totals = summary(http)["totals"]
        assert totals["accepted"] == totals["activities"]
    assert summary(http)["totals"]["activities"] == 400


# The page


def test_hostile_text_in_every_field_is_shown_as_text(http: httpx.Client) -> None:
    names = ["sdr_s", "sdr_o", "sdr_ofid", "sdr_u", "sdr_a", "sdr_m", "sdr_odn", "sdr_o.Plan", "sdr_u.name"]
    post(http, *((name, HOSTILE) for name in names), (f"sdr_o.{HOSTILE}", HOSTILE), (HOSTILE, HOSTILE))
    post(http, *EVENT[:3], ("sdr_a", HOSTILE), ("sdr_m", HOSTILE))
    post(http, *EVENT[:3], ("sdr_a", HOSTILE.rstrip("\0")), ("sdr_m", HOSTILE.rstrip("\0")))
    post(http, *EVENT[:2], ("sdr_odn", HOSTILE), ("sdr_o.<b>", HOSTILE), ("sdr_u", "a'b@x.com"))
    last = http.get("/events.json").json()["next"]
    events = [f"event/{last - back}" for back in range(4)]
    for part in (*events, "accounts", "account?id=819332", "users", "binding"):
        answer = http.get(f"/parts/{part}").raise_for_status()
        assert not re.search(r"<(script|img|b)\b", answer.text)
        assert ("&lt;script&gt;alert(1)" in answer.text) == (part not in ("users", "binding"))


def test_the_page_loads_its_own_files_and_nothing_else(http: httpx.Client) -> None:
    answer = http.get("/")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src")
    assert answer.headers["x-content-type-options"] == "nosniff"
    own = ["data:,", "static/style.css", "static/page.js", "session.ndjson"]
    assert re.findall(r'(?:href|src)="([^"]*)"', answer.text) == own
    for name, kind in (("style.css", "text/css"), ("page.js", "text/javascript"), ("log.js", "text/javascript")):
        assert http.get(f"/static/{name}").headers["content-type"].startswith(kind)
    assert "style=" not in answer.text


def test_the_page_of_an_empty_sandbox_says_where_to_send(sandbox: Sandbox, http: httpx.Client) -> None:
    assert sandbox.endpoint in http.get("/").text


# Who may ask


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "[::2]:80", "localhost.evil"]
)
def test_another_name_in_the_host_header_is_refused(http: httpx.Client, host: str) -> None:
    for path in ("/", "/summary.json", "/pixel.gif/"):
        assert http.get(path, headers={"host": host}).status_code == 400
    assert summary(http)["totals"]["requests"] == 0


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.1.2.3:80", "[::1]:80", "[::1]"])
def test_every_name_of_this_machine_is_answered(http: httpx.Client, host: str) -> None:
    assert http.get("/summary.json", headers={"host": host}).status_code == 200


def test_a_host_that_is_named_to_the_app_is_answered() -> None:
    async def ask(host: str) -> int:
        transport = httpx.ASGITransport(create_app(store, hosts=["Sandbox"]))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}:8035") as client:
            return (await client.get("/summary.json")).status_code

    with Store() as store:
        assert asyncio.run(ask("sandbox")) == 200
        assert asyncio.run(ask("other")) == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_site_cannot_reset(http: httpx.Client, headers: dict[str, str]) -> None:
    post(http)
    assert http.post("/reset", headers=headers).status_code == 403
    assert summary(http)["totals"]["requests"] == 1


def test_the_sandbox_own_page_can_reset_but_a_link_cannot(sandbox: Sandbox, http: httpx.Client) -> None:
    headers = {"origin": sandbox.url.rstrip("/"), "sec-fetch-site": "same-origin"}
    assert http.post("/reset", headers=headers).status_code == 200
    assert http.get("/reset").status_code == 405


def test_a_page_of_another_site_can_send_events_but_not_read_them(http: httpx.Client) -> None:
    headers = {"origin": "http://app.example", "sec-fetch-site": "cross-site"}
    assert post(http, **headers).status_code == 200
    answer = http.get("/events.json", headers=headers)
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


# What is on the disk


def test_the_token_is_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "sandbox.db"
    body = encode([*EVENT, ("api-token", TOKEN)])
    with running(db=file) as sandbox, httpx.Client(base_url=sandbox.url, trust_env=False) as client:
        client.post("/pixel.gif/", content=body, headers=FORM)
        client.get(f"/pixel.gif/?{body.decode()}")
        client.get("/pixel.gif/", params={"sdrurl": f"http://x/?api-token={TOKEN}", "Api_Token": TOKEN})
        client.post("/pixel.gif/", json={"api-token": TOKEN})
        client.post("/pixel.gif/", files={"api-token": (None, TOKEN)})
        client.post("/pixel.gif/", content=encode([("api-token", TOKEN), ("api-token", TOKEN + "3")]))
        shown = "".join(client.get(path).text for path in ("/", "/summary.json", "/events.json", "/accounts.json"))
        events = sandbox.events()
        on_disk = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    on_disk += b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert b"Invoice%20paid" in on_disk
    assert "hunter" not in shown + caplog.text + repr(events)
    assert b"hunter" not in on_disk
    assert events[0]["params"] == [[*pair] for pair in [*EVENT, ("api-token", "…")]]
    assert events[0]["problems"] == []


def test_a_database_is_private_and_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.db"
    with running(db=file) as sandbox:
        httpx.post(sandbox.endpoint, content=encode(EVENT), trust_env=False)
        assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o600}
    with running(db=file) as sandbox:
        httpx.post(sandbox.endpoint, content=encode(EVENT), trust_env=False)
        assert [event["id"] for event in sandbox.events()] == [1, 2]
        assert sandbox.summary()["activities"] == {"Billing": {"Invoice paid": 2}}
    assert [each.name for each in tmp_path.iterdir()] == ["sandbox.db"]


def _text_file(file: Path) -> None:
    file.write_text("This is no database, but a file that somebody needs.\n" * 100)


def _other_database(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE requests (id)")


def _numbered_database(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 7")


@pytest.mark.parametrize("make", [_text_file, _other_database, _numbered_database])
def test_a_foreign_database_is_refused_and_left_as_it_is(tmp_path: Path, make: Any) -> None:
    file = tmp_path / "other.db"
    make(file)
    file.chmod(0o640)
    before = file.read_bytes()
    with pytest.raises(OptionsError, match=r"^db: '.*other\.db' is no sandbox database.*give another name") as raised:
        Store(file)
    assert "\n" not in str(raised.value)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (before, 0o640)
    assert [each.name for each in tmp_path.iterdir()] == ["other.db"]


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.db"
    Store(file).close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(OptionsError, match="newer version, with schema 99.*Update totango-sdk"):
        Store(file)


def test_a_database_that_another_sandbox_holds_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db"), pytest.raises(OptionsError, match="in use by another sandbox"):
        Store(tmp_path / "a.db")


@pytest.mark.parametrize("name", ["", "missing/a.db"])
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(OptionsError, match=r"^db: .* cannot be written: .*\. Give a file"):
        Store(tmp_path / name)


def test_a_broken_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sandbox.db"
    Store(file).close()
    broken = bytearray(file.read_bytes())
    broken[100:4096] = b"\xff" * (4096 - 100)
    file.write_bytes(bytes(broken))
    with pytest.raises(OptionsError, match=r"^db: .*sandbox\.db' cannot be used"):
        Store(file)


def test_requests_that_cannot_be_written_are_counted_as_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arrival = understand(time=0.0, method="POST", query=b"", body=encode(EVENT), user_agent="")
    with Store(tmp_path / "a.db") as store:
        store._connection.execute("PRAGMA query_only = ON")
        for _ in range(2):
            store.record(arrival)
            store.flush()
        totals = store.summary()["totals"]
        assert (totals["lost"], totals["requests"]) == (2, 0)
        assert caplog.text.count("requests are lost") == 1
        store._connection.execute("PRAGMA query_only = OFF")
        store.record(arrival)
        assert store.summary()["totals"]["requests"] == 1


# Starting and stopping


def test_a_sandbox_stops_and_leaves_no_thread_and_no_port() -> None:
    threads = threading.active_count()
    with running() as sandbox, httpx.Client(base_url=sandbox.url, trust_env=False) as client:
        post(client)
        port = httpx.URL(sandbox.url).port
    assert threading.active_count() == threads
    with running(port=port or 0) as again:
        assert again.url == sandbox.url


def test_a_sandbox_that_nobody_asks_stops_too() -> None:
    threads = threading.active_count()
    with running():
        pass
    assert threading.active_count() == threads


def test_a_sandbox_stops_when_its_block_fails() -> None:
    threads = threading.active_count()
    with pytest.raises(ZeroDivisionError), running():
        raise ZeroDivisionError
    assert threading.active_count() == threads


def test_a_port_in_use_is_refused_in_one_line(sandbox: Sandbox) -> None:
    port = httpx.URL(sandbox.url).port or 0
    with pytest.raises(OptionsError, match=f"^port: {port} is in use by another program.*--port 0") as raised:
        serve(port=port)
    assert "\n" not in str(raised.value)
    with pytest.raises(OptionsError, match="is in use"), running(port=port):
        pass


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be_is_refused(port: int) -> None:
    with pytest.raises(OptionsError, match=f"^port: {port} is not from 0 to 65535"):
        serve(port=port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com", "192.168.1.7", ""])
def test_a_host_other_than_this_machine_is_refused(host: str) -> None:
    with pytest.raises(OptionsError, match="^host: .* is not this machine alone.*--token auto"):
        serve(host=host)


def test_an_address_that_cannot_be_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    class Socket(socket.socket):
        pass

    monkeypatch.setattr(Socket, "bind", bind, raising=False)
    monkeypatch.setattr(socket, "socket", Socket)
    with pytest.raises(OptionsError, match="^port: 80 on 127.0.0.1 cannot be used: Permission denied"):
        serve(port=80)


def test_serve_ends_on_a_signal_and_gives_the_signals_back() -> None:
    threads, before = threading.active_count(), signal.getsignal(signal.SIGINT)
    serve(announce=lambda _: signal.raise_signal(signal.SIGINT))
    assert (threading.active_count(), signal.getsignal(signal.SIGINT)) == (threads, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_one_line_and_ends_well_on_a_signal(tmp_path: Path, number: int) -> None:
    file = tmp_path / "sandbox.db"
    program = f"from totango_sdk.sandbox import serve; serve(db={str(file)!r}); print('ended')"
    child = subprocess.Popen([sys.executable, "-W", "error", "-c", program], stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        line = child.stdout.readline()
        url, endpoint = re.findall(r"http://\S+/", line)
        assert endpoint == f"{url}pixel.gif/"
        httpx.post(endpoint, content=encode(EVENT), trust_env=False)
        os.kill(child.pid, number)
        assert child.stdout.read() == "ended\n"
    assert child.returncode == 0
    with Store(file) as store:
        assert store.summary()["totals"]["requests"] == 1


def test_without_the_extra_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "uvicorn":
            raise ModuleNotFoundError("No module named 'uvicorn'", name="uvicorn")
        return real(name, *args, **kwargs)

    package = sys.modules["totango_sdk.sandbox"]
    monkeypatch.setattr(builtins, "__import__", missing)
    try:
        with pytest.raises(ImportError, match=r"pip install 'totango-sdk\[sandbox\]'$"):
            importlib.reload(package)
    finally:
        monkeypatch.undo()


def test_only_the_wire_knows_how_totango_spells_things() -> None:
    root = Path(sys.modules["totango_sdk"].__file__ or "").parent
    for folder in ("sandbox", "cli"):
        for file in (root / folder).rglob("*.py"):
            assert "sdr_" not in file.read_text(encoding="utf-8"), file


def test_what_the_log_shows_of_many_requests_is_kept_once() -> None:
    """The latest ten thousand stand in memory, and say the same of the same account."""
    pairs = [
        ("sdr_s", "SP-1-1"),
        ("sdr_o", "A" * 300),
        ("sdr_u", "marlo@x.com"),
        ("sdr_a", "Paid"),
        ("sdr_m", "Billing"),
    ]
    first, second = (
        understand(time=at, method="POST", query=b"", body=encode(pairs), user_agent="").row(1) for at in (1.0, 2.0)
    )
    assert all(one is two for one, two in zip(first[2:], second[2:], strict=True))

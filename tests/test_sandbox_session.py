"""A session that is kept and opened again, and what is shown as a table."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from totango_sdk.sandbox import Sandbox, running

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENT = "sdr_s=SP-1-1&sdr_o=A&sdr_u=x@y.z&sdr_a=Login&sdr_m=App"
WITHOUT = ("id", "time")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running() as up:
        yield up


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=sandbox.url, trust_env=False) as client:
        yield client


def fill(http: httpx.Client) -> None:
    http.post("/pixel.gif/", content=EVENT, headers={"user-agent": "Mozilla/5.0", "content-type": "text/plain"})
    http.get("/pixel.gif/?sdr_s=SP-1-1&sdr_o=%00&api-token=hunter2")
    http.post("/pixel.gif/", content='{"sdr_s": "SP-1-1"}')
    http.post("/pixel.gif/", content=b"\xff\xfe&=&sdr_a=%3D1%2B1", headers={"user-agent": "=cmd()"})


def test_a_session_that_is_opened_again_is_the_same(sandbox: Sandbox, http: httpx.Client) -> None:
    fill(http)
    http.post("/ignored.json", json={"add": ["case [1]"]})
    saved = http.get("/session.ndjson")
    assert "hunter2" not in saved.text
    before = sandbox.events()
    assert json.loads(saved.text.splitlines()[0]) == {"session": 1, "ignored": ["case [1]"]}

    http.post("/reset")
    http.post("/ignored.json", json={"remove": ["case [1]"]})
    assert http.post("/session.ndjson", content=saved.content).json() == {"opened": 4}
    after = sandbox.events()
    assert [{**each, "id": None} for each in after] == [{**each, "id": None} for each in before]
    assert http.get("/ignored.json").json() == {"ignored": ["case [1]"]}

    assert http.post("/session.ndjson?replace=1", content=saved.content).json() == {"opened": 4}
    assert len(sandbox.events()) == 4


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (b"", None),
        (b"GET / HTTP/1.1\n", "line 1 is no line of a session"),
        (b'{"session": 2}\n', "line 1 is no line of a session"),
        (b'{"session": 1}\n{"ms": "x"}\n', "line 2 of the session is wrong: ms='x'"),
        (b'{"session": 1}\n\n{"ms": 1, "body": 5}\n', "line 3 of the session is wrong: body=5"),
        (b'{"session": 1}\n[]\n', "line 2 is no line of a session"),
        (b'{"session": 1}\n{"ms": 1, "query": "\\ud800"}', None),
    ],
)
def test_what_is_no_session_is_refused_by_its_line(http: httpx.Client, lines: bytes, told: str | None) -> None:
    answer = http.post("/session.ndjson", content=lines)
    assert answer.status_code == (200 if told is None else 400)
    assert told is None or answer.json()["error"].startswith(told)


def test_a_page_of_another_site_cannot_open_a_session(http: httpx.Client) -> None:
    answer = http.post("/session.ndjson", content=b"", headers={"origin": "https://evil.example"})
    assert answer.status_code == 403


def test_what_the_filters_leave_is_a_table(http: httpx.Client) -> None:
    fill(http)
    rows: list[dict[str, Any]] = list(csv.DictReader(http.get("/events.csv").text.splitlines()))
    assert [row["accepted"] for row in rows] == ["true", "false", "false", "false"]
    assert rows[0]["parameters"] == "; ".join(EVENT.split("&"))
    assert (rows[3]["agent"], rows[3]["activity"]) == ("'=cmd()", "'=1+1")
    assert len(http.get("/events.csv", params={"account": "A"}).text.splitlines()) == 2
    assert http.get("/events.csv", params={"kind": "wrong"}).status_code == 400

"""What no HTTP server takes is answered with 400, and is in the log with what is wrong."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totango_sdk.sandbox.malformed import salvage

if TYPE_CHECKING:
    from totango_sdk.sandbox import Sandbox


def ask(sandbox: Sandbox, data: bytes) -> bytes:
    url = httpx.URL(sandbox.url)
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        connection.sendall(data)
        return connection.recv(1000)


LINE = "GET /pixel.gif/?sdr_s=SP-1-1&sdr_o=A&sdr_u=u&sdr_m=M&sdr_a={} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mine/1\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "told", "activity"),
    [
        (LINE.format("Open page").encode(), "has a raw space", "Open page"),
        (LINE.format("Größe").encode(), "has the raw character '\\xf6'", "Größe"),
        (LINE.format("x").encode().replace(b"=x", b"=\xff"), "has the raw character '\\ufffd'", "\ufffd"),
        (b"\x16\x03\x01\x02\x00\x01", "write http:// in place of https://", None),
        (b"hello\r\n\r\n", "it is not HTTP: a request begins with a line such as", None),
        (b"POST /pixel.gif/ HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\nsdr_a=x", "as a server reads it", "x"),
    ],
)
def test_a_malformed_request_is_a_row_with_what_is_wrong(
    sandbox: Sandbox, data: bytes, told: str, activity: str | None
) -> None:
    answer = ask(sandbox, data)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"The sandbox's log says what is wrong" in answer
    (event,) = sandbox.events()
    assert (event["accepted"], event["severity"], event["activity"]) == (False, "error", activity)
    assert event["problems"][0]["field"] == "request"
    assert told in event["problems"][0]["message"]
    assert sandbox.summary()["totals"]["dropped"] == 1


def test_the_agent_and_the_line_are_kept_but_no_token_and_no_cookie(sandbox: Sandbox) -> None:
    data = LINE.format("a b&api-token=hunter2").replace("User-Agent", "Cookie: hunter2\r\nUser-Agent")
    ask(sandbox, data.encode())
    (event,) = sandbox.events()
    details = httpx.get(f"{sandbox.url}events/{event['id']}/details.json", trust_env=False).json()
    assert event["agent"] == "Mine/1"
    assert details["raw"].startswith("GET /pixel.gif/?sdr_s=SP-1-1&sdr_o=A&sdr_u=u&sdr_m=M&sdr_a=a b")
    assert "hunter2" not in str(details)


def test_what_follows_on_the_same_connection_is_kept_too(sandbox: Sandbox) -> None:
    good = b"GET /pixel.gif/?sdr_a=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    url = httpx.URL(sandbox.url)
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        connection.sendall(good)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        connection.sendall(LINE.format("2 2").encode())
        answers = b""
        while chunk := connection.recv(1000):
            answers += chunk
        assert b"HTTP/1.1 400 " in answers
    assert [event["activity"] for event in sandbox.events()] == ["1", "2 2"]


@given(st.binary(max_size=300))
def test_any_bytes_are_salvaged(data: bytes) -> None:
    found = salvage(data)
    assert found.message
    assert "\n" not in found.head.partition("\n")[0]

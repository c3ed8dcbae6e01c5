"""Requests sent again to another collector, and never to Totango by mistake."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from totango_sdk.errors import OptionsError
from totango_sdk.sandbox import Sandbox, running
from totango_sdk.sandbox.resend import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENT = "sdr_s=SP-1-1&sdr_o=A&sdr_u=x%40y.z&sdr_a=Login&sdr_m=App&api-token=hunter2"


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Sandbox, Sandbox]]:
    with running() as here, running() as there:
        yield here, there


@pytest.fixture
def here(both: tuple[Sandbox, Sandbox]) -> Sandbox:
    for each in both:
        each.reset()
        each.faults()
    return both[0]


@pytest.fixture
def http(here: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=here.url, trust_env=False) as client:
        client.post("/pixel.gif/", content=EVENT, headers={"user-agent": "totango-sdk/9"})
        client.get(f"/pixel.gif/?{EVENT}")
        client.post("/pixel.gif/", content=b"sdr_s=\xff&sdr_o")
        yield client


def numbers(http: httpx.Client) -> list[int]:
    return [event["id"] for event in http.get("/events.json").json()["events"]]


def test_many_are_sent_again_as_they_came_but_without_the_token(
    http: httpx.Client, both: tuple[Sandbox, Sandbox]
) -> None:
    told = http.post("/resend", json={"ids": numbers(http), "endpoint": both[1].endpoint}).json()
    assert (told["sent"], told["failed"]) == (3, 0)
    assert {each["status"] for each in told["results"]} == {200}
    sent = both[1].events()
    assert [event["method"] for event in sent] == ["POST", "GET", "POST"]
    assert [event["accepted"] for event in sent] == [True, True, False]
    assert [event["source"] for event in sent] == ["sdk", "other", "other"]
    assert not any("api-token" in event["query"] + event["body"] for event in sent)


def test_what_is_not_taken_is_told_of_each(http: httpx.Client, both: tuple[Sandbox, Sandbox]) -> None:
    both[1].faults("status", status=503)
    (first, *_) = numbers(http)
    told = http.post("/resend", json={"ids": [first], "endpoint": both[1].endpoint}).json()
    assert told == {"sent": 0, "failed": 1, "results": [{"id": first, "status": 503, "error": None}]}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}/"
        told = http.post("/resend", json={"ids": [first], "endpoint": endpoint}).json()
    assert told["results"][0]["status"] is None
    assert "refused" in told["results"][0]["error"]


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ({"ids": [], "endpoint": "http://127.0.0.1:1/"}, 400, "ids is a list of 1 to 1000"),
        ({"ids": "all", "endpoint": "http://127.0.0.1:1/"}, 400, "ids is a list of 1 to 1000"),
        ({"ids": [10**9], "endpoint": "http://127.0.0.1:1/"}, 404, "there is no such event here"),
        ({"ids": [True], "endpoint": "http://127.0.0.1:1/"}, 404, "there is no such event here"),
        ({"ids": [1]}, 403, "endpoint=None is no address"),
        ({"ids": [1], "endpoint": "https://sdr.totango.com/pixel.gif/"}, 403, "confirm=None is not 'sdr.totango.com'"),
    ],
)
def test_what_cannot_be_sent_is_refused(http: httpx.Client, given: dict[str, Any], status: int, told: str) -> None:
    answer = http.post("/resend", json=given)
    assert (answer.status_code, told in answer.json()["error"]) == (status, True)


def test_a_page_of_another_site_sends_nothing_again(http: httpx.Client, both: tuple[Sandbox, Sandbox]) -> None:
    body = {"ids": [1], "endpoint": both[1].endpoint}
    assert http.post("/resend", json=body, headers={"origin": "https://evil.example"}).status_code == 403
    assert both[1].events() == []


@pytest.mark.parametrize(
    "endpoint",
    [
        *("", "127.0.0.1", "ftp://127.0.0.1/", "http://", "http://x y/", "http://user@h/", "http://h:99999/", 5, None),
        *("http://h/?a=b", "http://h/\r\nx", "http://hé/"),
    ],
)
def test_what_is_no_address_is_refused(endpoint: object) -> None:
    with pytest.raises(OptionsError, match="is no address of a collector"):
        Target.of(endpoint)


@pytest.mark.parametrize(
    "host", ["sdr.totango.com", "SDR-eu1.Totango.com", "sdr.totango.com.", "totango.com", "api.totango.com"]
)
def test_totango_is_reached_only_by_https_and_with_its_name_typed_again(host: str) -> None:
    name = host.lower().rstrip(".")
    for confirmed in (None, "", True, "yes", "totango", f"{name} "):
        with pytest.raises(OptionsError, match="Type the host to confirm"):
            Target.of(f"https://{host}/pixel.gif/", confirmed)
    with pytest.raises(OptionsError, match="only reached by https"):
        Target.of(f"http://{host}/pixel.gif/", name)
    assert Target.of(f"https://{host}/pixel.gif/", name).host == name

"""What is said of requests as other clients write them, each by hand after its documentation."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from totango_sdk.sandbox import Sandbox

FORM = "application/x-www-form-urlencoded"
BOUNDARY = "----x"
MULTIPART = "".join(
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    for name, value in (
        ("sdr_s", "SP-1234-01"),
        ("sdr_o", "A"),
        ("sdr_u", "u@x.y"),
        ("sdr_a", "Login"),
        ("sdr_m", "App"),
    )
)


def post(body: str | bytes, content_type: str = FORM, agent: str = "") -> bytes:
    content = body.encode() if isinstance(body, str) else body
    head = (
        f"POST /pixel.gif/ HTTP/1.1\r\nHost: sdr.totango.com\r\nUser-Agent: {agent}\r\nContent-Type: {content_type}\r\n"
    )
    return f"{head}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode() + content


def get(query: str, agent: str = "", host: str = "sdr.totango.com") -> bytes:
    head = f"GET /pixel.gif/?{query} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
    return head.encode()


EVENT = "sdr_s=SP-1234-01&sdr_o=A&sdr_u=u%40x.y&sdr_a=Login&sdr_m=App"
# What came; whether it is accepted; the fields with a problem; what one of these says.
CLIENTS: dict[str, tuple[bytes, bool, list[str], str]] = {
    "the browser's collector, GET, with what it adds for itself": (
        get(f"{EVENT}&sdrurl=http%3A%2F%2Fx%2F&r=0.5", "Mozilla/5.0"), True, [], "",
    ),
    "the browser's collector, attributes on a page with a module": (
        get("sdr_s=SP-1234-01&sdr_o=A&sdr_u=u%40x.y&sdr_m=App&sdr_o.Plan=Gold&r=0.5", "Mozilla/5.0"), True, [], "",
    ),
    "totango-tracker for node, POST": (
        post(f"{EVENT}&sdr_odn=Acme&api-token=hunter2", agent="node"), True, [], "",
    ),
    "totango-tracker for node, attributes with an empty activity": (
        post("sdr_s=SP-1234-01&sdr_o=A&sdr_u=u%40x.y&sdr_a=&sdr_m=&sdr_o.Plan=Gold"), True, [], "",
    ),
    "a Ruby gem, GET, with a plus for each space": (
        get("sdr_s=SP-1234-01&sdr_o=A&sdr_u=u%40x.y&sdr_a=Open+page&sdr_m=My+app", "Ruby"), True, [], "",
    ),
    "a PHP client, brackets for attributes": (
        post(f"{EVENT}&sdr_o%5BStatus%5D=Paying", agent="PHP"), True, ["sdr_o[Status]"], "If 'sdr_o.Status' is meant",
    ),
    "a client that joins attributes by _": (
        post(f"{EVENT}&sdr_o_Status=Paying"), True, ["sdr_o_Status"], "If 'sdr_o.Status' is meant",
    ),
    "a client with a slip in the service's name": (
        post(EVENT.replace("sdr_s", "srd_s")), False, ["service_id", "srd_s"], "If 'sdr_s' is meant",
    ),
    "a client that names things as the browser's options do": (
        post("service_id=SP-1234-01&account=A&user=u%40x.y&activity=Login&module=App"),
        False, ["account", "account", "activity", "module", "service_id", "service_id", "user"], "If 'sdr_a' is meant",
    ),
    "a Java client, JSON": (
        post('{"sdr_s": "SP-1234-01", "sdr_o": "A", "sdr_a": "Login"}', "application/json", "Java/17"),
        False, ["request"], "the body is JSON, which Totango does not read",
    ),
    "a Zapier step, JSON called a form": (
        post('[{"sdr_s": "SP-1234-01"}]'), False, ["request"], "the body is JSON",
    ),
    "a .NET client, multipart": (
        post(f"{MULTIPART}--{BOUNDARY}--", f"multipart/form-data; boundary={BOUNDARY}", ".NET"),
        False, ["request"], "the body is multipart",
    ),
    "a form that its header calls JSON": (
        post(EVENT, "application/json"), True, ["request"], "the header Content-Type calls it 'application/json'",
    ),
    "navigator.sendBeacon, text": (
        post(EVENT, "text/plain;charset=UTF-8", "Mozilla/5.0"), True, ["request"], "calls it 'text/plain'",
    ),
    "a shell script, raw spaces": (
        get(EVENT.replace("Login", "Open page"), "curl/7"), False, ["request"], "its request line has a raw space",
    ),
    "a shell script, raw UTF-8": (
        get(EVENT.replace("Login", "Größe"), "curl/7"), False, ["request"], "its request line has the raw character",
    ),
    "a client in Latin-1": (
        post(EVENT.replace("Login", "Gr%F6%DFe")), True, ["activity"], "has bytes that are not UTF-8",
    ),
    "a CRM, the account's name as the documentation has it": (
        get(f"{EVENT}&sdr_o.account_name=Acme"), True, [], "",
    ),
    "the European endpoint's name": (get(EVENT, host="sdr-eu1.totango.com"), True, [], ""),
}  # fmt: skip


def send(sandbox: Sandbox, data: bytes) -> bytes:
    url = httpx.URL(sandbox.url)
    answer = b""
    with socket.create_connection((url.host, url.port or 0), timeout=10) as connection:
        connection.sendall(data)
        while chunk := connection.recv(10_000):
            answer += chunk
    return answer


def only(sandbox: Sandbox) -> dict[str, Any]:
    (event,) = sandbox.events()
    return event


@pytest.mark.parametrize("client", CLIENTS)
def test_each_client_gets_the_verdict_that_its_request_has(sandbox: Sandbox, client: str) -> None:
    data, accepted, fields, told = CLIENTS[client]
    send(sandbox, data)
    event = only(sandbox)
    assert (event["accepted"], sorted(problem["field"] for problem in event["problems"])) == (accepted, fields)
    assert told in "\n".join(problem["message"] for problem in event["problems"])
    assert "hunter2" not in str(event)


@pytest.mark.parametrize(
    "client",
    ["a Java client, JSON", "a .NET client, multipart", "a client that names things as the browser's options do"],
)
def test_what_was_meant_is_shown_as_a_call(sandbox: Sandbox, client: str) -> None:
    send(sandbox, CLIENTS[client][0])
    details = httpx.get(f"{sandbox.url}events/{only(sandbox)['id']}/details.json", trust_env=False).json()
    for call in (details["python"], details["mend"]["python"]):
        assert call.startswith('totango.track("Login", ')
        assert 'account="A"' in call


def test_the_names_of_totango_are_taken_on_the_path_of_the_endpoint_alone(sandbox: Sandbox) -> None:
    for host in ("sdr.totango.com", "SDR.Totango.com:443", "sdr-eu1.totango.com", "sdr-test.totango.com"):
        assert send(sandbox, get(EVENT, host=host)).startswith(b"HTTP/1.1 200 ")
        for path in ("/", "/events.json", "/collector.js", "/reset"):
            data = get(EVENT, host=host).replace(b"/pixel.gif/?", f"{path}?".encode())
            assert send(sandbox, data).startswith(b"HTTP/1.1 400 ")
    for host in ("sdr.totango.com.evil.example", "evil.totango.com", "xsdr.totango.com", "totango.com"):
        assert send(sandbox, get(EVENT, host=host)).startswith(b"HTTP/1.1 400 ")
    assert len(sandbox.events()) == 4

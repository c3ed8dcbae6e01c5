"""What an address may be is tested with the options, in test_options.py; here, what all others ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from servers import PATIENCE, Collector

from totango_sdk import Totango
from totango_sdk.delivery.transports import Settings
from totango_sdk.delivery.transports.base import Proxy, proxy_for
from totango_sdk.endpoint import is_this_machine, is_totangos, with_path

if TYPE_CHECKING:
    from collections.abc import Iterator

both = pytest.mark.parametrize("transport", ["httpx", "curl"])
PROXY = "http://proxy.example:3128"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Return an environment that names no proxy yet."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.fixture
def here() -> Iterator[Collector]:
    with Collector(host="127.0.0.2") as running:
        yield running


@pytest.fixture
def proxy() -> Iterator[Collector]:
    """Something that takes any request, as a proxy does, and remembers it."""
    with Collector() as running:
        yield running


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.0.0.2", "127.255.255.254", "::1", "[::1]", "0:0:0:0:0:0:0:1"]
)
def test_this_machine_has_its_name_and_its_addresses(host: str) -> None:
    assert is_this_machine(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "10.0.0.1", "126.0.0.1", "128.0.0.1", "::", "::2", "127.0.0.1.example.com", "127.0.0.1:80"]
    + ["localhost.example.com", "mylocalhost", "collector", "sdr.totango.com", "::ffff:127.0.0.1"],
)
def test_nothing_else_is_this_machine(host: str) -> None:
    assert not is_this_machine(host)


def test_what_is_totangos_ends_in_its_name() -> None:
    assert all(map(is_totangos, ("sdr.totango.com", "totango.com", "SDR.Totango.com", "sdr.totango.com.")))
    assert not any(map(is_totangos, ("nottotango.com", "totango.com.example.com", "totango", "")))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/pixel.gif/"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/pixel.gif/"),
        ("https://a.example.com/other", "https://a.example.com/other"),
        ("https://a.example.com/?x", "https://a.example.com/?x"),
        ("https://[", "https://["),
    ],
)
def test_an_endpoint_that_is_only_a_host_gets_totangos_path(given: str, found: str) -> None:
    assert with_path(given) == found


@both
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "option"])
def test_what_is_on_this_machine_is_reached_without_a_proxy(
    transport: str, name: str, environment: pytest.MonkeyPatch, here: Collector, proxy: Collector
) -> None:
    address = f"http://127.0.0.1:{proxy.port}"
    options = {"proxy": address} if name == "option" else {}
    if name != "option":
        environment.setenv(name, address)
    with Totango("SP-1-1", endpoint=here.endpoint, transport=transport, spool="memory", **options) as totango:
        totango.track("Login", account="A", user="U", module="M")
        assert totango.flush(PATIENCE), totango.stats()
    assert [request.line for request in here.requests] == ["POST /pixel.gif/ HTTP/1.1"]
    assert proxy.connections == 0


@both
@pytest.mark.parametrize("name", ["http_proxy", "option"])
def test_what_is_elsewhere_is_reached_by_the_proxy(
    transport: str, name: str, environment: pytest.MonkeyPatch, proxy: Collector
) -> None:
    address = f"http://127.0.0.1:{proxy.port}"
    options: dict[str, str] = {}
    if name == "option":
        options = {"proxy": address}
        environment.setenv("no_proxy", "collector.example")  # what is given goes before the environment
    else:
        environment.setenv(name, address)
    endpoint = "http://collector.example/pixel.gif/"
    with Totango(
        "SP-1-1", endpoint=endpoint, allow_http=True, transport=transport, spool="memory", **options
    ) as totango:
        totango.track("Login", account="A", user="U", module="M")
        assert totango.flush(PATIENCE), totango.stats()
    assert [request.line for request in proxy.requests] == [f"POST {endpoint} HTTP/1.1"]


def test_the_proxy_is_the_one_given_or_else_the_environments(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", PROXY)
    environment.setenv("NO_PROXY", "collector.example")
    assert proxy_for(Settings("https://127.0.0.1:1/", 1, 1, "x")) is None
    assert proxy_for(Settings("https://127.0.0.1:1/", 1, 1, "x", "http://other:1")) is None
    assert proxy_for(Settings("https://collector.example/", 1, 1, "x")) is None
    assert proxy_for(Settings("https://collector.example/", 1, 1, "x", "http://other:1")) == Proxy(
        "http://other:1", "proxy"
    )
    assert proxy_for(Settings("https://sdr.totango.com/", 1, 1, "x")) == Proxy(PROXY, "HTTPS_PROXY")
    assert proxy_for(Settings("https://sdr.totango.com/", 1, 1, "x", "http://other:1")) == Proxy(
        "http://other:1", "proxy"
    )

"""Wrong proxies and certificates: one line that names the setting, no password, and everything waits."""

from __future__ import annotations

from typing import Any

import pytest
from servers import PATIENCE, Collector, response, wait_for

from totango_sdk import Totango
from totango_sdk.delivery.transports import Settings
from totango_sdk.delivery.transports.base import Proxy, proxy_for
from totango_sdk.errors import DeliveryError

SETTINGS = Settings("https://collector.example/", 1, 1, "x")
NAMES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_an_address_without_a_scheme_is_that_of_an_http_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("proxy:3128", "user:geheim@proxy:3128", "proxy", "10.0.0.1:1", "[::1]:3128"):
        monkeypatch.setenv(name, address)
        assert proxy_for(SETTINGS) == Proxy(f"http://{address}", name)


@pytest.mark.parametrize(
    "address", ["http://", "http://:3128", "http://proxy:port", "http://proxy:99999", "ftp://proxy", "http://u:ge#heim@p:1",
                "http://[::1", "http://p/x", "http://a b:1", "http://u:geheim@"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "all_proxy"])
def test_a_wrong_address_is_refused_by_the_name_of_its_setting(
    address: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, address)
    with pytest.raises(DeliveryError, match=f"^{name} is wrong: it is the address of a proxy") as refused:
        proxy_for(SETTINGS)
    assert "geheim" not in str(refused.value) and "heim" not in str(refused.value)


def test_what_stands_before_the_host_is_shown_nowhere() -> None:
    proxy = Proxy("http://marlo:ge%40heim@proxy:1", "HTTPS_PROXY")
    assert proxy.hide("at http://marlo:ge%40heim@proxy:1 with ge@heim and ge%40heim") == (
        "at http://***@proxy:1 with *** and ***"
    )
    assert Proxy("http://proxy:1", "x").hide("http://proxy:1") == "http://proxy:1"


WRONG = {
    "no host": ("HTTPS_PROXY", "http://us:geheim@", "HTTPS_PROXY is wrong"),
    "socks": ("ALL_PROXY", "socks4://us:geheim@127.0.0.1:1", "ALL_PROXY names a socks4 proxy"),
    "certificates": ("SSL_CERT_FILE", "/nowhere", "SSL_CERT_FILE='/nowhere' is wrong"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_once_and_all_goes_out_when_it_is_mended(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, collector: Collector
) -> None:
    variable, value, told = WRONG[name]
    options: dict[str, Any] = {"account": "A", "user": "U", "module": "M", "spool": "memory", "transport": "httpx"}
    monkeypatch.setenv(variable, value)
    client = Totango("SP-1-1", endpoint="https://collector.example/", **options)
    client.track("x")
    wait_for(lambda: told in caplog.text)
    assert client.stats().in_flight == 0 and client.stats().queued == 1
    assert not client.flush(1.2)
    assert len([record for record in caplog.records if told in record.message]) == 1
    assert "geheim" not in caplog.text
    monkeypatch.delenv(variable)
    wait_for(lambda: client.stats().retrying + client.stats().in_flight == 1)  # it is on its way again
    client.close(0)


@pytest.mark.parametrize("transport", ["httpx", "curl"])
def test_a_web_page_for_an_answer_counts_as_delivered_and_is_told_once(
    transport: str, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.plan = lambda _: response(200, b"<html>", Content_Type="text/html; charset=utf-8")
    with Totango(
        "SP-1-1", account="A", user="U", module="M", spool="memory", endpoint=collector.endpoint, transport=transport
    ) as client:
        for number in range(3):
            client.track("x", account=f"A{number}")
        assert client.flush(PATIENCE)
        assert client.stats().delivered == 3
    assert len([record for record in caplog.records if "answers with a web page" in record.message]) == 1
    assert len(collector.requests) == 3

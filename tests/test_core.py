from __future__ import annotations

import sys
from typing import Any

import pytest
from servers import PATIENCE, Collector

from totango_sdk import MemorySpool, Totango
from totango_sdk.assembly import USER_AGENT
from totango_sdk.core import Core
from totango_sdk.options import Options


def core(**options: Any) -> Core:
    return Core(Options.resolve({"service_id": "SP-1-1", "spool": "memory", **options}, {}))


def test_the_user_agent_names_the_sdk_and_its_version() -> None:
    assert USER_AGENT.startswith("totango-sdk/")


@pytest.mark.parametrize("transport", ["auto", "httpx"])
def test_without_pycurl_events_are_carried_by_httpx(
    transport: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("totango_sdk.delivery.transports.choice.has_pycurl", lambda: False)
    with Totango(
        "SP-1-1", account="A", user="U", module="M", spool="memory", endpoint=collector.endpoint, transport=transport
    ) as client:
        client.track("x")
        assert client.flush(PATIENCE)
        assert type(client._core.worker._drive.sender._transport).__name__ == "HttpxTransport"


@pytest.mark.parametrize("transport", ["auto", "curl"])
def test_with_pycurl_events_are_carried_by_curl(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Module:
        CurlTransport = made.append

    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "totango_sdk.delivery.transports.curl", Module)  # type: ignore[arg-type]
    core(transport=transport, timeout=3, max_connections=2).worker._make_sender(MemorySpool())
    (settings,) = made
    assert (settings.timeout, settings.max_connections, settings.user_agent) == (3, 2, USER_AGENT)


def test_what_is_disabled_or_in_memory_is_not_durable() -> None:
    assert not core().worker.spool.durable
    assert not core(disabled=True, spool=None).worker.spool.durable
    assert core(spool=None).worker.spool.durable

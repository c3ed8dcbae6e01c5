"""The peers, each behind the same three calls, with their own defaults.

Every event carries the same: a user, an account, a module, an activity, and a marker that the sink counts. With
`big`, a queue is made large enough that nothing is dropped; without it the peer's default stands.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

USER = "marlo@barksdale.com"
MODULE = "dashboard"
ACCOUNTS = 1_000
BIG_QUEUE = 200_000


@dataclass(frozen=True)
class Tracker:
    """What every subject can do: track event i, hurry, stop."""

    track: Callable[[int], object]
    flush: Callable[[], object]
    close: Callable[[], object]


def marker(i: int) -> str:
    return f"EVT{i:07d}"


def account(i: int) -> str:
    return f"acct-{i % ACCOUNTS}"


def nothing() -> None:
    """For a peer that has no such call."""


def _properties(i: int) -> dict[str, str]:
    return {"module": MODULE, "account_id": account(i), "marker": marker(i)}


def _queue(big: bool) -> dict[str, Any]:
    return {"max_queue_size": BIG_QUEUE} if big else {}


def segment(url: str, big: bool) -> Tracker:
    from segment.analytics import Client

    client = Client("key", host=url, **_queue(big))
    return Tracker(lambda i: client.track(USER, "opened", _properties(i)), client.flush, client.shutdown)


def posthog(url: str, big: bool) -> Tracker:
    from posthog import Posthog

    client = Posthog("phc_key", host=url, **_queue(big))

    def track(i: int) -> object:
        return client.capture("opened", distinct_id=USER, properties=_properties(i))

    return Tracker(track, lambda: client.flush(None), client.shutdown)


def rudder(url: str, big: bool) -> Tracker:
    from rudderstack.analytics import Client

    # Compressed bodies, its default, would hide the markers; without them it is, if anything, faster.
    client = Client("key", host=url, gzip=False, **_queue(big))
    return Tracker(lambda i: client.track(USER, "opened", _properties(i)), client.flush, client.shutdown)


def snowplow(url: str, big: bool) -> Tracker:
    sp: Any = importlib.import_module("snowplow_tracker")  # its type hints export none of these names

    for name in ("snowplow_tracker", "snowplow_tracker.emitters", "snowplow_tracker.tracker"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    capacity: dict[str, Any] = {"buffer_capacity": BIG_QUEUE} if big else {}
    tracker = sp.Tracker("ns", emitters=sp.AsyncEmitter(url, **capacity), app_id="a")

    def track(i: int) -> object:
        event = sp.StructuredEvent(category=MODULE, action="opened", label=marker(i), property_=account(i))
        return tracker.track(event)

    return Tracker(track, lambda: tracker.flush(is_async=False), nothing)


def amplitude(url: str, big: bool) -> Tracker:
    from amplitude import Amplitude, BaseEvent, Config

    client = Amplitude("key", Config(server_url=f"{url}/2/httpapi"))

    def track(i: int) -> object:
        return client.track(BaseEvent("opened", user_id=USER, event_properties=_properties(i)))

    return Tracker(track, client.flush, client.shutdown)


def opentelemetry(url: str, big: bool) -> Tracker:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=f"{url}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter, **_queue(big)))
    tracer = provider.get_tracer("benchmark")

    def track(i: int) -> None:
        tracer.start_span("opened", attributes={"user": USER, **_properties(i)}).end()

    return Tracker(track, provider.force_flush, provider.shutdown)


def totango041(url: str, big: bool) -> Tracker:
    import totango

    client = totango.Totango("SP-1234-01", user_id=USER)
    client.url = f"{url}/pixel.gif/"

    def track(i: int) -> object:
        return client.track(MODULE, f"opened {marker(i)}", account_id=account(i))

    return Tracker(track, nothing, nothing)


@dataclass(frozen=True)
class Peer:
    """A peer: how it is shown, what it is on the package index, what a program imports, how it is made."""

    label: str
    package: str
    imports: str
    make: Callable[[str, bool], Tracker]
    batches: bool = True


_OTEL = "opentelemetry.sdk.trace, opentelemetry.sdk.trace.export, opentelemetry.exporter.otlp.proto.http.trace_exporter"

PEERS: dict[str, Peer] = {
    "segment": Peer("segment", "segment-analytics-python", "segment.analytics", segment),
    "posthog": Peer("posthog", "posthog", "posthog", posthog),
    "rudder": Peer("rudder", "rudder-sdk-python", "rudderstack.analytics", rudder),
    "snowplow": Peer("snowplow (async)", "snowplow-tracker", "snowplow_tracker", snowplow),
    "amplitude": Peer("amplitude", "amplitude-analytics", "amplitude", amplitude),
    "opentelemetry": Peer("opentelemetry", "opentelemetry-sdk", _OTEL, opentelemetry),
    "totango": Peer("totango 0.4.1", "totango", "totango", totango041, batches=False),
}

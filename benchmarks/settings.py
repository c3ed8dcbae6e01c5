"""How much is measured: the default run, a quick look, and the full one."""

from __future__ import annotations

from dataclasses import dataclass, replace

OURS = {"curl": {"transport": "curl"}, "httpx": {"transport": "httpx"}}


@dataclass(frozen=True)
class Settings:
    """Rounds and sizes; every load is bounded in count and in time."""

    name: str = "default"
    rounds: int = 5
    import_rounds: int = 21
    calls: int = 5_000
    warm: int = 200
    seconds: float = 3.0
    pace: int = 1_000
    paced_calls: int = 1_500
    together_calls: int = 20_000
    loop_tasks: int = 1_000
    tasks: int = 6_000
    requests: int = 5_000
    scale: float = 1.0
    backlogs: tuple[int, ...] = (1_000, 20_000)
    burst: int = 20_000
    recorded: int = 100_000  # rows that are read and checked
    sent: int = 20_000  # rows that are sent, in a file and one by one
    mixed: int = 100_000  # rows of which one in a hundred is bad
    audited: int = 100_000  # rows of each of three files
    limit: float = 90.0
    left_out: tuple[str, ...] = ("loss",)

    def count(self, events: int) -> int:
        return max(50, int(events * self.scale))


DEFAULT = Settings()
QUICK = replace(
    DEFAULT,
    name="quick",
    rounds=1,
    import_rounds=3,
    calls=1_000,
    paced_calls=300,
    together_calls=2_000,
    tasks=2_000,
    requests=1_000,
    scale=0.1,
    burst=2_000,
    recorded=50_000,
    sent=5_000,
    mixed=20_000,
    audited=20_000,
    backlogs=(1_000, 5_000),
)
FULL = replace(DEFAULT, name="full", paced_calls=3_000, backlogs=(1_000, 20_000, 1_000_000), mixed=1_000_000,
    audited=1_000_000, limit=600.0, left_out=())


@dataclass(frozen=True)
class Delivery:
    """One row of the delivery table: who, with how many connections, and how many events at each latency."""

    key: str
    label: str
    measure: str
    subject: str
    at_0: int | None
    at_20: int | None
    connections: int = 0
    transport: str = ""
    who: str = "many"  # whose events: see `ours.tracker`

    def events(self, delay_ms: int) -> int | None:
        return self.at_20 if delay_ms else self.at_0


def _ours(transport: str, connections: int, at_0: int | None, at_20: int | None) -> Delivery:
    label = f"totango_sdk, {transport}, {connections} connections"
    return Delivery(f"ours-{transport}-{connections}", label, "deliver", "ours", at_0, at_20, connections, transport)


def _alone(who: str, label: str) -> Delivery:
    label = f"totango_sdk, curl, 16 connections, {label}"
    return Delivery(f"ours-{who}-16", label, "deliver", "ours", 20_000, 1_500, 16, "curl", who)


def _peer(key: str, label: str, at_0: int, at_20: int) -> Delivery:
    return Delivery(key, label, "deliver", key, at_0, at_20)


def _bare(sender: str, label: str, connections: int, at_0: int | None, at_20: int) -> Delivery:
    return Delivery(f"bare-{sender}-{connections}", label, "send", sender, at_0, at_20, connections)


STORED = "stored-curl-32"

# Sizes for a run of one to two seconds each.
DELIVERIES = [
    _ours("curl", 16, 20_000, 1_500),
    _alone("one", "one account alone"),
    _alone("new", "one account alone, each user new, with a name"),
    _ours("curl", 32, 20_000, 3_000),
    Delivery(STORED, "totango_sdk, curl, 32 connections, from a full spool", "drain", "ours", 20_000, None, 32, "curl"),
    _ours("curl", 64, None, 5_000),
    _ours("curl", 256, None, 15_000),
    _ours("curl", 512, None, 30_000),
    _ours("httpx", 16, 3_000, 1_200),
    _ours("httpx", 64, None, 1_500),
    _peer("segment", "segment", 20_000, 5_000),
    _peer("posthog", "posthog", 10_000, 5_000),
    _peer("rudder", "rudder", 20_000, 5_000),
    _peer("snowplow", "snowplow (async)", 5_000, 500),
    _peer("amplitude", "amplitude", 10_000, 10_000),
    _peer("opentelemetry", "opentelemetry", 10_000, 10_000),
    _peer("totango", "totango 0.4.1", 500, 50),
    _bare("httpx", "bare httpx.Client, 16 threads", 16, 1_500, 1_200),
    _bare("httpx-own", "bare httpx.Client, one for each of 16 threads", 16, 1_500, 1_200),
    _bare("curl", "bare CurlMulti, 16 connections", 16, 40_000, 1_500),
    _bare("curl", "bare CurlMulti, 32 connections", 32, 40_000, 3_000),
    _bare("curl", "bare CurlMulti, 64 connections", 64, 40_000, 5_000),
    _bare("curl", "bare CurlMulti, 256 connections", 256, 40_000, 15_000),
    _bare("curl", "bare CurlMulti, 512 connections", 512, None, 30_000),
]

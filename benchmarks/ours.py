"""This project's own client, as the benchmarks use it."""

from __future__ import annotations

from typing import Any

from benchmarks.peers import MODULE, USER, Tracker, account, marker

SERVICE = "SP-1234-01"


def options(url: str, spool: str, **more: Any) -> dict[str, Any]:
    return {
        "service_id": SERVICE,
        "endpoint": f"{url}/pixel.gif/",
        "spool": spool,
        "user": USER,
        "module": MODULE,
        **more,
    }


def tracker(url: str, spool: str, limit: float = 60.0, **more: Any) -> Tracker:
    """`spool` is a directory, or "memory"; events go to 1,000 accounts in turn."""
    from totango_sdk import Totango

    client = Totango(**options(url, spool, **more))

    def track(i: int) -> object:
        return client.track(f"opened {marker(i)}", account=account(i))

    return Tracker(track, lambda: client.flush(limit), client.close)

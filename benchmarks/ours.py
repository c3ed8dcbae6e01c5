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


def tracker(url: str, spool: str, limit: float = 60.0, who: str = "many", **more: Any) -> Tracker:
    """`spool` is a directory, or "memory". `who` is "many" (1,000 accounts in turn), "one" (one account, a user that is
    known), or "new" (one account, each time a new user with a name).
    """
    from totango_sdk import Totango, User

    client = Totango(**options(url, spool, **more))

    def track(i: int) -> object:
        return client.track(f"opened {marker(i)}", account=account(i))

    def track_one(i: int) -> object:
        return client.track(f"opened {marker(i)}", account="acct-1")

    def track_new(i: int) -> object:
        return client.track(f"opened {marker(i)}", account="acct-1", user=User(f"u{i}@example.com", name=f"User {i}"))

    tracks = {"many": track, "one": track_one, "new": track_new}
    return Tracker(tracks[who], lambda: client.flush(limit), client.close)

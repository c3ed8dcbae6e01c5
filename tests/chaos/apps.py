"""What gunicorn, Celery and RQ import: each makes its client, and tracks, before anything forks.

`CHAOS` in the environment is the configuration of a host; see `drive`.
"""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING, Any

from .drive import make_client
from .ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

config: dict[str, Any] = json.loads(os.environ["CHAOS"])
client = make_client(config)
ledger = Ledger(config["ledger"])
_numbers = itertools.count()


def track(count: int, name: str = "after") -> str:
    """Track so many events in this process; each process has a stream of its own."""
    stream = f"{name}-{os.getpid()}"
    for _ in range(count):
        ledger.send(client, stream, next(_numbers), config["accounts"])
    return stream


track(config["before_fork"], "before")  # queued, and under way, when the server forks


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """A WSGI application that tracks some events for each request."""
    stream = track(5)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [stream.encode()]


def job(count: int) -> str:
    """What RQ runs in its work horse."""
    return track(count)

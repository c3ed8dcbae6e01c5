"""What a page that is open hears: server-sent events, a few times a second."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from .faults import FaultSwitch
    from .store import Store

_TICK_SECONDS = 0.1
_STATE_SECONDS = 1.0
_PING_SECONDS = 15.0
_ROWS_AT_ONCE = 1000


async def stream(
    request: Request, store: Store, faults: FaultSwitch, after: int
) -> AsyncIterator[str]:
    """Yield the latest rows behind `after`, and then what comes, until the client leaves.

    A page that is too slow for what comes is told how many rows it has missed.
    """
    resets, said, said_at, heard_at = store.resets, "", 0.0, time.monotonic()
    yield "retry: 1000\n\n"
    while not (store.is_closing or await request.is_disconnected()):
        text = ""
        if store.resets != resets:
            resets = store.resets
            text += _message("reset", {})
        tail = store.tail(after)
        if tail.skipped and after:
            text += _message("skipped", {"count": tail.skipped})
        for at in range(0, len(tail.rows), _ROWS_AT_ONCE):
            rows = tail.rows[at : at + _ROWS_AT_ONCE]
            after = rows[-1][0]
            text += _message("rows", rows, after)
        now = time.monotonic()
        if now - said_at >= _STATE_SECONDS:
            said_at = now
            state = _state(store, faults)
            if state != said:
                said = state
                text += state
        if text or now - heard_at >= _PING_SECONDS:
            heard_at = now
            yield text or ": still here\n\n"
        await asyncio.sleep(_TICK_SECONDS)


def _state(store: Store, faults: FaultSwitch) -> str:
    with store.views() as views:
        totals, tabs = views.totals(store.lost), views.tabs()
    now = faults.now
    seconds = None if now.seconds is None else round(now.seconds)
    return _message(
        "state",
        {"totals": totals, "tabs": tabs, "faults": {**attrs.asdict(now), "seconds": seconds}},
    )


def _message(event: str, data: Any, number: int | None = None) -> str:
    # JSON has no bare line breaks, which would end a message.
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event}\n" + ("" if number is None else f"id: {number}\n") + f"data: {text}\n\n"

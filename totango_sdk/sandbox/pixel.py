"""The endpoint: takes a request of any bytes, and answers as Totango does."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import TYPE_CHECKING

from .arrival import understand
from .copies import head_of
from .malformed import salvage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.types import Receive, Scope, Send

    from .arrival import Arrival
    from .faults import Faults, FaultSwitch
    from .store import Store

BODY_LIMIT = 1_000_000
# What is read, and thrown away, of a body that is too large: a client that is cut off while it
# writes would see a broken connection in place of the answer.
_DRAIN_LIMIT = 16 * BODY_LIMIT
_WRITE_AFTER = 0.05
_WRITE_AT = 500
# In the scope's state, where the server puts the connection: to end one without an answer.
TRANSPORT = "totango.transport"

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
_TAKEN = (
    200,
    (
        (b"content-type", b"image/gif"),
        (b"content-length", b"%d" % len(GIF)),
        (b"cache-control", b"no-store"),
    ),
    GIF,
)
_REASON = b"the body has more than %d bytes; send one event a request\n" % BODY_LIMIT
_TOO_LARGE = (
    413,
    ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_REASON))),
    _REASON,
)
Answer = tuple[int, tuple[tuple[bytes, bytes], ...], bytes]


class Pixel:
    """An ASGI endpoint. It answers 200 and a pixel to everything, but to a body over 1,000,000
    bytes (413).

    What came is in the store before the answer leaves, and in the database a moment later. With
    `faults` it misbehaves on demand.
    """

    def __init__(
        self, store: Store, faults: FaultSwitch, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._faults = faults
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, whole = await _body(receive)
        if not whole:
            return
        if len(body) > BODY_LIMIT:
            await _answer(send, _TOO_LARGE)
            return
        fault = self._faults.draw()
        if scope["method"] != "HEAD":
            self._record(
                scope, body, None if fault is None or fault.mode == "none" else fault.label
            )
        if fault is None:
            await _answer(send, _TAKEN)
        else:
            await _misbehave(fault, scope, receive, send)

    def _record(self, scope: Scope, body: bytes, fault: str | None) -> None:
        path = scope["raw_path"].decode("latin-1")
        headers = scope["headers"]
        self._keep(
            understand(
                time=self._clock(),
                method=scope["method"],
                query=scope["query_string"],
                body=body,
                user_agent=_header(headers, b"user-agent"),
                head=head_of(scope["method"], path, scope["http_version"], headers),
                content_type=_header(headers, b"content-type"),
                fault=fault,
                extra_id_characters=self._store.extra_id_characters,
            )
        )

    def malformed(self, data: bytes) -> None:
        """Record what is no HTTP, as far as it can be read."""
        found = salvage(data)
        self._keep(
            understand(
                time=self._clock(),
                method=found.method,
                query=found.query,
                body=found.body,
                user_agent=found.agent,
                head=found.head,
                malformed=found.message,
                extra_id_characters=self._store.extra_id_characters,
            )
        )

    def _keep(self, arrival: Arrival) -> None:
        waiting = self._store.record(arrival)
        if waiting == 1:
            asyncio.get_running_loop().call_later(_WRITE_AFTER, self._store.flush)
        elif waiting >= _WRITE_AT:
            self._store.flush()


async def _answer(send: Send, answer: Answer) -> None:
    status, headers, content = answer
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _misbehave(fault: Faults, scope: Scope, receive: Receive, send: Send) -> None:
    if fault.mode == "mute":
        await _gone(receive)
        return
    if fault.delay and not await _stays(receive, fault.delay):
        return
    if fault.mode in ("close", "lost"):
        scope["state"][TRANSPORT].abort()
        await _gone(receive)  # or uvicorn logs that there was no answer
    elif fault.mode == "status":
        await _answer(send, _refusal(fault))
    else:
        await _answer(send, _TAKEN)


def _refusal(fault: Faults) -> Answer:
    content = b"this is a fault on demand\n"
    headers: tuple[tuple[bytes, bytes], ...] = (
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(content)),
    )
    if fault.retry_after is not None:
        headers += ((b"retry-after", b"%d" % math.ceil(fault.retry_after)),)
    return fault.status, headers, content


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _stays(receive: Receive, seconds: float) -> bool:
    """Whether the client is still there after so many seconds."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_gone(receive), seconds)
        return False
    return True


async def _body(receive: Receive) -> tuple[bytes, bool]:
    """Return the body, and whether the client stayed until its end.

    Of a body that is too large, only as much is kept as shows that it is.
    """
    body, size, more = b"", 0, True
    while more and size <= _DRAIN_LIMIT:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b"", False
        chunk = message.get("body", b"")
        size += len(chunk)
        if len(body) <= BODY_LIMIT:
            body = body + chunk if body else bytes(chunk)
        more = message.get("more_body", False)
    return body, True


def _header(headers: Iterable[tuple[bytes, bytes]], wanted: bytes) -> str:
    for name, value in headers:
        if name == wanted:
            return str(value.decode("latin-1"))
    return ""

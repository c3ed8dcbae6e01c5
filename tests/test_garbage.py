"""What a call leaves to the garbage collector: nothing.

A cycle of ours keeps what it reaches of the host's until the collector comes by: a request with its body, a session.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.client
import itertools
import signal
import threading
import types
from collections import Counter
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import djangos  # noqa: F401  # sets Django up
import flask
import pytest
import sqlalchemy
import uvicorn
from chaos.servers import free_port
from django.core.asgi import get_asgi_application
from django.test import AsyncClient, Client, override_settings
from django_site import who as django_who
from servers import PATIENCE, Collector, close, wait_for
from sqlalchemy.orm import Session
from starlette.responses import PlainTextResponse

from totango_sdk import AsyncTotango, Identity, InvalidEvent, Totango
from totango_sdk.integrations.django import totango as of_django
from totango_sdk.integrations.flask import TotangoFlask
from totango_sdk.integrations.sqlalchemy import Outbox, metadata
from totango_sdk.integrations.starlette import TotangoMiddleware
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers import Act, Request

OURS = "totango_sdk"
# Python 3.13 has a circle in each exception that httpx makes of another by `contextlib`: with the frames of our sender's
# thread that called it, and nothing of the host's.
HTTPXS = "totango_sdk.delivery.transports.httpx: line"
TIMES = 3


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextlib.contextmanager
def collected() -> Iterator[list[Any]]:
    """Yield a list of what only the collector finds of what happens meanwhile."""
    gc.collect()
    found: list[Any] = []
    with without_collector():
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            yield found
            gc.collect()
            found += gc.garbage
        finally:
            gc.set_debug(0)
            gc.garbage.clear()


def ours(found: list[Any]) -> dict[str, int]:
    """Count what is ours: objects of our classes, our functions, and frames of them.

    What is there less often than it was done is what an earlier test has left.
    """
    counts: Counter[str] = Counter()
    for thing in found:
        module, name = type(thing).__module__, type(thing).__qualname__
        if isinstance(thing, types.FunctionType):
            module, name = thing.__module__, thing.__qualname__
        elif isinstance(thing, types.FrameType):
            module, name = thing.f_globals["__name__"], f"line {thing.f_lineno}"
        if str(module).startswith(OURS):
            counts[f"{module}: {name}"] += 1
    return {name: count for name, count in counts.items() if count >= TIMES and not name.startswith(HTTPXS)}


def leaves_nothing(work: Callable[[], object]) -> None:
    work()  # what is imported and kept at the first time is no garbage
    with collected() as found:
        for _ in range(TIMES):
            work()
    assert ours(found) == {}


def who(_: object) -> Identity:
    return Identity(account="A", user="U")


def test_the_collector_is_watched_for_real() -> None:
    def in_a_circle() -> None:
        identity = who(None)
        circle: list[Any] = [identity]
        circle.append(circle)

    with collected() as found:
        for _ in range(TIMES):
            in_a_circle()
    assert ours(found) == {"totango_sdk.scope: Identity": TIMES}


def calls(client: Totango) -> None:
    client.identify({"id": "A", "plan": "gold"}, {"id": "U", "name": "Avon"}, "P")
    client.track("seen")
    client.track("refused", account="")
    client.set_account_attributes({"id": "A", "seats": 3})
    client.set_user_attributes("A", {"id": "U"})
    client.heartbeat("M")
    with client.context(account="B", user="V"):
        text = client.carry()
    with client.carried(text), client.carried("forged"):
        client.bind(account="C").track("bound")
    client.tracked("done")(lambda: None)()
    client.flush(PATIENCE)
    client.stats()


def fail_half_the_time() -> Callable[[Request], Act]:
    """Refuse some for good, some for now, and close without an answer."""
    acts = itertools.cycle((200, 200, 400, 503, close))
    return lambda _: next(acts)


@pytest.mark.parametrize(("way", "durability"), [("curl", "process"), ("httpx", "power")])
def test_calls_and_their_delivery(way: str, durability: Any, tmp_path: Path, collector: Collector) -> None:
    collector.plan = fail_half_the_time()
    told: list[object] = []
    client = Totango(
        "SP-1-1",
        module="M",
        spool=str(tmp_path),
        durability=durability,
        transport=way,
        endpoint=collector.endpoint,
        allow_http=True,
        on_dead_letter=lambda letter, reason: told.append(reason),
    )
    with client:
        leaves_nothing(lambda: calls(client))
    assert told


def test_what_the_host_raises_and_hears(tmp_path: Path) -> None:
    def before_send(event: Any) -> Any:
        raise RuntimeError(event)

    with Totango("SP-1-1", module="M", spool="memory", account="A", user="U", before_send=before_send) as client:
        leaves_nothing(lambda: client.track("x"))
    with Totango("SP-1-1", module="M", spool="memory", strict=True) as strict:

        def refused() -> None:
            with contextlib.suppress(InvalidEvent):
                strict.track("x", account="")

        leaves_nothing(refused)


class Deadline(Exception):
    """What a signal handler raises."""


def too_late(_: int, __: object) -> None:
    raise Deadline


def test_what_a_signal_handler_raises() -> None:
    def before_send(event: Any) -> Any:
        signal.raise_signal(signal.SIGUSR1)
        return event

    before = signal.signal(signal.SIGUSR1, too_late)
    client = Totango("SP-1-1", module="M", spool="memory", account="A", user="U", before_send=before_send)

    def struck() -> None:
        with pytest.raises(Deadline):
            client.track("x")

    try:
        leaves_nothing(struck)
    finally:
        signal.signal(signal.SIGUSR1, before)
        client.close()


def test_calls_that_are_awaited(tmp_path: Path) -> None:
    client = AsyncTotango("SP-1-1", module="M", spool=str(tmp_path), transport=RecordingTransport())

    async def all_of_them() -> None:
        calls(client.sync)
        await client.identify("A", "U")
        await asyncio.gather(*(client.track("x", account="A", user="U") for _ in range(50)))
        await client.tracked("done")(asyncio.sleep)(0)
        await client.flush(PATIENCE)

    leaves_nothing(lambda: asyncio.run(all_of_them()))
    asyncio.run(client.close())


def test_requests_of_flask_are_gone_when_they_end() -> None:
    client = Totango("SP-1-1", module="M", spool="memory", transport=RecordingTransport())
    totango = TotangoFlask(client=client, identity=who)
    app = flask.Flask("site")
    living: WeakSet[Any] = WeakSet()

    @app.get("/")
    @totango.tracked("done")
    def view() -> str:
        living.add(flask.request._get_current_object())  # type: ignore[attr-defined]
        totango.track("x")
        totango.identify("B")
        with totango.context(account="C"):
            totango.track("y")
        totango.carry()
        return totango.snippet()

    totango.init_app(app)
    browser = app.test_client()
    leaves_nothing(lambda: browser.get("/").close())
    with client, without_collector():
        browser.get("/").close()
        assert not living


def test_rows_of_an_outbox_in_sqlalchemy() -> None:
    engine = sqlalchemy.create_engine("sqlite://")
    metadata.create_all(engine)
    outbox = Outbox(Totango("SP-1-1", module="M", spool="memory", account="A", user="U"))

    def sessions() -> None:
        for end in (Session.commit, Session.rollback):
            with Session(engine) as session:
                outbox(session).track("x")
                outbox(session).bind(account="B").track("y")
                end(session)

    leaves_nothing(sessions)
    engine.dispose()


@pytest.mark.django_db(transaction=True)
def test_requests_of_django() -> None:
    browser, later = Client(), AsyncClient()
    given = {"SERVICE_ID": "SP-1-1", "MODULE": "M", "SPOOL": "memory", "TRANSPORT": RecordingTransport()}
    headers = {"X-Account": "A"}
    with override_settings(TOTANGO=given | {"IDENTITY": django_who.who}):

        def requests() -> None:
            for path in ("track/x", "done/200", "save/commit", "save/rollback", "tracked-save/commit", "page"):
                browser.get(f"/{path}", headers=headers).close()
            asyncio.run(later.get("/atrack/x", headers=headers))
            django_who.asked.clear()

        leaves_nothing(requests)
        of_django.close()


class Kept:
    """Something that belongs to a request."""


@contextlib.contextmanager
def served(app: Any) -> Iterator[int]:
    """Serve an app from a thread of this process."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, timeout_keep_alive=600))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_for(lambda: server.started)
        yield port
    finally:
        server.should_exit = True
        thread.join()


@pytest.mark.parametrize("has_middleware", [False, True])
def test_what_belongs_to_an_asgi_request_does_not_outlive_it(has_middleware: bool) -> None:
    """A server's timer for an idle connection has the context that it was started in, for as long as it is in the loop."""
    living: WeakSet[Kept] = WeakSet()
    client = AsyncTotango("SP-1-1", module="M", spool="memory", transport=RecordingTransport())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        kept = scope["kept"] = Kept()
        living.add(kept)
        if scope["path"] == "/tracks" and has_middleware:
            await client.track("x")
        await PlainTextResponse("ok")(scope, receive, send)

    with served(TotangoMiddleware(app, client=client, identity=who) if has_middleware else app) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        with client.sync, contextlib.closing(connection), without_collector():
            for at in range(20):
                connection.request("GET", "/tracks" if at % 2 else "/")
                assert connection.getresponse().read() == b"ok"
            # The server itself keeps the last one, for the next.
            assert len(living) <= 1


@pytest.mark.django_db(transaction=True)
def test_requests_of_django_do_not_outlive_themselves_under_asgi() -> None:
    living: WeakSet[Any] = WeakSet()

    def remember(request: Any) -> Identity:
        living.add(request)
        return Identity(account="A", user="U")

    transport = RecordingTransport()
    given = {"SERVICE_ID": "SP-1-1", "MODULE": "M", "SPOOL": "memory", "TRANSPORT": transport, "IDENTITY": remember}
    with override_settings(TOTANGO=given), served(get_asgi_application()) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        for at in range(20):
            connection.request("GET", f"/atrack/{at}")
            assert connection.getresponse().read()
        connection.close()
        assert of_django.flush(PATIENCE)
        assert [dict(pairs)["sdr_o"] for pairs in transport.sent] == ["A"] * 20
        gc.collect()  # Django leaves circles of its own
        assert len(living) <= 1
        of_django.close()

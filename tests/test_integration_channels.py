"""Django's Channels: a socket has no request, so each message says whose it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import djangos  # noqa: F401  # sets Django up
import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.asgi import get_asgi_application
from django.test import override_settings
from django_site import who
from servers import PATIENCE

from totango_sdk.integrations.django import totango
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("channels")
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter  # noqa: E402


class Awaiting(AsyncWebsocketConsumer):
    """Tracks each message: as nobody, as an account that it names, or as whoever is carried."""

    async def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        kind, _, rest = text_data.partition(" ")
        if kind == "account":
            with totango.context(account=rest, user="U"):
                await totango.atrack("named")
        elif kind == "carried":
            with totango.carried(rest):
                await totango.atrack("carried")
        else:
            await totango.atrack("alone")
        await self.send(text_data="done")


class Plain(WebsocketConsumer):
    """The same in the threads of plain consumers."""

    def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        kind, _, rest = text_data.partition(" ")
        if kind == "account":
            with totango.context(account=rest, user="U"):
                totango.track("named")
        elif kind == "carried":
            with totango.carried(rest):
                totango.track("carried")
        else:
            totango.track("alone")
        self.send(text_data="done")


@pytest.fixture
def transport() -> Iterator[RecordingTransport]:
    given = {"SERVICE_ID": "SP-1234-01", "MODULE": "Site", "IDENTITY": who.who, "SPOOL": "memory"}
    transport = RecordingTransport()
    who.asked.clear()
    with override_settings(TOTANGO=given | {"TRANSPORT": transport}):
        yield transport
        totango.close()


def sent(transport: RecordingTransport) -> list[tuple[str, str]]:
    assert totango.flush(PATIENCE)
    return [(dict(pairs)["sdr_o"], dict(pairs)["sdr_a"]) for pairs in transport.sent]


async def say(application: Any, *messages: str) -> None:
    """Open a socket that any account could have opened, and say these."""
    scope = {"type": "websocket", "path": "/", "headers": [(b"x-account", b"A")], "subprotocols": []}
    socket = ApplicationCommunicator(application, scope)
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output(PATIENCE))["type"] == "websocket.accept"
    for message in messages:
        await socket.send_input({"type": "websocket.receive", "text": message})
        assert (await socket.receive_output(PATIENCE))["text"] == "done"
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait(PATIENCE)


@pytest.mark.parametrize("consumer", [Awaiting, Plain])
@pytest.mark.django_db(transaction=True)
def test_a_message_is_whoever_the_consumer_says(consumer: Any, transport: RecordingTransport) -> None:
    with totango.context(account="C", user="U"):
        text = totango.carry()
    asyncio.run(say(consumer.as_asgi(), "account B", f"carried {text}", "account D", "nobody"))
    assert sent(transport) == [("B", "named"), ("C", "carried"), ("D", "named")]
    (letter,) = totango.dead_letters()  # nothing of the messages before it, nor of the socket's headers
    assert letter.reason.startswith("account")
    assert who.asked == []


@pytest.mark.django_db(transaction=True)
def test_a_request_beside_a_socket_keeps_its_own_identity(transport: RecordingTransport) -> None:
    application = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": Awaiting.as_asgi()})

    async def ask(account: str) -> None:
        headers = [(b"x-account", account.encode()), (b"host", b"testserver")]
        scope = {"type": "http", "method": "GET", "path": "/atrack/page", "query_string": b"", "headers": headers}
        request = ApplicationCommunicator(application, scope)
        await request.send_input({"type": "http.request"})
        assert (await request.receive_output(PATIENCE))["status"] == 200
        await request.receive_output(PATIENCE)
        await request.wait(PATIENCE)

    async def both() -> None:
        await asyncio.gather(
            *(ask(f"P{at}") for at in range(10)), *(say(application, f"account S{at}") for at in range(10))
        )

    asyncio.run(both())
    expected = [(f"P{at}", "page") for at in range(10)] + [(f"S{at}", "named") for at in range(10)]
    assert sorted(sent(transport)) == sorted(expected)

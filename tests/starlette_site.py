"""A site for the tests of the Starlette integration, served by a real uvicorn."""

import asyncio
import os
import threading
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from totango_sdk import AsyncTotango, Identity
from totango_sdk.integrations.starlette import TotangoMiddleware, get_totango

totango = AsyncTotango("SP-1234-01", module="Site")
asked = []
Client = Annotated[AsyncTotango, Depends(get_totango)]


async def who(connection):
    asked.append(connection)
    await asyncio.sleep(0)
    account = connection.headers.get("X-Account")
    return Identity(account=account, user=f"{account}@x.com") if account else None


app = FastAPI()


def switch_account(request: Request, client: Client) -> None:
    """A dependency that runs in a thread."""
    if account := request.headers.get("X-Switch"):
        client.sync.identify(account)


@app.get("/track/{name}")
async def track(name: str, client: Client) -> str:
    await client.track(name)
    return name


@app.get("/plain/{name}")
def plain(name: str, client: Client) -> str:
    client.sync.track(name)
    return name


@app.get("/switched", dependencies=[Depends(switch_account)])
async def switched(client: Client) -> str:
    await client.track("switched")
    return "ok"


@app.get("/quiet")
async def quiet() -> str:
    return str(len(asked))


@app.get("/senders")
def senders() -> str:
    """Which process this is, and how many senders it has."""
    return f"{os.getpid()} {sum(thread.name == 'totango-sender' for thread in threading.enumerate())}"


@app.api_route("/done/{status}", methods=["GET", "HEAD"])
@totango.tracked("Done", module="Decorated")
async def done(status: int) -> Response:
    if status >= 500:
        raise HTTPException(status)
    return PlainTextResponse("", status)


@app.get("/done-plain")
@totango.tracked("Done plainly")
def done_plainly() -> str:
    return "ok"


@app.get("/stream")
async def stream(client: Client) -> StreamingResponse:
    async def lines():
        for number in range(100):
            await client.track(f"streamed {number}")
            yield "x" * 1000
            await asyncio.sleep(0.01)

    async def later():
        await client.track("in the background")

    return StreamingResponse(lines(), background=BackgroundTask(later))


@app.get("/background")
async def background(client: Client) -> Response:
    task = asyncio.create_task(client.track("from a task"))
    await task
    return PlainTextResponse("ok", background=BackgroundTask(client.track, "in the background"))


@app.websocket("/socket")
async def socket(websocket):
    await websocket.accept()
    for number in range(2):
        await websocket.receive_text()
        await get_totango(websocket).track(f"message {number}")
    await websocket.close()


async def pass_through(request, call_next):
    return await call_next(request)


app.add_middleware(BaseHTTPMiddleware, dispatch=pass_through)
app.add_middleware(TotangoMiddleware, client=totango, identity=who)
app.add_middleware(BaseHTTPMiddleware, dispatch=pass_through)


async def mounted_track(request):
    await get_totango(request).track("mounted")
    return PlainTextResponse(str(os.getpid()))


_inner = Starlette(routes=[Route("/track", mounted_track)])
_inner.add_middleware(TotangoMiddleware, client=totango, identity=who)
outer = Starlette(routes=[Mount("/inner", app=_inner)])

"""What an asynchronous client must not wait for in its loop is done by threads of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from servers import PATIENCE

from totango_sdk import AsyncTotango
from totango_sdk.testing import RecordingTransport
from totango_sdk.threads import Pool

if TYPE_CHECKING:
    from pathlib import Path


def make(spool: Path) -> AsyncTotango:
    return AsyncTotango(
        "SP-1-1", account="A", user="U", module="M", spool=spool, durability="power", transport=RecordingTransport()
    )


def test_calls_do_not_wait_for_a_loops_executor_that_is_full(tmp_path: Path) -> None:
    release = threading.Event()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, release.wait, PATIENCE)
        async with make(tmp_path / "spool") as client:
            ids = await asyncio.wait_for(asyncio.gather(*(client.track(f"x{n}") for n in range(40))), 20)
            assert None not in ids
            assert await client.flush(PATIENCE)
        assert not busy.done()
        release.set()
        await busy

    asyncio.run(work())


def test_a_client_closes_after_the_executor_was_shut_down(tmp_path: Path) -> None:
    async def work() -> None:
        client = make(tmp_path / "spool")
        await client.track("x")
        await asyncio.get_running_loop().shutdown_default_executor()
        assert await client.track("y")
        await client.close()
        assert client.stats().delivered == 2

    asyncio.run(work())


def test_a_flush_that_waits_keeps_no_track_waiting(tmp_path: Path) -> None:
    class Silent(RecordingTransport):
        def poll(self, timeout: float) -> list[object]:  # type: ignore[override]
            threading.Event().wait(min(timeout, 0.05))
            return []

    async def work() -> None:
        client = AsyncTotango(
            "SP-1-1", account="A", user="U", module="M", spool=tmp_path / "s", durability="power", transport=Silent()
        )
        await client.track("x")
        flushes = [asyncio.create_task(client.flush(PATIENCE)) for _ in range(3)]
        assert await asyncio.wait_for(client.track("y"), 10)
        for each in flushes:
            each.cancel()
        await client.close(0.1)

    asyncio.run(work())


def test_what_a_function_raises_is_raised_where_it_is_awaited() -> None:
    def fail() -> None:
        raise LookupError("no")

    async def work() -> None:
        with pytest.raises(LookupError, match="no"):
            await Pool().run(fail)

    asyncio.run(work())


def test_without_a_thread_the_work_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert asyncio.run(Pool().run(int, "7")) == 7

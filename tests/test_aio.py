from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from servers import PATIENCE, Collector

from totango_sdk import Account, AsyncTotango, InvalidEvent, MemorySpool, Stats, Totango, User
from totango_sdk.core import WouldWait
from totango_sdk.testing import RecordingTransport

HERE = Path(__file__).parent


def make(**options: Any) -> tuple[AsyncTotango, RecordingTransport]:
    transport = options.pop("transport", None) or RecordingTransport()
    given: dict[str, Any] = {"account": "A", "user": "U", "module": "M", "spool": "memory", "strict": True}
    return AsyncTotango("SP-1-1", transport=transport, **{**given, **options}), transport


def test_it_has_the_same_calls_with_the_same_arguments_and_defaults() -> None:
    def calls(kind: type) -> dict[str, Any]:
        found = {name: each for name, each in inspect.getmembers(kind, callable) if not name.startswith("_")}
        return {
            name: [str(each) for each in inspect.signature(call).parameters.values()] for name, call in found.items()
        }

    expected = calls(Totango)
    # Where an identity has to be awaited first; the others need not be.
    expected |= {"asnippet": expected["snippet"], "acarry": expected["carry"]}
    assert calls(AsyncTotango) == expected
    awaited = {name for name, each in inspect.getmembers(AsyncTotango, inspect.iscoroutinefunction)}
    assert {name for name in awaited if not name.startswith("_")} == {
        "track",
        "identify",
        "set_account_attributes",
        "set_user_attributes",
        "heartbeat",
        "flush",
        "close",
        "dead_letters",
        "asnippet",
        "acarry",
    }


def test_every_call_does_what_its_sibling_does() -> None:
    async def run(client: AsyncTotango) -> list[object]:
        async with client as entered:
            assert entered is client
            ids = [
                await client.track("x", "N", Account("B", name="Bcme")),
                await client.identify(Account("A", name="Acme"), User("V", name="Vera")),
                await client.track("y"),
                await client.set_account_attributes(Account("C", attributes={"Plan": "Pro"})),
                await client.set_user_attributes("C", User("V", attributes={"Role": "Boss"})),
                await client.heartbeat(),
            ]
            with client.context(account="D"):
                ids.append(await client.track("z"))
            ids.append(await client.bind(account="E").track("z"))
            assert await client.flush(PATIENCE)
            assert await client.dead_letters() == []
            assert client.stats().delivered == len(ids)
        return ids

    client, transport = make()
    ids = asyncio.run(run(client))
    assert all(isinstance(each, str) for each in ids)
    sync_transport = RecordingTransport()
    sync = Totango("SP-1-1", account="A", user="U", module="M", spool="memory", strict=True, transport=sync_transport)
    sync.track("x", "N", Account("B", name="Bcme"))
    sync.identify(Account("A", name="Acme"), User("V", name="Vera"))
    sync.track("y")
    sync.set_account_attributes(Account("C", attributes={"Plan": "Pro"}))
    sync.set_user_attributes("C", User("V", attributes={"Role": "Boss"}))
    sync.heartbeat()
    with sync.context(account="D"):
        sync.track("z")
    sync.bind(account="E").track("z")
    assert sync.flush(PATIENCE)
    sync.close()
    assert sorted(transport.sent) == sorted(sync_transport.sent)


def test_strict_raises_and_otherwise_it_is_a_dead_letter() -> None:
    async def run() -> None:
        client, _ = make()
        with pytest.raises(InvalidEvent):
            await client.track("")
        await client.close()
        client, transport = make(strict=False)
        assert await client.track("") is None
        (letter,) = await client.dead_letters()
        assert letter.reason.startswith("activity: ")
        await client.close()
        assert transport.sent == []

    asyncio.run(run())


def test_without_its_block_the_first_event_opens_the_spool(tmp_path: Path, collector: Collector) -> None:
    async def run() -> None:
        client, _ = make(spool=tmp_path / "spool", transport="httpx", endpoint=collector.endpoint)
        assert threading.active_count() == before
        await asyncio.gather(*(client.track(f"x{number}") for number in range(50)))
        assert await client.flush(PATIENCE)
        await client.close()

    before = threading.active_count()
    asyncio.run(run())
    assert Counter(collector.activities) == Counter(f"x{number}" for number in range(50))


def test_a_client_in_its_block_starts_no_thread_of_its_own_before_the_first_event() -> None:
    async def run() -> None:
        client, _ = make()
        async with client:
            assert "totango-sender" not in {thread.name for thread in threading.enumerate()}
            await client.track("x")
            assert "totango-sender" in {thread.name for thread in threading.enumerate()}

    asyncio.run(run())


def test_a_disabled_client_starts_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        client, transport = make(disabled=True, spool=tmp_path / "spool")
        async with client:
            assert await client.track("x") is None
            assert await client.flush(0)
            assert client.stats() == Stats()
        assert "totango-sender" not in {thread.name for thread in threading.enumerate()}
        assert transport.sent == []

    asyncio.run(run())
    assert not (tmp_path / "spool").exists()


class Slow(MemorySpool):
    """Would always have to wait for the disk."""

    def __init__(self) -> None:
        super().__init__()
        self.waited_in: list[str] = []

    def put(self, items: Any, *, wait: bool = True) -> str | None:
        if not wait:
            return None
        self.waited_in.append(threading.current_thread().name)
        return super().put(items, wait=wait)


def test_what_would_wait_is_done_in_another_thread_with_nothing_said_twice() -> None:
    async def run() -> None:
        spool = Slow()
        client, transport = make(spool=spool, account=Account("A", name="Acme"), strict=False)
        async with client:
            assert await client.track("x")
            assert await client.track("y")
            assert await client.track("") is None
            assert await client.flush(PATIENCE)
            assert len(await client.dead_letters()) == 1
        assert ["sdr_odn" in dict(pairs) for pairs in transport.sent] == [True, False]
        assert len(spool.waited_in) == 3
        assert "MainThread" not in spool.waited_in

    asyncio.run(run())


def test_another_threads_claim_is_not_waited_for() -> None:
    client, transport = make()
    call = client._call("track", "x")
    client._core.worker.start()
    taken, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with client._core.recall.lock:
            taken.set()
            let_go.wait(PATIENCE)

    holder = threading.Thread(target=hold)
    holder.start()
    taken.wait(PATIENCE)
    with pytest.raises(WouldWait) as held:
        client._core.take(call, wait=False)
    let_go.set()
    holder.join()
    assert held.value.go_on()
    client._core.worker.close(PATIENCE)
    assert len(transport.sent) == 1


@pytest.mark.parametrize("spool", ["memory", "disk"])
def test_of_a_thousand_tasks_all_events_arrive_and_the_loop_is_never_late(spool: str, tmp_path: Path) -> None:
    """In a process of its own, in which nothing else runs and nothing is traced.

    What the loop is late by without us, since the machine has others to serve too, does not count.
    """
    command = [sys.executable, str(HERE / "lateness.py"), spool, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_tasks_that_wait_for_their_turn_can_be_cancelled_and_their_loop_can_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("totango_sdk.aio._TURN_SECONDS", -1.0)  # every turn is over at once
    monkeypatch.setattr("totango_sdk.aio._TURN_CALLS", 2)
    client, transport = make()

    async def run(name: str) -> None:
        tasks = [asyncio.create_task(client.track(f"{name}{number}")) for number in range(10)]
        await asyncio.sleep(0)
        tasks[3].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(each, asyncio.CancelledError) for each in found] == [number == 3 for number in range(10)]

    async def abandon() -> None:
        waiting = asyncio.create_task(client.track("never"))
        await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()

    asyncio.run(run("x"))
    asyncio.run(abandon())
    asyncio.run(run("y"))
    asyncio.run(client.flush(PATIENCE))
    asyncio.run(client.close())
    names = {dict(pairs)["sdr_a"] for pairs in transport.sent}
    assert names == {f"{name}{number}" for name in "xy" for number in range(10) if number != 3}

"""The outbox: rows that stand or fall with a transaction, and the relay that hands them over."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sql
from postgres import have_pgbouncer, have_postgres, pgbouncer, postgres
from servers import PATIENCE, Collector, response, wait_for
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateIndex, CreateTable

from totango_sdk import Account, AsyncTotango, OptionsError, Product, SpoolError, Totango, User
from totango_sdk.integrations import relay as relays
from totango_sdk.integrations.outbox import dumps, loads
from totango_sdk.integrations.sqlalchemy import Outbox, metadata
from totango_sdk.testing.plugin import TotangoEvents, totango_events

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from totango_sdk import Event

__all__ = ["totango_events"]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    if not have_postgres():
        pytest.skip("needs PostgreSQL")
    with postgres() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgres", "pgbouncer"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sql.Engine]:
    with contextlib.ExitStack() as stack:
        if request.param == "sqlite":
            made = sql.create_engine(f"sqlite:///{tmp_path}/shop.sqlite3")
        else:
            at = request.getfixturevalue("port")
            if request.param == "pgbouncer" and not have_pgbouncer():
                pytest.skip("needs pgbouncer")
            at = stack.enter_context(pgbouncer(at)) if request.param == "pgbouncer" else at
            address = f"postgresql+psycopg://postgres@127.0.0.1:{at}/postgres"
            made = sql.create_engine(address, connect_args={"prepare_threshold": None})
        metadata.create_all(made)
        yield made
        metadata.drop_all(made)
        made.dispose()


@pytest.fixture
def client(tmp_path: Path, collector: Collector) -> Iterator[Totango]:
    with Totango(
        "SP-1-1", endpoint=collector.endpoint, spool=tmp_path / "spool", module="Shop", account="A", user="U"
    ) as made:
        yield made


@pytest.fixture
def outbox(client: Totango) -> Outbox:
    return Outbox(client)


def rows(engine: sql.Engine) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(sql.text("SELECT id, v, event FROM totango_outbox ORDER BY id")))


def test_an_event_stands_or_falls_with_the_transaction(
    engine: sql.Engine, outbox: Outbox, collector: Collector
) -> None:
    with Session(engine) as session:
        outbox(session).track("rolled back")
        session.flush()
        session.rollback()
        outbox(session).track("kept")
        with contextlib.suppress(ValueError), session.begin_nested():
            outbox(session).track("in a savepoint")
            raise ValueError
        assert rows(engine) == []
        session.commit()
    assert len(rows(engine)) == 1
    assert outbox.relay(engine, once=True) == 1
    assert (rows(engine), collector.activities) == ([], ["kept"])


def test_many_rows_keep_their_order_and_go_once(engine: sql.Engine, outbox: Outbox, collector: Collector) -> None:
    with Session(engine) as session, session.begin():
        for at in range(120):
            outbox(session).set_account_attributes(Account("A", attributes={"at": at}))
            outbox(session).track(f"e{at}")
    assert outbox.relay(engine, once=True, batch=50) == 240
    assert sorted(collector.activities) == sorted(f"e{at}" for at in range(120))
    told = [request.names.get("sdr_o.at") for request in collector.requests if "sdr_o.at" in request.names]
    assert told == [str(at) for at in range(120)]


def test_an_async_session_has_the_same_rows(tmp_path: Path, collector: Collector) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.sqlite3")
    client = AsyncTotango("SP-1-1", endpoint=collector.endpoint, spool=tmp_path / "spool", module="Shop")
    outbox = Outbox(client)

    async def run() -> None:
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        async with AsyncSession(engine) as session, session.begin():
            with client.context(account="A", user="U"):
                assert outbox(session).track("kept") is None
        await engine.dispose()

    asyncio.run(run())
    plain = sql.create_engine(f"sqlite:///{tmp_path}/shop.sqlite3")
    assert outbox.relay(plain, once=True) == 1
    plain.dispose()
    assert collector.activities == ["kept"]


EVENTS: list[dict[str, Any]] = [
    {"kind": "track", "activity": "x", "module": "M", "account": "A", "user": "U"},
    {"kind": "heartbeat", "activity": "__heartbeat", "module": "__system", "account": "A", "user": "u@x.com"},
    {"kind": "account", "account": Account("A", name="Ä" * 128, parent="P", ofid="7", attributes={"b": 1, "a": True})},
    {
        "kind": "identify",
        "account": Account.from_mapping({"id": "A", "Plan": "Pro", "foreign_keys": {"x": "1"}, "parent": "P", "z": ""}),
        "user": User("U", name="N", contact=True, key_contact=False, attributes={"Title": "CEO"}),
        "product": Product("ABC", name="Abc", attributes={"q": 1.5}),
    },
    {"kind": "track", "activity": "x" * 100, "module": "M", "account": "A", "user": "U", "product": Product("B", account_id="AB")},
    {"kind": "user", "account": "A", "user": User("U", attributes={"emoji": "😀\n\t ", "none": None})},
    {"kind": "track", "activity": "x", "module": "M", "user": "U", "account_optional": True},
    {"kind": "track", "activity": "x", "module": "M", "account": "acme.com", "user": "U", "extra_id_characters": "."},
]  # fmt: skip


@pytest.mark.parametrize("given", EVENTS, ids=lambda given: given["kind"])
def test_a_row_makes_the_same_requests_byte_for_byte(given: dict[str, Any]) -> None:
    from totango_sdk import Event
    from totango_sdk.wire import requests

    def bodies(event: Event) -> list[bytes]:
        return [request.body for request in requests("SP-1-1", event, lambda *_: True)]

    event = Event(**given)
    text = dumps(event)
    assert text.isascii()
    assert bodies(loads(text)) == bodies(event)
    assert [each.said for each in (loads(text).account, loads(text).user) if each] == [
        each.said for each in (event.account, event.user) if each
    ]


def test_attributes_are_said_once_by_the_relay(engine: sql.Engine, outbox: Outbox, collector: Collector) -> None:
    for _ in range(2):
        with Session(engine) as session, session.begin():
            outbox(session).track("x", account=Account("B", name="Bcme"))
    outbox.relay(engine, once=True)
    assert [request.names.get("sdr_odn") for request in collector.requests] == ["Bcme", None]


def test_a_newer_row_stays_and_an_unreadable_one_becomes_a_dead_letter(
    engine: sql.Engine, outbox: Outbox, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    with Session(engine) as session, session.begin():
        for name in ("q1", "q2", "c"):
            outbox(session).track(name)
    with engine.begin() as connection:
        connection.execute(sql.text("UPDATE totango_outbox SET v=2 WHERE event LIKE '%vity\":\"q1%'"))
        connection.execute(sql.text("UPDATE totango_outbox SET event='{' WHERE event LIKE '%vity\":\"q2%'"))
    relay = outbox.relay_on(engine)
    assert relay.run(once=True) == 2
    assert collector.activities == ["c"]
    assert [row.v for row in rows(engine)] == [2]
    assert relay.core.stats().dead == 1
    assert "of a newer totango-sdk" in caplog.text
    assert relay.status()[:2] == (1, rows(engine)[0].id)


def test_one_relay_leads_and_a_stand_by_takes_over_from_a_silent_one(
    engine: sql.Engine, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = outbox.relay_on(engine), outbox.relay_on(engine)
    assert (first.batch(), second.batch()) == (0, None)
    assert second.status().leader == first.status().leader is not None
    now = relays.time.monotonic()
    monkeypatch.setattr(relays.time, "monotonic", lambda: now)
    assert second.batch() is None
    now += 14
    assert (second.batch(), first.batch(), second.batch()) == (None, 0, None)
    now += 14.9
    assert second.batch() is None
    now += 0.2
    assert (second.batch(), first.batch()) == (0, None)
    for each in (first, second):
        each.core.worker.close(0)


def test_a_leader_that_ends_is_followed_at_once(engine: sql.Engine, outbox: Outbox) -> None:
    first, second = outbox.relay_on(engine, poll=0.01), outbox.relay_on(engine, poll=0.01)
    running = threading.Thread(target=first.run)
    running.start()
    wait_for(lambda: second.status().beat > 2)
    assert second.run(once=True) == 0  # another leads
    first.stop()
    running.join(PATIENCE)
    third = outbox.relay_on(engine)
    assert third.batch() == 0
    third.core.worker.close(0)


def updates(outbox: Outbox, engine: sql.Engine, *values: int) -> None:
    with Session(engine) as session, session.begin():
        for value in values:
            outbox(session).set_account_attributes(Account("A", attributes={"at": value}))


@pytest.mark.parametrize("leader", ["wakes", "hangs"])
def test_what_a_silent_leader_has_taken_goes_before_what_its_follower_takes(
    leader: str, engine: sql.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, answers = [1000.0], threading.Event()
    monkeypatch.setattr(relays, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def held(connection: socket.socket, _: threading.Event) -> None:
        answers.wait(PATIENCE)
        connection.sendall(response(200))

    with closing(Collector(lambda _: held)) as collector:
        outbox = Outbox(Totango("SP-1-1", endpoint=collector.endpoint, spool=tmp_path / "spool", timeout=PATIENCE))
        first, second = outbox.relay_on(engine), outbox.relay_on(engine)
        updates(outbox, engine, 1, 2)
        assert first.batch() == 2
        updates(outbox, engine, 3)
        assert second.batch() is None
        now[0] += 15.1
        assert second.batch() is None  # it could lead by now, and waits
        now[0] += 29
        assert second.batch() is None
        if leader == "hangs":
            now[0] += 1.1
            assert second.batch() == 1
            answers.set()
        else:
            answers.set()
            assert first.core.flush(PATIENCE)
            assert (first.batch(), second.batch()) == (1, None)
        assert second.core.flush(PATIENCE)
        assert first.core.flush(PATIENCE)
        told = [request.names["sdr_o.at"] for request in collector.requests]
        if leader == "wakes":
            assert told == ["1", "2", "3"]
        else:
            assert sorted(told) == ["1", "2", "3"]
        for each in (first, second):
            each.core.worker.close(0)


def test_what_a_leader_left_that_is_gone_goes_before_what_its_follower_takes(
    engine: sql.Engine, tmp_path: Path
) -> None:
    """Its spool is nobody's any more: the follower, with a spool of its own by then, takes it over first."""
    healthy = threading.Event()
    with closing(Collector(lambda _: 200 if healthy.is_set() else 503)) as collector:
        outbox = Outbox(Totango("SP-1-1", endpoint=collector.endpoint, spool=tmp_path / "spool"))
        first, second = outbox.relay_on(engine), outbox.relay_on(engine)
        updates(outbox, engine, 1, 2)
        assert (first.batch(), second.batch()) == (2, None)
        second.core.worker.start()
        first.stop()
        assert first.run() == 0
        updates(outbox, engine, 3)
        healthy.set()
        assert second.batch() == 1
        assert second.core.flush(PATIENCE)
        told = [request.names["sdr_o.at"] for request in collector.requests]
        assert list(dict.fromkeys(told)) == ["1", "2", "3"]
        second.core.worker.close(0)


def test_rows_stay_while_the_relays_spool_cannot_be_used(
    engine: sql.Engine, tmp_path: Path, collector: Collector
) -> None:
    """In memory they would end with the process, and they are safe where they are."""
    spool = tmp_path / "spool"
    spool.write_text("no directory")
    outbox = Outbox(Totango("SP-1-1", endpoint=collector.endpoint, spool=spool))
    relay = outbox.relay_on(engine)
    updates(outbox, engine, 1)
    for _ in range(2):
        with pytest.raises(
            SpoolError, match=r"rows stay in totango_outbox, .* is not a directory: choose another spool="
        ):
            relay.batch()
    assert len(rows(engine)) == 1
    spool.unlink()
    assert relay.batch() == 1
    assert relay.core.flush(PATIENCE)
    assert [request.names["sdr_o.at"] for request in collector.requests] == ["1"]
    relay.core.worker.close(0)


def test_a_relay_goes_on_when_the_database_is_back(
    tmp_path: Path, outbox: Outbox, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    engine = sql.create_engine(f"sqlite:///{tmp_path}/shop.sqlite3")
    relay = outbox.relay_on(engine, poll=0.01)
    running = threading.Thread(target=relay.run)
    running.start()
    wait_for(lambda: "is tried again" in caplog.text)
    metadata.create_all(engine)
    with Session(engine) as session, session.begin():
        outbox(session).track("x")
    wait_for(lambda: collector.activities == ["x"])
    relay.stop()
    running.join(PATIENCE)
    engine.dispose()


def test_wrong_use_of_a_relay_is_refused(tmp_path: Path) -> None:
    engine = sql.create_engine("sqlite://")
    for wrong in ({"spool": "memory"}, {"disabled": True}):
        client = Totango("SP-1-1", **wrong)
        with pytest.raises(OptionsError, match="relay"):
            Outbox(client).relay(engine)
    client = Totango("SP-1-1", spool=tmp_path)
    for arguments in ({"batch": 0}, {"poll": -1}):
        with pytest.raises(OptionsError, match="is wrong: it is a"):
            Outbox(client).relay(engine, **arguments)
    engine.dispose()


def test_the_tables_are_the_contracts_on_mysql_too() -> None:
    dialect = mysql.dialect()
    made = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    text = " ".join(" ".join(made).split())
    for column in (
        "id BIGINT NOT NULL AUTO_INCREMENT",
        "v SMALLINT NOT NULL",
        "service_id VARCHAR(64) NOT NULL",
        "event LONGTEXT NOT NULL",
        "holder VARCHAR(32) NOT NULL",
        "beat BIGINT NOT NULL",
    ):
        assert column in text
    (index,) = metadata.tables["totango_outbox"].indexes
    assert "(service_id, id)" in str(CreateIndex(index).compile(dialect=dialect))
    for statement in (relays.LEAD, relays.STATE, relays.BEGIN, relays.LEAVE, relays.WAITING, relays.NEWER):
        assert str(sql.text(statement).compile(dialect=dialect)).count("%s") == statement.count(":")


def test_a_test_of_the_host_sees_what_a_session_will_commit(tmp_path: Path, totango_events: TotangoEvents) -> None:
    engine = sql.create_engine(f"sqlite:///{tmp_path}/shop.sqlite3")
    metadata.create_all(engine)
    outbox = Outbox(Totango("SP-1-1", spool="memory", module="Shop"))
    with Session(engine) as session:
        outbox(session).track("gone", account="A", user="U")
        session.rollback()
        outbox(session).track("kept", account="A", user="U")
        assert [event.activity for event in totango_events.events] == ["kept"]
        session.commit()
    assert [event.activity for event in totango_events.events] == ["kept"]
    engine.dispose()


def test_every_call_of_a_sessions_client_makes_a_row(engine: sql.Engine, outbox: Outbox, client: Totango) -> None:
    with Session(engine) as session, session.begin():
        outbox(session).bind(account="B", module="Bound").track("bound")
        with outbox(session).context(account="C"):
            outbox(session).heartbeat()
        outbox(session).tracked("decorated")(int)()
        outbox(session).set_user_attributes("D", User("U", name="Marlo"))
    events = [loads(text) for _, _, text in rows(engine)]
    assert [event.account and event.account.id for event in events] == ["B", "C", "A", "D"]
    assert [event.module for event in events] == ["Bound", "Shop", "Shop", None]
    assert client.stats().accepted == 0

"""Django's outbox: one statement for an event, the same tables as SQLAlchemy's, and the command."""

from __future__ import annotations

import asyncio
import json
from io import StringIO
from typing import TYPE_CHECKING, Any

import djangos  # noqa: F401  # sets Django up
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import AsyncClient, Client, override_settings
from django_site import who

from totango_sdk import InvalidEvent
from totango_sdk.integrations.django import relay, totango
from totango_sdk.integrations.sqlalchemy import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers import Collector

COMMITS = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _site(tmp_path: Path, collector: Collector) -> Iterator[None]:
    given = {"SERVICE_ID": "SP-1234-01", "MODULE": "Site", "IDENTITY": who.who, "OUTBOX": True}
    with override_settings(TOTANGO=given | {"SPOOL": str(tmp_path / "spool"), "ENDPOINT": collector.endpoint}):
        yield
        totango.close()
    who.asked.clear()


def waiting() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT event FROM totango_outbox ORDER BY id")
        return [json.loads(row[0]).get("activity") for row in cursor.fetchall()]


@COMMITS
@pytest.mark.parametrize(
    ("how", "stored"), [("all", ["kept", "inner", "behind"]), ("inner", ["kept", "behind"]), ("outer", ["behind"])]
)
def test_a_row_stands_or_falls_with_the_transaction(how: str, stored: list[str], collector: Collector) -> None:
    assert Client().get(f"/save/{how}", headers={"X-Account": "A"}).status_code == 200
    assert waiting() == stored
    assert relay(once=True) == len(stored)
    assert waiting() == []
    assert sorted(collector.activities) == sorted(stored)


@COMMITS
def test_an_event_is_one_insert_and_no_other_statement(django_assert_num_queries: Callable[[int], Any]) -> None:
    with django_assert_num_queries(1):
        assert totango.track("x", account="A", user="U")
    with transaction.atomic(), django_assert_num_queries(1):
        totango.track("y", account="A", user="U")


@COMMITS
def test_what_tracked_and_awaited_calls_make_are_rows_too(tmp_path: Path) -> None:
    async def run() -> None:
        browser = AsyncClient()
        for path in ("/atrack/x", "/adone/200", "/adone/404", "/done/200"):
            await browser.get(path, headers={"X-Account": "A"})

    asyncio.run(run())
    assert waiting() == ["x", "Done later", "Done"]
    assert not (tmp_path / "spool").exists()


@COMMITS
def test_an_invalid_event_is_a_dead_letter_at_once() -> None:
    assert totango.track("x") is None
    assert waiting() == []
    assert len(totango.dead_letters()) == 1


@COMMITS
def test_a_row_that_cannot_be_inserted_raises_as_any_statement() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE totango_outbox RENAME TO away")
    try:
        with pytest.raises(Exception, match="totango_outbox"):
            totango.track("x", account="A", user="U")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE away RENAME TO totango_outbox")


@COMMITS
def test_the_command_tells_and_hands_over() -> None:
    totango.track("x", account="A", user="U")
    told = StringIO()
    call_command("totango_relay", "--status", "--json", stdout=told)
    found = json.loads(told.getvalue())
    assert (found["service_id"], found["waiting"], found["leader"]) == ("SP-1234-01", 1, None)
    told = StringIO()
    call_command("totango_relay", "--once", stdout=told)
    assert told.getvalue() == "1 handed over, 0 dead, 0 left in the spool\n"
    told = StringIO()
    call_command("totango_relay", "--status", stdout=told)
    assert told.getvalue() == "SP-1234-01: 0 waiting\nno relay leads\n"
    with override_settings(TOTANGO={"SERVICE_ID": "SP-1-1", "SPOOL": "memory"}):
        with pytest.raises(CommandError, match="spool='memory' is wrong") as raised:
            call_command("totango_relay")
        assert raised.value.returncode == 2


@COMMITS
def test_the_command_says_why_rows_stay(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("no directory")
    totango.track("x", account="A", user="U")
    settings = {"SERVICE_ID": "SP-1234-01", "OUTBOX": True, "SPOOL": str(tmp_path / "spool")}
    with override_settings(TOTANGO=settings):
        with pytest.raises(CommandError, match="rows stay in totango_outbox, .* is not a directory") as raised:
            call_command("totango_relay", "--once")
        assert raised.value.returncode == 2
        told = StringIO()
        call_command("totango_relay", "--status", stdout=told)
        assert told.getvalue().startswith("SP-1234-01: 1 waiting")


@COMMITS
def test_both_kinds_have_one_table() -> None:
    with connection.cursor() as cursor:
        for table in metadata.sorted_tables:
            described = connection.introspection.get_table_description(cursor, table.name)
            assert sorted(column.name for column in described) == sorted(column.name for column in table.columns)
            indexes = connection.introspection.get_constraints(cursor, table.name)
            for index in table.indexes:
                assert indexes[index.name]["columns"] == [column.name for column in index.columns]


@COMMITS
def test_the_migrations_are_those_of_the_models() -> None:
    call_command("makemigrations", "totango", "--check", "--dry-run", verbosity=0)


@COMMITS
def test_strict_raises_for_an_invalid_event() -> None:
    with (
        override_settings(TOTANGO={"SERVICE_ID": "SP-1-1", "STRICT": True, "OUTBOX": True}),
        pytest.raises(InvalidEvent),
    ):
        totango.track("x")

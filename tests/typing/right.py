"""What a host writes. All of it must pass `mypy --strict`."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, assert_type

import attrs

from totango_sdk import (
    Account,
    Answer,
    AsyncTotango,
    DeadLetter,
    Event,
    InvalidEvent,
    MemorySpool,
    Problem,
    Product,
    Stats,
    Totango,
    User,
    check_id,
    product_account_id,
    salesforce_id,
)
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from totango_sdk.testing.plugin import TotangoEvents


def change(event: Event) -> Event | None:
    return None if event.activity == "secret" else attrs.evolve(event, activity="x")


def bury(letter: DeadLetter, reason: str) -> None:
    print(letter.input, letter.reason, reason)


class MyTransport:
    def submit(self, ticket: int, body: bytes) -> None: ...

    def poll(self, timeout: float) -> list[Answer]:
        return [Answer(1, 200)]

    def close(self) -> None: ...


acme = Account(
    "819332",
    name="Acme",
    parent="1",
    foreignkeyid=salesforce_id("0012000000msDD0"),
    attributes={"Plan": "Gold", "Seats": 5, "Since": date(2026, 1, 1), "Value": Decimal(1), "Trial": False, "x": None},
)
client = Totango(
    "SP-0000-00",
    account=acme,
    product=Product(id="ABC", module="Billing"),
    user=User(id="marlo@barksdale.com", name="Marlo", contact=True),
    module="Billing",
    region="eu1",
    spool=MemorySpool(),
    transport=MyTransport(),
    attributes_ttl=0,
    max_rate=5,
    before_send=change,
    on_dead_letter=bury,
)
page: Mapping[str, object] = {"service_id": "SP-0000-00", "account": {"id": "A"}}
assert_type(Totango.from_options(page, transport=RecordingTransport(), strict=True), Totango)
assert_type(Totango.from_env(disabled=True), Totango)
assert_type(client.track("Login"), str | None)
assert_type(client.track("Login", "App", "654321", {"id": "u", "name": "U"}, "P"), str | None)
assert_type(client.identify(Account(id="1"), product={"id": "P"}), str | None)
assert_type(client.set_account_attributes(acme), str | None)
assert_type(client.set_user_attributes(None, "u"), str | None)
assert_type(client.heartbeat(), str | None)
assert_type(client.bind(account="A", module="M"), Totango)
assert_type(client.flush(timeout=1), bool)
assert_type(client.stats(), Stats)
assert_type(client.stats().oldest_age, float | None)
assert_type(client.dead_letters(), list[DeadLetter])
with client.context(user="U"):
    client.track("x")
with client as entered:
    assert_type(entered, Totango)
try:
    client.track("x")
except InvalidEvent as error:
    assert_type(error.problems, tuple[Problem, ...])
assert_type(check_id("account", "A"), list[Problem])
assert_type(product_account_id("A", "P"), str)


async def main() -> None:
    async with AsyncTotango("SP-0000-00") as totango:
        assert_type(totango, AsyncTotango)
        assert_type(await totango.track("x"), str | None)
        assert_type(await totango.flush(), bool)
        assert_type(totango.bind(account="A"), AsyncTotango)
        with totango.context(account="A"):
            await totango.identify()


def test_something(totango_events: TotangoEvents) -> None:
    assert_type(totango_events.client, Totango)
    assert_type(totango_events.assert_tracked("x", account="A"), Event)

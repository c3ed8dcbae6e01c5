"""Who a call is about within a request, without any framework."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pytest

from totango_sdk import Account, AsyncTotango, Event, Identity, InvalidEvent, Totango
from totango_sdk.scope import Scope
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Callable

current: ContextVar[Scope | None] = ContextVar("current", default=None)


class Request(Scope):
    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer
        self.asked = 0

    def ask(self) -> object:
        self.asked += 1
        answer = self.answer() if callable(self.answer) else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer


class Kept(list[Event]):
    def __call__(self, event: Event) -> Event:
        self.append(event)
        return event

    @property
    def who(self) -> list[tuple[str | None, str | None]]:
        return [(each.account and each.account.id, each.user and each.user.id) for each in self]


@pytest.fixture
def events() -> Kept:
    return Kept()


@pytest.fixture
def client(events: Kept) -> Iterator[Totango]:
    made = Totango("SP-1-1", module="M", spool="memory", transport=RecordingTransport(), before_send=events)
    made._who.follow(current.get)
    with made:
        yield made


@pytest.fixture
def enter() -> Iterator[Callable[[Any], Request]]:
    tokens = []

    def entered(answer: Any) -> Request:
        request = Request(answer)
        tokens.append(current.set(request))
        return request

    yield entered
    for token in reversed(tokens):
        current.reset(token)


def test_a_request_is_asked_once_and_only_when_something_is_tracked(
    client: Totango, events: Kept, enter: Callable[[Any], Request]
) -> None:
    request = enter(Identity(account="A", user="U"))
    assert request.asked == 0
    client.track("x")
    client.track("y")
    assert (request.asked, events.who) == (1, [("A", "U"), ("A", "U")])


def test_an_id_that_an_option_allows_is_no_reason_to_ask_again(enter: Callable[[Any], Request]) -> None:
    request = enter(Identity(account="acme.com", user="U"))
    transport = RecordingTransport()
    with Totango("SP-1-1", module="M", spool="memory", transport=transport, extra_id_characters=".") as client:
        client._who.follow(current.get)
        assert [client.track("x"), client.track("y")].count(None) == 0
        assert client.flush(30)
    assert request.asked == 1


def test_a_mapping_serves_as_an_identity(client: Totango, events: Kept, enter: Callable[[Any], Request]) -> None:
    enter({"account": {"id": "A", "name": "Acme"}, "user": "U", "module": "N"})
    client.track("x")
    assert events.who == [("A", "U")]
    assert events[0].module == "N"


def test_a_call_that_says_whose_it_is_never_asks(
    client: Totango, events: Kept, enter: Callable[[Any], Request]
) -> None:
    request = enter(Identity(account="A", user="U"))
    client.track("x", account="B", user="V")
    client.set_account_attributes({"id": "B", "Plan": "Pro"})
    with client.context(account="C", user="W"):
        client.track("x")
    assert request.asked == 0
    assert events.who == [("B", "V"), ("B", None), ("C", "W")]


def test_a_block_in_a_request_starts_from_its_identity(
    client: Totango, events: Kept, enter: Callable[[Any], Request]
) -> None:
    enter(Identity(account="A", user="U"))
    with client.context(account="B"):
        client.track("x")
    bound = client.bind(user="V")
    current.set(None)
    bound.track("x")
    assert events.who == [("B", "U"), ("A", "V")]


def test_nobody_is_dropped_and_counted_and_asked_again(
    client: Totango, events: Kept, enter: Callable[[Any], Request], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    request = enter(None)
    for _ in range(1000):
        assert client.track("x") is None
    assert (client.stats().dropped, client.dead_letters(), len(caplog.records)) == (1000, [], 1)
    request.answer = Identity(account="A", user="U")
    assert client.track("x")
    assert events.who == [("A", "U")]


@pytest.mark.parametrize("answer", [ValueError("no session"), 42, {"acount": "A"}, Identity(account="A B", user="U")])
def test_a_failure_is_a_dead_letter_with_its_reason(
    client: Totango, enter: Callable[[Any], Request], answer: Any
) -> None:
    request = enter(answer)
    assert client.track("x") is None
    assert client.track("y") is None
    assert request.asked == 2
    first, second = client.dead_letters()
    expected = "an account ID has only" if isinstance(answer, Identity) else "the identity function"
    assert expected in first.reason
    assert first.input is not None and second.input is not None
    assert (first.input["activity"], second.input["activity"]) == ("x", "y")


def test_a_strict_client_raises_for_a_failure(enter: Callable[[Any], Request]) -> None:
    client = Totango("SP-1-1", module="M", spool="memory", strict=True, transport=RecordingTransport())
    client._who.follow(current.get)
    enter(ValueError("no session"))
    with pytest.raises(InvalidEvent, match="no session"):
        client.track("x")
    client.close()


def test_an_identity_function_that_tracks_ends(client: Totango, events: Kept, enter: Callable[[Any], Request]) -> None:
    def who() -> Identity:
        client.track("within")
        return Identity(account="A", user="U")

    enter(who)
    assert client.track("x")
    assert events.who == [("A", "U")]
    (letter,) = client.dead_letters()
    assert "itself tracks" in letter.reason


def test_identify_changes_the_request_for_all_its_threads(
    client: Totango, events: Kept, enter: Callable[[Any], Request]
) -> None:
    request = enter(None)
    other = threading.Thread(target=lambda: (current.set(request), client.identify("B", "V")))
    other.start()
    other.join()
    client.track("x")
    assert events.who == [("B", "V"), ("B", "V")]
    current.set(None)
    assert client.track("x") is None


def test_tracked_waits_for_the_status(client: Totango, events: Kept, enter: Callable[[Any], Request]) -> None:
    @client.tracked("Shared", module="Docs")
    def view(number: int) -> int:
        """A view."""
        return number + 1

    assert (view.__name__, view.__doc__) == ("view", "A view.")
    for status, method, stored in ((200, "GET", 1), (302, "POST", 1), (404, "GET", 0), (200, "HEAD", 0)):
        request = enter(Identity(account="A", user="U"))
        before = client.stats().accepted
        assert view(1) == 2
        assert client.stats().accepted == before
        for store in request.answered(status, method):
            store()
        assert client.stats().accepted == before + stored


def test_tracked_elsewhere_tells_what_returned_and_not_what_raised(client: Totango, events: Kept) -> None:
    @client.tracked("Paid")
    def pay(amount: int) -> None:
        if amount < 0:
            raise ValueError(amount)

    @client.tracked("Paid later")
    async def pay_later() -> str:
        return "done"

    with client.context(account="A", user="U"):
        pay(1)
        with pytest.raises(ValueError, match="-1"):
            pay(-1)
        assert asyncio.run(pay_later()) == "done"
    assert [event.activity for event in events] == ["Paid", "Paid later"]


class Awaited(Request):
    must_be_awaited = True

    async def ask_later(self) -> object:
        await asyncio.sleep(0)
        return super().ask()

    def ask(self) -> object:
        raise RuntimeError("use await")


def test_an_async_client_awaits_the_identity_and_its_twin_shares_it(events: Kept) -> None:
    async def run() -> None:
        client = AsyncTotango("SP-1-1", module="M", spool="memory", transport=RecordingTransport(), before_send=events)
        client._who.follow(current.get)
        request = Awaited(Identity(account="A", user="U"))
        current.set(request)
        async with client:
            await asyncio.gather(*(client.track("x") for _ in range(20)))
            client.sync.track("y")
            assert request.asked == 1
            client.sync.identify(user="V")
            await client.track("z")

    asyncio.run(run())
    assert events.who[:21] == [("A", "U")] * 21
    assert events.who[-1] == ("A", "V")


class Unreadable(Mapping[str, Any]):
    """A mapping of the host's, as a lazy one whose source is gone."""

    def __getitem__(self, name: str) -> Any:
        raise ConnectionError("gone")

    def __iter__(self) -> Iterator[str]:
        raise ConnectionError("gone")

    def __len__(self) -> int:
        return 2


@pytest.mark.parametrize("is_awaited", [False, True], ids=["plain", "awaited"])
def test_a_mapping_that_cannot_be_read_is_a_failure(is_awaited: bool, events: Kept) -> None:
    client = AsyncTotango("SP-1-1", module="M", spool="memory", transport=RecordingTransport(), before_send=events)
    client._who.follow(current.get)

    async def main() -> None:
        current.set(Awaited(Unreadable()) if is_awaited else Request(Unreadable()))
        assert await client.track("x") is None
        (letter,) = await client.dead_letters()
        assert "the identity function raised ConnectionError" in letter.reason
        await client.close()

    asyncio.run(main())


@pytest.mark.parametrize("answer", [None, ValueError("no")], ids=["nobody", "failure"])
def test_a_client_bound_where_nobody_is_known_sends_what_says_whose_it_is(
    answer: Any, client: Totango, events: Kept, enter: Callable[[Any], Request]
) -> None:
    enter(answer)
    client.bind(account="A", user="U").track("bound to both")
    half = client.bind(account="B")
    half.track("a user is lacking")
    half.track("named", user="V")
    half.set_account_attributes(Account("B", attributes={"Plan": "Gold"}))
    with half.context(user="W"):
        half.track("in a block")
        assert half.carry() == '{"v":1,"s":"SP-1-1","a":"B","u":"W","m":"M"}'
    assert half.carry() is None
    client.bind(module="N").track("all named", account="C", user="X")
    assert events.who == [("A", "U"), ("B", "V"), ("B", None), ("B", "W"), ("C", "X")]
    stats = client.stats()
    assert stats.dropped + stats.dead == 1


def test_what_is_tracked_once_the_status_is_known_goes_by_it(
    client: Totango, events: Kept, enter: Callable[[Any], Request]
) -> None:
    for status in (200, 500):
        request = enter({"account": "A", "user": "U"})
        before = client.stats().accepted
        assert request.answered(status) == []
        client.tracked("Sent later")(int)()
        assert client.stats().accepted == before + (status == 200)


class Called:
    async def __call__(self, amount: int) -> int:
        await asyncio.sleep(0)
        if amount < 0:
            raise ValueError(amount)
        return amount


def test_an_object_whose_call_is_async_is_tracked_when_it_has_returned(client: Totango, events: Kept) -> None:
    pay = client.tracked("Paid")(Called())
    with client.context(account="A", user="U"):
        with pytest.raises(ValueError, match="-1"):
            asyncio.run(pay(-1))
        assert len(events) == 0
        assert asyncio.run(pay(1)) == 1
    assert [event.activity for event in events] == ["Paid"]

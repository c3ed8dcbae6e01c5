from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest
from strikes import strikes

from totango_sdk import Account, Event, Product, Totango, User
from totango_sdk.scope import Defaults
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class Kept(list[Event]):
    """Keeps each event, and lets it go on."""

    def __call__(self, event: Event) -> Event:
        self.append(event)
        return event

    @property
    def who(self) -> list[tuple[Any, ...]]:
        return [
            (
                event.account and event.account.id,
                event.user and event.user.id,
                event.product and event.product.id,
                event.module,
            )
            for event in self
        ]


@pytest.fixture
def events() -> Kept:
    return Kept()


@pytest.fixture
def client(events: Kept) -> Iterator[Totango]:
    with Totango(
        "SP-1-1",
        account="A",
        user="U",
        module="M",
        spool="memory",
        transport=RecordingTransport(),
        strict=True,
        before_send=events,
    ) as client:
        yield client


def test_within_a_block_every_call_has_its_defaults_and_after_it_none(client: Totango, events: Kept) -> None:
    with client.context(account="B", user="V", product="P", module="N"):
        client.track("x")
        client.track("x", account="C", module="O")
    client.track("x")
    assert events.who == [("B", "V", "P", "N"), ("C", "V", "P", "O"), ("A", "U", None, "M")]


def test_what_a_block_does_not_name_stays(client: Totango, events: Kept) -> None:
    with client.context(user="V"):
        client.track("x")
    assert events.who == [("A", "V", None, "M")]


def test_blocks_nest(client: Totango, events: Kept) -> None:
    with client.context(account="B"):
        with client.context(user="V"):
            client.track("x")
        client.track("x")
    client.track("x")
    assert events.who == [("B", "V", None, "M"), ("B", "U", None, "M"), ("A", "U", None, "M")]


def test_an_exception_ends_a_block(client: Totango, events: Kept) -> None:
    with pytest.raises(ZeroDivisionError), client.context(account="B"):
        _ = 1 / 0
    client.track("x")
    assert events.who == [("A", "U", None, "M")]


def test_a_block_can_be_entered_again_and_within_itself(client: Totango, events: Kept) -> None:
    block = client.context(account="B")
    with block:
        with block:
            client.track("x")
        client.track("x")
    with block:
        client.track("x")
    client.track("x")
    assert [who[0] for who in events.who] == ["B", "B", "B", "A"]


def test_identify_within_a_block_is_over_with_it(client: Totango, events: Kept) -> None:
    with client.context(account="B"):
        with client.context(user="V"):
            client.identify("C", "W")
            client.track("x")
        client.track("x")
        client.identify("D")
        client.track("x")
    client.track("x")
    tracked = [who for who, event in zip(events.who, events, strict=True) if event.kind == "track"]
    assert tracked == [("C", "W", None, "M"), ("B", "U", None, "M"), ("D", "U", None, "M"), ("A", "U", None, "M")]


def test_identify_outside_of_a_block_stays(client: Totango, events: Kept) -> None:
    client.identify("B", "V")
    client.track("x")
    with client.context(module="N"):
        client.track("x")
    assert events.who[1:] == [("B", "V", None, "M"), ("B", "V", None, "N")]


def test_threads_do_not_see_each_others_blocks(client: Totango, events: Kept) -> None:
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for _ in range(50):
            with client.context(account=f"A{number}", user=f"U{number}"):
                client.identify(product=f"P{number}")
                client.track("x")
            client.track("y")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for event, who in zip(events, events.who, strict=True):
        assert who[:3] == (
            ("A", "U", None) if event.activity == "y" else tuple(f"{each}{who[0][1:]}" for each in "AUP")
        )


def test_tasks_do_not_see_each_others_blocks_and_inherit_those_around_them(client: Totango, events: Kept) -> None:
    async def work(number: int) -> None:
        client.track("before")
        with client.context(user=f"U{number}"):
            await asyncio.sleep(0)
            client.identify(product=f"P{number}")
            await asyncio.sleep(0)
            client.track(f"task{number}")
        client.track("after")

    async def run() -> None:
        with client.context(account="B"):
            await asyncio.gather(*(work(number) for number in range(20)))
            client.track("after all")

    asyncio.run(run())
    client.track("outside")
    for event, who in zip(events, events.who, strict=True):
        assert event.activity is None or who[0] == ("A" if event.activity == "outside" else "B")
        if event.activity is not None and event.activity.startswith("task"):
            number = event.activity.removeprefix("task")
            assert who[1:3] == (f"U{number}", f"P{number}")
        elif event.kind == "track":
            assert who[1:3] == ("U", None)


def test_a_block_belongs_to_one_client(client: Totango, events: Kept) -> None:
    bound = client.bind(module="N")
    with client.context(account="B"):
        bound.track("x")
        client.track("x")
    with bound.context(account="C"):
        bound.track("x")
        client.track("x")
    assert [who[0] for who in events.who] == ["A", "B", "C", "A"]


def test_what_is_bound_within_a_block_keeps_its_defaults(client: Totango, events: Kept) -> None:
    with client.context(account="B"):
        bound = client.bind(user="V")
    bound.track("x")
    assert events.who == [("B", "V", None, "M")]


def test_a_block_may_be_left_in_another_context_than_it_was_entered_in(client: Totango, events: Kept) -> None:
    block = client.context(account="B")
    here = contextvars.copy_context()
    here.run(block.__enter__)
    here.run(client.track, "inside")
    there = contextvars.copy_context()
    there.run(block.__exit__, None, None, None)
    there.run(client.track, "outside")
    with block:
        there = contextvars.copy_context()
        there.run(block.__exit__, None, None, None)
        there.run(client.track, "outside")
        client.track("inside")
    assert [who[0] for who in events.who] == ["B", "A", "A", "B"]


def test_of_generators_that_take_turns_each_takes_its_own_block_away(client: Totango, events: Kept) -> None:
    def within(account: str) -> Iterator[None]:
        with client.context(account=account):
            yield
        yield

    first, second = within("B"), within("C")
    for generator, then in ((first, "B"), (second, "C"), (first, "C"), (second, "A")):
        next(generator)
        client.track(f"then {then}")
    assert [(who[0], event.activity) for who, event in zip(events.who, events, strict=True)] == [
        (who, f"then {who}") for who in ("B", "C", "C", "A")
    ]


def test_a_generator_that_is_thrown_away_takes_its_block_with_it(client: Totango, events: Kept) -> None:
    def within(account: str) -> Iterator[None]:
        with client.context(account=account):
            yield

    generators = [within("B"), within("C")]
    for generator in generators:
        next(generator)
    del generator
    del generators[0]
    client.track("x")
    del generators[0]
    client.track("x")
    assert [who[0] for who in events.who] == ["C", "A"]


def test_generators_that_take_turns_with_bound_clients_speak_each_of_their_own(client: Totango, events: Kept) -> None:
    def rows(account: str) -> Iterator[None]:
        bound = client.bind(account=account)
        for _ in range(3):
            bound.track(account)
            yield

    for _ in zip(rows("B"), rows("C"), strict=True):
        client.track("A")
    assert [who[0] for who in events.who] == [event.activity for event in events]


def test_asynchronous_generators_and_tasks_take_their_own_blocks_away(client: Totango, events: Kept) -> None:
    async def within(account: str) -> AsyncIterator[None]:
        with client.context(account=account):
            yield
        yield

    async def run(account: str, other: str) -> None:
        first, second = within(account), within(other)
        for generator, then in ((first, account), (second, other), (first, other), (second, "A")):
            await anext(generator)
            await asyncio.sleep(0)
            client.track(f"then {then}")

    async def both() -> None:
        await asyncio.gather(run("B", "C"), run("D", "E"))

    asyncio.run(both())
    assert all(event.activity == f"then {who[0]}" for who, event in zip(events.who, events, strict=True))
    assert len(events) == 8


class Deadline(BaseException):
    """What a signal handler raises."""


def test_a_block_that_a_deadline_strikes_at_any_moment_is_over_with_it(client: Totango, events: Kept) -> None:
    def job() -> None:
        with client.context(account="Theirs", user="V"), client.context(user="W"):
            client.track("within")

    moments = 0
    for reached, where in strikes(job, Deadline):
        assert reached, where
        events.clear()
        client.track("after")
        assert events.who == [("A", "U", None, "M")], where
        moments += 1
    assert moments > 50, "the harness strikes nothing"


def test_a_block_that_somebody_keeps_is_over_with_a_deadline_in_it_too(client: Totango, events: Kept) -> None:
    block = client.context(account="Theirs")

    def job() -> None:
        with block:
            client.track("within")

    for reached, where in strikes(job, Deadline):
        assert reached, where
        if "call of __exit__" in where:
            break  # the one moment at which nothing of ours runs yet: over once nobody has the block
        events.clear()
        client.track("after")
        assert events.who == [("A", "U", None, "M")], where


def test_a_task_that_began_within_a_block_keeps_it_though_the_block_is_gone(client: Totango, events: Kept) -> None:
    with client.context(account="Theirs"):
        copied = contextvars.copy_context()
    gc.collect()
    copied.run(client.track, "x")
    assert events.who == [("Theirs", "U", None, "M")]


def test_a_context_that_outlives_a_client_does_not_speak_for_the_next_one() -> None:
    contexts = []
    for number in range(50):
        client = Totango("SP-1-1", spool="memory", account=f"A{number}")
        assert all(context.run(client._who.now) == Defaults(Account(f"A{number}")) for context in contexts)
        with client.context(account="B"):
            contexts.append(contextvars.copy_context())
        client.close()
        del client


class Unreadable(dict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise RuntimeError("no")


def test_a_mapping_that_cannot_be_read_is_nobodys() -> None:
    before = Defaults(Account("A"), User("U"), Product("P"), "M")
    after = before.changed(Unreadable(), Unreadable(), Unreadable(), None)
    assert (after.account, after.user, after.product) == (Account(None), User(None), Product(None))  # type: ignore[arg-type]
    assert before.changed(None, None, None, None) == before


def test_a_block_with_a_wrong_account_raises_nothing_and_misfiles_nothing(events: Kept) -> None:
    client = Totango("SP-1-1", account="A", user="U", module="M", spool="memory", before_send=events)
    for wrong in (Unreadable(), 1.5, "", "A B"):
        with client.context(account=wrong):  # type: ignore[arg-type]
            assert client.track("x") is None
        assert client.bind(account=wrong).track("x") is None  # type: ignore[arg-type]
    assert client.identify(Unreadable()) is None
    assert client.track("x") is None
    assert events == []
    assert len(client.dead_letters()) == 10
    client.close()


def test_identify_on_a_client_that_threads_share_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    import threading

    client = Totango("SP-1-1", account="A", user="U", module="M", spool="memory", transport=RecordingTransport())
    client.identify(user="first")  # a script of one thread
    assert "identify()" not in caplog.text
    thread = threading.Thread(target=client.track, args=("x",))
    thread.start()
    thread.join()
    with client.context(account="B"):
        client.identify(user="own")  # changes nobody else's
    assert "identify()" not in caplog.text
    for name in ("second", "third"):
        client.identify(user=name)
    assert caplog.text.count("identify() has changed") == 1
    assert "set_account_attributes" in caplog.text
    client.close()


class Lying(str):
    """A text that has no truth, as a lazy translation or a proxy may have none."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise ValueError


class Classless:
    """A proxy of an object that is gone."""

    @property
    def __class__(self) -> Any:
        raise ValueError


def test_an_id_is_asked_for_its_text_and_not_for_its_truth(client: Totango, events: Kept) -> None:
    client.track("x", account=Lying("B"), user=Lying("V"))
    client.track("x", account=Lying(""), user=Lying(""))
    assert events.who == [("B", "V", None, "M"), ("A", "U", None, "M")]


def test_an_object_that_raises_when_asked_for_its_class_never_reaches_the_host(
    swallowed: list[BaseException],
) -> None:
    with Totango("SP-1-1", account="A", user="U", module="M", spool="memory", transport=RecordingTransport()) as client:
        client.identify(account=Classless())  # type: ignore[arg-type]
        client.track("x", user=Classless())  # type: ignore[arg-type]
        assert client.stats().dead == 2
    swallowed.clear()

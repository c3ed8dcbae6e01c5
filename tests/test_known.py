"""The short road of `track`: the same requests as the long one makes, and none that it would refuse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totango_sdk import Account, InvalidEvent, Product, Totango, User
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 30

ids = st.sampled_from(["A", "A_B", "b-1", "", "bad id", "001C000001RPDVY", "SP"])
said = st.fixed_dictionaries(
    {}, optional={"name": st.sampled_from(["x y", "é&="]), "attributes": st.just({"Plan": "1"})}
)
accounts = st.one_of(
    st.none(),
    ids,
    st.builds(lambda value, more: Account(value, **more), ids, said),
    st.builds(lambda value: Account(value, parent=Account("P", name="Parent")), ids),
    st.builds(lambda value: Account(value, attributes={"Plan": object()}), ids),
    st.builds(User, ids),
)
users = st.one_of(
    st.none(),
    st.sampled_from(["u@x.com", "", "no body"]),
    st.builds(lambda more: User("u@x.com", **more), said),
    st.builds(Account, ids),
)
products = st.one_of(
    st.none(),
    st.sampled_from(["C", "B_C"]),
    st.builds(
        lambda more, module: Product("C", module=module, **more), said, st.sampled_from([None, "Of product", 0, []])
    ),
    st.just(Product("C", account_id="A_C")),
    st.just(Account("C")),
)


class Truthless(str):
    """A text as a library of the host's may make it."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise ValueError


texts = st.sampled_from(["opened", "öffnet & geht", "", "a\tb", "x" * 191])
modules = st.one_of(st.none(), texts, st.sampled_from([0, False, [], {}, Truthless("Text"), Truthless("")]))
calls = st.lists(st.tuples(texts, modules, accounts, users, products), min_size=1, max_size=8)


def sent(given_calls: list[Any], **options: Any) -> tuple[list[Any], list[str]]:
    transport = RecordingTransport()
    with Totango(
        "SP-1234-01",
        account="A",
        user="u@x.com",
        module="M",
        spool="memory",
        transport=transport,
        max_connections=1,
        **options,
    ) as client:
        for activity, module, account, user, product in given_calls * 3:
            client.track(activity, module, account, user, product)
        assert client.flush(PATIENCE)
        letters = [re.sub("0x[0-9a-f]+", "", letter.reason) for letter in client.dead_letters()]
    return transport.sent, letters


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(calls)
def test_any_calls_make_the_same_requests_as_where_a_hook_sees_each_event(made: list[Any]) -> None:
    assert sent(made) == sent(made, before_send=lambda event: event)


def test_an_account_in_the_place_of_the_user_is_refused_even_if_both_are_known() -> None:
    requests, letters = sent([("opened", None, "A", "u", None), ("opened", None, User("A"), Account("u"), None)])
    assert (
        requests == [[("sdr_s", "SP-1234-01"), ("sdr_o", "A"), ("sdr_u", "u"), ("sdr_a", "opened"), ("sdr_m", "M")]] * 3
    )
    assert ["is of type User" in letter and "is of type Account" in letter for letter in letters] == [True] * 3


@pytest.mark.parametrize("module", [0, False, [], {}], ids=repr)
def test_a_module_that_is_no_text_is_refused_and_not_taken_for_none(module: Any) -> None:
    of_call = [("opened", module, "A", "u@x.com", None)]
    of_product = [("opened", None, "A", "u@x.com", Product("C", module=module))]
    for made in (of_call, of_product):
        requests, letters = sent(made)
        assert not requests
        assert [letter.partition(";")[0] for letter in letters] == [
            f"module: {module!r} is of type {type(module).__name__}"
        ] * 3


def counted(event: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    from totango_sdk import events

    made = []
    checked = events._problems
    monkeypatch.setattr(events, "_problems", lambda event: made.append(event) or checked(event))
    event()
    return len(made)


def test_whoever_was_met_twice_is_checked_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with Totango("SP-1234-01", user="u@x.com", module="M", spool="memory", transport=RecordingTransport()) as client:
        for number in range(2):
            client.track(f"opened {number}", account="A")
        more = lambda: [client.track(f"opened {number}", account="A") for number in range(100)]  # noqa: E731
        assert counted(more, monkeypatch) == 0


def test_a_name_that_changes_is_said() -> None:
    transport = RecordingTransport()
    with Totango("SP-1234-01", account="A", module="M", spool="memory", transport=transport) as client:
        for name in ("One", "One", "One", "Two", "Two", "One"):
            client.track("opened", user=User("u@x.com", name=name))
        assert client.flush(PATIENCE)
    named = [value for request in transport.sent for key, value in request if key == "sdr_u.name"]
    assert named == ["One", "Two", "One"]


def test_what_is_wrong_is_refused_however_often_it_was_right_before() -> None:
    with Totango(
        "SP-1234-01",
        account="A",
        user="u@x.com",
        module="M",
        spool="memory",
        transport=RecordingTransport(),
        strict=True,
    ) as client:
        for _ in range(3):
            client.track("opened")
        wrong: list[dict[str, Any]] = [
            {"activity": ""},
            {"activity": 5},
            {"activity": "x" * 191},
            {"activity": "opened", "module": "a\nb"},
            {"activity": "opened", "account": Account("A", attributes={"Plan": object()})},
            {"activity": "opened", "account": "A" * 481},
        ]
        for call in wrong:
            with pytest.raises(InvalidEvent):
                client.track(**call)


def test_of_many_who_come_once_little_is_kept() -> None:
    with Totango("SP-1234-01", user="u@x.com", module="M", spool="memory", transport=RecordingTransport()) as client:
        for number in range(20_000):
            client.track("opened", account=f"A{number}")
        known = client._core._known
        assert len(known._young) + len(known._old) <= 8192

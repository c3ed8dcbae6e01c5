"""Who a job is for, carried along as a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totango_sdk import Account, Product, Totango, User
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def client() -> Iterator[Totango]:
    with Totango("SP-1-1", module="M", spool="memory", transport=RecordingTransport()) as made:
        yield made


def sent(client: Totango) -> list[dict[str, str]]:
    assert client.flush()
    transport: Any = client._core.options.transport
    return [dict(pairs) for pairs in transport.sent]


def test_only_ids_are_carried_and_a_job_has_exactly_these(client: Totango) -> None:
    who = Account("A", name="Acme", attributes={"Plan": "Gold"})
    product = Product("P", account_id="X", module="N")
    with client.context(account=who, user=User("U", name="Marlo"), product=product, module="Billing"):
        text = client.carry()
    assert text == '{"v":1,"s":"SP-1-1","a":"A","u":"U","p":"P","pa":"X","pm":"N","m":"Billing"}'
    with client.context(account="B", user="V"), client.carried(text):
        client.track("x")
    last = sent(client)[-1]
    assert (last["sdr_o"], last["sdr_u"], last["sdr_m"]) == ("X", "U", "N")
    assert "sdr_odn" not in last


def test_nobody_carries_nothing(client: Totango) -> None:
    assert Totango("SP-1-1", spool="memory").carry() is None
    with client.context(account="A B"):
        assert client.carry() is None


class Lying(str):
    """A text that has no truth."""

    __slots__ = ()

    def __bool__(self) -> bool:
        raise ValueError


@pytest.mark.parametrize("module", [5, UUID(int=5), b"M", []], ids=repr)
def test_a_module_that_is_no_text_stays_behind_and_raises_nothing(client: Totango, module: Any) -> None:
    with client.context(account="A", user="U", module=module):
        text = client.carry()
    with client.context(account="A", product=Product("P", module=module)):
        assert client.carry() == '{"v":1,"s":"SP-1-1","a":"A","p":"P","m":"M"}'
    with client.carried(text):
        client.track("x", "N")
    assert sent(client)[-1]["sdr_o"] == "A"


def test_a_module_is_carried_as_its_text(client: Totango) -> None:
    with client.context(account="A", module=Lying("N")):
        assert client.carry() == '{"v":1,"s":"SP-1-1","a":"A","m":"N"}'


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise ValueError

    __hash__ = None  # type: ignore[assignment]


def test_what_is_no_text_is_ignored_whatever_it_does_when_it_is_compared(client: Totango) -> None:
    with client.context(account="A", user="U"), client.carried(Incomparable()):  # type: ignore[arg-type]
        client.track("x")
    assert client.stats().dead == 1  # the client has no account of its own


def test_without_a_text_a_job_has_the_clients_own_defaults(client: Totango) -> None:
    with client.context(account="B", user="V"):
        for text in (None, ""):
            with client.carried(text):
                assert client.track("x") is None
    client.identify("A", "U")
    with client.context(account="B", user="V"), client.carried(None):
        client.track("x")
    assert sent(client)[-1]["sdr_o"] == "A"


def test_what_is_too_long_is_not_carried_and_that_is_told_once(
    client: Totango, caplog: pytest.LogCaptureFixture
) -> None:
    with client.context(account="A", module="m" * 5000):
        assert client.carry() is None
        assert client.carry() is None
    assert len(caplog.records) == 1


FORGED = [
    5,
    b"{}",
    "no json",
    "[1]",
    "{}",
    "x" * 5000,
    "[" * 1000 + "]" * 1000,
    '{"v":1,"s":"SP-1-1","a":' + "[" * 1000 + "]" * 1000 + "}",
    '{"v":2,"s":"SP-1-1","a":"A"}',
    '{"v":true,"s":"SP-1-1","a":"A"}',
    '{"v":1,"s":"SP-2-2","a":"A"}',
    '{"v":1,"a":"A"}',
    '{"v":1,"s":"SP-1-1","a":5}',
    '{"v":1,"s":"SP-1-1","a":"A B"}',
    '{"v":1,"s":"SP-1-1","u":"U","a":null}',
    '{"v":1,"s":"SP-1-1","p":"P Q"}',
]


@pytest.mark.parametrize("text", FORGED)
def test_a_forged_text_is_nobodys_and_told_once(client: Totango, text: Any, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        with client.carried(text):
            assert client.carry() == '{"v":1,"s":"SP-1-1","m":"M"}'
    assert len(caplog.records) == 1


def test_unknown_keys_are_ignored(client: Totango) -> None:
    with client.carried('{"v":1,"s":"SP-1-1","a":"A","x":[1]}'):
        carried = client.carry()
    assert carried is not None
    assert json.loads(carried)["a"] == "A"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.dictionaries(st.sampled_from("vsaupm"), x)
    )
)
def test_no_text_raises(found: Any) -> None:
    client = Totango("SP-1-1", spool="memory", disabled=True)
    with client.carried(json.dumps(found)):
        client.track("x")

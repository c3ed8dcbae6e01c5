"""What a client that is not ours is told has no word of Python in it, and the right request as a form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from totango_sdk.sandbox import Store
from totango_sdk.sandbox.arrival import understand
from totango_sdk.sandbox.event import event_details
from totango_sdk.wire import decode, encode
from totango_sdk.wire.read import read

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICE = ("sdr_s", "SP-1-1")
PYTHON = re.compile(r"\b(?:a str|an int|UUID|True|Account\(|User\(|salesforce_id|api_token)")
WRONG: list[list[tuple[str, str]]] = [
    [],
    [SERVICE],
    [SERVICE, ("sdr_o", "1"), ("sdr_a", "x")],
    [SERVICE, ("sdr_o", "1"), ("sdr_u", "u"), ("sdr_m", "M"), ("sdr_a", "")],
    [SERVICE, ("sdr_o", "1"), ("sdr_o.foreignkeyid", "0012000000msDD0")],
    [SERVICE, ("sdr_o", "1"), ("sdr_o.foreignkeyid", "0012000000msDD0BDU")],
    [SERVICE, ("sdr_o", "1"), ("sdr_o.api-token", "x")],
    [SERVICE, ("sdr_o", "1"), ("sdr_u.Contact", "Y"), ("sdr_o.Status", "paying")],
    [SERVICE, ("sdr_o", " 1 "), ("sdr_u", "u"), ("sdr_a", "x" * 300), ("sdr_m", "\n")],
    [("srd_s", "SP-1-1"), ("account_id", "a b"), ("sdr_o_Plan", "Größe")],
]


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as kept:
        yield kept


def details(store: Store, pairs: list[tuple[str, str]], agent: str) -> dict[str, Any]:
    store.record(understand(time=1.0, method="POST", query=b"", body=encode(pairs), user_agent=agent))
    with store.views() as views:
        found = event_details(views, views.last_id())
    assert found is not None
    return found


@pytest.mark.parametrize("pairs", WRONG)
def test_another_client_is_told_without_python(store: Store, pairs: list[tuple[str, str]]) -> None:
    found = details(store, pairs, "Ruby/3")
    assert found["problems"]
    for problem in found["problems"]:
        assert not PYTHON.search(problem["message"])
    ours = details(store, pairs, "totango-sdk/1.0")
    assert [each["rule"] for each in ours["problems"]] == [each["rule"] for each in found["problems"]]


def test_our_own_client_is_told_in_its_own_words(store: Store) -> None:
    found = details(store, WRONG[1], "totango-sdk/1.0")
    assert "give a str, an int or a UUID" in found["problems"][0]["message"]
    found = details(store, WRONG[1], "Ruby/3")
    assert "send it as the parameter sdr_o" in found["problems"][0]["message"]


@pytest.mark.parametrize("pairs", WRONG)
def test_the_right_form_has_no_error_once_its_placeholders_are_filled_in(
    store: Store, pairs: list[tuple[str, str]]
) -> None:
    form = details(store, pairs, "Ruby/3")["mend"]["form"]
    assert form.isascii()
    filled = [(name, "SP-1-1" if value == "SERVICE_ID" else value) for name, value in decode(form)]
    assert not [each for each in read(filled).problems if each.severity == "error"]


def test_the_right_form_keeps_what_was_right(store: Store) -> None:
    form = details(store, WRONG[-1], "Ruby/3")["mend"]["form"]
    assert form == "sdr_s=SP-1-1&sdr_o=ACCOUNT_ID&sdr_o.Plan=Gr%C3%B6%C3%9Fe"

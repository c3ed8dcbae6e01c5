from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import json
import math
import types
import uuid
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from totango_sdk import Account, Problem, Product, User
from totango_sdk.spool import DeadLetter
from totango_sdk.spool.letters import plain, refusal

if TYPE_CHECKING:
    from collections.abc import Callable


def kept(value: Any) -> Any:
    """What is read back of a value in a call that was refused."""
    body = refusal({"value": value}, [Problem("account", value, "wrong")])
    assert body.isascii()
    dead = DeadLetter.refused("1", body, 0.0)
    assert dead.input is not None
    assert dead.problems[0]["value"] == dead.input["value"] or dead.input["value"] != dead.input["value"]
    return dead.input["value"]


class Color(enum.Enum):
    RED = "red"


class Text(str, enum.Enum):  # noqa: UP042
    LOGIN = "Login"


class Number(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (None, None),
        (True, True),
        (5, 5),
        (1.5, 1.5),
        ("text", "text"),
        ("\ud800 lone", "\ud800 lone"),
        ("\0\r\n\u2028", "\0\r\n\u2028"),
        ("x" * 10_000_000, "x" * 10_000_000),
        ("é" * 1_000_000, "é" * 1_000_000),
        (10**300, 10**300),
        (10**400, hex(10**400)),
        (-(10**5000), hex(-(10**5000))),
        (math.inf, math.inf),
        (b"\xff", "b'\\xff'"),
        ([1, "a", None], [1, "a", None]),
        ((1, (2,)), [1, [2]]),
        ({"a": {"b": [1]}}, {"a": {"b": [1]}}),
        ({1: "a", "1": "b", None: "c"}, {"1": "a", "1 (str)": "b", "None": "c"}),
        ({"1": "b", 1: "a"}, {"1": "b", "1 (int)": "a"}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (Color.RED, "Color.RED"),
        (Text.LOGIN, "Login"),
        (Number.ONE, 1),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), "2026-01-02T03:00:00+00:00"),
        ({1}, "{1}"),
        (Account("A"), {"id": "A"}),
        (Account("A", name="x", attributes={"Plan": 1}), {"id": "A", "name": "x", "attributes": {"Plan": 1}}),
        (User("U", contact=False), {"id": "U", "contact": False}),
        (Product("P", account_id="X"), {"id": "P", "account_id": "X"}),
        (Account(["no", "id"]), {"id": ["no", "id"]}),  # type: ignore[arg-type]
    ],
    ids=lambda value: repr(value)[:30] if not isinstance(value, int) else "int",
)
def test_what_was_given_is_read_back(value: Any, read: Any) -> None:
    assert kept(value) == read


def test_not_a_number_is_kept_as_that() -> None:
    assert math.isnan(kept(math.nan))


class Silent:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Evil:
    """Raises, whatever it is asked."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("no")

    def __str__(self) -> str:
        raise RuntimeError("no")


class EvilMapping(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")


class EvilList(list[Any]):
    def __iter__(self) -> Any:
        raise RuntimeError("no")


class EvilInt(int):
    def __int__(self) -> int:
        raise RuntimeError("no")

    def bit_length(self) -> int:
        raise RuntimeError("no")


class EvilStr(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no")

    __hash__ = str.__hash__


class EvilDate:
    def isoformat(self) -> str:
        raise RuntimeError("no")


class Uneven:
    """Like an array: its comparisons have no truth."""

    def __eq__(self, other: object) -> Any:
        return self

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return "[1 2]"


@attrs.frozen
class Foreign:
    there: int = 1
    missing: int = attrs.field(init=False)


@pytest.mark.parametrize(
    ("make", "read"),
    [
        (Silent, "<Silent that cannot be shown>"),
        (Evil, "<Evil that cannot be shown>"),
        (lambda: EvilMapping(a=1), "<EvilMapping that cannot be shown>"),
        (lambda: EvilList([1]), "<EvilList that cannot be shown>"),
        (lambda: EvilInt(5), 5),
        (lambda: EvilStr("x"), "x"),
        (EvilDate, "<EvilDate that cannot be shown>"),
        (lambda: [Silent(), 1], ["<Silent that cannot be shown>", 1]),
        (lambda: {"a": Silent(), "b": 1}, {"a": "<Silent that cannot be shown>", "b": 1}),
        (
            lambda: Account("A", attributes={"x": Silent()}),
            {"id": "A", "attributes": {"x": "<Silent that cannot be shown>"}},
        ),
        (lambda: Account("A", foreignkeyid=Uneven()), {"id": "A", "foreignkeyid": "[1 2]"}),  # type: ignore[arg-type]
        (Foreign, {"there": 1}),
        (lambda: MagicMock(spec=Silent, __str__=lambda _: "a mock"), "a mock"),
    ],
)
def test_a_hostile_value_loses_no_other(make: Callable[[], Any], read: Any) -> None:
    body = refusal({"value": make(), "beside": 1}, ())
    assert DeadLetter.refused("1", body, 0.0).input == {"value": read, "beside": 1}


def test_what_contains_itself_or_is_nested_too_deep_comes_to_an_end() -> None:
    ring: list[Any] = [1]
    ring += [ring] * 20
    assert plain(ring)[0] == 1
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    found = plain(deep)
    for _ in range(7):
        found = found["a"]
    assert isinstance(found["a"], str)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_whatever_json_can_hold_is_kept_as_it_is(value: Any) -> None:
    def depth(found: Any) -> int:
        inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
        return 1 + max((depth(each) for each in inner), default=0)

    if depth(value) <= 7:
        assert kept(value) == value
    json.dumps(plain(value))


def test_the_reason_is_that_of_the_errors_unless_another_is_given() -> None:
    problems = [Problem("a", 1, "wrong"), Problem("b", 2, "odd", "warning", "value.odd"), Problem("c", 3, "missing")]
    assert json.loads(refusal({}, problems))["reason"] == "a: wrong; c: missing"
    assert json.loads(refusal({}, iter(problems)))["problems"][1] == {
        "field": "b",
        "value": 2,
        "message": "odd",
        "severity": "warning",
        "rule": "value.odd",
    }
    assert json.loads(refusal({}, problems, "because"))["reason"] == "because"


def test_a_letter_is_read_back_as_a_dead_letter() -> None:
    dead = DeadLetter.refused("1f", refusal({"activity": "x"}, (), "because"), 5.0)
    assert (dead.id, dead.reason, dead.input, dead.problems) == ("1f", "because", {"activity": "x"}, ())
    assert (dead.body, dead.attempts, dead.accepted_at, dead.dead_at) == (None, 0, 5.0, 5.0)

"""Who is above whom."""

from __future__ import annotations

from totango_sdk.binding.parents import cycles, tops


def test_there_is_no_circle_where_each_chain_ends() -> None:
    assert cycles({"a": "b", "b": "c", "d": "c"}) == []
    assert tops({"a": "b", "b": "c", "d": "c"}) == {"a": "c", "b": "c", "d": "c"}


def test_circles_are_told_once_from_the_first_of_them_on() -> None:
    parents = {"leaf": "c", "b": "c", "c": "a", "a": "b", "self": "self", "x": "y", "y": "x"}
    assert cycles(parents) == [["b", "c", "a"], ["self"], ["x", "y"]]
    assert tops(parents) == dict.fromkeys(("leaf", "b", "c", "a"), "b") | {"self": "self", "x": "x", "y": "x"}


def test_a_chain_of_a_million_takes_no_recursion() -> None:
    parents = {str(number): str(number + 1) for number in range(1_000_000)}
    assert set(tops(parents).values()) == {"1000000"}
    parents["1000000"] = "0"
    (circle,) = cycles(parents)
    assert len(circle) == 1_000_001

from __future__ import annotations

import copy
import pickle

import pytest

from totango_sdk import errors
from totango_sdk.errors import InvalidEvent, TotangoError
from totango_sdk.identity import Problem
from totango_sdk.show import one_line, shown


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Spread:
    def __repr__(self) -> str:
        return "line 1\nline 2\r\x00\x1b[31m\ud800 é"


class HostileText(str):
    __slots__ = ()

    def __getitem__(self, _: object) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("name", "also"),
    [
        ("OptionsError", ValueError),
        ("InvalidID", ValueError),
        ("InvalidEvent", ValueError),
        ("SpoolError", TotangoError),
        ("SpoolFull", errors.SpoolError),
        ("SpoolLocked", errors.SpoolError),
        ("SpoolCorrupt", errors.SpoolError),
        ("DeliveryError", TotangoError),
    ],
)
def test_every_error_is_a_totango_error_and_what_its_docstring_says(name: str, also: type[Exception]) -> None:
    error = getattr(errors, name)
    assert issubclass(error, TotangoError)
    assert issubclass(error, also)
    assert name in (errors.__doc__ or "")
    assert error.__doc__


def test_a_delivery_error_and_a_spool_error_are_no_value_errors() -> None:
    assert not issubclass(errors.DeliveryError, ValueError)
    assert not issubclass(errors.SpoolError, ValueError)


def test_an_invalid_event_has_every_problem_and_tells_each() -> None:
    problems = [Problem("account", None, "first"), Problem("user", "x", "second", "warning")]
    error = InvalidEvent(iter(problems))
    assert error.problems == tuple(problems)
    assert str(error) == "account: first; user: second"


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_invalid_event_survives_a_copy_and_another_process(how: object) -> None:
    error = InvalidEvent([Problem("account", 1.5, "wrong")])
    again = how(error)  # type: ignore[operator]
    assert type(again) is InvalidEvent
    assert again.problems == error.problems
    assert str(again) == str(error)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", "'a'"),
        ("é\n\ud800", "'é\\n\\ud800'"),
        (b"\xff", "b'\\xff'"),
        (None, "None"),
        (1.5, "1.5"),
        ("x" * 78, f"'{'x' * 78}'"),
        ("x" * 79, f"'{'x' * 78}…"),
        ("x" * 5_000_000, f"'{'x' * 78}…"),
        (b"x" * 5_000_000, f"b'{'x' * 77}…"),
        (list(range(1000)), f"{str(list(range(1000)))[:79]}…"),
        (Unshowable(), "<Unshowable that cannot be shown>"),
        (HostileText("x"), "<HostileText that cannot be shown>"),
        (10**5000, "<int that cannot be shown>"),
        (Spread(), "line 1\\nline 2\\r\\x00\\x1b[31m\\ud800 é"),
    ],
    ids=shown,
)
def test_a_value_is_shown_in_one_line_of_at_most_80_characters(value: object, expected: str) -> None:
    assert shown(value) == expected
    assert len(shown(value)) <= 80


def test_an_interrupt_in_a_repr_is_not_swallowed() -> None:
    class Interrupting:
        def __repr__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shown(Interrupting())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("abcd", "abcd"),
        ("abcde", "abc…"),
        ("a\nb", "a\\nb"),
        ("a\nbc", "a\\n…"),
        ("\n" * 1_000_000, "\\n\\…"),
    ],
    ids=shown,
)
def test_a_line_is_cut_after_it_is_escaped(text: str, expected: str) -> None:
    assert one_line(text, 4) == expected

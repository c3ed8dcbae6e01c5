from __future__ import annotations

import string
from typing import Any
from unittest.mock import MagicMock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totango_sdk.errors import InvalidID
from totango_sdk.identity import foreign_key_warning, salesforce_id
from totango_sdk.show import shown

# A loaded machine is no failure.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FIFTEEN = st.text(string.ascii_letters + string.digits, min_size=15, max_size=15)
WITH_CASE = FIFTEEN.filter(lambda text: text != text.lower() and text != text.upper())


def suffix(fifteen: str) -> str:
    """The rule as it is written down: bit k of each five is 1 where character k is an upper-case letter."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    groups = [fifteen[0:5], fifteen[5:10], fifteen[10:15]]
    return "".join(
        letters[int("".join("1" if char in string.ascii_uppercase else "0" for char in reversed(group)), 2)]
        for group in groups
    )


@pytest.mark.parametrize(
    ("fifteen", "eighteen"),
    [
        ("a0D30000001n7Pi", "a0D30000001n7PiEAI"),
        ("0019000000B98de", "0019000000B98deAAB"),
        ("0012000000msDD0", "0012000000msDD0AAM"),
        ("000000000000000", "000000000000000AAA"),
        ("AAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAA555"),
        ("aaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaAAA"),
        ("Aaaaa" * 3, "Aaaaa" * 3 + "BBB"),
        ("aaaaA" * 3, "aaaaA" * 3 + "QQQ"),
    ],
)
def test_fifteen_characters_become_eighteen(fifteen: str, eighteen: str) -> None:
    assert salesforce_id(fifteen) == eighteen
    assert salesforce_id(eighteen) == eighteen


@relaxed
@given(FIFTEEN)
def test_any_fifteen_characters_get_the_suffix_of_their_case(fifteen: str) -> None:
    assert salesforce_id(fifteen) == fifteen + suffix(fifteen)


@relaxed
@given(FIFTEEN)
def test_eighteen_right_characters_stay_as_they_are(fifteen: str) -> None:
    eighteen = salesforce_id(fifteen)
    assert salesforce_id(eighteen) == eighteen


@relaxed
@given(FIFTEEN)
def test_the_case_is_restored_from_the_suffix_after_a_system_changed_it(fifteen: str) -> None:
    eighteen = salesforce_id(fifteen)
    assert salesforce_id(eighteen.lower()) == eighteen
    assert salesforce_id(eighteen.upper()) == eighteen
    assert salesforce_id(fifteen + eighteen[15:].lower()) == eighteen


@relaxed
@given(WITH_CASE, st.integers(0, 14))
def test_mixed_case_that_disagrees_with_the_suffix_is_an_error(fifteen: str, at: int) -> None:
    changed = fifteen[:at] + fifteen[at].swapcase() + fifteen[at + 1 :]
    if changed in (fifteen, fifteen.lower(), fifteen.upper()):
        return
    with pytest.raises(InvalidID, match="One of the two was mistyped"):
        salesforce_id(changed + suffix(fifteen))


@relaxed
@given(FIFTEEN, st.text(string.ascii_letters + string.digits, min_size=3, max_size=3))
def test_eighteen_characters_are_given_back_right_or_not_at_all(fifteen: str, ending: str) -> None:
    try:
        eighteen = salesforce_id(fifteen + ending)
    except InvalidID as error:
        assert ending.upper() != suffix(fifteen)
        assert repr(suffix(fifteen)) in str(error)
    else:
        assert eighteen.lower() == (fifteen + ending).lower()
        assert eighteen[15:] == suffix(eighteen[:15])


@pytest.mark.parametrize(
    "wrong",
    [
        "0012000000msDD0BDU",  # a suffix that no case of these characters gives
        "0012000000msDD0AAA",
        "0012000000msDD0678",  # 6, 7 and 8 are no suffix characters
        "000000000000000AAB",  # would set the case of a digit
        "a0D30000001n7PiEAJ",
    ],
)
def test_a_suffix_that_does_not_match_is_an_error_that_names_the_right_one(wrong: str) -> None:
    with pytest.raises(InvalidID, match="first 15 characters as they stand give") as caught:
        salesforce_id(wrong)
    assert shown(wrong) in str(caught.value)
    assert suffix(wrong[:15]) in str(caught.value)
    assert "copy the ID again, or give the 15 alone" in str(caught.value)


@pytest.mark.parametrize("length", [1, 14, 16, 17, 19, 100_000])
def test_another_length_is_an_error_that_counts(length: int) -> None:
    with pytest.raises(InvalidID, match=f"has {length} characters: it has 15 or 18"):
        salesforce_id("a" * length)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "0012000000msDD!",
        " 0012000000msDD",
        "0012000000msDD0\n",
        "0012000000msDé0",
        "0012000000msDD\ud800",
        "٣" * 15,
        "0012000000msDD\x00",
        None,
        12000000000000,
        123456789012345,
        True,
        1.5,
        b"0012000000msDD0",
        ["0012000000msDD0"],
        MagicMock(spec=str),
    ],
    ids=lambda value: value.encode("unicode_escape").decode() if type(value) is str else type(value).__name__,
)
def test_anything_else_is_an_error_that_shows_it_and_an_example(wrong: Any) -> None:
    with pytest.raises(InvalidID, match="is not a Salesforce ID: it has 15 or 18 ASCII letters and digits") as caught:
        salesforce_id(wrong)
    assert shown(wrong) in str(caught.value)
    assert "'0012000000msDD0'" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "42",
        "0012000000msDD0AAM",
        "0012000000msDD",
        "0012000000msDD0A",
        "0012000000msDD0 ",
        "a0D30000001n7Pi",  # a Salesforce ID, but no account's
        "a0D30000001n7PiAAA",
        "001" + "é" * 12,
        "001" + "0" * 12 + "\n",
    ],
)
def test_a_foreign_key_that_is_right_or_of_another_system_is_no_warning(value: str) -> None:
    assert foreign_key_warning(value) is None


def test_a_foreign_key_of_fifteen_characters_is_a_warning_that_says_what_to_call() -> None:
    warning = foreign_key_warning("0012000000msDD0")
    assert warning is not None
    assert "15 characters" in warning
    assert "Use salesforce_id('0012000000msDD0')" in warning


@pytest.mark.parametrize("value", ["0012000000msDD0BDU", "0012000000msdd0aam", "0012000000MSDD0AAM"])
def test_a_foreign_key_whose_suffix_does_not_match_is_a_warning(value: str) -> None:
    warning = foreign_key_warning(value)
    assert warning is not None
    assert f"{value!r} looks like a Salesforce ID" in warning
    assert f"({suffix(value[:15])!r} would)" in warning
    assert "sent as it is" in warning


@relaxed
@given(FIFTEEN.map(lambda text: "001" + text[3:]))
def test_what_salesforce_id_returns_is_never_warned_of(fifteen: str) -> None:
    assert foreign_key_warning(fifteen) is not None
    assert foreign_key_warning(salesforce_id(fifteen)) is None

"""Keys by which two spellings of an ID are one."""

from __future__ import annotations

import time
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totango_sdk.binding import keys


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        (keys.trimmed, " 12\t", "12"),
        (keys.trimmed, "\u200b12\ufeff\u3000", "12"),
        (keys.trimmed, "1 2", "1 2"),
        (keys.narrow, "\uff11\uff12\uff134", "1234"),
        (keys.narrow, " \uff21 ", "A"),
        (keys.folded, "Acme", "acme"),
        (keys.folded, "STRASSE", "strasse"),
        (keys.folded, "Stra\u00dfe", "strasse"),
        (keys.folded, "\uff21cme ", "acme"),
        (keys.unpadded, "000777", "777"),
        (keys.unpadded, "777", "777"),
        (keys.unpadded, "000", "0"),
        (keys.unpadded, "00a", None),
        (keys.unpadded, "", None),
        (keys.undecimal, "819332.0", "819332"),
        (keys.undecimal, "819332", "819332"),
        (keys.undecimal, "819332.5", None),
        (keys.undecimal, "819332.00", None),
        (keys.unseparated, "North Star", "northstar"),
        (keys.unseparated, "north-star", "northstar"),
        (keys.unseparated, "n_o.r/t", "nort"),
        (keys.unseparated, "a-b-c", None),
        (keys.unplussed, "Jo+test@x.com", "jo@x.com"),
        (keys.unplussed, "jo@x.com", "jo@x.com"),
        (keys.unplussed, "+1@x.com", "+1@x.com"),
        (keys.unplussed, "a+b", "a+b"),
        (keys.without_prefix, "CRM_501", ("CRM_", "501")),
        (keys.without_prefix, "X504", ("X", "504")),
        (keys.without_prefix, "501", None),
        (keys.without_prefix, "CRM", None),
        (keys.without_suffix, "501-eu1", ("-eu1", "501")),
        (keys.without_suffix, "a_b_c", ("_c", "a_b")),
        (keys.without_suffix, "501", None),
        (keys.scientific, "1.02E+05", (2, 102, 5)),
        (keys.scientific, "1e+5", (0, 1, 5)),
        (keys.scientific, "1E5", None),
        (keys.scientific, "12.5E+05", None),
        (keys.salesforce_record, "0019000000B98de", "0019000000B98deAAB"),
        (keys.salesforce_record, "0019000000b98deaab", "0019000000B98deAAB"),
        (keys.salesforce_record, "0012000000msDD0BDU", None),
        (keys.salesforce_record, "001900000000000", None),
        (keys.salesforce_record, "a0D30000001n7Pi", None),
    ],
)
def test_a_text_has_this_key(key: object, text: str, expected: object) -> None:
    assert key(text) == expected  # type: ignore[operator]


def test_a_column_of_salesforce_ids_takes_any_record() -> None:
    assert keys.salesforce_record("a0D30000001n7Pi", any_prefix=True) == "a0D30000001n7PiEAI"


@pytest.mark.parametrize(
    ("text", "places", "expected"),
    [
        ("102000", 2, "1.02E+05"),
        ("0102000", 2, "1.02E+05"),
        ("102499", 2, "1.02E+05"),
        ("102500", 2, "1.03E+05"),
        ("999999", 2, "1.00E+06"),
        ("123456789012345678", 5, "1.23457E+17"),
        ("5", 2, "5.00E+00"),
    ],
)
def test_digits_are_shortened_as_a_spreadsheet_does(text: str, places: int, expected: str) -> None:
    assert keys.shortened(text, places) == keys.scientific(expected)


@pytest.mark.parametrize(
    "text", ["NULL", "None", "undefined", "#N/A", "n/a", "-", "[object Object]", " nan ", "#DIV/0!"]
)
def test_what_stands_for_no_id_is_a_placeholder(text: str) -> None:
    assert keys.is_placeholder(text)


@pytest.mark.parametrize("text", ["0", "true", "anonymous", "na", "", "--"])
def test_what_may_be_an_id_is_no_placeholder(text: str) -> None:
    assert not keys.is_placeholder(text)


@given(st.text())
def test_keys_of_any_text_stay_as_they_are_when_made_again(text: str) -> None:
    for key in (keys.trimmed, keys.narrow, keys.folded):
        assert key(key(text)) == key(text)
    assert keys.narrow(text) == normalize("NFKC", keys.narrow(text))
    for other in (keys.unpadded, keys.undecimal, keys.unseparated, keys.scientific, keys.salesforce_record):
        other(text)


@given(st.integers(0, 10**18))
def test_digits_keep_their_leading_figures_when_they_are_shortened(number: int) -> None:
    found = keys.shortened(str(number), 20)
    assert found is not None
    assert str(found.mantissa).startswith(str(number))


def test_a_million_keys_take_seconds() -> None:
    begun = time.thread_time()
    for number in range(100_000):
        keys.folded(f"ACME-{number}")
    assert time.thread_time() - begun < 2

"""Pairs of IDs that are likely one: each by the first step that finds it, and nothing guessed."""

from __future__ import annotations

import csv
import gc
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totango_sdk.binding import keys
from totango_sdk.binding.pairs import Pair, by_names, groups, partners, unique_pairs

VECTORS = json.loads((Path(__file__).parent / "vectors" / "audit.json").read_text(encoding="utf-8"))
TWO_FILES = ("two files: each reason for a partner", "a constant prefix needs three", "two candidates are no partner")


def rows(file: dict[str, str]) -> list[str]:
    return [row[0] for row in csv.reader(file["csv"].splitlines())][1:]


@pytest.mark.parametrize("name", TWO_FILES)
def test_partners_are_those_of_the_vectors(name: str) -> None:
    (case,) = [each for each in VECTORS if each["name"] == name]
    home, other = (rows(file) for file in case["files"])
    expected = {
        (found["ids"][0], found["partner"], found["reason"])
        for found in case["findings"]
        if found["code"] == "unbound" and "partner" in found
    }
    assert set(partners(home, other)) == expected


def test_partners_of_usage_are_those_of_the_vectors() -> None:
    assert partners(["00817", "Acme-France"], ["817", "acme-france", "zzz"]) == [
        Pair("Acme-France", "acme-france", "case"),
        Pair("00817", "817", "zeros"),
    ]


@pytest.mark.parametrize(
    ("ones", "others", "expected"),
    [
        (["0019000000B98deAAB"], ["0019000000B98de"], "salesforce"),
        (["0019000000B98deAAB"], ["0019000000b98de"], "salesforce"),
        (["0012000000msDD0"], ["0012000000MSdd0"], None),
        (["0012000000msDD0AAM", "0012000000msDd0AAE"], ["0012000000MSDD0"], None),
        (["501-eu", "502-eu", "503-eu"], ["501", "502", "503"], "suffix"),
        (["501-eu", "502-eu"], ["501", "502"], None),
        (["CRM_501", "502", "503"], ["501", "CRM_502", "CRM_503"], None),
        (["1.02E+05"], ["102000", "102001"], None),
        (["9.99E+05", "1"], ["999000"], "scientific"),
        (["a"], ["b"], None),
        ([], ["b"], None),
    ],
)
def test_two_lists_pair_up_by_this_step(ones: list[str], others: list[str], expected: str | None) -> None:
    reasons = {pair.reason for pair in partners(ones, others)}
    assert reasons == (set() if expected is None else {expected})
    assert {(pair.other, pair.one, pair.reason) for pair in partners(others, ones)} == set(partners(ones, others))


def test_a_third_one_with_the_key_keeps_two_apart() -> None:
    assert list(unique_pairs(["a"], ["A", "B", "b"], keys.folded)) == [("a", "A")]
    assert list(unique_pairs(["a", "A"], ["Ａ"], keys.folded)) == []


def test_ids_of_one_list_are_grouped_by_their_key() -> None:
    assert groups(["a", "b", "A", "c "], keys.folded) == [["a", "A"]]


def test_names_pair_what_is_left_if_each_is_there_once() -> None:
    app = {"1": "Acme Inc.", "2": "Beta", "3": "Gamma", "4": "Gamma", "5": "Delta", "6": " "}
    crm = {"x9": "acme inc.", "x8": "Beta ", "x7": "Gamma", "x6": "Delta", "x5": ""}
    left = [each for each in app if each != "5"]
    assert by_names(left, list(crm), app, crm) == [Pair("1", "x9", "name"), Pair("2", "x8", "name")]


@given(st.lists(st.text("aA1０. -_", max_size=5), unique=True), st.lists(st.text("aA1０. -_", max_size=5), unique=True))
def test_each_id_is_paired_once_at_most(ones: list[str], others: list[str]) -> None:
    others = [each for each in others if each not in ones]
    found = partners(ones, others)
    assert len({pair.one for pair in found}) == len({pair.other for pair in found}) == len(found)
    assert all(pair.one in ones and pair.other in others for pair in found)


@pytest.mark.parametrize("other", ["{}_x", "{}.0", "0{}", "ACME", "{}\u3000"])
def test_time_grows_with_the_number_of_ids_and_no_faster(other: str) -> None:
    def seconds(count: int) -> float:
        ones = [str(number) for number in range(count)]
        others = list(dict.fromkeys(other.format(number) for number in range(count)))
        begun = time.thread_time()
        gc.disable()  # which looks at all that the tests before have left
        try:
            partners(ones, others)
        finally:
            gc.enable()
        return time.thread_time() - begun

    assert seconds(40_000) < 40 * max(seconds(4_000), 0.01)

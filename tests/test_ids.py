from __future__ import annotations

import enum
import json
import sys
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totango_sdk.errors import InvalidID, OptionsError
from totango_sdk.identity import (
    Problem,
    check_id,
    ids,
    joined_problems,
    product_account_id,
    salesforce_id,
    service_id_problem,
    text_problems,
)
from totango_sdk.show import shown

# A loaded machine is no failure.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
CASES = json.loads((Path(__file__).parent / "vectors" / "identity.json").read_text(encoding="utf-8"))
KINDS = ("account", "product", "user", "collection")
LIMITS = {"account": 480, "product": 255, "user": 100, "collection": 128}
ALLOWED = {"account": "_-", "product": "_-", "user": "_-@.", "collection": "_"}
A_UUID = UUID("12345678-ABCD-1234-1234-123456789ABC")


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"

    def strip(self, _: str | None = None) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Whole(int):
    def __str__(self) -> str:
        return "something else"

    def bit_length(self) -> int:
        raise RuntimeError("no")

    __repr__ = __str__


class OwnUUID(UUID):
    def __str__(self) -> str:
        return "something else"


class Tier(str, enum.Enum):  # noqa: UP042  # StrEnum is another thing: its members format as their values
    GOLD = "gold"


class Level(enum.IntEnum):
    ONE = 1


class Plain(enum.Enum):
    ONE = "one"


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def verdict(kind: str, value: object) -> str:
    severities = {problem.severity for problem in check_id(kind, value)}  # type: ignore[arg-type]
    return "error" if "error" in severities else "warning" if severities else "ok"


def messages(kind: str, value: object) -> list[str]:
    return [problem.message for problem in check_id(kind, value)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['kind']}-{shown(case['value'])[:30]}-{case['verdict']}"
)
def test_each_case_of_the_vectors_has_its_verdict(case: dict[str, Any]) -> None:
    if case["kind"] == "salesforce":
        if case["verdict"] == "error":
            with pytest.raises(InvalidID):
                salesforce_id(case["value"])
        else:
            assert salesforce_id(case["value"]) == case["out"]
        return
    assert verdict(case["kind"], case["value"]) == case["verdict"]
    if "out" in case:
        assert ids.canonical_id(case["value"]) == case["out"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_at_the_limit_is_right_and_one_character_more_is_an_error(kind: str) -> None:
    limit = LIMITS[kind]
    assert check_id(kind, "a") == []  # type: ignore[arg-type]
    assert check_id(kind, "a" * limit) == []  # type: ignore[arg-type]
    (problem,) = check_id(kind, "a" * (limit + 1))  # type: ignore[arg-type]
    assert problem.severity == "error"
    assert f"has {limit + 1} characters" in problem.message
    assert f"at most {limit}" in problem.message


@pytest.mark.parametrize("kind", KINDS)
def test_exactly_the_listed_characters_are_right_in_an_id(kind: str) -> None:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    right = {chr(code) for code in range(0x10000) if not check_id(kind, f"a{chr(code)}b")}  # type: ignore[arg-type]
    assert right == set(letters + ALLOWED[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", ["", " ", "   ", "\t", "\u3000", " " * 1000], ids=shown)
def test_an_id_that_is_empty_or_all_spaces_is_an_error(kind: str, value: str) -> None:
    (problem,) = check_id(kind, value)  # type: ignore[arg-type]
    assert problem.severity == "error"
    assert "is empty" in problem.message
    assert f"1 to {LIMITS[kind]}" in problem.message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [" a", "a ", " a ", "\ta", "a\n", "a\r\n", "\u00a0a"], ids=shown)
def test_an_id_with_a_leading_or_trailing_space_is_an_error(kind: str, value: str) -> None:
    (problem,) = check_id(kind, value)  # type: ignore[arg-type]
    assert problem.severity == "error"
    assert "leading or trailing space" in problem.message
    assert "Strip it" in problem.message


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "char", ["\x00", "\n", "\r", "\x7f", "\x85", "\ud800", "\udfff", "é", "٣", "Ａ", "😀", "&", "="]
)
def test_a_character_that_is_not_allowed_is_named_with_its_place(kind: str, char: str) -> None:
    (problem,) = check_id(kind, f"ab{char}c")  # type: ignore[arg-type]
    assert problem.severity == "error"
    assert f"has {char!a} at position 3" in problem.message
    assert problem.message.isprintable()


@pytest.mark.parametrize("kind", KINDS)
def test_several_broken_rules_are_all_told_at_once(kind: str) -> None:
    value = " " + "a" * LIMITS[kind] + "!é "
    told = messages(kind, value)
    assert len(told) == 3
    assert f"has {LIMITS[kind] + 4} characters" in told[0]
    assert "leading or trailing space" in told[1]
    assert f"has '!' at position {LIMITS[kind] + 2}" in told[2]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (-5, "-5"),
        (819332, "819332"),
        (A_UUID, "12345678-abcd-1234-1234-123456789abc"),
        (OwnUUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Level.ONE, "1"),
        (Whole(7), "7"),
        (Tier.GOLD, "gold"),
        (Text("abc"), "abc"),
        (10**479, "1" + "0" * 479),
    ],
    ids=shown,
)
def test_an_int_a_uuid_and_a_subclass_of_str_are_taken_as_their_canonical_text(value: object, text: str) -> None:
    canonical = ids.canonical_id(value)
    assert canonical == text
    assert type(canonical) is str
    assert check_id("account", value) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "value",
    [
        819332.0,
        float("nan"),
        True,
        False,
        b"abc",
        bytearray(b"abc"),
        Decimal(1),
        Decimal("NaN"),
        Fraction(1, 2),
        1j,
        ["a"],
        ("a",),
        {"id": "a"},
        {"a"},
        Plain.ONE,
        Unshowable(),
        MagicMock(spec=str),
        MagicMock(spec=int),
        MagicMock(spec=UUID),
        str,
    ],
    ids=lambda value: value if type(value) is str else type(value).__name__,
)
def test_an_id_of_any_other_type_is_an_error_that_names_the_type(kind: str, value: object) -> None:
    (problem,) = check_id(kind, value)  # type: ignore[arg-type]
    assert problem.severity == "error"
    assert problem.value is value
    assert f"is of type {type(value).__name__};" in problem.message
    assert "a str, an int or a UUID" in problem.message
    assert "Convert it" in problem.message
    assert repr(problem)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_id_is_told_as_missing(kind: str) -> None:
    (problem,) = check_id(kind, None)  # type: ignore[arg-type]
    assert problem == Problem(kind, None, problem.message, "error", "id.missing")
    assert "is missing: give a str, an int or a UUID" in problem.message


@pytest.mark.parametrize("value", [10**480, 10**600, 10**5000, -(10**5000), Whole(10**5000)], ids=shown)
def test_a_huge_int_is_an_error_and_raises_nothing(value: int) -> None:
    (problem,) = check_id("account", value)
    assert problem.severity == "error"
    assert "at most 480" in problem.message


def test_a_huge_int_is_told_under_the_lowest_limit_that_python_knows() -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        for digits in range(470, 1000):
            assert verdict("account", 10**digits) == ("ok" if digits < 480 else "error")
    finally:
        sys.set_int_max_str_digits(before)


def test_no_uuid_module_is_needed_and_half_an_import_of_it_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "uuid")
    assert verdict("account", 1.5) == "error"
    monkeypatch.setitem(sys.modules, "uuid", type(sys)("uuid"))
    assert verdict("account", 1.5) == "error"


@pytest.mark.parametrize(
    "value",
    ["jo+test@x.com", "o'hara@x.com", "a!#$%&'*+/=?^_`{|}~-b@x.com", "jo+test@localhost", "a.b+c@sub-1.x.co.uk"],
)
def test_an_email_address_with_other_characters_is_a_warning(value: str) -> None:
    (problem,) = check_id("user", value)
    assert problem.severity == "warning"
    assert "sent as it is" in problem.message
    assert "not among the characters" in problem.message
    assert "Check in Totango" in problem.message


@pytest.mark.parametrize(
    "value",
    [
        "jo+test",
        "jo+test@",
        "+@x.com@x.com",
        "@x+y.com",
        ".jo+t@x.com",
        "jo+t.@x.com",
        "jo..t+@x.com",
        "jo+t@-x.com",
        "jo+t@x-.com",
        "jo+t@x..com",
        "jo+t@x.com.",
        "jo+té@x.com",
        "jo+t@éx.com",
        '"jo+t"@x.com',
        "jo+t@[127.0.0.1]",
        "jo+t (x)@x.com",
        "jo+t@x_y.com",
        "jo+\x00@x.com",
        "jo+t@x.com\n",
    ],
    ids=shown,
)
def test_what_only_resembles_an_email_address_is_an_error(value: str) -> None:
    assert verdict("user", value) == "error"


def test_an_email_address_at_the_limit_is_a_warning_and_one_character_more_an_error() -> None:
    assert verdict("user", "a+" + "b" * 92 + "@x.com") == "warning"
    assert [problem.severity for problem in check_id("user", "a+" + "b" * 93 + "@x.com")] == ["error"]


@pytest.mark.parametrize("kind", ["account", "product", "collection"])
def test_an_email_address_is_no_other_id(kind: str) -> None:
    assert verdict(kind, "marlo@barksdale.com") == "error"


@pytest.mark.parametrize(
    "hostile", ["a" * 2_000_000 + "!", "a+" * 1_000_000, "a." * 1_000_000 + "+@x", "a@" + "b-" * 1_000_000]
)
@pytest.mark.parametrize("kind", ["account", "user"])
def test_a_huge_id_is_checked_in_linear_time(kind: str, hostile: str) -> None:
    before = time.thread_time()  # senders of other tests may still be at work in this process
    assert verdict(kind, hostile) == "error"
    assert time.thread_time() - before < 2


@relaxed
@given(st.one_of(st.text(), st.from_regex(r"\A ?[A-Za-z0-9_.@+' -]{0,110}\Z")), st.sampled_from(KINDS))
def test_the_verdict_of_any_text_is_that_of_the_rules_written_out(value: str, kind: str) -> None:
    listed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" + ALLOWED[kind])
    got = verdict(kind, value)
    if value.lower() in ("none", "null", "nan", "undefined", "-"):
        assert got == "error"
    elif kind in ("account", "user") and value.lower() in ("0", "true", "false", "anonymous", "unknown"):
        assert got == "warning"
    elif 1 <= len(value) <= LIMITS[kind] and set(value) <= listed:
        assert got == "ok" or value.startswith(("001", "003"))
    elif (
        kind == "user"
        and len(value) <= LIMITS[kind]
        and value.count("@") == 1
        and not set(value) & set(' "(),:;<>[\\]')
    ):
        assert got in ("warning", "error")
    else:
        assert got == "error"
    for problem in check_id(kind, value):  # type: ignore[arg-type]
        assert problem.field == kind
        assert problem.value == value
        assert problem.message.isprintable()
        assert shown(value)[:-1] in problem.message


@pytest.mark.parametrize("kind", ["", "Account", "salesforce", "sdr_o", None, 1, b"account"])
def test_an_unknown_kind_of_id_is_an_options_error_that_lists_the_kinds(kind: Any) -> None:
    with pytest.raises(OptionsError, match=r"use one of account, product, user, collection") as caught:
        check_id(kind, "1")
    assert shown(kind) in str(caught.value)


def test_an_unknown_kind_that_cannot_be_hashed_is_an_options_error_too() -> None:
    with pytest.raises(OptionsError, match="use one of"):
        check_id([], "1")  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "limit"), [("activity", 190), ("module", 100)])
def test_a_text_at_the_limit_is_right_and_one_character_more_is_an_error_not_cut(field: str, limit: int) -> None:
    assert text_problems(field, "é" * limit) == ()
    assert text_problems(field, "😀" * limit) == ()
    for length in (limit + 1, 600, 100_000):
        (problem,) = text_problems(field, "é" * length)
        assert problem.severity == "error"
        assert f"has {length} characters; Totango takes at most {limit}" in problem.message
        assert "shorter" in problem.message


@pytest.mark.parametrize("field", ["activity", "module"])
@pytest.mark.parametrize("value", ["", " ", " \u3000 "], ids=shown)
def test_an_empty_text_is_an_error(field: str, value: str) -> None:
    (problem,) = text_problems(field, value)
    assert problem.severity == "error"
    assert "is empty; give 1 to" in problem.message


@pytest.mark.parametrize("field", ["activity", "module"])
@pytest.mark.parametrize("char", [chr(code) for code in (*range(32), *range(127, 160))], ids=ascii)
def test_a_control_character_in_a_text_is_an_error(field: str, char: str) -> None:
    (problem,) = text_problems(field, f"Log{char}in")
    assert problem.severity == "error"
    assert f"the control character {char!a}; remove it" in problem.message


@pytest.mark.parametrize("field", ["activity", "module"])
@pytest.mark.parametrize(
    "value", ["Share Document", " a ", "A b&c=d", "M/é+~!*'()", "日本 ☃ 😀", "a\u200db", "sdr_s", "__heartbeat"]
)
def test_any_other_text_is_right(field: str, value: str) -> None:
    assert text_problems(field, value) == ()


@pytest.mark.parametrize("field", ["activity", "module"])
@pytest.mark.parametrize("value", ["\ud800", "a\udfffb", "\ud83d \ude00"], ids=shown)
def test_a_lone_surrogate_in_a_text_is_an_error(field: str, value: str) -> None:
    (problem,) = text_problems(field, value)
    assert problem.severity == "error"
    assert "lone surrogate '\\ud" in problem.message
    assert "Decode the text" in problem.message


@pytest.mark.parametrize("field", ["activity", "module"])
def test_every_broken_rule_of_a_text_is_told(field: str) -> None:
    told = [problem.message for problem in text_problems(field, "\x00\ud800" + "a" * 200)]
    assert len(told) == 3
    assert "characters" in told[0]
    assert "control character '\\x00'" in told[1]
    assert "lone surrogate" in told[2]


@pytest.mark.parametrize("field", ["activity", "module"])
@pytest.mark.parametrize(
    "value",
    [1, 1.5, True, b"Login", ["Login"], {}, Plain.ONE, Unshowable(), MagicMock(spec=str)],
    ids=lambda value: type(value).__name__,
)
def test_a_text_of_another_type_is_an_error_with_an_example(field: str, value: object) -> None:
    (problem,) = text_problems(field, value)
    assert problem.severity == "error"
    assert problem.value is value
    assert f"is of type {type(value).__name__}; give a str of 1 to" in problem.message
    assert "such as" in problem.message


@pytest.mark.parametrize("field", ["activity", "module"])
def test_a_missing_text_is_told_as_missing(field: str) -> None:
    (problem,) = text_problems(field, None)
    assert problem.message.startswith("is missing; give a str of 1 to")


def test_a_subclass_of_str_is_a_text_whatever_it_does_to_itself() -> None:
    assert text_problems("activity", Text("Login")) == ()
    assert text_problems("activity", Tier.GOLD) == ()
    assert len(text_problems("activity", Text(""))) == 1


@pytest.mark.parametrize("value", ["SP-0000-02", "SP-1-1", "SP-123456789-12345"])
def test_a_service_id_of_digits_is_right(value: str) -> None:
    assert service_id_problem(value) is None


@pytest.mark.parametrize("value", ["SP-XXXX-XX", "SP-xxxx-xx", "SP-X-X"])
def test_the_placeholder_of_the_documentation_is_refused_by_name(value: str) -> None:
    wrong = service_id_problem(value)
    assert wrong is not None
    assert wrong.message.startswith(f"{value!r} is the placeholder")
    assert "SP-1234-01" in wrong.message
    assert (wrong.field, wrong.severity, wrong.rule) == ("service_id", "error", "service_id.placeholder")


@pytest.mark.parametrize(
    "value",
    [
        "SP-0000",
        "sp-0000-00",
        "SP-0000-00 ",
        "SP-0000-00\n",
        "SP--",
        "SP-٣-١",
        "SP-XXXX-01",
        "XSP-1-1",
        1,
        b"SP-1-1",
        [],
        Unshowable(),
    ],
    ids=shown,
)
def test_any_other_service_id_is_refused_with_an_example(value: object) -> None:
    wrong = service_id_problem(value)
    assert wrong is not None
    assert wrong.message.startswith(f"{shown(value)} is not a service id")
    assert "SP-<digits>-<digits>, such as 'SP-1234-01'" in wrong.message
    assert wrong.rule == "service_id.form"


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_service_id_is_told_as_missing(value: str | None) -> None:
    wrong = service_id_problem(value)
    assert wrong is not None
    assert wrong.message.startswith("is missing:")
    assert wrong.rule == "service_id.missing"


@pytest.mark.parametrize(
    ("account", "product", "joined"),
    [
        ("819332", "ABC", "819332_ABC"),
        (819332, 7, "819332_7"),
        (A_UUID, "ABC", "12345678-abcd-1234-1234-123456789abc_ABC"),
        ("A_B", "C", "A_B_C"),
        ("A", "B_C", "A_B_C"),
        ("a" * 224, "b" * 255, "a" * 224 + "_" + "b" * 255),
        ("a" * 478, "b", "a" * 478 + "_b"),
    ],
    ids=shown,
)
def test_an_account_and_a_product_are_joined_with_an_underscore(account: Any, product: Any, joined: str) -> None:
    assert product_account_id(account, product) == joined
    assert joined_problems(joined) == ()


@pytest.mark.parametrize(("account", "product"), [("a" * 225, "b" * 255), ("a" * 479, "b"), ("a" * 480, "b")])
def test_joined_ids_of_more_than_480_characters_are_an_error(account: str, product: str) -> None:
    with pytest.raises(
        InvalidID, match=r"has 48[12] characters; Totango takes at most 480. Give the product an account_id"
    ):
        product_account_id(account, product)


@pytest.mark.parametrize(
    ("account", "product", "fields"),
    [
        ("", "P", "account"),
        ("A", "", "product"),
        (1.5, None, "account product"),
        (True, b"P", "account product"),
        ("A", "P Q", "product"),
        ("a" * 481, "P", "account"),
        ("A", "p" * 256, "product"),
    ],
    ids=shown,
)
def test_a_wrong_part_is_told_and_so_is_the_other(account: Any, product: Any, fields: str) -> None:
    with pytest.raises(InvalidID) as caught:
        product_account_id(account, product)
    assert {part.partition(":")[0] for part in str(caught.value).split("; ")} & {"account", "product"} == set(
        fields.split()
    )


def test_a_problem_is_told_in_one_short_line_whatever_its_field() -> None:
    problem = Problem("account.a\nb\ud800" + "x" * 1_000_000, Unshowable(), "is wrong")
    assert str(problem).startswith("account.a\\nb\\ud800xxx")
    assert str(problem).endswith("…: is wrong")
    assert len(str(problem)) < 150
    assert "<Unshowable that cannot be shown>" in repr(problem)


def test_a_problem_is_an_error_unless_it_says_otherwise() -> None:
    assert Problem("account", None, "x").severity == "error"


@relaxed
@given(st.text(max_size=300), st.text(max_size=300))
def test_joining_gives_a_right_account_id_or_raises(account: str, product: str) -> None:
    try:
        joined = product_account_id(account, product)
    except InvalidID:
        assert (
            verdict("account", account) == "error"
            or verdict("product", product) == "error"
            or len(account + product) > 479
        )
    else:
        assert verdict("account", joined) == "ok"

from __future__ import annotations

import datetime as dt
import decimal
import enum
import re
import sys
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totango_sdk.identity.values import AttributeList, Unfit, format_value
from totango_sdk.show import shown

if TYPE_CHECKING:
    from totango_sdk.identity import Problem

# A loaded machine is no failure.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PLUS_TWO = dt.timezone(dt.timedelta(hours=2))
MINUS_FIVE = dt.timezone(dt.timedelta(hours=-5, minutes=-30))


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Whole(int):
    def __str__(self) -> str:
        return "something else"

    __repr__ = __str__


class Real(float):
    def __str__(self) -> str:
        return "something else"

    __repr__ = __str__


class OwnUUID(uuid.UUID):
    def __str__(self) -> str:
        return "something else"


class Tier(str, enum.Enum):  # noqa: UP042  # StrEnum is another thing: its members format as their values
    GOLD = "gold"


class Name(enum.StrEnum):
    PLAN = "Plan"


class Kinds(enum.Enum):
    TEXT = "text"
    YES = True
    WHOLE = 2.0
    DAY = dt.date(2026, 5, 1)
    INNER = Tier.GOLD
    PAIR = (1, 2)
    NOTHING = None


class Level(enum.IntEnum):
    ONE = 1


class Flags(enum.IntFlag):
    A = 1
    B = 2


class NotATime(dt.datetime):
    """As pandas' NaT: a datetime that is equal to nothing."""

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = dt.datetime.__hash__

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        return f"NaT{sep[:0]}{timespec[:0]}"

    __str__ = __repr__ = lambda self: "NaT"  # noqa: E731


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class NoOffset(dt.tzinfo):
    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta | None:
        return None

    def dst(self, _: dt.datetime | None) -> None:
        return None

    def tzname(self, _: dt.datetime | None) -> None:
        return None


class BrokenZone(NoOffset):
    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        raise RuntimeError("the zone file is gone")


class BrokenDecimal(Decimal):
    def adjusted(self) -> int:
        raise RuntimeError("no")


def told(entity: str, values: object, limit: int = 512) -> tuple[dict[str, str], list[Problem]]:
    found = AttributeList(entity, limit)
    found.add_all("attributes", values)
    return found.pairs, found.problems


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("as it is", "as it is"),
        ("日本 ☃ 😀\n\t\x00", "日本 ☃ 😀\n\t\x00"),
        (Text("plain"), "plain"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (10, "10"),
        (-10, "-10"),
        (1234567890123, "1234567890123"),
        (Whole(7), "7"),
        (10**511, "1" + "0" * 511),
        (3.5, "3.5"),
        (-1.5, "-1.5"),
        (2.0, "2"),
        (0.0, "0"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1200.5, "1200.5"),
        (1e15, "1000000000000000"),
        (1e16, "10000000000000000"),
        (1e22, "10000000000000000000000"),
        (-1e22, "-10000000000000000000000"),
        (1e-7, "0.0000001"),
        (1.5e-10, "0.00000000015"),
        (5e-324, "0." + "0" * 323 + "5"),
        (sys.float_info.max, str(int(sys.float_info.max))),
        (Real(2.5), "2.5"),
        (Decimal("1200.50"), "1200.50"),
        (Decimal("1E+3"), "1000"),
        (Decimal("-1E-3"), "-0.001"),
        (Decimal(0), "0"),
        (Decimal("-0"), "0"),
        (Decimal("0.00"), "0.00"),
        (Decimal("-0.00"), "0.00"),
        (Decimal("0E+1000000"), "0"),
        (Decimal("0E-1000000"), "0"),
        (Decimal("0E-999999999"), "0"),
        (Decimal("1E+511"), "1" + "0" * 511),
        (dt.date(2026, 5, 1), "2026-05-01"),
        (dt.date(1, 1, 1), "0001-01-01"),
        (dt.datetime(2011, 12, 20, 19, 25, 58, tzinfo=dt.UTC), "2011-12-20T19:25:58.000Z"),
        (dt.datetime(2011, 12, 20, 19, 25, 58, 123999, tzinfo=dt.UTC), "2011-12-20T19:25:58.123Z"),
        (dt.datetime(2026, 1, 1, 1, 0, tzinfo=PLUS_TWO), "2025-12-31T23:00:00.000Z"),
        (dt.datetime(2026, 1, 1, 1, 0, tzinfo=MINUS_FIVE), "2026-01-01T06:30:00.000Z"),
        (dt.datetime(1, 1, 1, tzinfo=dt.UTC), "0001-01-01T00:00:00.000Z"),
        (dt.datetime.max.replace(tzinfo=PLUS_TWO), "9999-12-31T21:59:59.999Z"),
        (uuid.UUID("12345678-ABCD-1234-1234-123456789ABC"), "12345678-abcd-1234-1234-123456789abc"),
        (OwnUUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Kinds.TEXT, "text"),
        (Kinds.YES, "true"),
        (Kinds.WHOLE, "2"),
        (Kinds.DAY, "2026-05-01"),
        (Kinds.INNER, "gold"),
        (Tier.GOLD, "gold"),
        (Name.PLAN, "Plan"),
        (Level.ONE, "1"),
        (Flags.A | Flags.B, "3"),
    ],
    ids=shown,
)
def test_each_kind_of_value_has_its_text(value: object, text: str) -> None:
    written = format_value(value)
    assert written == text
    assert type(written) is str


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
        Decimal("NaN123"),
    ],
    ids=shown,
)
def test_a_number_that_is_none_is_an_error(value: object) -> None:
    with pytest.raises(Unfit, match="is not a number that can be sent; leave the attribute out") as caught:
        format_value(value)
    assert shown(value) in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        10**512,
        10**5000,
        -(10**511),
        1 << 1_000_000,
        Decimal("1E+512"),
        Decimal("-1E+511"),
        Decimal("1E+1000000"),
        Decimal("-1E+1000000"),
        Decimal("1E-1000000"),
        Decimal("1E+999999999999999999"),
        Decimal("1E-999999999999999999"),
        Decimal("9" * 513),
    ],
    ids=shown,
)
def test_a_number_too_long_to_be_kept_is_an_error_and_is_never_cut(value: object) -> None:
    with pytest.raises(
        Unfit, match="needs more than 512 characters, and cut short it would be another number"
    ) as caught:
        format_value(value)
    assert shown(value) in str(caught.value)


@pytest.mark.parametrize(("limit", "entity"), [(512, "account"), (255, "user")])
def test_a_number_is_whole_up_to_the_limit_of_its_attribute_and_an_error_beyond(limit: int, entity: str) -> None:
    for digits in (limit - 1, limit):
        pairs, problems = told(entity, {"n": 10**digits - 1, "d": Decimal(10**digits - 1)}, limit)
        assert pairs == {"n": "9" * digits, "d": "9" * digits}
        assert problems == []
    for value in (10**limit, -(10 ** (limit - 1)), Decimal(10**limit)):
        pairs, problems = told(entity, {"n": value}, limit)
        assert pairs == {}
        assert [(problem.field, problem.severity) for problem in problems] == [(f"{entity}.n", "error")]


def test_a_long_fraction_is_cut_with_a_warning_as_any_text_is() -> None:
    pairs, (problem,) = told("user", {"n": 5e-324}, 255)
    assert pairs == {"n": "0." + "0" * 253}
    assert problem.severity == "warning"


@relaxed
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_float_reads_back_as_itself_in_plain_digits(value: float) -> None:
    text = format_value(value)
    assert float(text) == value
    assert re.fullmatch(r"-?\d+(\.\d+)?", text)
    assert not text.endswith(".0")
    assert text != "-0"


@relaxed
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1E500"), max_value=Decimal("1E500")))
def test_any_decimal_reads_back_as_itself_in_plain_digits(value: Decimal) -> None:
    try:
        text = format_value(value)
    except Unfit:
        assert value.adjusted() < -512
        return
    assert Decimal(text) == value
    assert re.fullmatch(r"-?\d+(\.\d+)?", text)


@relaxed
@given(st.integers())
def test_any_int_reads_back_as_itself(value: int) -> None:
    assert int(format_value(value)) == value


@relaxed
@given(st.datetimes(timezones=st.timezones()))
def test_any_aware_datetime_reads_back_as_the_same_instant(value: dt.datetime) -> None:
    text = format_value(value)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert dt.timedelta(0) <= value - dt.datetime.fromisoformat(text) < dt.timedelta(milliseconds=1)


def test_a_decimal_context_of_the_host_changes_nothing() -> None:
    plain = decimal.Context()  # held: what its flags are is its own
    traps: Any = list(plain.flags)
    with decimal.localcontext(decimal.Context(prec=1, Emin=0, Emax=0, capitals=0, traps=traps)):
        assert format_value(Decimal("-123.456")) == "-123.456"
        assert format_value(Decimal("-0.00")) == "0.00"
        assert format_value(5e-324).endswith("5")


def test_a_datetime_without_a_time_zone_is_an_error_and_never_a_guess() -> None:
    for value in (dt.datetime(2026, 5, 1), dt.datetime.max, dt.datetime(2026, 5, 1, tzinfo=NoOffset())):
        with pytest.raises(
            Unfit, match=r"has no time zone; give one that has, such as datetime.now\(timezone.utc\)"
        ) as caught:
            format_value(value)
        assert value.isoformat() in str(caught.value)


@pytest.mark.parametrize(
    "value", [dt.datetime.max.replace(tzinfo=MINUS_FIVE), dt.datetime.min.replace(tzinfo=PLUS_TWO)], ids=shown
)
def test_a_datetime_outside_the_years_1_to_9999_in_utc_is_an_error(value: dt.datetime) -> None:
    with pytest.raises(Unfit, match="outside the years 1 to 9999 in UTC; give a time within them") as caught:
        format_value(value)
    assert value.isoformat() in str(caught.value)


def test_a_datetime_that_is_not_a_time_is_an_error() -> None:
    with pytest.raises(Unfit, match="NaT is not a time"):
        format_value(NotATime(2026, 5, 1, tzinfo=dt.UTC))


@pytest.mark.parametrize(
    "value",
    [
        b"x",
        bytearray(b"x"),
        [],
        ["a"],
        (1, 2),
        {"a": 1},
        {1},
        1j,
        Fraction(1, 2),
        dt.time(1),
        dt.timedelta(1),
        object,
        Unshowable(),
        Kinds.PAIR,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_any_other_type_is_an_error_that_names_the_attribute_and_the_type(value: object) -> None:
    pairs, (problem,) = told("account", {"Plan": value, "other": "kept"})
    given = value.value if isinstance(value, enum.Enum) else value
    assert pairs == {"other": "kept"}
    assert (problem.field, problem.severity) == ("account.Plan", "error")
    assert problem.value is value
    assert f"{shown(given)} is of type {type(given).__name__}; give a str, bool, int" in problem.message
    assert "or None to leave it out" in problem.message


@pytest.mark.parametrize(
    "value",
    [dt.datetime(2026, 5, 1, tzinfo=BrokenZone()), BrokenDecimal(1), MagicMock(spec=str), MagicMock(spec=Decimal)],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_raises_when_it_is_written_is_a_problem_and_raises_nothing(value: object) -> None:
    pairs, problems = told("account", {"Plan": value, "other": "kept"})
    assert pairs == {"other": "kept"}
    assert [(problem.field, problem.severity) for problem in problems] == [("account.Plan", "error")]
    assert "Give it as a str" in problems[0].message


def test_neither_decimal_nor_uuid_needs_to_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("decimal", "uuid"):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(Unfit, match="is of type object"):
        format_value(object())
    for name in ("decimal", "uuid"):
        monkeypatch.setitem(sys.modules, name, type(sys)(name))
    with pytest.raises(Unfit, match="is of type object"):
        format_value(object())


def test_none_leaves_an_attribute_out() -> None:
    assert told("account", {"Plan": None, "id": None, "": None}) == ({}, [])


def test_so_does_a_member_of_an_enum_whose_value_is_none() -> None:
    assert told("account", {"Plan": Kinds.NOTHING, "other": "kept"}) == ({"other": "kept"}, [])


def test_attributes_keep_their_order() -> None:
    pairs, problems = told("account", {"b": 1, "a": 2, "Created At": 3, "c": "x"})
    assert list(pairs.items()) == [("b", "1"), ("a", "2"), ("Created At", "3"), ("c", "x")]
    assert problems == []


@pytest.mark.parametrize("limit", [512, 255, 128])
def test_a_value_at_the_limit_is_kept_and_one_character_more_is_cut_with_a_warning(limit: int) -> None:
    assert told("account", {"a": "😀" * limit}, limit) == ({"a": "😀" * limit}, [])
    pairs, (problem,) = told("account", {"a": "😀" * (limit + 1)}, limit)
    assert pairs == {"a": "😀" * limit}
    assert (problem.field, problem.severity) == ("account.a", "warning")
    assert f"has {limit + 1} characters and is cut to {limit}" in problem.message
    assert problem.message.startswith("'😀")


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb" * 1000, Text("\ud83d"), "é\udc80"], ids=shown)
def test_a_value_with_a_lone_surrogate_is_an_error(value: str) -> None:
    pairs, (problem,) = told("account", {"a": value})
    assert pairs == {}
    assert (problem.field, problem.severity) == ("account.a", "error")
    assert "lone surrogate" in problem.message
    assert problem.message.isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "Created At",
        "plan_2",
        "a" * 100,
        " a ",
        "name",
        "sdr",
        "SDR Owner",
        "sdroid",
        "ids",
        "_id",
        "account name",
    ],
)
def test_a_usual_name_is_right(name: str) -> None:
    assert told("account", {name: "x"}) == ({name: "x"}, [])


@pytest.mark.parametrize(
    "name",
    ["é", "Größe", "a.b", "a&b=c", "100%", "a-b", "日本", "a\u2028b", "a" * 99 + "!", "%00", "+", "sdr-o"],
    ids=shown,
)
def test_a_name_with_other_characters_is_a_warning_and_sent_as_it_is(name: str) -> None:
    pairs, (problem,) = told("account", {name: "x"})
    assert pairs == {name: "x"}
    assert (problem.field, problem.severity) == (f"account.{name}", "warning")
    assert shown(name) in problem.message
    assert "letters, digits, _ and space are safe" in problem.message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "'' is empty; give 1 to 100 characters"),
        ("   ", "'   ' is empty; give 1 to 100"),
        ("a" * 101, "has 101 characters; give it at most 100"),
        ("a" * 129, "has 129 characters; give it at most 100"),
        ("a" * 100_000, "has 100000 characters; give it at most 100"),
        ("a\x00b", "the control character '\\x00'; remove it"),
        ("a\nb", "the control character '\\n'; remove it"),
        ("a\r\nb", "the control character '\\r'; remove it"),
        ("a\x7f", "the control character '\\x7f'; remove it"),
        ("a\x85", "the control character '\\x85'; remove it"),
        ("a\ud800", "the lone surrogate '\\ud800'"),
        ("sdr_s", "'sdr_s' is Totango's own"),
        ("sdr_o", "rename it"),
        ("SDR_O.x", "'SDR_O.x' is Totango's own"),
        ("sdr_u.name", "rename it"),
        ("sdr.x", "rename it"),
        ("id", "give it as id="),
        ("account_name", "give the account's name as name="),
        ("api-token", "use api_token="),
        ("API-Token", "use api_token="),
    ],
    ids=shown,
)
@pytest.mark.parametrize("entity", ["account", "product", "user"])
def test_a_name_that_cannot_be_is_an_error_and_the_attribute_is_not_there(entity: str, name: str, said: str) -> None:
    pairs, (problem,) = told(entity, {name: "x", "other": "kept"})
    assert pairs == {"other": "kept"}
    assert (problem.field, problem.value, problem.severity) == (f"{entity}.{name}", "x", "error")
    assert said in problem.message
    assert str(problem).isprintable()
    assert len(str(problem)) < 400


@pytest.mark.parametrize(
    "name", [1, 1.5, None, True, b"Plan", ("a",), Kinds.TEXT, Unshowable()], ids=lambda value: type(value).__name__
)
def test_a_name_that_is_no_str_is_an_error(name: object) -> None:
    pairs, (problem,) = told("account", {name: "x"})
    assert pairs == {}
    assert (problem.field, problem.severity) == (f"account.{shown(name)}", "error")
    assert f"the attribute name {shown(name)} is of type {type(name).__name__}; give it as a str" in problem.message


@pytest.mark.parametrize("name", [Name.PLAN, Text("Plan")], ids=lambda value: type(value).__name__)
def test_a_name_of_a_subclass_of_str_is_taken_as_its_text(name: str) -> None:
    pairs, problems = told("account", {name: "x"})
    assert pairs == {"Plan": "x"}
    assert [type(key) for key in pairs] == [str]
    assert problems == []


@pytest.mark.parametrize(
    "values",
    [None, 1, "Plan", b"x", ["Plan"], [("Plan", "Gold")], {"Plan"}, Unshowable()],
    ids=lambda value: type(value).__name__,
)
def test_attributes_that_are_no_mapping_are_an_error(values: object) -> None:
    pairs, (problem,) = told("account", values)
    assert pairs == {}
    assert (problem.field, problem.severity) == ("account.attributes", "error")
    assert f"is of type {type(values).__name__}; give a mapping of names to values" in problem.message


def test_an_attribute_that_is_given_twice_is_an_error() -> None:
    found = AttributeList("account", 512)
    found.add("Plan", "Gold")
    found.add("Plan", "Pro")
    (problem,) = found.problems
    assert found.pairs == {"Plan": "Gold"}
    assert (problem.field, problem.value, problem.severity) == ("account.Plan", "Pro", "error")
    assert "given twice; give it once" in problem.message


@pytest.mark.parametrize("name", ["Contact", "Key Contact"])
@pytest.mark.parametrize(
    ("value", "text"), [(True, "yes"), (False, "no"), ("yes", "yes"), ("no", "no"), (Kinds.YES, "yes")], ids=shown
)
def test_a_contact_is_yes_or_no(name: str, value: object, text: str) -> None:
    assert told("user", {name: value}) == ({name: text}, [])


@pytest.mark.parametrize("name", ["Contact", "Key Contact"])
@pytest.mark.parametrize("value", ["Yes", "true", "", 1, "NO"], ids=shown)
def test_a_contact_that_is_neither_yes_nor_no_is_a_warning(name: str, value: object) -> None:
    pairs, (problem,) = told("user", {name: value})
    assert pairs == {name: str(value)}
    assert problem.severity == "warning"
    assert "yes or no, in lower case" in problem.message


@pytest.mark.parametrize("entity", ["account", "product"])
def test_an_account_has_no_contact_so_its_booleans_are_true_and_false(entity: str) -> None:
    assert told(entity, {"Contact": True, "Key Contact": False}) == ({"Contact": "true", "Key Contact": "false"}, [])


@pytest.mark.parametrize("value", ["Free", "Paying", "Canceled", ""])
def test_a_status_that_totango_knows_or_an_empty_one_is_right(value: str) -> None:
    assert told("account", {"Status": value}) == ({"Status": value}, [])


@pytest.mark.parametrize("value", ["free", "PAYING", "canceled"])
def test_a_status_in_another_case_is_a_warning(value: str) -> None:
    pairs, (problem,) = told("account", {"Status": value})
    assert pairs == {"Status": value}
    assert problem.severity == "warning"
    assert repr(value.capitalize()) in problem.message
    assert told("user", {"Status": value}) == ({"Status": value}, [])


@pytest.mark.parametrize("name", ["parent_id", "product_id"])
@pytest.mark.parametrize("value", ["", "a b", 819332.0, True, "x" * 600, Kinds.TEXT, dt.date(2026, 5, 1)], ids=shown)
def test_an_account_attribute_that_is_an_id_obeys_the_rules_of_ids(name: str, value: object) -> None:
    _, problems = told("account", {name: value})
    assert "error" in {problem.severity for problem in problems}
    assert {problem.field for problem in problems} == {f"account.{name}"}
    assert told("user", {name: "a b"}) == ({name: "a b"}, [])


@pytest.mark.parametrize("value", ["A", 5, uuid.UUID(int=1)], ids=shown)
def test_an_account_attribute_that_is_a_right_id_has_no_problem(value: object) -> None:
    assert told("account", {"parent_id": value, "product_id": value})[1] == []


@relaxed
@given(
    st.dictionaries(
        st.one_of(st.text(), st.integers(), st.binary(), st.none()),
        st.one_of(
            st.text(),
            st.binary(),
            st.integers(),
            st.floats(),
            st.decimals(),
            st.datetimes(),
            st.dates(),
            st.none(),
            st.lists(st.integers()),
        ),
    ),
    st.sampled_from(["account", "product", "user"]),
)
def test_any_attributes_give_sendable_text_or_an_error_and_nothing_raises(values: dict[Any, Any], entity: str) -> None:
    pairs, problems = told(entity, values)
    for name, text in pairs.items():
        assert 1 <= len(name) <= 100
        assert len(text) <= 512
        (name + text).encode()
    failed = {problem.field for problem in problems if problem.severity == "error"}
    for name, value in values.items():
        if value is not None and name not in pairs:
            assert f"{entity}.{name if isinstance(name, str) else shown(name)}" in failed
    assert all(str(problem).isprintable() for problem in problems)

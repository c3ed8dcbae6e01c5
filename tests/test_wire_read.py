"""Reading a request: as Totango would understand it, with what it would not have told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totango_sdk.identity import check_id
from totango_sdk.wire import claimed_keys, decode
from totango_sdk.wire.meant import meant_name
from totango_sdk.wire.read import Reading, read
from totango_sdk.wire.redact import redact

SERVICE = ("sdr_s", "SP-1234-01")
ACCOUNT = ("sdr_o", "819332")
USER = ("sdr_u", "marlo@barksdale.com")
ACTIVITY = (("sdr_a", "Invoice paid"), ("sdr_m", "Billing"))
PLAIN = [SERVICE, ACCOUNT, USER, *ACTIVITY]


def told(*pairs: tuple[str, str]) -> list[tuple[str, str]]:
    """Return field and severity of each problem of a request that has these beside a right service and account."""
    return [(problem.field, problem.severity) for problem in read([SERVICE, ACCOUNT, *pairs]).problems]


def messages(*pairs: tuple[str, str]) -> str:
    return "\n".join(problem.message for problem in read([SERVICE, ACCOUNT, *pairs]).problems)


def test_an_activity_is_read_as_it_was_meant() -> None:
    reading = read(PLAIN)
    assert reading == Reading(
        service_id="SP-1234-01",
        account_id="819332",
        account_name=None,
        ofid=None,
        account_attributes={},
        user_id="marlo@barksdale.com",
        user_attributes={},
        activity="Invoice paid",
        module="Billing",
        unknown=(),
        problems=(),
    )
    assert reading.accepted
    assert not reading.heartbeat
    assert not reading.from_browser


def test_names_and_attributes_go_to_the_account_and_the_user() -> None:
    reading = read(
        [
            *PLAIN,
            ("sdr_ofid", "001"),
            ("sdr_odn", "Acme"),
            ("sdr_o.parent_id", "819"),
            ("sdr_o.product_id", "332"),
            ("sdr_u.name", "Marlo"),
            ("api-token", "secret"),
        ]
    )
    assert (reading.account_name, reading.ofid) == ("Acme", "001")
    assert (reading.parent_id, reading.product_id) == ("819", "332")
    assert reading.user_attributes == {"name": "Marlo"}


def test_the_documented_name_of_the_display_name_means_the_same() -> None:
    assert read([*PLAIN, ("sdr_o.account_name", "Acme")]) == read([*PLAIN, ("sdr_odn", "Acme")])


def test_the_browser_collectors_own_parameters_are_no_problem_and_show_where_it_comes_from() -> None:
    reading = read([*PLAIN, ("sdrurl", "http://x/"), ("r", "0.5")])
    assert reading.problems == ()
    assert reading.from_browser


def test_a_heartbeat_is_told_from_an_activity() -> None:
    assert read([SERVICE, ACCOUNT, USER, ("sdr_a", "__heartbeat"), ("sdr_m", "__system")]).heartbeat


def test_a_request_with_nothing_in_it_misses_its_service_and_its_account() -> None:
    reading = read([])
    assert [problem.field for problem in reading.problems] == ["service_id", "account"]
    assert not reading.accepted


def test_a_request_without_an_account_is_right_where_empty_accounts_are_allowed() -> None:
    assert read([SERVICE, USER, *ACTIVITY], allow_empty_accounts=True).problems == ()
    assert not read([SERVICE, USER, *ACTIVITY]).accepted


@pytest.mark.parametrize("wrong", ["", " ", "a b", "å", "x" * 481, " 819332", "a.b"])
def test_a_wrong_account_id_is_told_by_the_rule_that_the_client_has(wrong: str) -> None:
    assert read([SERVICE, ("sdr_o", wrong)]).problems == tuple(check_id("account", wrong))


@pytest.mark.parametrize("wrong", ["", "a b", "x" * 101, "jo+test@x.com"])
def test_a_wrong_user_id_is_told_by_the_rule_that_the_client_has(wrong: str) -> None:
    assert read([SERVICE, ACCOUNT, ("sdr_u", wrong)]).problems == tuple(check_id("user", wrong))


def test_an_activity_without_a_module_is_an_error() -> None:
    assert told(USER, ACTIVITY[0]) == [("module", "error")]


def test_a_module_without_an_activity_reports_nothing_and_is_right() -> None:
    assert told(ACTIVITY[1]) == []
    assert told(USER, ACTIVITY[1], ("sdr_o.Plan", "Gold")) == []


def test_an_empty_activity_beside_attributes_is_none() -> None:
    empty = (("sdr_a", ""), ("sdr_m", ""))
    for said in (("sdr_o.Plan", "Gold"), ("sdr_u.Role", "Buyer"), ("sdr_odn", "Acme")):
        assert told(USER, said, *empty) == []
        assert told(USER, said, empty[0], ACTIVITY[1]) == []
    assert told(USER, *empty) == [("activity", "error"), ("module", "error")]
    assert read([SERVICE, ACCOUNT, USER, ("sdr_o.Plan", "Gold"), *empty]).activity is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("srd_s", "sdr_s"),
        ("service_id", "sdr_s"),
        ("serviceId", "sdr_s"),
        ("account-id", "sdr_o"),
        ("sdr_account", "sdr_o"),
        ("userId", "sdr_u"),
        ("action", "sdr_a"),
        ("sdr-m", "sdr_m"),
        ("displayName", "sdr_odn"),
        ("api_token", "api-token"),
        ("sdr_o_Status", "sdr_o.Status"),
        ("srd_o.Status", "sdr_o.Status"),
        ("sdr_u[Role]", "sdr_u.Role"),
        ("account.Contract Value", "sdr_o.Contract Value"),
        ("user[name]", "sdr_u.name"),
        ("account[id]", "sdr_o"),
        ("plan", None),
        ("sdr_x", None),
        ("", None),
        ("o" * 10_000, None),
    ],
)
def test_an_unknown_name_is_told_with_what_was_meant(name: str, meant: str | None) -> None:
    assert meant_name(name) == meant
    said = messages((name, "x"))
    assert (f"'{meant}'" in said) == (meant is not None)


def test_an_activity_without_a_user_is_told_once() -> None:
    assert told(*ACTIVITY) == [("user", "error")]
    assert told(*ACTIVITY, ("sdr_u.name", "Marlo")) == [("user", "error")]


def test_a_user_attribute_without_a_user_is_an_error() -> None:
    assert told(("sdr_u.name", "Marlo")) == [("user", "error")]


@pytest.mark.parametrize(
    ("name", "field", "limit"),
    [
        ("sdr_odn", "account.name", 128),
        ("sdr_ofid", "account.ofid", 512),
        ("sdr_o.Plan", "account.Plan", 512),
        ("sdr_u.Role", "user.Role", 255),
    ],
)
def test_a_value_that_is_too_long_is_a_warning_and_is_cut(name: str, field: str, limit: int) -> None:
    assert told(USER, (name, "x" * limit)) == []
    assert told(USER, (name, "x" * (limit + 1))) == [(field, "warning")]
    reading = read([*PLAIN, (name, "x" * (limit + 1))])
    kept = [reading.account_name, reading.ofid, *reading.account_attributes.values(), *reading.user_attributes.values()]
    assert "x" * limit in kept


@pytest.mark.parametrize(("name", "limit"), [("sdr_a", 190), ("sdr_m", 100)])
def test_an_activity_or_module_that_is_too_long_is_an_error(name: str, limit: int) -> None:
    pairs = dict([*PLAIN, (name, "x" * (limit + 1))])
    assert not read(pairs.items()).accepted


def test_two_different_values_of_one_name_are_a_warning_and_the_last_counts() -> None:
    assert told(USER, ("sdr_o.Plan", "Gold"), ("sdr_o.Plan", "Pro")) == [("account.Plan", "warning")]
    assert told(("sdr_u", "a"), ("sdr_u", "b")) == [("user", "warning")]
    assert read([*PLAIN, ("sdr_o.Plan", "Gold"), ("sdr_o.Plan", "Pro")]).account_attributes == {"Plan": "Pro"}


def test_the_same_value_twice_is_no_problem() -> None:
    assert told(USER, USER) == []


def test_two_tokens_are_told_without_being_shown() -> None:
    reading = read([*PLAIN, ("api-token", "hunter1"), ("api-token", "hunter2")])
    assert [problem.field for problem in reading.problems] == ["api_token"]
    assert "hunter" not in repr(reading)


def test_an_unknown_parameter_is_a_warning() -> None:
    assert told(("color", "red")) == [("color", "warning")]
    assert read([*PLAIN, ("color", "red")]).unknown == (("color", "red"),)


def test_a_parameter_in_the_wrong_case_is_told_with_the_right_one() -> None:
    assert "send 'sdr_o'" in messages(("SDR_O", "1"))
    assert "send 'sdr_u.name'" in messages((" sdr_u.Name", "x"))


@pytest.mark.parametrize("value", ["undefined", "null", "[object Object]", "NaN", "None"])
@pytest.mark.parametrize("name", ["sdr_odn", "sdr_ofid", "sdr_o.Plan", "sdr_u.name"])
def test_a_value_that_nobody_set_is_a_warning(name: str, value: str) -> None:
    assert [severity for _, severity in told(USER, (name, value))] == ["warning"]


def test_an_id_that_nobody_set_is_an_error_and_an_activity_a_warning() -> None:
    pairs = [SERVICE, ("sdr_o", "undefined"), ("sdr_u", "null"), ("sdr_a", "NaN"), ("sdr_m", "None")]
    problems = read(pairs).problems
    assert [problem.field for problem in problems] == ["account", "user", "activity", "module"]
    assert [problem.severity for problem in problems] == ["error", "error", "warning", "warning"]


def test_text_that_is_not_utf_8_is_a_warning() -> None:
    reading = read(decode(b"sdr_s=SP-1234-01&sdr_o=819332&sdr_odn=Caf%E9"))
    assert [(problem.field, problem.severity) for problem in reading.problems] == [("account.name", "warning")]


def test_a_product_account_that_fits_its_parent_and_product_is_right() -> None:
    pairs = [SERVICE, ("sdr_o", "819332_ABC"), ("sdr_o.parent_id", "819332"), ("sdr_o.product_id", "ABC")]
    assert read(pairs).problems == ()


def test_a_product_account_that_does_not_fit_its_parent_and_product_is_a_warning() -> None:
    pairs = (("sdr_o.parent_id", "819332"), ("sdr_o.product_id", "ABC"))
    assert told(*pairs) == [("account.parent_id", "error"), ("account", "warning")]  # it is its own parent, too
    assert told(("sdr_o.parent_id", "1"), ("sdr_o.product_id", "ABC")) == [("account", "warning")]


def test_a_product_account_without_a_parent_is_a_warning() -> None:
    assert told(("sdr_o.product_id", "ABC")) == [("account.product_id", "warning")]


def test_a_parent_and_a_product_are_checked_as_ids() -> None:
    assert ("account.parent_id", "error") in told(("sdr_o.parent_id", "a b"))
    assert ("account.product_id", "error") in told(("sdr_o.parent_id", "a"), ("sdr_o.product_id", "a b"))


def test_a_foreign_key_that_may_not_bind_is_a_warning() -> None:
    assert told(("sdr_o.foreignkeyid", "0012000000msDD0")) == [("account.foreignkeyid", "warning")]


def test_an_attribute_named_like_the_event_itself_is_an_error() -> None:
    assert told(("sdr_o.sdr_a", "x")) == [("account.sdr_a", "error")]
    assert told(("sdr_o.", "x")) == [("account.", "error")]


@given(st.binary())
def test_any_bytes_can_be_read(body: bytes) -> None:
    reading = read(decode(redact(body.decode("utf-8", "replace"))))
    assert reading.accepted == all(problem.severity != "error" for problem in reading.problems)


@given(st.binary())
def test_any_bytes_can_be_decoded(body: bytes) -> None:
    for name, value in decode(body):
        (name + value).encode()


@pytest.mark.parametrize(
    ("body", "pairs"),
    [
        (b"", []),
        (b"&&", []),
        (b"a", [("a", "")]),
        (b"a=", [("a", "")]),
        (b"=b", [("", "b")]),
        (b"=", [("", "")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a=1&a=2", [("a", "1"), ("a", "2")]),
        (b"a+b=c+d", [("a b", "c d")]),
        (b"a=%zz%4", [("a", "%zz%4")]),
        (b"a=%FF", [("a", "\ufffd")]),
        (b"a=\xff", [("a", "\ufffd")]),
        (b"a=1;b=2", [("a", "1;b=2")]),
    ],
)
def test_a_body_of_others_is_decoded_as_web_servers_do(body: bytes, pairs: list[tuple[str, str]]) -> None:
    assert decode(body) == pairs


def test_a_body_without_names_or_attributes_claims_nothing() -> None:
    assert claimed_keys(b"") == []
    assert claimed_keys(b"sdr_s=SP-1-1&sdr_o=A&sdr_u=U&sdr_a=a&sdr_m=m") == []
    assert claimed_keys(b"sdr_ofid=x&sdr_u.n=1") == ["\0"]

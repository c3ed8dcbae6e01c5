"""What the sandbox says of one event, of accounts and of users, and how it mends a call."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import totango_sdk
from totango_sdk import Totango, salesforce_id
from totango_sdk.sandbox import Store
from totango_sdk.sandbox.accounts import account_details, account_tree
from totango_sdk.sandbox.arrival import understand
from totango_sdk.sandbox.event import event_details
from totango_sdk.sandbox.mend import mend
from totango_sdk.sandbox.users import user_list
from totango_sdk.testing import RecordingTransport
from totango_sdk.wire import encode
from totango_sdk.wire.read import read

if TYPE_CHECKING:
    from collections.abc import Iterator

SDK, BROWSER = "totango-sdk/1.0 (Python)", "Mozilla/5.0"
SERVICE = ("sdr_s", "SP-1234-01")
WHO = (("sdr_o", "819332"), ("sdr_u", "joe@x.com"))
WHAT = (("sdr_a", "Login"), ("sdr_m", "Billing"))
# What a person would put in for the constants that a mended line may name.
FILLED_IN = {
    "ACCOUNT_ID": "my-account",
    "PARENT_ID": "my-parent",
    "PRODUCT_ID": "my-product",
    "PRODUCT_ACCOUNT_ID": "my-product-account",
    "USER_ID": "my-user",
    "ACTIVITY": "An activity",
    "MODULE": "A module",
}


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as kept:
        yield kept


def record(store: Store, *pairs: tuple[str, str], agent: str = SDK, fault: str | None = None, at: float = 1e9) -> int:
    """Record a request, and return its id."""
    store.record(
        understand(time=at, method="POST", query=b"", body=encode([SERVICE, *pairs]), user_agent=agent, fault=fault)
    )
    with store.views() as views:
        return views.last_id()


def details(store: Store, number: int) -> dict[str, Any]:
    with store.views() as views:
        found = event_details(views, number)
    assert found is not None
    json.dumps(found)
    return found


def effects(store: Store, number: int) -> list[tuple[Any, ...]]:
    found = details(store, number)["effects"]
    assert all(set(each) == {"kind", "text", "field", "from", "to"} and each["text"] for each in found)
    return [(each["kind"], each["field"], each["from"], each["to"]) for each in found]


def event(*pairs: tuple[str, str]) -> dict[str, Any]:
    """Return an event as the sandbox has it."""
    problems = [{"field": each.field, "severity": each.severity} for each in read(pairs).problems]
    return {"params": [list(pair) for pair in pairs], "problems": problems}


def evaluate(line: str) -> list[dict[str, str]]:
    """Run a mended line on a strict client, and return what it sends."""
    transport = RecordingTransport()
    names = {name: getattr(totango_sdk, name) for name in ("Account", "Product", "User")}
    with Totango("SP-1234-01", strict=True, spool="memory", transport=transport) as totango:
        eval(compile(line, "line", "eval"), {"totango": totango, "salesforce_id": salesforce_id, **names, **FILLED_IN})
        assert totango.flush()
    return [dict(each) for each in transport.sent]


def mended_line(found: dict[str, Any]) -> str | None:
    made = mend(found)
    return None if made is None else made.python


def mended(*pairs: tuple[str, str]) -> str:
    line = mended_line(event(*pairs))
    assert line is not None
    evaluate(line)
    return line


# -- one event


def test_an_event_that_is_not_there_has_no_details(store: Store) -> None:
    with store.views() as views:
        assert event_details(views, 1) is None


def test_the_first_event_makes_an_account_and_a_user(store: Store) -> None:
    number = record(store, *WHO, *WHAT, ("sdr_odn", "Acme"), ("sdr_o.Plan", "Gold"), ("sdr_u.name", "Joe"))
    assert effects(store, number) == [
        ("new_account", "account", None, "819332"),
        ("new_user", "user", None, "joe@x.com"),
        ("name", "account.name", None, "Acme"),
        ("attribute", "account.Plan", None, "Gold"),
        ("name", "user.name", None, "Joe"),
        ("activity", "activity", None, "Login"),
    ]
    assert details(store, number)["mend"] is None


def test_a_change_says_from_what_to_what_however_long_ago_it_was_said(store: Store) -> None:
    record(store, *WHO, ("sdr_o.Plan", "Gold"), ("sdr_u.Role", "Buyer"))
    for _ in range(50):
        record(store, *WHO, *WHAT)
    record(store, ("sdr_o", "819332"), ("sdr_u", "ann@x.com"), ("sdr_u.Role", "Boss"))
    number = record(store, *WHO, ("sdr_o.Plan", "Pro"), ("sdr_u.Role", "Seller"))
    record(store, *WHO, ("sdr_o.Plan", "Later"))
    assert effects(store, number) == [
        ("attribute", "account.Plan", "Gold", "Pro"),
        ("attribute", "user.Role", "Buyer", "Seller"),
    ]


def test_what_is_said_again_is_nothing_new(store: Store) -> None:
    record(store, *WHO, ("sdr_odn", "Acme"), ("sdr_o.Plan", "Gold"))
    number = record(store, *WHO, ("sdr_odn", "Acme"), ("sdr_o.Plan", "Gold"))
    assert [each[0] for each in effects(store, number)] == ["nothing"]


def test_a_refused_or_faulty_request_before_counts_for_nothing_and_a_lost_one_counts(store: Store) -> None:
    record(store, *WHO, ("sdr_o.Plan", "Gold"), fault="503")
    record(store, *WHO, ("sdr_o.Plan", "Silver"), ("sdr_a", "Login"))
    lost = record(store, *WHO, ("sdr_o.Plan", "Lost"), fault="lost")
    number = record(store, *WHO, ("sdr_o.Plan", "Pro"))
    assert effects(store, lost)[0] == ("new_account", "account", None, "819332")
    assert effects(store, number) == [("attribute", "account.Plan", "Lost", "Pro")]


def test_a_product_account_is_told_as_one(store: Store) -> None:
    parts = (("sdr_o.parent_id", "819332"), ("sdr_o.product_id", "ABC"))
    number = record(store, ("sdr_o", "819332_ABC"), ("sdr_u", "joe@x.com"), *WHAT, *parts)
    assert [each[0] for each in effects(store, number)] == ["new_product_account", "new_user", "activity"]
    assert "'ABC' of account '819332'" in details(store, number)["effects"][0]["text"]
    orphan = record(store, ("sdr_o", "1_ABC"), ("sdr_o.product_id", "ABC"))
    assert "of no account" in details(store, orphan)["effects"][0]["text"]


def test_a_heartbeat_is_told_as_one(store: Store) -> None:
    record(store, *WHO)
    number = record(store, *WHO, ("sdr_a", "__heartbeat"), ("sdr_m", "Billing"))
    assert [each[0] for each in effects(store, number)] == ["heartbeat"]


def test_a_dropped_event_says_why(store: Store) -> None:
    number = record(store, ("sdr_o", "Acme Corp"), *WHAT)
    (found,) = details(store, number)["effects"]
    assert found["kind"] == "dropped"
    assert "account: 'Acme Corp' has ' '" in found["text"]
    assert "user: a user ID is missing" in found["text"]


def test_a_refusal_on_demand_is_not_the_events_fault(store: Store) -> None:
    number = record(store, *WHO, *WHAT, fault="429")
    (found,) = details(store, number)["effects"]
    assert (found["kind"], "on demand (429)" in found["text"]) == ("dropped", True)


def test_every_known_parameter_is_shown_as_it_came_and_as_it_is_kept(store: Store) -> None:
    long = "x" * 600
    number = record(
        store,
        *WHO,
        ("sdr_o.account_name", "Acme"),
        ("sdr_o.Plan", long),
        ("sdr_o.a\x00b", "refused"),
        ("other", "1"),
        ("api-token", "t"),
    )
    understood = details(store, number)["understood"]
    assert understood == [
        {"field": "service_id", "came": "SP-1234-01", "kept": "SP-1234-01"},
        {"field": "account", "came": "819332", "kept": "819332"},
        {"field": "user", "came": "joe@x.com", "kept": "joe@x.com"},
        {"field": "account.name", "came": "Acme", "kept": "Acme"},
        {"field": "account.Plan", "came": long, "kept": long[:512]},
        {"field": "account.a\x00b", "came": "refused", "kept": None},
    ]


def test_details_of_the_last_of_many_events_come_soon(store: Store) -> None:
    record(store, *WHO, ("sdr_o.Plan", "Gold"))
    for _ in range(3000):
        store.record(
            understand(time=1e9, method="POST", query=b"", body=encode([SERVICE, *WHO, *WHAT]), user_agent=SDK)
        )
    number = record(store, *WHO, ("sdr_o.Plan", "Pro"))
    begun = time.thread_time()
    assert effects(store, number) == [("attribute", "account.Plan", None, "Pro")]  # further back than is looked
    assert time.thread_time() - begun < 2


# -- mending


@pytest.mark.parametrize(
    ("pairs", "line"),
    [
        (
            [("sdr_o", " 819332\t"), ("sdr_u", "joe@x.com\r\n"), ("sdr_a", " Login"), ("sdr_m", "Bill\x00ing"), SERVICE],
            'totango.track("Login", "Billing", account="819332", user="joe@x.com")',
        ),
        (
            [("sdr_o", "Acme Corp"), ("sdr_a", "undefined"), ("sdr_m", "x" * 101), SERVICE],
            "totango.track(ACTIVITY, MODULE, account=ACCOUNT_ID, user=USER_ID)",
        ),
        ([*WHO, *WHAT], 'totango.track("Login", "Billing", account="819332", user="joe@x.com")'),
        (
            [SERVICE, ("sdr_o", "1"), ("sdr_odn", "null"), ("sdr_o.Plan", "undefined"), ("sdr_o.Status", "paying")],
            'totango.set_account_attributes(Account("1", attributes={"Status": "Paying"}))',
        ),
        (
            [SERVICE, ("sdr_o", "1"), ("sdr_o.foreignkeyid", "0012000000msDD0")],
            'totango.set_account_attributes(Account("1", foreignkeyid=salesforce_id("0012000000msDD0")))',
        ),
        (
            [SERVICE, ("sdr_o", "1"), ("sdr_o.parent_id", "1"), ("sdr_odn", 'a"b\\')],
            """totango.set_account_attributes(Account("1", name='a"b\\\\'))""",
        ),
        (
            [SERVICE, *WHO, ("sdr_u.name", "Joe"), ("sdr_u.Contact", "True"), ("sdr_u.Key Contact", "maybe"), ("sdr_u.Role", "A")],
            'totango.set_user_attributes("819332", User("joe@x.com", name="Joe", contact=True, attributes={"Role": "A"}))',
        ),
        (
            [SERVICE, *WHO, ("SDR_O.Plan", "Gold")],
            'totango.identify(Account("819332", attributes={"Plan": "Gold"}), "joe@x.com")',
        ),
        (
            [SERVICE, ("sdr_o", "1_ABC"), ("sdr_u", "a"), *WHAT, ("sdr_o.product_id", "ABC")],
            'totango.track("Login", "Billing", account="1", user="a", product=Product("ABC"))',
        ),
        (
            [SERVICE, ("sdr_o", "other"), ("sdr_u", "a"), *WHAT, ("sdr_o.product_id", "ABC")],
            'totango.track("Login", "Billing", account=ACCOUNT_ID, user="a", product=Product("ABC", account_id="other"))',
        ),
        (
            [SERVICE, ("sdr_o", "1 ABC"), ("sdr_o.parent_id", "1"), ("sdr_o.product_id", "ABC"), ("sdr_odn", "N"), ("sdr_ofid", "7")],
            'totango.identify(account=Account("1", ofid="7"), product=Product("ABC", name="N"))',
        ),
        (
            [SERVICE, ("sdr_o", "1_ABC"), ("sdr_u", "a b"), ("sdr_a", "__heartbeat"), ("sdr_m", "M"), ("sdr_o.parent_id", "1"), ("sdr_o.product_id", "ABC")],
            'totango.heartbeat(module="M", account="1", user=USER_ID, product=Product("ABC"))',
        ),
        (
            [("sdr_o", "a b"), ("sdr_o.parent_id", "x" * 480), ("sdr_o.product_id", "ABC")],
            f'totango.identify(account="{"x" * 480}", product=Product("ABC", account_id=PRODUCT_ACCOUNT_ID))',
        ),
        (
            [("sdr_o", "1"), ("sdr_o.parent_id", "1"), ("sdr_o.product_id", "A B")],
            'totango.identify(account="1", product=Product(PRODUCT_ID))',
        ),
        (
            [("sdr_o", "1"), ("sdr_o.parent_id", "1"), ("sdr_o.product_id", "B")],
            'totango.identify(account="1", product=Product("B"))',
        ),
        (
            [("sdr_o", "own"), ("sdr_o.parent_id", "1"), ("sdr_o.product_id", "B")],
            'totango.identify(account="1", product=Product("B", account_id="own"))',
        ),
        (
            [("sdr_o", "1"), ("sdr_o.foreignkeyid", "0012000000msDD0BDU"), ("sdr_o.parent_id", "a b")],
            'totango.set_account_attributes(Account("1", parent=PARENT_ID, foreignkeyid="0012000000msDD0BDU"))',
        ),
        ([("hello", "world")], "totango.track(ACTIVITY, MODULE, account=ACCOUNT_ID, user=USER_ID)"),
    ],
)  # fmt: skip
def test_the_right_call_is_shown(pairs: list[tuple[str, str]], line: str) -> None:
    assert mended(*pairs) == line


def test_why_names_each_constant_and_what_was_wrong(store: Store) -> None:
    number = record(store, ("sdr_o", "Acme Corp"), *WHAT)
    found = details(store, number)["mend"]
    assert found["python"] == mended_line(details(store, number))
    assert "ACCOUNT_ID stands for the account's ID: 'Acme Corp' has ' ' at position 5" in found["why"]
    assert "USER_ID stands for the user's ID" in found["why"]


def test_a_warning_that_nothing_mends_is_told(store: Store) -> None:
    number = record(store, ("sdr_o", "1"), ("sdr_u", "jo+test@x.com"), *WHAT)
    found = details(store, number)["mend"]
    assert found["python"] == 'totango.track("Login", "Billing", account="1", user="jo+test@x.com")'
    assert "stays as it is: user: 'jo+test@x.com'" in found["why"]


def test_what_is_right_needs_no_mending() -> None:
    assert mended_line(event(SERVICE, *WHO, *WHAT)) is None


def test_a_request_of_half_a_megabyte_is_mended_into_one_that_can_be_sent() -> None:
    pairs = [(f"sdr_o.a{number}", "é" * 512) for number in range(400)]
    assert "attributes=" in mended(*WHO, *WHAT, *pairs)


NAMES = st.sampled_from(
    ["sdr_s", "sdr_o", "sdr_u", "sdr_a", "sdr_m", "sdr_odn", "sdr_ofid", "api-token", "SDR_O", " sdr_u", "sdr_o\x00"]
    + [f"sdr_{of}.{name}" for of in "ou" for name in ("parent_id", "product_id", "name", "Plan", "id", "", "Status")]
    + ["sdr_u.Contact", "sdr_u.Key Contact", "sdr_o.foreignkeyid", "sdr_o.account_name", "sdr_o.Account_Name"]
)
ODD_NAMES = (
    st.text(max_size=110).map("sdr_o.{}".format) | st.text(max_size=110).map("sdr_u.{}".format) | st.text(max_size=20)
)
IDS = ["1", "1_ABC", "ABC", "A_B", "819332", "x" * 470, "y" * 255, " 1", "1 ", "joe@x.com", "o'hara@x.com", "@", "a b"]
ODD = ["", " ", "undefined", "null", "NaN", "__heartbeat", "paying", "yes", "TRUE", "SP-1-1", "\ufffd", "z" * 600]
KEYS = ["0012000000msDD0", "0012000000msDD0AAJ", "0012000000msDD0BDU", "\"'\\{}\n", "'''", "é\u202e\ud800"]
VALUES = st.sampled_from(IDS + ODD + KEYS) | st.text(max_size=30)


@given(st.lists(st.tuples(NAMES | ODD_NAMES, VALUES), max_size=14))
def test_whatever_comes_the_mended_call_is_one_that_a_strict_client_takes(pairs: list[tuple[str, str]]) -> None:
    line = mended_line(event(*pairs))
    if line is not None:
        assert "\n" not in line
        for sent in evaluate(line):
            assert not [each for each in read(sent.items()).problems if each.severity == "error"]


# -- accounts


def tree(store: Store, *args: Any) -> list[dict[str, Any]]:
    with store.views() as views:
        found = account_tree(views, *args)
    json.dumps(found)
    return found


def shape(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {node["id"]: shape(node["children"]) for node in nodes}


def test_accounts_hang_below_their_parents(store: Store) -> None:
    record(
        store,
        *WHO,
        *WHAT,
        ("sdr_odn", "Acme"),
        ("sdr_ofid", "7"),
        ("sdr_o.Plan", "Gold"),
        ("sdr_o.Zuora Account ID", "Z"),
    )
    record(store, *WHO, *WHAT, agent=BROWSER)
    parts = (("sdr_o.parent_id", "819332"), ("sdr_o.product_id", "ABC"))
    record(store, ("sdr_o", "819332_ABC"), ("sdr_u", "ann@x.com"), *WHAT, *parts)
    record(store, ("sdr_o", "child"), ("sdr_o.parent_id", "holding"))
    found = tree(store)
    assert shape(found) == {"819332": {"819332_ABC": {}}, "holding": {"child": {}}}
    (product,) = found[0].pop("children")
    assert found[0] == {
        "service": "SP-1234-01",
        "id": "819332",
        "name": "Acme",
        "kind": "account",
        "ofid": "7",
        "foreign_keys": {"Zuora Account ID": "Z"},
        "attributes": {"Plan": "Gold"},
        "users": 1,
        "events": 2,
        "sources": ["sdk", "browser"],
    }
    assert (product["kind"], product["users"], found[1]["kind"]) == ("product", 1, "parent?")


def test_a_tree_shows_the_branches_that_match(store: Store) -> None:
    record(store, ("sdr_o", "top"), ("sdr_odn", "Ärger AG"))
    record(store, ("sdr_o", "mid"), ("sdr_o.parent_id", "top"))
    record(store, ("sdr_o", "leaf"), ("sdr_o.parent_id", "mid"))
    record(store, ("sdr_o", "side"), ("sdr_o.parent_id", "top"))
    record(store, ("sdr_o", "else"))
    assert shape(tree(store, "MID")) == {"top": {"mid": {"leaf": {}}}}
    assert shape(tree(store, "ärger")) == {"top": {"mid": {"leaf": {}}, "side": {}}}
    assert tree(store, "nowhere") == []
    assert len(tree(store, "", 1)) == 1


def test_circles_and_endless_chains_still_make_a_tree(store: Store) -> None:
    for account, parent in (("a", "b"), ("b", "c"), ("c", "a")):
        record(store, ("sdr_o", account), ("sdr_o.parent_id", parent))
    for number in range(300):
        record(store, ("sdr_o", f"n{number}"), ("sdr_o.parent_id", f"n{number + 1}"))
    found = tree(store)
    ids: list[str] = []
    waiting = list(found)
    while waiting:
        node = waiting.pop()
        ids.append(node["id"])
        waiting += node["children"]
    assert sorted(ids) == sorted(["a", "b", "c", *(f"n{number}" for number in range(301))])


def test_one_account_has_its_users_and_its_events_over_time(store: Store) -> None:
    for second in (0, 30, 600):
        record(store, *WHO, *WHAT, at=1e9 + second)
    record(store, *WHO, ("sdr_u.Role", "Buyer"), at=1e9 + 600)
    with store.views() as views:
        found = account_details(views, "819332")
        assert account_details(views, "other") is None
    assert found is not None
    assert "children" not in found
    assert found["user_list"] == [{"id": "joe@x.com", "attributes": {"Role": "Buyer"}}]
    series = found["series"]
    assert (series["from"], series["step_ms"], len(series["counts"])) == (10**12, 10_000, 60)
    assert {at: count for at, count in enumerate(series["counts"]) if count} == {0: 1, 3: 1, 59: 2}


def test_the_chart_of_one_event_spans_a_minute_and_that_of_a_named_parent_is_empty(store: Store) -> None:
    record(store, ("sdr_o", "1"), ("sdr_o.parent_id", "2"))
    with store.views() as views:
        child, parent = account_details(views, "1"), account_details(views, "2")
    assert child is not None
    assert parent is not None
    assert (child["series"]["step_ms"], child["series"]["counts"]) == (1000, [1] + [0] * 59)
    assert (parent["kind"], sum(parent["series"]["counts"]), parent["user_list"]) == ("parent?", 0, [])


# -- users


def test_a_user_is_listed_once_for_all_accounts(store: Store) -> None:
    record(store, *WHO, ("sdr_u.name", "Joe"), ("sdr_u.Role", "Buyer"))
    record(store, ("sdr_o", "2"), ("sdr_u", "joe@x.com"), ("sdr_u.Role", "Seller"), agent=BROWSER, at=1e9 + 1)
    record(store, ("sdr_o", "2"), ("sdr_u", "ann@x.com"))
    with store.views() as views:
        found = user_list(views)
        assert [each["id"] for each in user_list(views, "JOE")] == ["joe@x.com"]
        assert [sum(each.pop("series")["counts"]) for each in found] == [each["events"] for each in found]
        assert [each["id"] for each in user_list(views, "", 1)] == ["ann@x.com"]
        assert user_list(views, "nobody") == []
    assert [each["id"] for each in found] == ["ann@x.com", "joe@x.com"]
    assert found[1] == {
        "service": "SP-1234-01",
        "id": "joe@x.com",
        "name": "Joe",
        "accounts": ["819332", "2"],
        "attributes": {"Role": "Seller"},
        "events": 2,
        "last_ms": int(dt.datetime(2001, 9, 9, 1, 46, 41, tzinfo=dt.UTC).timestamp() * 1000),
        "sources": ["sdk", "browser"],
    }


def test_twenty_thousand_accounts_are_listed_soon(store: Store) -> None:
    for number in range(20_000):
        body = encode(
            [
                SERVICE,
                ("sdr_o", f"a{number}"),
                ("sdr_u", f"u{number}@x.com"),
                *WHAT,
                ("sdr_o.parent_id", f"a{number // 5}"),
            ]
        )
        store.record(understand(time=1e9, method="POST", query=b"", body=body, user_agent=SDK))
    store.flush()
    begun = time.thread_time()
    assert tree(store, "a1999")
    with store.views() as views:
        assert len(user_list(views, "u1999")) == 11
    assert time.thread_time() - begun < 5


@given(st.binary(max_size=300))
def test_any_bytes_have_details(body: bytes) -> None:
    with Store() as kept:
        for _ in range(2):
            kept.record(understand(time=1e9, method="POST", query=b"", body=body, user_agent=SDK))
        assert details(kept, 2)["id"] == 2
        tree(kept)

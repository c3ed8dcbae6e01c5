from __future__ import annotations

import enum
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import MagicMock

import attrs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from totango_sdk import events
from totango_sdk.errors import InvalidEvent
from totango_sdk.events import HEARTBEAT_ACTIVITY, HEARTBEAT_MODULE, Event, Joins
from totango_sdk.identity import Account, Product, User

# A loaded machine is no failure.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ACCOUNT, USER, PRODUCT = Account("A"), User("U"), Product("P")


class Action(str, enum.Enum):  # noqa: UP042  # StrEnum is another thing: its members format as their values
    LOGIN = "Login"


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def track(**changes: Any) -> Event:
    parts: dict[str, Any] = {"account": ACCOUNT, "user": USER, "activity": "Login", "module": "App"}
    return Event(**(parts | changes))


def told(**changes: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidEvent) as caught:
        track(**changes)
    return [(problem.field, problem.severity) for problem in caught.value.problems]


def test_a_right_event_has_no_problems_and_knows_where_it_belongs() -> None:
    event = track()
    assert event.problems == ()
    assert event.where == "A"
    assert track(product=PRODUCT).where == "A_P"
    assert track(product=Product("P", account_id="own-id")).where == "own-id"
    assert track(account=None, account_optional=True).where is None


@pytest.mark.parametrize("kind", ["track", "heartbeat"])
def test_an_activity_needs_an_account_a_user_an_activity_and_a_module(kind: Any) -> None:
    assert told(kind=kind, account=None, user=None, activity=None, module=None) == [
        ("account", "error"),
        ("user", "error"),
        ("activity", "error"),
        ("module", "error"),
    ]


def test_what_is_missing_is_told_with_what_to_do() -> None:
    with pytest.raises(InvalidEvent) as caught:
        Event()
    messages = {problem.field: problem.message for problem in caught.value.problems}
    assert (
        messages["account"]
        == "an account is missing: Totango drops an event without one. Give account=, here or to the client"
    )
    assert (
        messages["user"]
        == "a user is missing: Totango drops an activity without one. Give user=, here or to the client"
    )
    assert "is missing; give a str" in messages["activity"]
    assert "is missing; give a str" in messages["module"]


def test_identify_needs_an_account_and_no_more() -> None:
    assert Event(kind="identify", account=ACCOUNT).problems == ()
    assert told(kind="identify", account=None, user=None) == [("account", "error")]
    assert Event(kind="identify", user=USER, account_optional=True).where is None


def test_account_attributes_need_an_account_even_where_empty_accounts_are_allowed() -> None:
    assert Event(kind="account", account=ACCOUNT).problems == ()
    assert told(kind="account", account=None) == [("account", "error")]
    assert told(kind="account", account=None, account_optional=True) == [("account", "error")]


def test_user_attributes_need_an_account_and_a_user() -> None:
    assert Event(kind="user", account=ACCOUNT, user=USER).problems == ()
    assert told(kind="user", account=None, user=None) == [("account", "error"), ("user", "error")]


def test_identify_needs_at_least_a_user_where_empty_accounts_are_allowed() -> None:
    assert told(kind="identify", account=None, user=None, account_optional=True) == [("account", "error")]


def test_a_product_without_an_account_is_left_out_with_a_warning() -> None:
    event = track(account=None, product=PRODUCT, account_optional=True)
    assert event.where is None
    assert [(problem.field, problem.severity) for problem in event.problems] == [("product", "warning")]
    assert "'P' is left out" in event.problems[0].message
    assert told(account=None, product=PRODUCT) == [("account", "error")]


def test_an_empty_account_is_right_only_where_it_is_allowed() -> None:
    assert track(account=None, account_optional=True).problems == ()
    assert told(account=None) == [("account", "error")]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"account": Account("a b")}, "account"),
        ({"account": Account("a", attributes={"": 1})}, "account."),
        ({"user": User("a b")}, "user"),
        ({"user": User("a", attributes={"x": {}})}, "user.x"),
        ({"product": Product("a b")}, "product"),
        ({"activity": ""}, "activity"),
        ({"activity": "a" * 191}, "activity"),
        ({"activity": "a\nb"}, "activity"),
        ({"activity": 5}, "activity"),
        ({"activity": b"Login"}, "activity"),
        ({"activity": MagicMock(spec=str)}, "activity"),
        ({"module": "a" * 101}, "module"),
        ({"module": "\ud800"}, "module"),
        ({"module": True}, "module"),
    ],
)
def test_what_is_wrong_with_any_part_makes_the_event_wrong(changes: dict[str, Any], field: str) -> None:
    assert told(**changes) == [(field, "error")]


def test_all_problems_of_an_event_are_told_at_once_warnings_too() -> None:
    assert told(
        account=Account("a b", attributes={"é": 1}),
        user=User(None),  # type: ignore[arg-type]
        product=Product(1.5),  # type: ignore[arg-type]
        activity="",
        module="\x00" * 101,
    ) == [
        ("account", "error"),
        ("account.é", "warning"),
        ("product", "error"),
        ("user", "error"),
        ("activity", "error"),
        ("module", "error"),
        ("module", "error"),
    ]


def test_a_warning_is_kept_and_the_event_is_right() -> None:
    event = track(account=Account("A", attributes={"é": 1}), user=User("jo+test@x.com"))
    assert [(problem.field, problem.severity) for problem in event.problems] == [
        ("account.é", "warning"),
        ("user", "warning"),
    ]


def test_an_event_is_frozen_and_evolves_into_one_that_is_checked_again() -> None:
    event = track()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.activity = "Logout"  # type: ignore[misc]
    assert attrs.evolve(event, activity="Logout", product=PRODUCT).where == "A_P"
    with pytest.raises(InvalidEvent):
        attrs.evolve(event, activity="")
    assert event == track()
    assert event != track(module="Other")


@pytest.mark.parametrize("given", [Action.LOGIN, Text("Login")], ids=lambda value: type(value).__name__)
def test_an_activity_and_a_module_of_a_subclass_of_str_become_plain_text(given: str) -> None:
    event = track(activity=given, module=given)
    assert (event.activity, event.module) == ("Login", "Login")
    assert (type(event.activity), type(event.module)) == (str, str)


def test_an_empty_text_of_a_subclass_of_str_is_an_error() -> None:
    assert told(activity=Text("")) == [("activity", "error")]


def test_a_product_account_id_of_more_than_480_characters_is_an_error() -> None:
    assert track(account=Account("a" * 224), product=Product("b" * 255)).problems == ()
    assert told(account=Account("a" * 225), product=Product("b" * 255)) == [("account", "error")]
    assert track(account=Account("a" * 480), product=Product("b" * 255, account_id="c" * 480)).where == "c" * 480


def test_a_product_account_id_that_is_too_long_is_told_beside_any_other_problem() -> None:
    warned = Account("a" * 480, attributes={"é": 1})
    assert told(account=warned, product=PRODUCT) == [("account.é", "warning"), ("account", "error")]
    assert told(account=Account("a" * 480), product=Product("P", attributes={"": 1}), activity="") == [
        ("product.", "error"),
        ("account", "error"),
        ("activity", "error"),
    ]
    assert told(account=Account("a" * 481), product=PRODUCT) == [("account", "error")]


def test_a_product_account_cannot_be_its_own_parent() -> None:
    assert told(product=Product("P", account_id="A")) == [("product.account_id", "error")]


def test_the_heartbeat_has_the_browsers_names() -> None:
    assert (HEARTBEAT_ACTIVITY, HEARTBEAT_MODULE) == ("__heartbeat", "__system")
    assert (
        Event(
            kind="heartbeat", account=ACCOUNT, user=USER, activity=HEARTBEAT_ACTIVITY, module=HEARTBEAT_MODULE
        ).problems
        == ()
    )


def used(account: str, product: str, account_id: str | None = None) -> Event:
    return track(account=Account(account), product=Product(product, account_id=account_id))


def test_one_product_account_id_for_two_pairs_is_an_error_that_names_both() -> None:
    joins = Joins()
    joins.check(used("A_B", "C"))
    with pytest.raises(InvalidEvent) as caught:
        joins.check(used("A", "B_C"))
    (problem,) = caught.value.problems
    assert (problem.field, problem.value, problem.severity) == ("account", "A_B_C", "error")
    for part in (
        "'A_B_C' stands for account 'A' with product 'B_C'",
        "for account 'A_B' with product 'C'",
        "Give one of the products an account_id",
    ):
        assert part in problem.message


def test_the_pair_that_came_first_stays_right_and_the_other_stays_wrong() -> None:
    joins = Joins()
    for _ in range(3):
        joins.check(used("A", "B_C"))
        with pytest.raises(InvalidEvent):
            joins.check(used("A_B", "C"))


def test_pairs_that_are_joined_differently_do_not_clash() -> None:
    joins = Joins()
    for account, product in [
        ("A", "B"),
        ("A_B", "C"),
        ("A_B", "D"),
        ("B", "C"),
        ("A", "C"),
        ("a", "b_c"),
        ("A", "b_C"),
    ]:
        joins.check(used(account, product))


def test_an_account_id_of_a_products_own_clashes_too() -> None:
    joins = Joins()
    joins.check(used("A", "P", "own"))
    joins.check(used("A", "P", "own"))
    with pytest.raises(InvalidEvent):
        joins.check(used("B", "P", "own"))


def test_a_clash_is_told_beside_the_warnings_of_the_event() -> None:
    joins = Joins()
    joins.check(used("A_B", "C"))
    with pytest.raises(InvalidEvent) as caught:
        joins.check(track(account=Account("A", attributes={"é": 1}), product=Product("B_C")))
    assert [problem.field for problem in caught.value.problems] == ["account.é", "account"]


@pytest.mark.parametrize(
    "event",
    [track(), track(account=None, account_optional=True), track(account=None, product=PRODUCT, account_optional=True)],
)
def test_an_event_without_a_product_account_cannot_clash(event: Event) -> None:
    Joins().check(event)


def test_two_clients_do_not_know_of_each_other() -> None:
    Joins().check(used("A_B", "C"))
    Joins().check(used("A", "B_C"))


def test_the_memory_of_joins_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_JOINS_REMEMBERED", 2)
    joins = Joins()
    joins.check(used("A_B", "C"))
    joins.check(used("A_B", "D"))
    joins.check(used("A_B", "E"))
    joins.check(used("A", "B_C"))  # the first is forgotten by now
    with pytest.raises(InvalidEvent):
        joins.check(used("A", "B_E"))


def test_of_threads_that_use_both_pairs_at_once_only_one_pair_is_right() -> None:
    joins = Joins()
    both = [used("A_B", "C"), used("A", "B_C")]

    def right(number: int) -> set[int]:
        passed = set()
        for at in range(500):
            which = (at + number) % 2
            try:
                joins.check(both[which])
            except InvalidEvent:
                continue
            passed.add(which)
        return passed

    with ThreadPoolExecutor(8) as threads:
        passed = set().union(*threads.map(right, range(8)))
    assert len(passed) == 1


@relaxed
@given(st.lists(st.tuples(st.text("A_", min_size=1, max_size=4), st.text("A_", min_size=1, max_size=4)), max_size=30))
def test_no_two_pairs_ever_pass_as_the_same_product_account(pairs: list[tuple[str, str]]) -> None:
    joins = Joins()
    passed: dict[str, tuple[str, str]] = {}
    for account, product in pairs:
        event = used(account, product)
        try:
            joins.check(event)
        except InvalidEvent:
            assert passed[event.where or ""] != (account, product)
        else:
            assert passed.setdefault(event.where or "", (account, product)) == (account, product)


MISC = st.one_of(
    st.none(), st.text(), st.integers(), st.binary(), st.floats(), st.booleans(), st.lists(st.text(), max_size=2)
)


@relaxed
@example("0", "0", "0", "0", "0", "account")
@given(MISC, MISC, MISC, MISC, MISC, st.sampled_from(["track", "heartbeat", "identify", "account", "user"]))
def test_any_parts_make_a_right_event_or_an_invalid_event_with_an_error(
    account: Any, user: Any, product: Any, activity: Any, module: Any, kind: Any
) -> None:
    try:
        event = Event(
            kind=kind,
            account=Account(account),
            user=User(user),
            product=Product(product),
            activity=activity,
            module=module,
        )
    except InvalidEvent as error:
        assert any(problem.severity == "error" for problem in error.problems)
        assert str(error).isprintable()
    else:
        assert all(problem.severity == "warning" for problem in event.problems)
        assert event.account is not None
        assert event.product is not None
        # What is said of an account itself is said of it whatever the product.
        joined = event.account.id if kind == "account" else f"{event.account.id}_{event.product.id}"
        assert event.where == joined

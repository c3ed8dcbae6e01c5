"""Service IDs are kept apart, and names that were not meant to be many are told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from totango_sdk import OptionsError, Totango
from totango_sdk.sandbox import Store
from totango_sdk.sandbox.accounts import account_details, account_tree
from totango_sdk.sandbox.arrival import understand
from totango_sdk.sandbox.binding import told
from totango_sdk.sandbox.event import event_details
from totango_sdk.sandbox.users import user_list
from totango_sdk.testing import sandbox_server
from totango_sdk.wire import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, TWO = "SP-1-1", "SP-2-2"


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as kept:
        yield kept


def saw(
    store: Store, service: str, account: str, user: str = "u", activity: str = "Login", module: str = "App", **said: str
) -> None:
    pairs = [("sdr_s", service), ("sdr_o", account), ("sdr_u", user), ("sdr_a", activity), ("sdr_m", module)]
    pairs += [(f"sdr_o.{name}", value) for name, value in said.items()]
    store.record(understand(time=1e9, method="POST", query=b"", body=encode(pairs), user_agent="totango-sdk/1"))


def findings(store: Store) -> list[dict[str, Any]]:
    with store.views() as views:
        found = told(views)
    json.dumps(found)
    assert len({each["key"] for each in found}) == len(found)
    return found


def test_accounts_and_users_of_two_services_are_two(store: Store) -> None:
    saw(store, ONE, "A", Plan="Gold", parent_id="P")
    saw(store, TWO, "A", Plan="Free")
    assert [(each["service"], each["id"], each["attributes"]) for each in store.accounts()] == [
        (ONE, "A", {"Plan": "Gold"}),
        (TWO, "A", {"Plan": "Free"}),
    ]
    with store.views() as views:
        shape = {
            (root["service"], root["id"]): [child["id"] for child in root["children"]] for root in account_tree(views)
        }
        assert shape == {(ONE, "P"): ["A"], (TWO, "A"): []}
        first, second = account_details(views, "A"), account_details(views, "A", TWO)
        assert first is not None
        assert second is not None
        assert (first["service"], first["events"], second["service"], second["events"]) == (ONE, 1, TWO, 1)
        assert account_details(views, "P", TWO) is None
        assert [(user["service"], user["events"]) for user in user_list(views)] == [(TWO, 1), (ONE, 1)]
        details = event_details(views, 2)
    assert details is not None
    assert [effect["kind"] for effect in details["effects"]] == ["new_account", "new_user", "attribute", "activity"]


def test_two_services_are_told_once_and_their_ids_are_not_compared(store: Store) -> None:
    saw(store, ONE, "Acme", "joe@x.com")
    saw(store, TWO, "acme", "JOE@x.com")
    (found,) = findings(store)
    assert (found["kind"], [side["id"] for side in found["sides"]]) == ("services", [ONE, TWO])
    assert [each["service"] for each in store.summary()["services"]] == [ONE, TWO]
    saw(store, TWO, "Acme", "joe@x.com")
    assert [(each["kind"], each["service"]) for each in findings(store)] == [
        ("services", None),
        ("case", TWO),
        ("user_spelling", TWO),
    ]


def test_what_is_counted_on_the_page_is_what_its_tabs_list(store: Store) -> None:
    saw(store, ONE, "A", "u1")
    saw(store, ONE, "B", "u1")
    saw(store, TWO, "B", "u1")
    saw(store, ONE, "B_P", "u2", parent_id="B", product_id="P")
    saw(store, ONE, "C", "u3", parent_id="named-only")
    saw(store, ONE, "not accepted!", "u4")
    with store.views() as views:

        def count(nodes: list[dict[str, Any]]) -> int:
            return sum((node["kind"] != "product") + count(node["children"]) for node in nodes)

        assert views.tabs() == {"accounts": count(account_tree(views)), "users": len(user_list(views))}
        assert views.tabs() == {"accounts": 5, "users": 4}


def test_names_that_differ_only_in_case_are_found(store: Store) -> None:
    for number in range(3):
        saw(store, ONE, "A", activity="Open report", Plan="Gold")
    saw(store, ONE, "A", activity="open  Report", module="app", plan="Gold")
    found = findings(store)
    assert [(each["kind"], [side["what"] for side in each["sides"]]) for each in found] == [
        ("name_spelling", ["account attribute"] * 2),
        ("name_spelling", ["activity"] * 2),
        ("name_spelling", ["module"] * 2),
    ]
    assert (
        found[1]["title"]
        == "'Open report' and 'open  Report' are two activities that differ only in letter case or spaces"
    )
    assert "such as 'Open report'" in found[1]["advice"]


def test_activities_that_never_come_again_are_found(store: Store) -> None:
    for number in range(4):
        saw(store, ONE, "A", activity=f"Invoice INV-{number} paid")
    assert findings(store) == []
    saw(store, ONE, "A", activity="Invoice INV-9 paid")
    (found,) = findings(store)
    assert found["kind"] == "one_off_activity"
    assert "5 activities in module 'App' are 'Invoice … paid' with something else in each" in found["title"]
    assert "such as 'Invoice paid'" in found["advice"]
    key = found["key"]
    saw(store, ONE, "A", activity="Invoice INV-10 paid")
    assert [each["key"] for each in findings(store)] == [key]


def test_a_few_activities_with_a_number_that_come_again_are_right(store: Store) -> None:
    for number in range(8):
        for _ in range(3):
            saw(store, ONE, "A", activity=f"Step {number} done")
    assert findings(store) == []


def test_what_is_ignored_stays_so_after_a_reset(store: Store) -> None:
    for _ in range(2):
        saw(store, ONE, "Acme")
        saw(store, ONE, "acme", "v")
        (found,) = findings(store)
        store.ignore(add=[found["key"]])
        assert [each["ignored"] for each in findings(store)] == [True]
        store.reset()
    saw(store, ONE, "Acme")
    saw(store, ONE, "acme", "v")
    store.ignore(remove=[found["key"]])
    assert [each["ignored"] for each in findings(store)] == [False]


def test_ids_that_a_service_has_already_are_a_warning_where_the_sandbox_is_told_of_them(tmp_path: Path) -> None:
    saved = tmp_path / "session.ndjson"
    for characters, severity in ((".", "warning"), ("", "error")):
        with sandbox_server(extra_id_characters=characters) as sandbox:
            options: dict[str, Any] = {"endpoint": sandbox.endpoint, "extra_id_characters": "."}
            with Totango(ONE, user="u", module="App", spool="memory", **options) as client:
                client.track("Login", account="acme.com")
                assert client.flush(30)
            if not saved.exists():
                sandbox.save(saved)
            else:
                assert sandbox.open(saved) == 1
            told = {problem["severity"] for each in sandbox.events() for problem in each["problems"]}
        assert told == {severity}


def test_what_can_be_no_character_of_an_id_is_told_at_the_start() -> None:
    with pytest.raises(OptionsError, match=r"extra_id_characters='\\n'"), sandbox_server(extra_id_characters="\n"):
        pass

from __future__ import annotations

import copy
import enum
from collections import OrderedDict, UserDict
from types import MappingProxyType
from typing import Any
from unittest.mock import MagicMock
from uuid import UUID

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totango_sdk.identity import Account, Product, User, as_account, as_product, as_user, salesforce_id
from totango_sdk.show import shown

# A loaded machine is no failure.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
KEY = "0012000000msDD0AAM"
Entity = Account | Product | User


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Plan(enum.StrEnum):
    GOLD = "Gold"


class NoTruth:
    """As pandas' NA: neither true nor false, and equal to nothing."""

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    def __eq__(self, other: object) -> Any:
        return self

    __ne__ = __eq__
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return "<NA>"


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def told(entity: Entity) -> list[tuple[str, str]]:
    return [(problem.field, problem.severity) for problem in entity.problems]


def test_an_account_says_all_that_it_was_given_in_the_order_of_the_wire() -> None:
    account = Account(
        "819332",
        name="Acme",
        parent="Holding",
        foreignkeyid=KEY,
        foreign_keys={"Zuora Account ID": "z", "Jira Account ID": 7},
        ofid="old",
        attributes={"product_id": "P", "Plan": "Gold", "Licenses": 10, "left out": None},
    )
    assert account.problems == ()
    assert account.said.name == "Acme"
    assert account.said.ofid == "old"
    assert account.said.pairs == (
        ("parent_id", "Holding"),
        ("product_id", "P"),
        ("Plan", "Gold"),
        ("Licenses", "10"),
        ("foreignkeyid", KEY),
        ("Zuora Account ID", "z"),
        ("Jira Account ID", "7"),
    )


def test_a_product_says_its_name_and_attributes() -> None:
    product = Product("ABC", name="Photos", account_id="x-photos", module="Editor", attributes={"Revision": 5.3})
    assert product.problems == ()
    assert product.said.name == "Photos"
    assert product.said.ofid is None
    assert product.said.pairs == (("Revision", "5.3"),)


def test_a_user_says_name_and_contacts_before_its_attributes() -> None:
    user = User("marlo@barksdale.com", name="Marlo", contact=True, key_contact=False, attributes={"role": "x"})
    assert user.problems == ()
    assert user.said.name is None
    assert user.said.pairs == (("name", "Marlo"), ("Contact", "yes"), ("Key Contact", "no"), ("role", "x"))


@pytest.mark.parametrize(
    "entity", [Account("1"), Product("1"), User("1"), Account("1", name=""), User("1", name=""), Account("1", ofid="")]
)
def test_an_entity_with_only_an_id_has_nothing_to_say(entity: Entity) -> None:
    assert entity.problems == ()
    assert not entity.said.anything


@pytest.mark.parametrize(
    "entity",
    [
        Account("1", name="n"),
        Account("1", ofid="o"),
        Account("1", parent="p"),
        Product("1", name="n"),
        User("1", contact=False),
    ],
)
def test_an_entity_with_anything_else_has_something_to_say(entity: Entity) -> None:
    assert entity.said.anything


@pytest.mark.parametrize("kind", [Account, Product, User])
@pytest.mark.parametrize(
    ("given", "text"),
    [
        (819332, "819332"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (Text("abc"), "abc"),
        (Plan.GOLD, "Gold"),
    ],
    ids=shown,
)
def test_an_id_is_kept_as_its_canonical_text(kind: type[Entity], given: Any, text: str) -> None:
    entity = kind(given)
    assert (entity.id, type(entity.id)) == (text, str)
    assert kind(id=given) == entity
    assert entity.problems == ()


@pytest.mark.parametrize("kind", [Account, Product, User])
@pytest.mark.parametrize(
    "given",
    [None, "", " 1", 1.5, True, b"1", [], {}, 10**5000, "\ud800", "1\n", Unshowable(), MagicMock()],
    ids=lambda value: type(value).__name__,
)
def test_a_wrong_id_raises_nothing_and_is_a_problem_of_the_entity(kind: type[Entity], given: Any) -> None:
    entity = kind(given)
    assert told(entity) == [(kind.__name__.lower(), "error")]


@pytest.mark.parametrize("kind", [Account, Product, User])
def test_an_entity_is_frozen_and_so_are_its_attributes(kind: type[Entity]) -> None:
    given = {"Plan": "Gold"}
    entity = kind("1", attributes=given)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        entity.id = "2"  # type: ignore[misc]
    with pytest.raises(TypeError):
        entity.attributes["Plan"] = "Pro"  # type: ignore[index]
    given["Plan"] = "Pro"
    assert entity.attributes == {"Plan": "Gold"}
    assert entity.said.pairs == (("Plan", "Gold"),)


@pytest.mark.parametrize("kind", [Account, Product, User])
def test_equal_entities_are_equal_and_hash_alike(kind: type[Entity]) -> None:
    one, other = (kind("1", name="n", attributes={"a": 1}) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one.said.mark == other.said.mark
    assert one != kind("1", name="n", attributes={"a": 2})
    assert copy.copy(one) == one


def test_the_mark_changes_with_all_that_an_entity_says_and_with_nothing_else() -> None:
    said = [
        Account("1"),
        Account("1", name="n"),
        Account("1", ofid="n"),
        Account("1", attributes={"a": "1"}),
        Account("1", attributes={"a": "2"}),
        Account("1", attributes={"a": "1", "b": "2"}),
        Account("1", attributes={"b": "2", "a": "1"}),
        Account("1", parent="n"),
    ]
    assert len({account.said.mark for account in said}) == len(said)
    assert Account("2", attributes={"a": 1}).said.mark == Account("1", attributes={"a": "1"}).said.mark


@pytest.mark.parametrize("kind", [Account, Product, User])
def test_an_evolved_entity_is_checked_again(kind: type[Entity]) -> None:
    entity = kind("1", attributes={"Plan": "Gold"})
    assert attrs.evolve(entity, attributes={"Plan": "Pro"}).said.pairs == (("Plan", "Pro"),)
    assert told(attrs.evolve(entity, id="1 2")) == [(kind.__name__.lower(), "error")]


@pytest.mark.parametrize("kind", [Account, Product, User])
@pytest.mark.parametrize(
    "attributes", [None, 1, "Plan", ["Plan"], [("Plan", "Gold")], Unshowable()], ids=lambda value: type(value).__name__
)
def test_attributes_that_are_no_mapping_are_a_problem(kind: type[Entity], attributes: Any) -> None:
    assert told(kind("1", attributes=attributes)) == [(f"{kind.__name__.lower()}.attributes", "error")]


@pytest.mark.parametrize(
    "attributes",
    [OrderedDict(a=1), MappingProxyType({"a": 1}), UserDict({"a": 1})],
    ids=lambda value: type(value).__name__,
)
def test_any_mapping_will_do_for_attributes(attributes: Any) -> None:
    assert Account("1", attributes=attributes).said.pairs == (("a", "1"),)


def test_foreign_keys_that_are_no_mapping_are_a_problem() -> None:
    assert told(Account("1", foreign_keys=["Zuora"])) == [("account.foreign_keys", "error")]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "limit", "field"),
    [(Account, 128, "account.name"), (Product, 128, "product.name"), (User, 255, "user.name")],
)
def test_a_name_at_the_limit_is_kept_and_one_character_more_is_cut_with_a_warning(
    kind: Any, limit: int, field: str
) -> None:
    def name(entity: Entity) -> str | None:
        return dict(entity.said.pairs)["name"] if isinstance(entity, User) else entity.said.name

    right, long = kind("1", name="é" * limit), kind("1", name="é" * (limit + 1))
    assert (name(right), told(right)) == ("é" * limit, [])
    assert (name(long), told(long)) == ("é" * limit, [(field, "warning")])


@pytest.mark.parametrize(("kind", "limit"), [(Account, 512), (Product, 512), (User, 255)])
def test_an_attribute_value_at_the_limit_is_kept_and_one_character_more_is_cut_with_a_warning(
    kind: Any, limit: int
) -> None:
    right, long = (kind("1", attributes={"a": "é" * length}) for length in (limit, limit + 1))
    assert (right.said.pairs, told(right)) == ((("a", "é" * limit),), [])
    assert (long.said.pairs, told(long)) == (right.said.pairs, [(f"{kind.__name__.lower()}.a", "warning")])


@pytest.mark.parametrize("kind", [Account, Product, User])
@pytest.mark.parametrize(
    "name", ["\ud800", b"Acme", ["Acme"], float("nan"), Unshowable(), NoTruth()], ids=lambda value: type(value).__name__
)
def test_a_name_that_cannot_be_sent_is_an_error(kind: Any, name: Any) -> None:
    entity = kind("1", name=name)
    assert told(entity) == [(f"{kind.__name__.lower()}.name", "error")]
    assert not entity.said.anything


def test_a_name_of_another_type_is_written_as_a_value_is() -> None:
    assert Account("1", name=Plan.GOLD).said.name == "Gold"
    assert Account("1", name=42).said.name == "42"  # type: ignore[arg-type]


@pytest.mark.parametrize("ofid", ["\ud800", b"x", ["x"]], ids=lambda value: type(value).__name__)
def test_an_ofid_that_cannot_be_sent_is_an_error(ofid: Any) -> None:
    assert told(Account("1", ofid=ofid)) == [("account.ofid", "error")]


@pytest.mark.parametrize(
    ("parent", "text"),
    [
        ("Acme", "Acme"),
        (7, "7"),
        (Account("Acme", name="not sent here"), "Acme"),
        ({"id": "Acme", "name": "not sent here"}, "Acme"),
        ({"o": 7}, "7"),
        (None, None),
        ({}, None),
        ({"id": None}, None),
    ],
    ids=shown,
)
def test_a_parent_is_an_id_a_mapping_or_an_account(parent: Any, text: str | None) -> None:
    account = Account("Acme-France", parent=parent)
    assert account.parent == text
    assert account.problems == ()
    assert account.said.pairs == (() if text is None else (("parent_id", text),))


@pytest.mark.parametrize(
    "parent",
    ["", "a b", "x" * 481, 1.5, True, b"Acme", ["Acme"], {"id": ""}, {"id": 1.5}, Account("a b"), "\ud800"],
    ids=shown,
)
def test_a_wrong_parent_is_an_error(parent: Any) -> None:
    account = Account("1", parent=parent)
    assert set(told(account)) == {("account.parent_id", "error")}


def test_a_parent_that_is_far_too_long_is_an_error_whatever_is_cut() -> None:
    assert ("account.parent_id", "error") in told(Account("1", parent="x" * 600))
    assert ("account.parent_id", "error") in told(Account("1", attributes={"parent_id": "x" * 600}))


@pytest.mark.parametrize(
    "account", [Account("A", parent="A"), Account(5, parent=5), Account("A", attributes={"parent_id": "A"})], ids=shown
)
def test_an_account_cannot_be_its_own_parent(account: Account) -> None:
    assert told(account) == [("account.parent_id", "error")]
    assert "cannot be its own parent; leave parent out" in account.problems[0].message


@pytest.mark.parametrize(
    ("account", "field"),
    [
        (Account("1", parent="2", attributes={"parent_id": "3"}), "account.parent_id"),
        (Account("1", foreignkeyid=KEY, attributes={"foreignkeyid": KEY}), "account.foreignkeyid"),
        (Account("1", foreignkeyid=KEY, foreign_keys={"foreignkeyid": KEY}), "account.foreignkeyid"),
        (Account("1", attributes={"Zuora": "z"}, foreign_keys={"Zuora": "z"}), "account.Zuora"),
        (User("1", name="n", attributes={"name": "n"}), "user.name"),
        (User("1", contact=True, attributes={"Contact": "yes"}), "user.Contact"),
        (User("1", key_contact=True, attributes={"Key Contact": "yes"}), "user.Key Contact"),
    ],
    ids=shown,
)
def test_what_is_given_twice_is_an_error(account: Entity, field: str) -> None:
    assert told(account) == [(field, "error")]
    assert "given twice" in account.problems[0].message


@pytest.mark.parametrize(
    "name",
    ["sdr_s", "sdr_o", "sdr_u.name", "SDR_O.x", "id", "account_name", "api-token", "", "x" * 101, "a\r\nb", "a\x00"],
    ids=shown,
)
def test_a_hostile_name_is_refused_wherever_it_is_given(name: str) -> None:
    for entity in (
        Account("1", attributes={name: "x"}),
        Account("1", foreign_keys={name: "x"}),
        Product("1", attributes={name: "x"}),
        User("1", attributes={name: "x"}),
    ):
        assert told(entity) == [(f"{type(entity).__name__.lower()}.{name}", "error")]
        assert not entity.said.anything


def test_a_foreign_key_that_may_not_bind_is_a_warning_and_sent_as_it_is() -> None:
    for key in ("0012000000msDD0BDU", "0012000000msDD0"):
        for account in (Account("1", foreignkeyid=key), Account("1", attributes={"foreignkeyid": key})):
            assert told(account) == [("account.foreignkeyid", "warning")]
            assert account.said.pairs == (("foreignkeyid", key),)
    assert Account("1", foreignkeyid=salesforce_id("0012000000msDD0")).problems == ()
    assert Account("1", foreignkeyid=42).problems == ()


@pytest.mark.parametrize("name", ["parent_id", "product_id"])
def test_a_product_takes_its_parent_and_product_id_from_nobody_else(name: str) -> None:
    product = Product("P", attributes={name: "x"})
    assert told(product) == [(f"product.{name}", "error")]
    assert product.problems[0].value == "x"
    assert "leave it out" in product.problems[0].message


@pytest.mark.parametrize("account_id", ["", "a b", 1.5, "x" * 481, b"x"], ids=shown)
def test_a_wrong_account_id_of_a_product_is_an_error(account_id: Any) -> None:
    assert told(Product("P", account_id=account_id)) == [("product.account_id", "error")]


def test_an_account_id_of_a_product_is_kept_as_its_canonical_text() -> None:
    assert Product("P", account_id=7).account_id == "7"


def test_all_problems_of_an_entity_are_told_at_once() -> None:
    wrong: dict[str, Any] = {"name": b"x", "parent": 1.5, "ofid": [], "foreign_keys": 1}
    account = Account("a b", foreignkeyid="0012000000msDD0", attributes={"": 1, "Plan": {}}, **wrong)
    assert sorted(told(account)) == [
        ("account", "error"),
        ("account.", "error"),
        ("account.Plan", "error"),
        ("account.foreign_keys", "error"),
        ("account.foreignkeyid", "warning"),
        ("account.name", "error"),
        ("account.ofid", "error"),
        ("account.parent_id", "error"),
    ]


def test_an_account_in_the_browsers_shape_keeps_the_order_of_its_mapping() -> None:
    account = Account.from_mapping(
        {
            "id": "1",
            "foreign_keys": {"Zuora": "z"},
            "Plan": "Gold",
            "foreignkeyid": KEY,
            "odn": "Acme",
            "Licenses": 10,
            "fid": "old",
            "parent": {"id": "Holding"},
        }
    )
    assert account.problems == ()
    assert (account.id, account.said.name, account.said.ofid) == ("1", "Acme", "old")
    assert account.said.pairs == (
        ("parent_id", "Holding"),
        ("Plan", "Gold"),
        ("foreignkeyid", KEY),
        ("Licenses", "10"),
        ("Zuora", "z"),
    )


def test_a_parent_that_a_mapping_spells_out_as_an_attribute_keeps_its_place() -> None:
    account = Account.from_mapping({"id": "1", "Plan": "Gold", "parent_id": "Holding", "product_id": "P"})
    assert account.said.pairs == (("Plan", "Gold"), ("parent_id", "Holding"), ("product_id", "P"))


def test_the_attributes_of_a_mapping_come_before_its_other_keys_and_those_win() -> None:
    account = Account.from_mapping(
        {"id": "1", "Seats": 2, "Plan": "Pro", "attributes": {"Plan": "Gold", "foreignkeyid": KEY}}
    )
    assert account.problems == ()
    assert account.said.pairs == (("Plan", "Pro"), ("foreignkeyid", KEY), ("Seats", "2"))


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({"id": "1"}, Account("1")),
        ({"o": "1"}, Account("1")),
        ({"id": "", "o": "1"}, Account("1")),
        ({"id": None, "o": "1"}, Account("1")),
        ({"id": "1", "o": "2"}, Account("1")),
        ({"id": 7}, Account("7")),
        ({"id": "1", "name": "n", "odn": "m"}, Account("1", name="n")),
        ({"id": "1", "name": "", "odn": "m"}, Account("1", name="m")),
        ({"id": "1", "ofid": "x"}, Account("1", ofid="x")),
        ({"id": "1", "fid": "y", "ofid": "x"}, Account("1", ofid="y")),
        ({"id": "1", "foreign_keys": None}, Account("1")),
        ({"id": "1", "foreign_keys": ""}, Account("1")),
        ({"id": "1", "attributes": None}, Account("1")),
        ({"id": "1", "Plan": None}, Account("1", attributes={"Plan": None})),
    ],
    ids=shown,
)
def test_the_browsers_names_for_an_account_are_understood(mapping: dict[str, Any], expected: Account) -> None:
    account = Account.from_mapping(mapping)
    assert account == expected
    assert account.problems == ()


@pytest.mark.parametrize("kind", [Account, Product, User])
@pytest.mark.parametrize("mapping", [{}, {"id": None}, {"id": ""}, {"name": "x"}], ids=shown)
def test_a_mapping_without_an_id_is_a_problem(kind: type[Entity], mapping: dict[str, Any]) -> None:
    assert told(kind.from_mapping(mapping)) == [(kind.__name__.lower(), "error")]


@pytest.mark.parametrize("kind", [Account, Product, User])
def test_attributes_of_a_mapping_that_are_none_are_a_problem_beside_the_others(kind: type[Entity]) -> None:
    entity = kind.from_mapping({"id": "1", "attributes": ["Plan"], "Seats": 2})
    assert told(entity) == [(f"{kind.__name__.lower()}.attributes", "error")]
    assert entity.said.pairs == (("Seats", "2"),)


def test_foreign_keys_of_a_mapping_that_are_no_mapping_are_a_problem() -> None:
    assert told(Account.from_mapping({"id": "1", "foreign_keys": [1]})) == [("account.foreign_keys", "error")]


@pytest.mark.parametrize("kind", [Account, Product, User])
def test_a_key_of_a_mapping_that_is_no_str_is_a_problem(kind: type[Entity]) -> None:
    assert told(kind.from_mapping({"id": "1", 5: "x"})) == [(f"{kind.__name__.lower()}.5", "error")]  # type: ignore[dict-item]


@pytest.mark.parametrize("kind", [Account, Product, User])
@pytest.mark.parametrize(
    "key", ["id", "o", "u", "name", "odn", "ofid", "fid", "parent", "account_id", "foreign_keys", "Plan"]
)
def test_a_value_without_a_truth_raises_nothing(kind: type[Entity], key: str) -> None:
    mapping: dict[str, Any] = {"id": "1"} | {key: NoTruth()}
    assert isinstance(kind.from_mapping(mapping), kind)


def test_a_product_in_the_browsers_shape_is_understood() -> None:
    product = Product.from_mapping(
        {
            "id": "ABC",
            "Revision": "5.3",
            "module": "Editor",
            "name": "Photos",
            "account_id": "x",
            "attributes": {"a": 1},
        }
    )
    assert product.problems == ()
    assert (product.id, product.name, product.account_id, product.module) == ("ABC", "Photos", "x", "Editor")
    assert product.said.pairs == (("a", "1"), ("Revision", "5.3"))
    empty = Product.from_mapping({"id": "ABC", "module": "", "name": "", "account_id": ""})
    assert (empty.account_id, empty.module, empty.problems, empty.said.anything) == (None, None, (), False)


def test_a_user_in_the_browsers_shape_keeps_the_order_of_its_mapping() -> None:
    user = User.from_mapping({"u": "1", "role": "x", "name": "Marlo", "Key Contact": True, "n": 3.5})
    assert user.problems == ()
    assert user.said.pairs == (("role", "x"), ("name", "Marlo"), ("Key Contact", "yes"), ("n", "3.5"))


def test_contacts_with_pythons_names_keep_their_place_in_a_mapping_too() -> None:
    user = User.from_mapping({"id": "1", "name": "Marlo", "contact": True, "role": "x", "key_contact": False, "n": 1})
    assert [name for name, _ in user.said.pairs] == ["name", "Contact", "role", "Key Contact", "n"]
    nested = User.from_mapping({"key_contact": True, "id": "1", "attributes": {"role": "x"}, "name": "Marlo"})
    assert [name for name, _ in nested.said.pairs] == ["role", "Key Contact", "name"]


def test_an_empty_name_in_a_mapping_counts_as_absent() -> None:
    assert User.from_mapping({"id": "1", "name": "", "role": ""}).said.pairs == (("role", ""),)
    assert User.from_mapping({"id": "1", "name": None}).said.pairs == ()


def test_contacts_in_a_mapping_may_have_pythons_names() -> None:
    user = User.from_mapping({"id": "1", "contact": True, "key_contact": False})
    assert user.said.pairs == (("Contact", "yes"), ("Key Contact", "no"))
    assert told(User.from_mapping({"id": "1", "contact": True, "Contact": True})) == [("user.Contact", "error")]


@pytest.mark.parametrize(("read", "kind"), [(as_account, Account), (as_product, Product), (as_user, User)])
def test_an_entity_may_be_given_as_an_id_a_mapping_or_an_object(read: Any, kind: Any) -> None:
    given = kind("1", name="n")
    assert read(None) is None
    assert read(given) is given
    assert read("1") == kind("1")
    assert read("1") is read("1")
    assert read({"id": "1", "name": "n"}).said == given.said
    assert read(MappingProxyType({"id": "1"})) == kind("1")
    assert read(1) == kind("1")
    assert read(Text("1")) == kind("1")


@pytest.mark.parametrize(("read", "name"), [(as_account, "account"), (as_product, "product"), (as_user, "user")])
@pytest.mark.parametrize(
    "given",
    ["", "x" * 600, "x" * 10_000, "\ud800", 1.5, True, b"1", ["1"], Unshowable(), NoTruth()],
    ids=lambda value: type(value).__name__,
)
def test_a_wrong_entity_raises_nothing_and_is_a_problem(read: Any, name: str, given: Any) -> None:
    assert told(read(given)) == [(name, "error")]


def test_an_entity_of_another_kind_is_a_problem_that_names_its_type() -> None:
    user = as_user(Account("1"))  # type: ignore[arg-type]
    assert user is not None
    assert told(user) == [("user", "error")]
    assert "is of type Account" in user.problems[0].message


def test_a_subclass_of_an_entity_is_that_entity() -> None:
    class Own(Account):
        pass

    given = Own("1")
    assert as_account(given) is given


KEYS = st.one_of(
    st.sampled_from(
        [
            "id",
            "o",
            "u",
            "name",
            "odn",
            "ofid",
            "fid",
            "parent",
            "attributes",
            "foreign_keys",
            "foreignkeyid",
            "contact",
            "module",
            "account_id",
        ]
    ),
    st.text(),
    st.integers(),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)


@relaxed
@given(st.dictionaries(KEYS, VALUES, max_size=6), st.sampled_from([Account, Product, User]))
def test_any_mapping_makes_an_entity_that_knows_its_problems(mapping: dict[Any, Any], kind: Any) -> None:
    entity = kind.from_mapping(mapping)
    for name, value in entity.said.pairs:
        (name + value).encode()
    for problem in entity.problems:
        assert str(problem).isprintable()
        assert repr(problem)


class Unreadable(dict[str, Any]):
    """A mapping behind which a database is gone."""

    def get(self, *_: Any) -> Any:
        raise ValueError

    def keys(self) -> Any:
        raise ValueError

    items = __iter__ = keys


class Classless:
    """A proxy of an object that is gone."""

    @property
    def __class__(self) -> Any:
        raise ValueError


@pytest.mark.parametrize("kind", [Unreadable, Classless])
def test_what_cannot_be_read_raises_nothing_where_an_entity_is_made(kind: Any) -> None:
    value = kind()
    for entity, field in (
        (Account("1", attributes=value), "account.attributes"),
        (Account("1", foreign_keys=value), "account.foreign_keys"),
        (Account("1", parent=value), "account.parent_id"),
        (Product("1", attributes=value), "product.attributes"),
        (User("1", attributes=value), "user.attributes"),
    ):
        assert told(entity) == [(field, "error")]


class Truthless(str):
    __slots__ = ()

    def __bool__(self) -> bool:
        raise ValueError


def test_a_name_is_asked_for_its_text_and_not_for_its_truth() -> None:
    assert User("1", name=Truthless("Marlo")).said.pairs == (("name", "Marlo"),)
    assert User("1", name=Truthless("")).said.pairs == ()
    assert Account.from_mapping({"id": "1", "name": Truthless("Acme")}).said.name == "Acme"

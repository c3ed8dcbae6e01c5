"""The browser's options in a page: the same account, product and user, whatever is in them."""

from __future__ import annotations

import datetime as dt
import enum
import json
import logging
import re
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jinja2 import Environment

from totango_sdk import Account, AsyncTotango, InvalidEvent, OptionsError, Product, Totango, User
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from playwright.sync_api import Page

SCRIPT = re.compile(r"<script(?: nonce=\"([^\"]*)\")?>window\.totango_options = (\{.*\});</script>")
NONCE = "rAnd0m+/-_=="
HOSTILE = "</script><script>window.ran = 1</script><!--<script>'\"\\\u2028\u2029&lt;${1}`\N{SNOWMAN}\N{GRINNING FACE}"


class Plan(enum.Enum):
    GOLD = "gold </script>"
    FREE = 0


def make(*service: str, **options: Any) -> Totango:
    quiet = {"transport": RecordingTransport(), "spool": "memory", "strict": True}
    return Totango(*service or ("SP-1234-01",), **{**quiet, **options})


def mapping(snippet: str) -> dict[str, Any]:
    found = SCRIPT.fullmatch(snippet)
    assert found, snippet
    read: dict[str, Any] = json.loads(found[2])
    return read


def same(entity: Any) -> Any:
    """What Totango is told of an entity, in whatever order."""
    if entity is None:
        return None
    said = entity.said
    more = (entity.account_id, entity.module or None) if isinstance(entity, Product) else ()
    parent = same(entity.parent_account) if isinstance(entity, Account) else None
    return type(entity), entity.id, said.name, said.ofid, dict(said.pairs), parent, *more


# How it looks


def test_it_has_the_browsers_own_names() -> None:
    client = make(
        account=Account(
            "819332", name="Acme", parent="42", foreignkeyid="0012000000msDD0BDU", attributes={"Licenses": 10}
        ),
        product=Product(
            "ABC", name="Editor", account_id="819332-abc", module="Editing", attributes={"Revision": "5.3"}
        ),
        user=User("marlo@barksdale.com", name="Marlo", contact=True, attributes={"role": "admin"}),
        module="Home",
        region="eu",
        allow_empty_accounts=True,
    )
    assert mapping(client.snippet()) == {
        "service_id": "SP-1234-01",
        "region": "eu1",
        "account": {
            "id": "819332",
            "name": "Acme",
            "parent_id": "42",
            "Licenses": "10",
            "foreignkeyid": "0012000000msDD0BDU",
        },
        "product": {
            "id": "ABC",
            "name": "Editor",
            "account_id": "819332-abc",
            "module": "Editing",
            "Revision": "5.3",
        },
        "user": {"id": "marlo@barksdale.com", "name": "Marlo", "Contact": "yes", "role": "admin"},
        "module": "Home",
        "allow_empty_accounts": True,
    }


def test_it_has_what_is_known_of_a_parent() -> None:
    parent = Account("42", name="Holding", parent="1", attributes={"Tier": 1, "name": "of an attribute"})
    assert mapping(make(account=Account("819332", parent=parent)).snippet())["account"] == {
        "id": "819332",
        "parent": {
            "id": "42",
            "name": "Holding",
            "parent_id": "1",
            "Tier": "1",
            "attributes": {"name": "of an attribute"},
        },
    }


def test_it_names_only_what_is_there() -> None:
    assert make().snippet() == '<script>window.totango_options = {"service_id": "SP-1234-01"};</script>'


def test_it_never_has_the_token() -> None:
    client = make(api_token="hunter2-hunter2", account="A", user="u", module="M")
    assert "hunter2" not in client.snippet()


def test_it_speaks_of_who_is_in_force() -> None:
    client = make(account="A", user="u", product="P")
    assert mapping(client.bind(account="B", module="M").snippet())["account"] == {"id": "B"}
    with client.context(account=Account("C", name="See"), user="v"):
        inside = mapping(client.snippet())
        assert (inside["account"], inside["user"], inside["product"]) == (
            {"id": "C", "name": "See"},
            {"id": "v"},
            {"id": "P"},
        )
    client.identify("D")
    assert mapping(client.snippet())["account"] == {"id": "D"}


def test_the_asynchronous_client_has_the_same() -> None:
    options: Any = {"account": "A", "user": "u", "spool": "memory", "transport": RecordingTransport()}
    assert AsyncTotango("SP-1234-01", **options).snippet(NONCE) == make(account="A", user="u").snippet(NONCE)


def test_nobody_is_left_out_where_accounts_may_be_empty() -> None:
    client = make(account={"id": ""}, user="u", allow_empty_accounts=True)
    assert "account" not in mapping(client.snippet())


def test_a_disabled_client_makes_no_page_send() -> None:
    assert make(account="A", user="u", disabled=True).snippet(NONCE) == ""
    with pytest.raises(InvalidEvent):
        make(account="A b", disabled=True).snippet()


# That it comes back the same

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20) | st.sampled_from(
    ["o", "u", "name", "odn", "ofid", "fid", "parent", "foreign_keys", "attributes", "module", "contact", "Contact",
     "key_contact", "Key Contact", "parent_id", "foreignkeyid", "account_id", "Status", "username", HOSTILE[:20]]
)  # fmt: skip
VALUES = st.one_of(
    st.none(),
    st.just(HOSTILE),
    TEXT,
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.dates(),
    st.datetimes(timezones=st.just(dt.UTC)),
    st.sampled_from(Plan),
    st.uuids(),
)
ATTRIBUTES = st.dictionaries(NAMES, VALUES, max_size=6)
IDS = st.one_of(st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True), st.integers(0, 10**12), st.uuids())
OPTIONAL = st.none() | TEXT
PARENTS = st.builds(Account, IDS, name=OPTIONAL, parent=st.none() | IDS, attributes=ATTRIBUTES)
ACCOUNTS = st.builds(
    Account,
    IDS,
    name=OPTIONAL,
    parent=st.none() | IDS | PARENTS,
    foreignkeyid=VALUES,
    foreign_keys=ATTRIBUTES,
    ofid=OPTIONAL,
    attributes=ATTRIBUTES,
)
MODULES = st.sampled_from([None, "", "Billing", "</script>", "M/é+~!*'()"])
PRODUCTS = st.builds(Product, IDS, name=OPTIONAL, account_id=st.none() | IDS, module=MODULES, attributes=ATTRIBUTES)
USERS = st.builds(
    User, IDS, name=OPTIONAL, contact=st.none() | st.booleans(), key_contact=st.none() | st.booleans(),
    attributes=ATTRIBUTES,
)  # fmt: skip


@settings(max_examples=300)
@given(account=st.none() | ACCOUNTS, product=st.none() | PRODUCTS, user=st.none() | USERS)
def test_what_comes_back_from_the_page_is_the_same(
    account: Account | None, product: Product | None, user: User | None
) -> None:
    # An empty name is no name, in the browser as here.
    assume(user is None or user.attributes.get("name", "x") != "")
    found = ""
    with suppress(InvalidEvent):  # what has an error is in no page
        found = make(account=account, product=product, user=user).snippet(NONCE)
    assume(found)
    assert re.findall(r"</?script|<!--|[^\x20-\x7e]", found) == ["<script", "</script"]
    read = mapping(found)
    back = Totango.from_options(read, strict=True, spool="memory", transport=RecordingTransport())._who.now()
    assert (same(back.account), same(back.product), same(back.user)) == (same(account), same(product), same(user))
    assert all(type(value) in (str, dict) for value in read.values())


def test_dates_numbers_and_the_like_are_as_they_go_on_the_wire() -> None:
    attributes = {
        "Create Date": dt.datetime(2026, 5, 4, 3, 2, 1, tzinfo=dt.UTC),
        "Day": dt.date(2026, 5, 4),
        "Contract Value": Decimal("1E+3"),
        "Half": 0.5,
        "Plan": Plan.FREE,
        "Key": UUID(int=1),
        "Gone": None,
        "name": "of an attribute",
    }
    read = mapping(make(account=Account("A", name="Acme", attributes=attributes)).snippet())["account"]
    assert read == {
        "id": "A",
        "name": "Acme",
        "Create Date": "2026-05-04T03:02:01.000Z",
        "Day": "2026-05-04",
        "Contract Value": "1000",
        "Half": "0.5",
        "Plan": "0",
        "Key": "00000000-0000-0000-0000-000000000001",
        "attributes": {"name": "of an attribute"},
    }


# Into a page


def test_a_nonce_stands_in_its_attribute() -> None:
    found = SCRIPT.fullmatch(make().snippet(NONCE))
    assert found
    assert found[1] == NONCE


@pytest.mark.parametrize("nonce", ['a" onload="x', "a b", "", "a'", "<", "a=b", "===", "é", "a\n", 5, b"abc"])
def test_what_is_no_nonce_is_refused(nonce: Any) -> None:
    with pytest.raises(
        OptionsError, match=r"nonce=.* is wrong: .* nonce of a content security policy.*base64.*, such as nonce="
    ):
        make(strict=False).snippet(nonce)


def test_a_lazy_nonce_is_taken() -> None:
    class Lazy:
        __class__ = str  # type: ignore[assignment]

        def __str__(self) -> str:
            return NONCE

    assert make().snippet(Lazy()) == make().snippet(NONCE)  # type: ignore[arg-type]


def test_a_template_that_escapes_takes_it_as_it_is() -> None:
    client = make(account=Account("A", attributes={"x": HOSTILE}), user="u")
    template = Environment(autoescape=True).from_string("{{ totango.snippet(nonce) }}")
    assert template.render(totango=client, nonce=NONCE) == client.snippet(NONCE)


def test_hostile_text_runs_nowhere_and_arrives_as_it_was(page: Page) -> None:
    client = make(
        account=Account("A", name=HOSTILE, attributes={HOSTILE: HOSTILE, "attributes": HOSTILE}),
        product=Product("P", attributes={"x": HOSTILE}),
        user=User("u", name=HOSTILE),
        module=HOSTILE.replace("\u2028", "").replace("\u2029", ""),
    )
    page.set_content(f"<!doctype html><title>.</title>{client.snippet(NONCE)}<p>after")
    assert page.evaluate("window.totango_options") == mapping(client.snippet())
    assert page.evaluate("[typeof window.ran, document.scripts.length]") == ["undefined", 1]
    assert page.inner_text("body") == "after"


def test_a_content_security_policy_lets_it_run_by_its_nonce(page: Page) -> None:
    policy = f"default-src 'none'; script-src 'nonce-{NONCE}'"
    page.set_content(f'<meta http-equiv="content-security-policy" content="{policy}">{make().snippet(NONCE)}')
    assert page.evaluate("window.totango_options") == {"service_id": "SP-1234-01"}


# When something is wrong

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"account": "Acme Inc."}, "account"),
    ({"account": Account("A", attributes={"When": dt.datetime(2026, 1, 1)})}, "account.When"),
    ({"account": {}}, "account"),
    ({"product": "a b"}, "product"),
    ({"account": "a" * 300, "product": "b" * 200}, "account"),
    ({"account": "A", "product": Product("P", account_id="A")}, "product.account_id"),
    ({"user": "u\ud800"}, "user"),
    ({"module": "m" * 101}, "module"),
    ({"product": Product("P", module=object())}, "module"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("options", "field"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_wrong_is_raised_if_strict_and_otherwise_told_once(
    options: dict[str, Any], field: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidEvent) as caught:
        make(**options).snippet()
    assert field in {problem.field for problem in caught.value.problems}
    client = make(**options, strict=False)
    with caplog.at_level(logging.WARNING, "totango_sdk"):
        assert (client.snippet(NONCE), client.snippet()) == ("", "")
    (record,) = caplog.records
    assert record.getMessage().startswith("snippet() is empty, and the page reports nothing: ")


def test_every_problem_is_told_together() -> None:
    with pytest.raises(InvalidEvent) as caught:
        make(account="a b", product="c d", user="e f", module="m" * 101).snippet()
    assert {problem.field for problem in caught.value.problems} == {"account", "product", "user", "module"}


def test_a_warning_is_no_hindrance() -> None:
    client = make(account=Account("A", attributes={"Status": "free"}), user="jo+test@x.com")
    assert mapping(client.snippet())["account"]["Status"] == "free"


def test_two_accounts_that_the_browser_would_merge_are_refused() -> None:
    client = make(user="u", module="M")
    client.track("x", account="A_B", product="C")
    with client.context(account="A", product="B_C"), pytest.raises(InvalidEvent, match="merge"):
        client.snippet()


class Incomparable:
    def __eq__(self, other: object) -> bool:
        raise ValueError

    __hash__ = None  # type: ignore[assignment]


def test_a_module_that_cannot_be_compared_raises_nothing_into_the_page() -> None:
    client = make(strict=False)
    with client.context(module=Incomparable()):  # type: ignore[arg-type]
        assert client.snippet() == ""


class Truthless(str):
    __slots__ = ()

    def __bool__(self) -> bool:
        raise ValueError


def test_a_module_is_asked_for_its_text_and_not_for_its_truth() -> None:
    client = make()
    with client.context(module=Truthless("Billing")):
        assert '"module": "Billing"' in client.snippet()

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import Any
from urllib.parse import quote as urllib_quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totango_sdk import wire
from totango_sdk.errors import InvalidEvent
from totango_sdk.events import Event
from totango_sdk.identity import Account, Product, User
from totango_sdk.recall import Recall

# A loaded machine is no failure.
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SERVICE = "SP-0000-00"
SAFE = "-_.!~*'()"
SURROGATES = range(0xD800, 0xE000)
CODE_POINTS = [code for code in range(sys.maxunicode + 1) if code not in SURROGATES]
# One line for each code point but the surrogates, in order.
IN_NODE = """
const lines = [];
for (let code = 0; code <= 0x10FFFF; code++)
    if (code < 0xD800 || code > 0xDFFF) lines.push(encodeURIComponent(String.fromCodePoint(code)));
process.stdout.write(lines.join("\\n"));
"""
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
Pair = tuple[str, str]


def always(_: str, __: int, ___: bool) -> bool:
    return True


def never(_: str, __: int, force: bool) -> bool:
    return force


def sent(event: Event, due: wire.Due = always) -> list[list[Pair]]:
    return [wire.decode(request.body) for request in wire.requests(SERVICE, event, due)]


def track(**changes: Any) -> Event:
    parts: dict[str, Any] = {"account": Account("A"), "user": User("U"), "activity": "Login", "module": "App"}
    return Event(**(parts | changes))


@pytest.fixture(scope="module")
def encoded() -> list[str]:
    return [wire.quote(chr(code)) for code in CODE_POINTS]


def test_every_code_point_is_encoded_as_encode_uri_component_does_in_node(encoded: list[str]) -> None:
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None:
        pytest.skip("Node is not installed, so there is no encodeURIComponent to compare with")
    ran = subprocess.run([node, "-e", IN_NODE], capture_output=True, check=True, timeout=60)  # noqa: S603
    lines = ran.stdout.decode("ascii").split("\n")
    assert len(lines) == len(encoded) == 0x110000 - 0x800
    assert [code for code, line, ours in zip(CODE_POINTS, lines, encoded, strict=True) if line != ours] == []


def test_every_code_point_is_encoded_as_the_rule_says(encoded: list[str]) -> None:
    # All at once: urllib takes five seconds for them one by one. None of those beyond ASCII is the separator.
    beyond = urllib_quote("|".join(map(chr, CODE_POINTS[128:])), safe=SAFE).split("%7C")
    expected = [urllib_quote(chr(code), safe=SAFE) for code in range(128)] + beyond
    assert [code for code, line, ours in zip(CODE_POINTS, expected, encoded, strict=True) if line != ours] == []


def test_exactly_the_characters_of_the_rule_stay_bare(encoded: list[str]) -> None:
    bare = {chr(code) for code, text in zip(CODE_POINTS, encoded, strict=True) if text == chr(code)}
    assert bare == set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + SAFE)


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("", ""),
        ("abc", "abc"),
        ("A b&c=d", "A%20b%26c%3Dd"),
        ("M/é+~!*'()", "M%2F%C3%A9%2B~!*'()"),
        ("日本 ☃ 😀", "%E6%97%A5%E6%9C%AC%20%E2%98%83%20%F0%9F%98%80"),
        ("\x00\r\n\x7f", "%00%0D%0A%7F"),
        ("%20", "%2520"),
    ],
)
def test_some_texts_and_their_encoding(text: str, encoded: str) -> None:
    assert wire.quote(text) == encoded


@relaxed
@given(st.one_of(TEXT, TEXT.map(lambda text: text * 40)))
def test_any_text_is_encoded_character_by_character(text: str) -> None:
    assert wire.quote(text) == urllib_quote(text, safe=SAFE)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "\ud83d \ude00", "\udc00" * 300])
def test_a_lone_surrogate_cannot_be_encoded_as_in_javascript(text: str) -> None:
    with pytest.raises(UnicodeEncodeError):
        wire.quote(text)


def test_an_activity_has_its_parameters_in_order_and_no_others() -> None:
    assert sent(track()) == [[("sdr_s", SERVICE), ("sdr_o", "A"), ("sdr_u", "U"), ("sdr_a", "Login"), ("sdr_m", "App")]]


def test_all_that_can_be_sent_has_its_order() -> None:
    account = Account(
        "A",
        name="Acme",
        parent="B",
        foreignkeyid=7,
        foreign_keys={"Jira": "j"},
        ofid="old",
        attributes={"Plan": "Gold"},
    )
    user = User("U", name="Marlo", contact=True, key_contact=False, attributes={"role": "x"})
    assert sent(track(account=account, user=user)) == [
        [
            ("sdr_s", SERVICE),
            ("sdr_o", "A"),
            ("sdr_ofid", "old"),
            ("sdr_u", "U"),
            ("sdr_a", "Login"),
            ("sdr_m", "App"),
            ("sdr_odn", "Acme"),
            ("sdr_o.parent_id", "B"),
            ("sdr_o.Plan", "Gold"),
            ("sdr_o.foreignkeyid", "7"),
            ("sdr_o.Jira", "j"),
            ("sdr_u.name", "Marlo"),
            ("sdr_u.Contact", "yes"),
            ("sdr_u.Key Contact", "no"),
            ("sdr_u.role", "x"),
        ]
    ]


def test_with_a_product_the_account_speaks_for_itself_first_and_without_the_user() -> None:
    account = Account("A", name="Acme", parent="B", foreignkeyid=7, ofid="old", attributes={"Plan": "Gold"})
    product = Product("P", name="Photos", attributes={"Revision": "5.3"})
    assert sent(track(account=account, product=product, user=User("U", name="Marlo"))) == [
        [
            ("sdr_s", SERVICE),
            ("sdr_o", "A"),
            ("sdr_ofid", "old"),
            ("sdr_odn", "Acme"),
            ("sdr_o.parent_id", "B"),
            ("sdr_o.Plan", "Gold"),
            ("sdr_o.foreignkeyid", "7"),
        ],
        [
            ("sdr_s", SERVICE),
            ("sdr_o", "A_P"),
            ("sdr_u", "U"),
            ("sdr_a", "Login"),
            ("sdr_m", "App"),
            ("sdr_odn", "Photos"),
            ("sdr_o.parent_id", "A"),
            ("sdr_o.product_id", "P"),
            ("sdr_o.Revision", "5.3"),
            ("sdr_u.name", "Marlo"),
        ],
    ]


def test_an_account_that_has_nothing_to_say_sends_no_request_of_its_own() -> None:
    (request,) = sent(track(product=Product("P", account_id="own")))
    assert request[1] == ("sdr_o", "own")
    assert request[-2:] == [("sdr_o.parent_id", "A"), ("sdr_o.product_id", "P")]


def test_what_is_not_due_does_not_ride_along() -> None:
    account = Account("A", name="Acme", ofid="old", attributes={"Plan": "Gold"})
    plain = [("sdr_s", SERVICE), ("sdr_o", "A"), ("sdr_u", "U"), ("sdr_a", "Login"), ("sdr_m", "App")]
    assert sent(track(account=account, user=User("U", name="n")), never) == [plain]
    with_product = track(account=account, user=User("U", name="n"), product=Product("P", name="n"))
    assert sent(with_product, never) == [[("sdr_s", SERVICE), ("sdr_o", "A_P"), *plain[2:]]]


def test_identify_says_everything_whatever_was_said_before() -> None:
    account, user, product = Account("A", name="Acme"), User("U", name="n"), Product("P")
    assert sent(Event(kind="identify", account=account, user=user, product=product), never) == [
        [("sdr_s", SERVICE), ("sdr_o", "A"), ("sdr_odn", "Acme")],
        [
            ("sdr_s", SERVICE),
            ("sdr_o", "A_P"),
            ("sdr_u", "U"),
            ("sdr_o.parent_id", "A"),
            ("sdr_o.product_id", "P"),
            ("sdr_u.name", "n"),
        ],
    ]


def test_identify_always_sends_a_request() -> None:
    assert sent(Event(kind="identify", account=Account("A")), never) == [[("sdr_s", SERVICE), ("sdr_o", "A")]]
    assert sent(Event(kind="identify", user=User("U"), account_optional=True), never) == [
        [("sdr_s", SERVICE), ("sdr_u", "U")]
    ]


def test_account_attributes_speak_of_the_account_whatever_the_product_and_user() -> None:
    event = Event(kind="account", account=Account("A", name="Acme"), user=User("U", name="n"), product=Product("P"))
    assert sent(event, never) == [[("sdr_s", SERVICE), ("sdr_o", "A"), ("sdr_odn", "Acme")]]


def test_user_attributes_go_where_the_usage_is_recorded() -> None:
    user = User("U", name="n")
    assert sent(Event(kind="user", account=Account("A"), user=user), never) == [
        [("sdr_s", SERVICE), ("sdr_o", "A"), ("sdr_u", "U"), ("sdr_u.name", "n")]
    ]
    assert sent(Event(kind="user", account=Account("A"), user=user, product=Product("P")), never) == [
        [("sdr_s", SERVICE), ("sdr_o", "A_P"), ("sdr_u", "U"), ("sdr_u.name", "n")]
    ]


@pytest.mark.parametrize("kind", ["identify", "account", "user"])
def test_an_activity_is_sent_only_by_what_checks_it(kind: Any) -> None:
    event = Event(kind=kind, account=Account("A"), user=User("U"), activity="\n" * 1000, module="")
    (request,) = sent(event)
    assert {name for name, _ in request} <= {"sdr_s", "sdr_o", "sdr_u"}


def test_an_event_without_an_account_is_sent_without_one() -> None:
    event = track(account=None, user=User("U", name="n"), account_optional=True)
    assert sent(event) == [
        [("sdr_s", SERVICE), ("sdr_u", "U"), ("sdr_a", "Login"), ("sdr_m", "App"), ("sdr_u.name", "n")]
    ]


def test_what_was_said_of_a_user_is_remembered_for_each_account() -> None:
    said = Recall(3600)
    user = User("U", name="n")
    events = [
        track(account=Account(name), user=user, product=product) for name in "AB" for product in (None, Product("P"))
    ]
    for event in events:
        assert ("sdr_u.name", "n") in sent(event, said.due)[-1]
        assert ("sdr_u.name", "n") not in sent(event, said.due)[-1]


def test_names_and_attributes_ride_along_when_new_changed_or_due() -> None:
    now = [0.0]
    said = Recall(3600, lambda: now[0])

    def rides(plan: str) -> bool:
        return ("sdr_o.Plan", plan) in sent(track(account=Account("A", attributes={"Plan": plan})), said.due)[0]

    assert [rides(plan) for plan in ("Gold", "Gold", "Pro", "Pro")] == [True, False, True, False]
    now[0] = 3600.0
    assert [rides("Pro"), rides("Pro")] == [True, False]


def test_a_product_account_is_established_once_and_again_when_the_product_changes() -> None:
    said = Recall(3600)
    products = [Product("P"), Product("P"), Product("P", name="n"), Product("Q"), Product("P", name="n")]
    assert [("sdr_o.parent_id", "A") in sent(track(product=product), said.due)[0] for product in products] == [
        True,
        False,
        True,
        True,
        False,
    ]


def records(event: Event, due: Any = always) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(request.about, request.updates) for request in wire.requests(SERVICE, event, due)]


def test_an_activity_concerns_its_account_its_product_account_and_its_user_and_updates_none() -> None:
    assert records(track(user=User("u")), never) == [(("A", "A\0u"), ())]
    assert records(track(user=User("u"), product=Product("P")), never) == [(("A", "A_P", "A_P\0u"), ())]


def test_what_rides_along_updates_its_record_and_no_other() -> None:
    user = User("u", name="Ann")
    named = track(account=Account("A", name="Acme"), user=user)
    assert records(named) == [(("A", "A\0u"), ("A", "A\0u"))]
    assert records(track(user=user)) == [(("A", "A\0u"), ("A\0u",))]


def test_the_request_that_names_the_account_of_a_product_updates_the_account_alone() -> None:
    event = track(account=Account("A", name="Acme"), user=User("u"), product=Product("P"))
    assert records(event) == [(("A",), ("A",)), (("A", "A_P", "A_P\0u"), ("A_P",))]


@pytest.mark.parametrize("kind", ["identify", "user"])
def test_identifying_and_setting_update_all_that_they_name(kind: Any) -> None:
    event = Event(kind=kind, account=Account("A"), user=User("u", name="Ann"))
    assert records(event) == [(("A", "A\0u"), ("A", "A\0u"))]
    event = Event(kind="account", account=Account("A", attributes={"plan": "x"}))
    assert records(event) == [(("A",), ("A",))]


def test_an_event_without_an_account_concerns_a_record_that_no_account_is() -> None:
    def of(user: str) -> tuple[str, ...]:
        return records(track(account=None, user=User(user), account_optional=True))[0][0]

    assert of("A") == of("A") != of("B")
    assert "A" not in of("A")


@pytest.mark.parametrize("due", [always, never])
def test_what_a_request_concerns_and_updates_can_be_read_from_its_body(due: Any) -> None:
    product = Product("P")
    account = Account("A", name="Acme")
    for event in (
        track(user=User("u", name="Ann")),
        track(account=account, user=User("u")),
        Event(kind="identify", account=account, user=User("u", name="Ann")),
        Event(kind="account", account=account),
    ):
        for request in wire.requests(SERVICE, event, due):
            assert wire.records(request.body) == (request.about, request.updates)
    (*_, request) = wire.requests(SERVICE, track(account=account, user=User("u"), product=product), always)
    assert wire.records(request.body) == (request.about, request.updates)
    alone = track(account=None, user=User("u"), account_optional=True)
    (request,) = wire.requests(SERVICE, alone, never)
    assert wire.records(request.body) == (request.about, request.updates)


def test_a_request_says_what_was_claimed_for_it() -> None:
    account, user, product = Account("A", name="Acme"), User("U", name="n"), Product("P")
    own, usage = wire.requests(SERVICE, track(account=account, user=user, product=product), always)
    assert own.keys == ("A",)
    assert usage.keys == ("A_P", "A_P\0U")
    assert wire.requests(SERVICE, track(account=account, user=user), never)[0].keys == ()


@pytest.mark.parametrize("token", ["sdr-token", "a&sdr_o=x", "é 😀", ""])
def test_the_token_is_the_last_parameter_and_only_in_the_suffix(token: str) -> None:
    (request,) = wire.requests(SERVICE, track(), always)
    leaving = wire.decode(request.body + wire.token_suffix(token))
    assert leaving == [*wire.decode(request.body), ("api-token", token)]
    assert b"token" not in request.body


def test_without_a_token_there_is_no_suffix() -> None:
    assert wire.token_suffix(None) == b""


def test_an_attribute_named_as_the_token_never_gets_there() -> None:
    with pytest.raises(InvalidEvent):
        track(account=Account("A", attributes={"api-token": "x"}))


def test_the_names_of_the_wire_are_those_of_the_vectors() -> None:
    text = json.dumps(
        sent(track(account=Account("A", name="n", ofid="o", attributes={"a": 1}), user=User("U", name="n")))
    )
    for name in ("sdr_s", "sdr_o", "sdr_ofid", "sdr_u", "sdr_a", "sdr_m", "sdr_odn", "sdr_o.a", "sdr_u.name"):
        assert f'"{name}"' in text

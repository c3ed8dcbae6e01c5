"""Each rule has a name of its own, is listed in the docs, and is broken by something."""

from __future__ import annotations

import ast
import datetime as dt
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import totango_sdk
from totango_sdk import Account, Event, InvalidEvent, Problem, Product, Totango, User, check_id
from totango_sdk.calls import Call
from totango_sdk.errors import kinds_of
from totango_sdk.events import Joins
from totango_sdk.identity import joined_problems, rules, service_id_problem
from totango_sdk.sandbox.arrival import understand
from totango_sdk.scope import Trouble
from totango_sdk.testing import RecordingTransport
from totango_sdk.wire import decode
from totango_sdk.wire.read import read

ROOT = Path(__file__).parent.parent
PACKAGE = Path(totango_sdk.__file__).parent


class Unwritable(dt.tzinfo):
    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        raise RuntimeError("no")


def of_attributes(attributes: Any, kind: type[Account] | type[User] = Account) -> tuple[Problem, ...]:
    return kind("X", attributes=attributes).problems


def of_event(**given: Any) -> tuple[Problem, ...]:
    try:
        return Event(**given).problems
    except InvalidEvent as invalid:
        return invalid.problems


def of_request(body: str) -> tuple[Problem, ...]:
    return read(decode(body)).problems


def of_two_that_join_alike() -> tuple[Problem, ...]:
    joins = Joins()
    joins.check(Event(account="A_B", product="C", user="U", activity="a", module="m"))
    with pytest.raises(InvalidEvent) as caught:
        joins.check(Event(account="A", product="B_C", user="U", activity="a", module="m"))
    return caught.value.problems


def of_a_huge_call() -> tuple[Problem, ...]:
    client = Totango("SP-1-1", spool="memory", transport=RecordingTransport(), strict=True)
    with client, pytest.raises(InvalidEvent) as caught:
        client.set_account_attributes(Account("A", attributes={f"n{at}": "é" * 512 for at in range(300)}))
    return caught.value.problems


def of_a_service_id(value: object) -> list[Problem]:
    problem = service_id_problem(value)
    return [] if problem is None else [problem]


def of_bytes(body: bytes, query: bytes = b"", **given: Any) -> tuple[Problem, ...]:
    arrival = understand(time=0.0, method="POST", query=query, body=body, user_agent="x", **given)
    return arrival.reading.problems


def of_a_failed_identity() -> tuple[Problem, ...]:
    call = Call(activity="Login", module="App", trouble=Trouble("identify raised ValueError('no')"))
    with pytest.raises(InvalidEvent) as caught:
        call.event()
    return caught.value.problems


BREAKS: dict[str, Any] = {
    "service_id.missing": lambda: of_a_service_id(None),
    "service_id.placeholder": lambda: of_a_service_id("SP-XXXX-XX"),
    "service_id.form": lambda: of_a_service_id("1234-01"),
    "id.missing": lambda: check_id("account", None),
    "id.type": lambda: check_id("account", 819332.0),
    "id.empty": lambda: check_id("user", " "),
    "id.length": lambda: check_id("product", "x" * 256),
    "id.spaces": lambda: check_id("account", " 819332"),
    "id.characters": lambda: check_id("account", "Acme Ltd."),
    "id.email_characters": lambda: check_id("user", "o'hara@x.com"),
    "service_id.example": lambda: of_a_service_id("SP-0000-00"),
    "id.extra_characters": lambda: of_event(
        account="acme.com", user="U", activity="a", module="m", extra_id_characters="."
    ),
    "id.no_value": lambda: check_id("collection", "NaN"),
    "id.anybody": lambda: check_id("user", "Anonymous"),
    "account.left_out": lambda: of_event(
        account={"Plan": "x"}, user="U", activity="a", module="m", account_optional=True
    ),
    "value.date": lambda: of_attributes({"Create Date": "20/12/2011"}),
    "value.plain_number": lambda: of_attributes({"Licenses": "five"}),
    "account.missing": lambda: of_event(user="U", activity="a", module="m"),
    "user.missing": lambda: of_event(account="A", activity="a", module="m"),
    "parent.itself": lambda: Account("A", parent="A").problems,
    "salesforce.form": lambda: Account("A", foreignkeyid="0012000000msDD0").problems,
    "product.taken": lambda: Product("P", attributes={"parent_id": "A"}).problems,
    "product.left_out": lambda: of_event(product="P", user="U", activity="a", module="m", account_optional=True),
    "product_account.itself": lambda: of_event(
        account="A", product=Product("P", account_id="A"), user="U", activity="a", module="m"
    ),
    "product_account.length": lambda: joined_problems("x" * 481),
    "product_account.ambiguous": of_two_that_join_alike,
    "product_account.parent": lambda: of_request("sdr_s=SP-1-1&sdr_o=A_P&sdr_o.product_id=P"),
    "product_account.parts": lambda: of_request("sdr_s=SP-1-1&sdr_o=A_Q&sdr_o.parent_id=A&sdr_o.product_id=P"),
    "text.missing": lambda: of_event(account="A", user="U", activity="a"),
    "text.type": lambda: of_event(account="A", user="U", activity=5, module="m"),
    "text.empty": lambda: of_event(account="A", user="U", activity="", module="m"),
    "text.length": lambda: of_event(account="A", user="U", activity="x" * 191, module="m"),
    "text.control": lambda: of_event(account="A", user="U", activity="a\nb", module="m"),
    "text.surrogate": lambda: of_event(account="A", user="U", activity="\ud800", module="m"),
    "attribute_name.type": lambda: of_attributes({5: 1}),
    "attribute_name.empty": lambda: of_attributes({"": 1}),
    "attribute_name.length": lambda: of_attributes({"x" * 101: 1}),
    "attribute_name.control": lambda: of_attributes({"a\nb": 1}),
    "attribute_name.surrogate": lambda: of_attributes({"\ud800": 1}),
    "attribute_name.reserved": lambda: of_attributes({"api-token": 1}),
    "attribute_name.characters": lambda: of_attributes({"Größe": 1}),
    "attribute_name.twice": lambda: Account("A", foreignkeyid="x", attributes={"foreignkeyid": "y"}).problems,
    "value.type": lambda: of_attributes({"Tags": ["a"]}),
    "value.mapping": lambda: of_attributes("Gold"),
    "value.number": lambda: of_attributes({"n": float("nan")}),
    "value.digits": lambda: of_attributes({"n": 10**600}),
    "value.time": lambda: of_attributes({"n": dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=3)))}),
    "value.time_zone": lambda: of_attributes({"n": dt.datetime(2026, 1, 1)}),  # noqa: DTZ001
    "value.unwritable": lambda: of_attributes({"n": dt.datetime(2026, 1, 1, tzinfo=Unwritable())}),
    "value.surrogate": lambda: of_attributes({"n": "\ud800"}),
    "value.length": lambda: of_attributes({"n": "x" * 600}),
    "value.yes_no": lambda: of_attributes({"Contact": "Y"}, User),
    "value.status": lambda: of_attributes({"Status": "paying"}),
    "value.leftover": lambda: of_request("sdr_s=SP-1-1&sdr_o=A&sdr_o.Plan=undefined"),
    "value.utf8": lambda: of_request("sdr_s=SP-1-1&sdr_o=A&sdr_o.Plan=%FF"),
    "parameter.twice": lambda: of_request("sdr_s=SP-1-1&sdr_o=A&sdr_o=B"),
    "parameter.unknown": lambda: of_request("sdr_s=SP-1-1&sdr_o=A&user=x"),
    "request.parameters": lambda: of_bytes(b"&".join(b"sdr_o.n%d=1" % at for at in range(20_000))),
    "request.malformed": lambda: of_bytes(b"", malformed="it is not HTTP"),
    "request.no_form": lambda: of_bytes(b'{"a": 1}'),
    "request.body_ignored": lambda: of_bytes(b'{"a": 1}', b"sdr_s=SP-1-1&sdr_o=A"),
    "request.content_type": lambda: of_bytes(b"sdr_s=SP-1-1&sdr_o=A", content_type="text/plain"),
    "identity.unknown": of_a_failed_identity,
    "request.size": of_a_huge_call,
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_rule_is_broken_by_something_and_tells_its_name_and_severity(name: str) -> None:
    found = [problem for problem in BREAKS[name]() if problem.rule == name]
    assert found
    assert {problem.severity for problem in found} == {rules.RULES[name].severity}


def test_no_rule_is_without_something_that_breaks_it() -> None:
    # A row's last problem stands for those that do not fit: it is no check.
    assert set(rules.RULES) - {"request.more"} == set(BREAKS)


@pytest.mark.parametrize("rule", rules.RULES.values(), ids=lambda rule: rule.name)
def test_each_rule_says_what_it_means_and_what_to_do(rule: rules.Rule) -> None:
    assert re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", rule.name)
    assert rule.meaning.endswith(".")
    assert rule.advice.endswith(".")
    assert rule.example


def test_two_rules_never_have_one_name() -> None:
    constants = [value for value in vars(rules).values() if isinstance(value, rules.Rule)]
    assert sorted(rule.name for rule in constants) == sorted(rules.RULES)


def test_the_docs_list_every_rule_as_the_code_has_it() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "rules.py"))
    assert script["PAGE"].read_text(encoding="utf-8") == script["page"](), "run: python scripts/rules.py"


def calls_of(path: Path, name: str) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    return [f"{path.name}:{call.lineno}" for call in calls if isinstance(call.func, ast.Name) and call.func.id == name]


def test_only_a_rule_makes_a_problem() -> None:
    found = [call for path in PACKAGE.rglob("*.py") for call in calls_of(path, "Problem")]
    assert [call.partition(":")[0] for call in found] == ["rules.py"]


def test_nobody_looks_into_a_message() -> None:
    looks = re.compile(r"\bin \w*\.?message\b|\.message\.|(?:match|search|sub|fullmatch)\([^)]*\.message|message\[")
    own = ("rules.py",)
    found = [
        f"{path.name}:{number}"
        for path in PACKAGE.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if path.name not in own
        and looks.search(line)
        and "message.get(" not in line
        and not re.search(r'message\["(type|status)"\]', line)
    ]
    assert found == []


def test_problems_are_of_one_kind_where_rule_and_field_are_alike() -> None:
    two = [*check_id("account", "a.b"), *check_id("account", "c.d")]
    assert kinds_of(two) == "id.characters account"
    assert kinds_of(check_id("account", " a.b")) == "id.characters account, id.spaces account"


def test_the_log_tells_each_rule_once_for_each_field(caplog: pytest.LogCaptureFixture) -> None:
    with Totango("SP-1-1", spool="memory", transport=RecordingTransport()) as client:
        for account in ("a.b", "c.d", "e" * 481, "f" * 482):
            client.track("Login", "App", account, "U")
    told = [record.getMessage().partition("account: ")[2] for record in caplog.records]
    assert [text.partition("has ")[2].partition(";")[0] for text in told] == ["'.' at position 2", "481 characters"]


def test_a_dead_letter_names_the_rule() -> None:
    with Totango("SP-1-1", spool="memory", transport=RecordingTransport()) as client:
        client.track("Login", "App", "a.b", "U")
        (letter,) = client.dead_letters()
    assert [problem["rule"] for problem in letter.problems] == ["id.characters"]
    assert json.dumps(letter.problems[0])

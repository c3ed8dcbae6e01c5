"""The browser's shape of options and calls, from `from_options` to what is sent."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from totango_sdk import Account, InvalidEvent, Problem, Product, Totango, User, check_id
from totango_sdk.identity import service_id_problem
from totango_sdk.testing import RecordingTransport
from totango_sdk.wire.read import read

PAGE: dict[str, Any] = {
    "service_id": "SP-1-1",
    "account": {"id": "A", "name": "Acme"},
    "user": {"id": "U"},
    "module": "M",
}


class Sent:
    """A client of a page's options, and what it sends."""

    def __init__(self, options: dict[str, Any], **python: Any) -> None:
        self.transport = RecordingTransport()
        self.client = Totango.from_options(options, transport=self.transport, spool="memory", **python)

    def __call__(self, name: str, *args: Any, **given: Any) -> list[dict[str, str]]:
        """Return what one call sends."""
        before = len(self.transport.sent)
        getattr(self.client, name)(*args, **given)
        assert self.client.flush()
        return [dict(pairs) for pairs in self.transport.sent[before:]]


@pytest.fixture
def page() -> Any:
    made: list[Sent] = []

    def make(options: dict[str, Any] | None = None, **python: Any) -> Sent:
        made.append(Sent({**PAGE, **(options or {})}, **python))
        return made[-1]

    yield make
    for sent in made:
        sent.client.close()


def rules_of(problems: Any) -> list[tuple[str, str]]:
    return [(problem.field, problem.rule) for problem in problems]


# -- 1: a page's own keys


def test_a_pages_own_keys_are_left_out_and_told_once_by_name(page: Any, caplog: pytest.LogCaptureFixture) -> None:
    own = {"order_limit": 5, "enableHierarchy": True, "track_pageviews": False, "acount": "X"}
    (sent,) = page(own)("track", "Login")
    page(own)
    assert sent["sdr_o"] == "A"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for name in own:
        assert repr(name) in record.getMessage()
    assert "'acount' (did you mean 'account'?)" in record.getMessage()


@pytest.mark.parametrize("region", ["EU", "Eu1", "EU1", "eu"])
def test_a_region_is_known_in_any_letter_case(page: Any, region: str) -> None:
    assert page({"region": region}).client._core.options.endpoint == "https://sdr-eu1.totango.com/pixel.gif/"


# -- 2: a mapping without an id


def test_a_mapping_without_an_id_speaks_of_the_account_in_force(page: Any) -> None:
    sent = page()
    (request,) = sent("track", "L", "M", account={"Plan": "x"})
    assert (request["sdr_o"], request["sdr_o.Plan"]) == ("A", "x")
    (request,) = sent("set_account_attributes", {"Plan": "y"})
    assert (request["sdr_o"], request["sdr_o.Plan"]) == ("A", "y")
    (request,) = sent("set_user_attributes", None, {"Role": "x"})
    assert (request["sdr_o"], request["sdr_u"], request["sdr_u.Role"]) == ("A", "U", "x")
    (request,) = sent("identify", {"Plan": "z"}, {"Role": "y"})
    assert (request["sdr_o"], request["sdr_u"]) == ("A", "U")
    assert (request["sdr_o.Plan"], request["sdr_u.Role"]) == ("z", "y")


def test_a_mapping_without_an_id_speaks_of_whoever_a_block_names(page: Any) -> None:
    sent = page()
    with sent.client.context(account="B", user="V"):
        (request,) = sent("track", "L", "M", {"Plan": "x"}, {"id": "", "Role": "x"})
    assert (request["sdr_o"], request["sdr_u"], request["sdr_o.Plan"]) == ("B", "V", "x")


def test_what_is_said_of_nobody_is_told_and_the_event_sent(page: Any, caplog: pytest.LogCaptureFixture) -> None:
    sent = page({"account": None, "allow_empty_accounts": True})
    (request,) = sent("track", "L", "M", {"Plan": "x"})
    assert "sdr_o" not in request
    assert "sdr_o.Plan" not in request
    assert "what is said of the account is left out" in caplog.text


def test_a_mapping_without_an_id_is_refused_where_nobody_is_in_force(page: Any) -> None:
    sent = page({"account": None})
    assert sent("track", "L", "M", {"Plan": "x"}) == []
    (letter,) = sent.client.dead_letters()
    assert [problem["rule"] for problem in letter.problems] == ["id.missing"]


class Unreadable(dict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise RuntimeError("no")


def test_a_mapping_that_cannot_be_read_is_a_dead_letter_and_raises_nothing(page: Any) -> None:
    sent = page()
    assert sent("track", "L", "M", Unreadable(Plan="x")) == []
    assert len(sent.client.dead_letters()) == 1


# -- 3: names


def test_account_name_is_the_name_and_id_in_another_case_an_attribute(page: Any) -> None:
    sent = page({"account": {"id": "A", "account_name": "Acme", "ID": "1", "Id": "2"}, "user": {"id": "U", "ID": "3"}})
    (request,) = sent("track", "L")
    assert request["sdr_odn"] == "Acme"
    assert (request["sdr_o.ID"], request["sdr_o.Id"], request["sdr_u.ID"]) == ("1", "2", "3")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"id": "I", "o": "O"}, ("I", None)),
        ({"id": "", "o": "O"}, ("O", None)),
        ({"id": "I", "name": "N", "odn": "D", "account_name": "A"}, ("I", "N")),
        ({"id": "I", "odn": "D", "account_name": "A"}, ("I", "D")),
    ],
)
def test_of_two_names_for_one_thing_the_longer_one_counts(given: dict[str, Any], expected: tuple[str, Any]) -> None:
    account = Account.from_mapping(given)
    assert (account.id, account.name) == expected


def test_fid_goes_before_ofid_and_id_before_u() -> None:
    assert Account.from_mapping({"id": "I", "fid": "F", "ofid": "O"}).ofid == "F"
    assert User.from_mapping({"id": "I", "u": "U"}).id == "I"


# -- 4: empty texts


@pytest.mark.parametrize("call", [("track", "L", ""), ("track", "L", "", "", ""), ("heartbeat", "", "", "")])
def test_an_empty_text_is_absent_so_the_default_holds(page: Any, call: tuple[Any, ...]) -> None:
    (request,) = page()(*call)
    assert (request["sdr_o"], request["sdr_u"], request["sdr_m"]) == ("A", "U", "M")


def test_an_empty_text_is_an_error_where_there_is_no_default(page: Any) -> None:
    sent = page({"module": None})
    assert sent("track", "L", "") == []
    (letter,) = sent.client.dead_letters()
    assert [problem["rule"] for problem in letter.problems] == ["text.empty"]


# -- 5: a parent


def test_a_parents_name_and_attributes_go_ahead_in_a_request_of_its_own_when_due(page: Any) -> None:
    parent = {"id": "P", "name": "Parent", "Tier": "1", "parent": {"id": "G", "name": "Grand"}}
    sent = page({"account": {"id": "A", "parent": parent}})
    grand, above, own = sent("track", "L")
    assert grand == {"sdr_s": "SP-1-1", "sdr_o": "G", "sdr_odn": "Grand"}
    assert above == {
        "sdr_s": "SP-1-1", "sdr_o": "P", "sdr_odn": "Parent", "sdr_o.parent_id": "G", "sdr_o.Tier": "1",
    }  # fmt: skip
    assert own["sdr_o.parent_id"] == "P"
    assert len(sent("track", "L")) == 1


def test_a_parent_without_anything_to_say_is_its_id(page: Any) -> None:
    assert Account("A", parent={"id": "P"}) == Account("A", parent="P") == Account("A", parent=Account("P"))
    (request,) = page({"account": {"id": "A", "parent": {"id": "P"}}})("track", "L")
    assert request["sdr_o.parent_id"] == "P"


def test_what_is_wrong_with_a_parent_is_told() -> None:
    account = Account("A", parent={"id": "P P", "Tags": ["a"]})
    assert rules_of(account.problems) == [
        ("account.parent_id", "id.characters"), ("account.parent.Tags", "value.type"),
    ]  # fmt: skip
    assert rules_of(Account("A", parent={"name": "P"}).problems) == [("account.parent_id", "id.missing")]


def test_a_dead_letter_keeps_all_that_was_said_of_a_parent(page: Any) -> None:
    sent = page({"account": {"id": "A A", "parent": {"id": "P", "name": "Parent"}}})
    assert sent("track", "L") == []
    (letter,) = sent.client.dead_letters()
    assert letter.input is not None
    assert letter.input["account"]["parent"] == {"id": "P", "name": "Parent"}


# -- 7: placeholders


@pytest.mark.parametrize("value", ["SP-0000-00", "SP-0000-01"])
def test_a_service_id_of_the_help_centres_examples_is_a_warning_once(
    page: Any, value: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        assert len(page({"service_id": value})("track", "L")) == 1
    assert caplog.text.count("help centre") == 1
    assert rules_of(read([("sdr_s", value), ("sdr_o", "A")]).problems) == [("service_id", "service_id.example")]


# -- 8: Salesforce


SHORT, WRONG, RIGHT = "0012000000msDD0", "0012000000msDD0BDU", "0012000000msDD0AAM"
CONTACT = "0032000000msDD0"


@pytest.mark.parametrize("value", [SHORT, WRONG])
@pytest.mark.parametrize(
    ("make", "field"),
    [
        (Account, "account"),
        (lambda value: Account("A", ofid=value), "account.ofid"),
        (lambda value: Account("A", parent=value), "account.parent_id"),
        (lambda value: Account("A", foreignkeyid=value), "account.foreignkeyid"),
        (lambda value: Account("A", foreign_keys={"CRM": value}), "account.CRM"),
        (lambda value: Product("P", account_id=value), "product.account_id"),
    ],
)
def test_what_looks_like_an_accounts_salesforce_id_is_a_warning_everywhere(make: Any, field: str, value: str) -> None:
    problems = make(value).problems
    assert rules_of(problems) == [(field, "salesforce.form")]
    assert problems[0].severity == "warning"
    assert make(RIGHT).problems == ()


def test_a_contacts_salesforce_id_is_a_warning_for_a_user_and_nothing_else() -> None:
    assert rules_of(User(CONTACT).problems) == [("user", "salesforce.form")]
    assert rules_of(User("U", attributes={"CRM": CONTACT}).problems) == [("user.CRM", "salesforce.form")]
    assert Account(CONTACT).problems == ()
    assert User(SHORT).problems == ()


def test_a_number_of_fifteen_digits_is_no_salesforce_id() -> None:
    assert Account("001200000012345").problems == ()
    assert User("003200000012345").problems == ()


# -- 9: typed attributes


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("Create Date", "20/12/2011", "value.date"),
        ("Contract Renewal Date", "2026-02-30", "value.date"),
        ("Contract Start Date", True, "value.date"),
        ("Contract Value", "$1,000", "value.plain_number"),
        ("Contract Value", "1e5", "value.plain_number"),
        ("Licenses", "five", "value.plain_number"),
        ("Licenses", True, "value.plain_number"),
        ("Status", "Trial", "value.status"),
        ("Status", "free", "value.status"),
        ("Status", "True", "value.status"),
    ],
)
def test_a_named_attribute_of_another_type_is_a_warning_in_the_sdk_and_the_sandbox(
    name: str, value: object, rule: str
) -> None:
    account = Account("A", attributes={name: value})
    assert rules_of(account.problems) == [(f"account.{name}", rule)]
    assert {problem.severity for problem in account.problems} == {"warning"}
    pairs = [("sdr_s", "SP-1-1"), ("sdr_o", "A"), (f"sdr_o.{name}", account.said.pairs[0][1])]
    assert rules_of(read(pairs).problems) == [(f"account.{name}", rule)]


@pytest.mark.parametrize("value", ["True", "Y", "1"])
def test_a_contact_that_is_neither_yes_nor_no_is_a_warning(value: str) -> None:
    assert rules_of(User("U", attributes={"Contact": value}).problems) == [("user.Contact", "value.yes_no")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Create Date", "2011-12-20"),
        ("Create Date", "2011-12-20T10:00:00.000Z"),
        ("Create Date", "2011-12-20T10:00:00+02:00"),
        ("Create Date", None),
        ("Contract Value", "1000"),
        ("Contract Value", -10.5),
        ("Licenses", 5),
        ("Status", "Paying"),
    ],
)
def test_a_named_attribute_of_its_type_is_right(name: str, value: object) -> None:
    assert Account("A", attributes={name: value}).problems == ()


# -- 10: IDs that exist


EXISTING = ["acme.com", "102213x : Photos", "marlo@barksdale.com"]
EXTRA = ".@: "


@pytest.mark.parametrize("value", EXISTING)
def test_an_id_with_other_characters_names_the_option_that_lets_it_through(page: Any, value: str) -> None:
    sent = page()
    assert sent("track", "L", "M", value) == []
    (letter,) = sent.client.dead_letters()
    assert "extra_id_characters=" in letter.reason
    assert "extra_id_characters=" in read([("sdr_s", "SP-1-1"), ("sdr_o", value)]).problems[0].message


@pytest.mark.parametrize("value", EXISTING)
def test_extra_id_characters_are_a_warning_told_once(page: Any, value: str, caplog: pytest.LogCaptureFixture) -> None:
    sent = page(extra_id_characters=EXTRA)
    for _ in range(2):
        (request, *_rest) = sent("track", "L", "M", value)
        assert request["sdr_o"] == value
    assert caplog.text.count("extra_id_characters allows") == 1


def test_extra_id_characters_hold_for_products_and_parents_and_in_the_environment(
    page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTANGO_EXTRA_ID_CHARACTERS", ".")
    sent = page()
    (own, request) = sent("track", "L", "M", Account("a.b", parent="c.d"), None, Product("p.q"))
    assert (own["sdr_o"], own["sdr_o.parent_id"], request["sdr_o"]) == ("a.b", "c.d", "a.b_p.q")
    assert sent.client.dead_letters() == []


@pytest.mark.parametrize(
    ("account", "user"),
    [("a.b!", "U"), (" a.b", "U"), ("a.b" * 200, "U"), ("A", "jo:x"), ("A", "a b")],
)
def test_extra_id_characters_let_nothing_else_through(page: Any, account: str, user: str) -> None:
    sent = page(extra_id_characters=EXTRA)
    assert sent("track", "L", "M", account, user) == []
    assert len(sent.client.dead_letters()) == 1


def test_extra_id_characters_hold_for_the_snippet_and_for_jobs(page: Any) -> None:
    sent = page({"account": "acme.com"}, extra_id_characters=".", strict=True)
    assert '"id": "acme.com"' in sent.client.snippet()
    carried = sent.client.carry()
    with page(extra_id_characters=".").client.carried(carried):
        pass
    assert carried is not None
    assert "acme.com" in carried


def test_extra_id_characters_hold_for_a_changed_event(page: Any) -> None:
    import attrs

    sent = page(extra_id_characters=".", before_send=lambda event: attrs.evolve(event, activity="Changed"))
    (request,) = sent("track", "L", "M", "acme.com")
    assert request["sdr_a"] == "Changed"


def test_a_strict_client_takes_extra_id_characters(page: Any) -> None:
    with pytest.raises(InvalidEvent):
        page(strict=True)("track", "L", "M", "acme.com")
    assert len(page(strict=True, extra_id_characters=".")("track", "L", "M", "acme.com")) == 1


# -- 11: curly quotes


def test_curly_quotes_are_named_as_what_they_are() -> None:
    (problem,) = check_id("account", "\u201c819332\u201d")
    assert "the curly quote \u201c at position 1" in problem.message
    assert "straight quotes" in problem.message
    assert "extra_id_characters" not in problem.message
    wrong = service_id_problem("\u2018SP-1-1\u2019")
    assert wrong is not None
    assert "curly quotes" in wrong.message


# -- identity.md: what stands for no value


@pytest.mark.parametrize("value", ["none", "None", "NULL", "nan", "NaN", "undefined", "-"])
@pytest.mark.parametrize("kind", ["account", "product", "user", "collection"])
def test_the_text_of_a_missing_value_is_no_id(kind: Any, value: str) -> None:
    (problem,) = check_id(kind, value)
    assert (problem.severity, problem.rule) == ("error", "id.no_value")


def test_the_text_of_a_missing_value_is_no_parent_either() -> None:
    assert rules_of(Account("A", parent="None").problems) == [("account.parent_id", "id.no_value")]


@pytest.mark.parametrize("value", ["0", 0, "true", "False", "ANONYMOUS", "unknown"])
def test_a_word_for_nobody_is_a_warning_for_accounts_and_users_alone(value: object) -> None:
    for kind in ("account", "user"):
        (problem,) = check_id(kind, value)  # type: ignore[arg-type]
        assert (problem.severity, problem.rule) == ("warning", "id.anybody")
    assert check_id("product", value) == []


def test_warnings_do_not_keep_ids_from_being_joined(page: Any) -> None:
    from totango_sdk import product_account_id

    assert product_account_id("0", "ABC") == "0_ABC"
    with pytest.raises(InvalidEvent) as caught:
        page(strict=True)("track", "L", "M", "0" + "A" * 300, "U", "P" * 200)
    assert isinstance(caught.value.problems[0], Problem)

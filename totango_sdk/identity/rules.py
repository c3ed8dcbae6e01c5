"""The rules, each with its name: what a program counts by, and what docs/rules.md lists.

A rule's sentence, with the value in it, stands where the rule is checked. Its name, severity and
meaning stand here, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..errors import Problem

if TYPE_CHECKING:
    from ..errors import Severity


class Rule(NamedTuple):
    """One rule. `example` shows what breaks it, and `advice` says what to do then."""

    name: str
    severity: Severity
    meaning: str
    example: str
    advice: str

    def broken(self, field: str, value: object, message: str) -> Problem:
        """Return the problem that this rule is broken by the value of a field."""
        return Problem(field, value, message, self.severity, self.name)


RULES: dict[str, Rule] = {}


def _error(name: str, meaning: str, example: str, advice: str) -> Rule:
    return RULES.setdefault(name, Rule(name, "error", meaning, example, advice))


def _warning(name: str, meaning: str, example: str, advice: str) -> Rule:
    return RULES.setdefault(name, Rule(name, "warning", meaning, example, advice))


# -- the service

SERVICE_MISSING = _error(
    "service_id.missing",
    "There is no service id.",
    "`Totango()`",
    "Copy it from Totango's Settings: `SP-<digits>-<digits>`.",
)
SERVICE_PLACEHOLDER = _error(
    "service_id.placeholder",
    "The service id is the placeholder of the documentation.",
    "`SP-XXXX-XX`",
    "Put in your own.",
)
SERVICE_FORM = _error(
    "service_id.form",
    "The service id has another form than Totango's.",
    "`1234-01`",
    "Copy it from Totango's Settings: `SP-<digits>-<digits>`.",
)

SERVICE_EXAMPLE = _warning(
    "service_id.example",
    "The service id is one that the help centre's examples have, so its events arrive nowhere.",
    "`SP-0000-00`, `SP-0000-01`",
    "Put in your own.",
)

# -- IDs

ID_MISSING = _error(
    "id.missing",
    "There is no ID.",
    "`Account(id=None)`",
    "Give a `str`, an `int` or a `UUID`.",
)
ID_TYPE = _error(
    "id.type",
    "An ID is of a type that could be written in more than one way.",
    "`819332.0`",
    "Convert it to the text that you mean.",
)
ID_EMPTY = _error(
    "id.empty",
    "An ID is empty, or nothing but spaces.",
    '`""`',
    "Use the ID that your application gives it.",
)
ID_LENGTH = _error(
    "id.length",
    "An ID is too long: 480 characters for an account, 255 for a product, 100 for a user, 128 for "
    "a collection.",
    '`"x" * 481`',
    "Use the ID that your application gives it, not its display name.",
)
ID_SPACES = _error(
    "id.spaces",
    "An ID has a leading or trailing space.",
    '`" 819332"`',
    "Strip it.",
)
ID_CHARACTERS = _error(
    "id.characters",
    "An ID has a character that Totango does not allow in IDs of its kind.",
    '`"Acme Ltd."`',
    "Use the ID that your application gives it, not its display name.",
)
ID_EMAIL = _warning(
    "id.email_characters",
    "A user ID is an e-mail address with characters beyond those that Totango lists.",
    "`o'hara@x.com`",
    "Check in Totango that this user arrives.",
)

ID_EXTRA = _warning(
    "id.extra_characters",
    "An account, product or parent ID has characters that Totango's document on unique IDs does "
    "not list, and that `extra_id_characters` allows.",
    '`acme.com`, with `extra_id_characters="."`',
    "Check in Totango that this account arrives.",
)
ID_NO_VALUE = _error(
    "id.no_value",
    "An ID is the text of a missing value, in any letter case: `none`, `null`, `nan`, "
    "`undefined`, `-`.",
    '`"None"`',
    "Find where it is read. Every customer without an ID would become this one, for good.",
)
ID_ANYBODY = _warning(
    "id.anybody",
    "An account or user ID is a word that often stands for nobody: `0`, `true`, `false`, "
    "`anonymous`, `unknown`.",
    '`"anonymous"`',
    "Leave the event out, or give who it is about.",
)

# -- who an event is about

ACCOUNT_MISSING = _error(
    "account.missing",
    "An event has no account.",
    '`totango.track("Login", "App", user="U")`',
    "Give `account=`, here or to the client.",
)
USER_MISSING = _error(
    "user.missing",
    "An activity has no user.",
    '`totango.track("Login", "App", account="A")`',
    "Give `user=`, here or to the client.",
)
IDENTITY_UNKNOWN = _error(
    "identity.unknown",
    "Who a request or a job is about could not be found out.",
    "an `identify` function that raises",
    "Mend what the message names; until then these events belong to nobody.",
)
PARENT_ITSELF = _error(
    "parent.itself",
    "An account is its own parent.",
    '`Account("1", parent="1")`',
    "Leave `parent` out.",
)
SALESFORCE_FORM = _warning(
    "salesforce.form",
    "An ID or a value looks like a Salesforce ID of an account, or of a contact for a user, but "
    "has 15 characters, or a suffix that does not match.",
    "`0012000000msDD0`",
    "Use `salesforce_id()`, or copy it again from Salesforce.",
)

ACCOUNT_LEFT_OUT = _warning(
    "account.left_out",
    "What is said of an account is left out, since there is no ID to say it of.",
    '`totango.track("Login", "App", account={"Plan": "Gold"})`, with `allow_empty_accounts`',
    "Give the account's `id` too.",
)

# -- products

PRODUCT_TAKEN = _error(
    "product.taken",
    "A product has an attribute that the SDK sets from the account and the product.",
    '`Product("P", attributes={"parent_id": "A"})`',
    "Leave it out.",
)
PRODUCT_LEFT_OUT = _warning(
    "product.left_out",
    "A product is left out, since there is no account to join it to.",
    '`totango.track("Login", "App", product="P")`, with `allow_empty_accounts`',
    "Give `account=` too.",
)
PRODUCT_ACCOUNT_ITSELF = _error(
    "product_account.itself",
    "An account is named as the product account of itself.",
    '`Product("P", account_id="A")` with `Account("A")`',
    "Leave `account_id` out, or the product.",
)
PRODUCT_ACCOUNT_LENGTH = _error(
    "product_account.length",
    "A product-account ID has more than 480 characters.",
    '`product_account_id("A" * 400, "P" * 200)`',
    "Give the product an `account_id` of its own.",
)
PRODUCT_ACCOUNT_AMBIGUOUS = _error(
    "product_account.ambiguous",
    "One product-account ID stands for two accounts, which Totango would merge.",
    "`A_B` with `C`, and `A` with `B_C`",
    "Give one of the products an `account_id` of its own.",
)
PRODUCT_ACCOUNT_PARENT = _warning(
    "product_account.parent",
    "A product account names no `parent_id`, so it belongs to no account.",
    "a request with `product_id` alone",
    "Send `parent_id`, the ID of the account, beside `product_id`.",
)
PRODUCT_ACCOUNT_PARTS = _warning(
    "product_account.parts",
    "A product-account ID is another than its two parts make.",
    "`A_Q` with `parent_id` `A` and `product_id` `P`",
    "That is right only if this product was given an `account_id` of its own.",
)

# -- activities and modules

TEXT_MISSING = _error(
    "text.missing",
    "An activity or a module is missing.",
    '`totango.track("Login")`, with no module anywhere',
    "Give a text of 1 to 190 characters, or of 1 to 100 for a module.",
)
TEXT_TYPE = _error(
    "text.type",
    "An activity or a module is no text.",
    "`totango.track(5, 7)`",
    "Give a `str`.",
)
TEXT_EMPTY = _error(
    "text.empty",
    "An activity or a module is empty, or nothing but spaces.",
    '`totango.track("", "App")`',
    "Give 1 to 190 characters, or 1 to 100 for a module.",
)
TEXT_LENGTH = _error(
    "text.length",
    "An activity or a module is too long; cut short, it would be another one.",
    '`"x" * 191`',
    "Give it a shorter name.",
)
TEXT_CONTROL = _error(
    "text.control",
    "An activity or a module has a control character.",
    '`"Log\\nin"`',
    "Remove it.",
)
TEXT_SURROGATE = _error(
    "text.surrogate",
    "An activity or a module cannot be written as UTF-8.",
    '`"\\ud800"`',
    "Decode the text with the right encoding.",
)

# -- attributes: their names

NAME_TYPE = _error(
    "attribute_name.type",
    "The name of an attribute is no text.",
    "`{5: 1}`",
    "Give it as a `str`.",
)
NAME_EMPTY = _error(
    "attribute_name.empty",
    "The name of an attribute is empty.",
    '`{"": 1}`',
    "Give 1 to 100 characters.",
)
NAME_LENGTH = _error(
    "attribute_name.length",
    "The name of an attribute has more than 100 characters.",
    '`{"x" * 101: 1}`',
    "Give it a shorter name.",
)
NAME_CONTROL = _error(
    "attribute_name.control",
    "The name of an attribute has a control character.",
    '`{"a\\nb": 1}`',
    "Remove it.",
)
NAME_SURROGATE = _error(
    "attribute_name.surrogate",
    "The name of an attribute cannot be written as UTF-8.",
    '`{"\\ud800": 1}`',
    "Decode the text with the right encoding.",
)
NAME_RESERVED = _error(
    "attribute_name.reserved",
    "Totango reads this name as the event itself, or as who it is about.",
    '`{"api-token": 1}`',
    "Use the keyword of that name, or rename it.",
)
NAME_CHARACTERS = _warning(
    "attribute_name.characters",
    "The name of an attribute has other characters than letters, digits, `_` and space.",
    '`{"Größe": 1}`',
    "Prefer letters, digits, `_` and space.",
)
NAME_TWICE = _error(
    "attribute_name.twice",
    "An attribute is given twice.",
    '`Account("1", foreignkeyid="x", attributes={"foreignkeyid": "y"})`',
    "Give it once, either by its own keyword or as an attribute.",
)

# -- attributes and names: their values

VALUE_TYPE = _error(
    "value.type",
    "A value is of a type that has no text of its own.",
    '`{"Tags": ["a", "b"]}`',
    "Give a `str`, `bool`, `int`, `float`, `Decimal`, `date`, `datetime`, `Enum` or `UUID`.",
)
VALUE_MAPPING = _error(
    "value.mapping",
    "Attributes or foreign keys are no mapping.",
    '`Account("1", attributes="Gold")`',
    "Give a mapping of names to values.",
)
VALUE_NUMBER = _error(
    "value.number",
    "A number is infinite, or none at all.",
    '`float("nan")`',
    "Leave the attribute out, or give `None`.",
)
VALUE_DIGITS = _error(
    "value.digits",
    "A number has more digits than Totango keeps; cut short, it would be another.",
    "`10**600`",
    "Give it as a text of your own making, or leave it out.",
)
VALUE_TIME = _error(
    "value.time",
    "A time is none, or cannot be written in UTC.",
    "`pandas.NaT`",
    "Leave the attribute out, or give `None`.",
)
VALUE_TIME_ZONE = _error(
    "value.time_zone",
    "A time has no time zone.",
    "`datetime.now()`",
    "Give one that has, such as `datetime.now(timezone.utc)`.",
)
VALUE_UNWRITABLE = _error(
    "value.unwritable",
    "A value raises an exception when it is written.",
    "an object whose `__str__` raises",
    "Give it as a `str`.",
)
VALUE_SURROGATE = _error(
    "value.surrogate",
    "A value cannot be written as UTF-8.",
    '`"\\ud800"`',
    "Decode the text with the right encoding.",
)
VALUE_LENGTH = _warning(
    "value.length",
    "A name or a value is cut to the length that Totango keeps.",
    '`{"Notes": "x" * 600}`',
    "Give at most 128 characters for an account's name, 512 for an account's value, 255 for a "
    "user's.",
)
VALUE_YES_NO = _warning(
    "value.yes_no",
    "A value of `Contact` or `Key Contact` is neither `yes` nor `no`.",
    '`User("U", attributes={"Contact": "Y"})`',
    "Give `True` or `False`, or `yes` or `no` in lower case.",
)
VALUE_DATE = _warning(
    "value.date",
    "A value of `Create Date`, `Contract Renewal Date` or `Contract Start Date` is no date.",
    '`{"Create Date": "20/12/2011"}`',
    "Give a `date` or a `datetime`, or a text such as `2011-12-20`.",
)
VALUE_PLAIN_NUMBER = _warning(
    "value.plain_number",
    "A value of `Contract Value` or `Licenses` is no number in plain digits.",
    '`{"Contract Value": "$1,000"}`',
    "Give a number, or its digits alone, such as `1000`.",
)
VALUE_STATUS = _warning(
    "value.status",
    "A value of `Status` is none of Totango's words.",
    '`{"Status": "paying"}`',
    "Give `Free`, `Paying` or `Canceled`.",
)
VALUE_LEFTOVER = _warning(
    "value.leftover",
    "A value is what a language writes for one that was never set.",
    "`undefined`",
    "Leave the parameter out.",
)
VALUE_UTF8 = _warning(
    "value.utf8",
    "A value has bytes that are not UTF-8.",
    "`%FF`",
    "Percent-encode the text as UTF-8.",
)

# -- requests

PARAMETER_TWICE = _warning(
    "parameter.twice",
    "A parameter is there twice, with two values; the last one counts.",
    "a request with two accounts",
    "Send one.",
)
PARAMETER_UNKNOWN = _warning(
    "parameter.unknown",
    "Totango knows no parameter of this name, and ignores it.",
    "`user=marlo@barksdale.com`",
    "Send the name as Totango writes it; letter case counts.",
)
REQUEST_MALFORMED = _error(
    "request.malformed",
    "What came is not HTTP as a server reads it.",
    "`GET /pixel.gif/?name=a b HTTP/1.1`",
    "Let an HTTP library write the request.",
)
REQUEST_NO_FORM = _error(
    "request.no_form",
    "The body is JSON, multipart or XML, which Totango does not read.",
    '`{"account": "819332"}`',
    "Send its fields percent-encoded, as `NAME=VALUE&NAME=VALUE`.",
)
REQUEST_BODY_IGNORED = _warning(
    "request.body_ignored",
    "Beside the parameters of the address there is a body that is no form.",
    "a query string, and JSON",
    "Send its fields percent-encoded, as `NAME=VALUE&NAME=VALUE`.",
)
REQUEST_CONTENT_TYPE = _warning(
    "request.content_type",
    "The body is a form, but the header `Content-Type` calls it something else.",
    "`Content-Type: text/plain`",
    "Send `Content-Type: application/x-www-form-urlencoded`.",
)
REQUEST_PARAMETERS = _warning(
    "request.parameters",
    "A request has so many parameters that the others were not read.",
    "a thousand parameters",
    "Send one event a request.",
)
REQUEST_MORE = _warning(
    "request.more",
    "A request has more problems than are listed.",
    "a request with hundreds of wrong attributes",
    "Mend those that are listed first.",
)
REQUEST_SIZE = _error(
    "request.size",
    "A request is larger than 512 KiB.",
    "10,000 attributes",
    "Send fewer attributes.",
)


def as_markdown() -> str:
    """Return the table of docs/rules.md: every rule, in the order that it stands here."""
    head = "| rule | severity | meaning | example | what to do |\n| --- | --- | --- | --- | --- |\n"
    rows = (
        f"| `{rule.name}` | {rule.severity} | {rule.meaning} | {rule.example} | {rule.advice} |\n"
        for rule in RULES.values()
    )
    return head + "".join(rows)

"""What an ID, an activity and a module may be.

Source: Totango's "Requirements for unique IDs" (203640435) and "Attribute limitations"
(360042488351). The endpoint answers 200 to anything, so these checks are the only ones there are.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from ..errors import InvalidID, OptionsError
from ..show import shown
from . import rules
from .salesforce import record_warning
from .texts import canonical_id, exact_str, has_control, unencodable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from ..errors import Problem
    from .rules import Rule

    ID = str | int | UUID

Kind = Literal["account", "product", "user", "collection"]

# Longer texts are never right, and are not worth keeping in a cache.
_CACHED = 512
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
# compiled, and cached by re, where it is needed
_EMAIL = rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*"


class _IdForm(NamedTuple):
    noun: str
    allowed: str
    pattern: re.Pattern[str]
    limit: int
    advice: str


_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_JOINED_ADVICE = "Use the ID that your application gives it, not its display name"
_FORMS: dict[str, _IdForm] = {
    "account": _IdForm(
        "an account ID", "ASCII letters, digits, _ and -", _PLAIN, 480, _JOINED_ADVICE
    ),
    "product": _IdForm(
        "a product ID", "ASCII letters, digits, _ and -", _PLAIN, 255, _JOINED_ADVICE
    ),
    "user": _IdForm(
        "a user ID",
        "ASCII letters, digits, _, -, @ and ., or an e-mail address",
        re.compile(r"[A-Za-z0-9_.@-]+"),
        100,
        "Use the user's e-mail address or internal ID",
    ),
    "collection": _IdForm(
        "a collection ID",
        "ASCII letters, digits and _",
        re.compile(r"[A-Za-z0-9_]+"),
        128,
        "Replace each other character with _",
    ),
}
# What languages, databases and spreadsheets write for a value that is not there.
_NO_VALUES = frozenset(("none", "null", "nan", "undefined", "-"))
# What often stands for nobody in particular.
_ANYBODY = frozenset(("0", "true", "false", "anonymous", "unknown"))
_TOLD_OF = _NO_VALUES | _ANYBODY
_CURLY_QUOTES = frozenset("\u2018\u2019\u201c\u201d")
# Where a service may have IDs already with characters that the documentation does not list.
_MAY_HAVE_EXTRA = frozenset(
    ("account", "product", "account.parent_id", "account.product_id", "product.account_id")
)
_TEXT_LIMITS = {"activity": 190, "module": 100}


def check_id(kind: Kind, value: object) -> list[Problem]:
    """Return what is wrong with an ID; an empty list if nothing is.

    `kind` is `account`, `product`, `user` or `collection`. An `int` or a `UUID` is taken as its
    canonical text. Raises `OptionsError` for another kind.
    """
    if not isinstance(kind, str) or kind not in _FORMS:
        msg = (
            f"kind {shown(kind)} is not known: use one of {', '.join(_FORMS)}, as in "
            "check_id('account', '819332')"
        )
        raise OptionsError(msg)
    return list(id_problems(kind, value, kind))


def id_problems(kind: str, value: object, field: str) -> tuple[Problem, ...]:
    """Return every rule that `value` breaks as an ID of this kind, told of `field`."""
    text = canonical_id(value)
    if text is None:
        return (_wrong_type(_FORMS[kind], value, field),)
    check = _check_id_text if len(text) <= _CACHED else _check_id_text.__wrapped__
    return check(kind, text, field)


def _wrong_type(form: _IdForm, value: object, field: str) -> Problem:
    if value is None:
        message = f"{form.noun} is missing: give a str, an int or a UUID"
        return rules.ID_MISSING.broken(field, value, message)
    if issubclass(type(value), int) and type(value) is not bool:
        message = (
            f"{shown(value)} is an int of far too many digits; {form.noun} has at most "
            f"{form.limit}. {form.advice}"
        )
        return rules.ID_LENGTH.broken(field, value, message)
    message = (
        f"{shown(value)} is of type {type(value).__name__}; {form.noun} is a str, an int or a "
        "UUID, since this could be written in more than one way. Convert it to the text that you "
        "mean"
    )
    return rules.ID_TYPE.broken(field, value, message)


@lru_cache(maxsize=8192)
def _check_id_text(kind: str, text: str, field: str) -> tuple[Problem, ...]:
    form = _FORMS[kind]
    if _is_plain(kind, form, text):
        return ()
    broken = list(_broken_by_id(kind, form, text)) or list(_odd_in_id(kind, form, text))
    return tuple(rule.broken(field, text, message) for rule, message in broken)


def _is_plain(kind: str, form: _IdForm, text: str) -> bool:
    """Whether there is nothing to say of an ID, as of nearly every one."""
    return (
        len(text) <= form.limit
        and form.pattern.fullmatch(text) is not None
        and text.lower() not in _TOLD_OF
        and record_warning(kind, text) is None
    )


def _broken_by_id(kind: str, form: _IdForm, text: str) -> Iterator[tuple[Rule, str]]:
    """Yield each rule that a text breaks as an ID, with what is to be said of it."""
    told = shown(text)
    if not text or text.isspace():
        message = f"{told} is empty; {form.noun} has 1 to {form.limit} characters. {form.advice}"
        yield rules.ID_EMPTY, message
        return
    if text.lower() in _NO_VALUES:
        message = (
            f"{told} is the text of a missing value, and every customer without an ID would become "
            "this one, for good. Find where the ID is read, and leave the event out where there is none"
        )
        yield rules.ID_NO_VALUE, message
        return
    if len(text) > form.limit:
        message = f"{told} has {len(text)} characters; {form.noun} has at most {form.limit}"
        yield rules.ID_LENGTH, f"{message}. {form.advice}"
    stripped = text.strip()
    if text != stripped:
        message = f"{told} has a leading or trailing space; {form.noun} has none. Strip it"
        yield rules.ID_SPACES, message
    is_email = kind == "user" and re.fullmatch(_EMAIL, stripped)
    if not is_email and not form.pattern.fullmatch(stripped):
        message = f"{told} has {_first_other(form, text)}; {form.noun} has only {form.allowed}"
        yield rules.ID_CHARACTERS, f"{message}. {_what_to_do(kind, form, stripped)}"


def _odd_in_id(kind: str, form: _IdForm, text: str) -> Iterator[tuple[Rule, str]]:
    """Yield what is to be said of an ID that is sent all the same."""
    if not form.pattern.fullmatch(text):
        message = (
            f"{shown(text)} is sent as it is, because Totango recommends e-mail addresses as user IDs, "
            f"but {_first_other(form, text)} is not among the characters that it lists "
            f"({form.allowed}). Check in Totango that this user arrives"
        )
        yield rules.ID_EMAIL, message
    if kind in ("account", "user") and text.lower() in _ANYBODY:
        message = (
            f"{shown(text)} often stands for nobody in particular; all that is sent so becomes one "
            f"{kind}. Leave the event out where there is none"
        )
        yield rules.ID_ANYBODY, message
    if warning := record_warning(kind, text):
        yield rules.SALESFORCE_FORM, warning


def _what_to_do(kind: str, form: _IdForm, text: str) -> str:
    if not _CURLY_QUOTES.isdisjoint(text):
        return "Type straight quotes, which are no part of the ID: curly ones come from a text processor"
    others = _others(text)
    if kind not in ("account", "product") or not others.isprintable():
        return form.advice
    return (
        f"{form.advice}; or if this service has such IDs already, allow them by the option "
        f"extra_id_characters={shown(others)}"
    )


def _others(text: str) -> str:
    """Return each character that the documentation does not list, once."""
    return "".join(char for char in dict.fromkeys(text) if not _PLAIN.fullmatch(char))


def _first_other(form: _IdForm, text: str) -> str:
    start = len(text) - len(text.lstrip())
    allowed = form.pattern.match(text, start)
    at = allowed.end() if allowed else start
    named = f"the curly quote {text[at]}" if text[at] in _CURLY_QUOTES else f"{text[at]!a}"
    return f"{named} at position {at + 1}"


def check_extra_characters(value: object) -> None:
    """Raise `OptionsError` if this cannot be the option `extra_id_characters`."""
    if not isinstance(value, str) or not value.isprintable():
        raise OptionsError.of(
            "extra_id_characters", value, "it is a text of the characters", "'.@: '"
        )


def with_extra(problems: Iterable[Problem], extra: str) -> tuple[Problem, ...]:
    """Return these problems for a service with `extra_id_characters`.

    An account, product or parent ID that has only such characters beyond those that the
    documentation lists is a warning then, and no error.
    """
    return tuple(_with_extra(problem, extra) for problem in problems)


def _with_extra(problem: Problem, extra: str) -> Problem:
    if problem.rule != rules.ID_CHARACTERS.name or problem.field not in _MAY_HAVE_EXTRA:
        return problem
    text = canonical_id(problem.value) or ""
    others = _others(text.strip())
    if not all(char in extra for char in others):
        return problem
    message = (
        f"{shown(text)} is sent as it is, because extra_id_characters allows {shown(others)}, "
        "which Totango's document on unique IDs does not list. Check in Totango that it arrives"
    )
    return rules.ID_EXTRA.broken(problem.field, problem.value, message)


def text_problems(field: str, value: object) -> tuple[Problem, ...]:
    """Return every rule that an activity or a module breaks. Neither is ever cut short."""
    limit = _TEXT_LIMITS[field]
    if type(value) is str and 0 < len(value) <= limit and value.isascii() and _is_visible(value):
        return ()  # nearly every one
    return _check_text(field, value, limit)


def _is_visible(text: str) -> bool:
    # Of ASCII, what is printable has no control character.
    return text.isprintable() and not text.isspace()


def _check_text(field: str, value: object, limit: int) -> tuple[Problem, ...]:
    text = exact_str(value)
    if text is None:
        return (_no_text(field, value, limit),)
    broken: list[tuple[Rule, str]] = []
    if not text.strip():
        message = f"{shown(text)} is empty; give 1 to {limit} characters"
        broken.append((rules.TEXT_EMPTY, message))
    if len(text) > limit:
        message = (
            f"{shown(text)} has {len(text)} characters; Totango takes at most {limit}, and cut "
            f"short it would be another {field}. Give it a shorter name"
        )
        broken.append((rules.TEXT_LENGTH, message))
    if found := has_control(text):
        message = f"{shown(text)} has the control character {found!a}; remove it"
        broken.append((rules.TEXT_CONTROL, message))
    if unpaired := unencodable(text):
        broken.append((rules.TEXT_SURROGATE, unpaired))
    return tuple(rule.broken(field, value, message) for rule, message in broken)


def _no_text(field: str, value: object, limit: int) -> Problem:
    example = {"activity": "Login", "module": "Billing"}[field]
    expected = f"give a str of 1 to {limit} characters, such as {example!r}"
    if value is None:
        return rules.TEXT_MISSING.broken(field, value, f"is missing; {expected}")
    message = f"{shown(value)} is of type {type(value).__name__}; {expected}"
    return rules.TEXT_TYPE.broken(field, value, message)


_SERVICE_ID = re.compile(r"SP-[0-9]+-[0-9]+")
# The help centre has them in its examples, and they belong to nobody.
_EXAMPLES = ("SP-0000-00", "SP-0000-01")
_PLACEHOLDER = re.compile(r"SP-[Xx]+-[Xx]+")


def service_id_problem(value: object) -> Problem | None:
    """Return what is wrong with a service id, or `None`."""
    if isinstance(value, str) and _SERVICE_ID.fullmatch(value):
        return _example_problem(value) if value in _EXAMPLES else None
    expected = "Totango's Settings show it as SP-<digits>-<digits>, such as 'SP-1234-01'"
    if value is None or value == "":
        return rules.SERVICE_MISSING.broken("service_id", value, f"is missing: {expected}")
    if isinstance(value, str) and _PLACEHOLDER.fullmatch(value):
        message = (
            f"{shown(value)} is the placeholder from the documentation; put in your own, such as "
            "'SP-1234-01'"
        )
        return rules.SERVICE_PLACEHOLDER.broken("service_id", value, message)
    if isinstance(value, str) and any(char in _CURLY_QUOTES for char in value):
        expected = f"it has curly quotes, which a text processor made. {expected}"
    message = f"{shown(value)} is not a service id: {expected}"
    return rules.SERVICE_FORM.broken("service_id", value, message)


def _example_problem(value: str) -> Problem:
    message = (
        f"{value!r} is what the examples of Totango's help centre have, and what is sent to it arrives "
        "nowhere; put in your own"
    )
    return rules.SERVICE_EXAMPLE.broken("service_id", value, message)


def product_account_id(account_id: ID, product_id: ID) -> str:
    """Join an account ID and a product ID: `819332` and `ABC` give `819332_ABC`.

    Raises `InvalidID` if either is wrong, or if the two are longer than 480 characters together.
    Joining is ambiguous where either has a `_` in it: a client says so when it meets both.
    Source: Totango's help centre, 203640435 and 209112346.
    """
    found = [
        *id_problems("account", account_id, "account"),
        *id_problems("product", product_id, "product"),
    ]
    problems = [problem for problem in found if problem.severity == "error"]
    if not problems:
        joined = f"{canonical_id(account_id)}_{canonical_id(product_id)}"
        problems = list(joined_problems(joined))
        if not problems:
            return joined
    raise InvalidID("; ".join(str(problem) for problem in problems))


def joined_problems(joined: str) -> tuple[Problem, ...]:
    """Return what is wrong with a product-account ID whose two parts are right."""
    limit = _FORMS["account"].limit
    if len(joined) <= limit:
        return ()
    message = (
        f"the product-account ID {shown(joined)} has {len(joined)} characters; Totango takes at most {limit}. "
        "Give the product an account_id of its own"
    )
    return (rules.PRODUCT_ACCOUNT_LENGTH.broken("account", joined, message),)

"""What an ID, an activity and a module may be.

Source: Totango's "Requirements for unique IDs" (203640435) and "Attribute limitations"
(360042488351). The endpoint answers 200 to anything, so these checks are the only ones there are.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import attrs

from ..errors import InvalidID, OptionsError, Readable, one_line, shown

if TYPE_CHECKING:
    from uuid import UUID

    ID = str | int | UUID

Kind = Literal["account", "product", "user", "collection"]
Severity = Literal["error", "warning"]

# Longer texts are never right, and are not worth keeping in a cache.
_CACHED = 512
_HUGE_INT_BITS = 2048  # always within sys.get_int_max_str_digits(), and far beyond the longest ID
_FIELD_SHOWN = 128
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_EMAIL = rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*"  # compiled, and cached by re, where it is needed


@attrs.frozen(repr=False)
class Problem(Readable):
    """One broken rule.

    `field` names what is wrong (`account`, `user`, `activity`, `account.Plan` and so on), `value`
    is what was given, `message` says what was expected and what to do. An `error` means that
    Totango would drop or misfile the event; a `warning` means that it is sent, and told.
    """

    field: str
    value: Any = attrs.field(repr=shown)
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{one_line(self.field, _FIELD_SHOWN)}: {self.message}"


class _IdRule(NamedTuple):
    noun: str
    allowed: str
    pattern: re.Pattern[str]
    limit: int
    advice: str


_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_JOINED_ADVICE = "Use the ID that your application gives it, not its display name"
_RULES: dict[str, _IdRule] = {
    "account": _IdRule("an account ID", "ASCII letters, digits, _ and -", _PLAIN, 480, _JOINED_ADVICE),
    "product": _IdRule("a product ID", "ASCII letters, digits, _ and -", _PLAIN, 255, _JOINED_ADVICE),
    "user": _IdRule(
        "a user ID",
        "ASCII letters, digits, _, -, @ and ., or an e-mail address",
        re.compile(r"[A-Za-z0-9_.@-]+"),
        100,
        "Use the user's e-mail address or internal ID",
    ),
    "collection": _IdRule(
        "a collection ID",
        "ASCII letters, digits and _",
        re.compile(r"[A-Za-z0-9_]+"),
        128,
        "Replace each other character with _",
    ),
}
_TEXT_LIMITS = {"activity": 190, "module": 100}


def canonical_id(value: object) -> str | None:
    """Return the text of an ID given as `str`, `int` or `UUID`; `None` for anything else.

    A `float` has no canonical text: `819332.0` and `819332` would be two accounts.
    """
    kind = type(value)
    if kind is str:
        return value  # type: ignore[return-value]
    if issubclass(kind, str):
        return exact_str(value)
    if issubclass(kind, int) and kind is not bool:
        return int.__repr__(value) if int.bit_length(value) <= _HUGE_INT_BITS else None  # type: ignore[arg-type]
    return uuid_text(value)


def exact_str(value: object) -> str | None:
    """Return the text of a `str`, without what a subclass of it (an `Enum`, say) makes of it; else `None`."""
    # By type, not isinstance: a mock of a str claims to be one, and is not.
    return str.__str__(value) if issubclass(type(value), str) else None


def uuid_text(value: object) -> str | None:
    """Return the canonical form of a `UUID`; `None` for anything else."""
    # Whoever holds a UUID has imported uuid; importing it here would cost 5 ms. Another thread may be halfway there.
    uuid: Any = getattr(sys.modules.get("uuid"), "UUID", ())
    return uuid.__str__(value) if issubclass(type(value), uuid) else None


def check_id(kind: Kind, value: object) -> list[Problem]:
    """Return what is wrong with an ID; an empty list if nothing is.

    `kind` is `account`, `product`, `user` or `collection`. An `int` or a `UUID` is taken as its
    canonical text. Raises `OptionsError` for another kind.
    """
    if not isinstance(kind, str) or kind not in _RULES:
        msg = f"kind {shown(kind)} is not known: use one of {', '.join(_RULES)}, as in check_id('account', '819332')"
        raise OptionsError(msg)
    return list(id_problems(kind, value, kind))


def id_problems(kind: str, value: object, field: str) -> tuple[Problem, ...]:
    """Return every rule that `value` breaks as an ID of this kind, told of `field`."""
    text = canonical_id(value)
    if text is None:
        return (Problem(field, value, _wrong_type(_RULES[kind], value)),)
    check = _check_id_text if len(text) <= _CACHED else _check_id_text.__wrapped__
    return check(kind, text, field)


def _wrong_type(rule: _IdRule, value: object) -> str:
    if value is None:
        return f"{rule.noun} is missing: give a str, an int or a UUID"
    if issubclass(type(value), int) and type(value) is not bool:
        return f"{shown(value)} is an int of far too many digits; {rule.noun} has at most {rule.limit}. {rule.advice}"
    return (
        f"{shown(value)} is of type {type(value).__name__}; {rule.noun} is a str, an int or a UUID, since this "
        "could be written in more than one way. Convert it to the text that you mean"
    )


@lru_cache(maxsize=8192)
def _check_id_text(kind: str, text: str, field: str) -> tuple[Problem, ...]:
    rule = _RULES[kind]
    problems = [Problem(field, text, message) for message in _broken_by_id(kind, rule, text)]
    if not problems and not rule.pattern.fullmatch(text):
        message = (
            f"{shown(text)} is sent as it is, because Totango recommends e-mail addresses as user IDs, "
            f"but {_first_other(rule, text)} is not among the characters that it lists ({rule.allowed}). "
            "Check in Totango that this user arrives"
        )
        problems.append(Problem(field, text, message, "warning"))
    return tuple(problems)


def _broken_by_id(kind: str, rule: _IdRule, text: str) -> list[str]:
    if not text or text.isspace():
        return [f"{shown(text)} is empty; {rule.noun} has 1 to {rule.limit} characters. {rule.advice}"]
    broken = []
    if len(text) > rule.limit:
        broken.append(f"{shown(text)} has {len(text)} characters; {rule.noun} has at most {rule.limit}. {rule.advice}")
    stripped = text.strip()
    if text != stripped:
        broken.append(f"{shown(text)} has a leading or trailing space; {rule.noun} has none. Strip it")
    if not rule.pattern.fullmatch(stripped) and not (kind == "user" and re.fullmatch(_EMAIL, stripped)):
        other = _first_other(rule, text)
        broken.append(f"{shown(text)} has {other}; {rule.noun} has only {rule.allowed}. {rule.advice}")
    return broken


def _first_other(rule: _IdRule, text: str) -> str:
    start = len(text) - len(text.lstrip())
    allowed = rule.pattern.match(text, start)
    at = allowed.end() if allowed else start
    return f"{text[at]!a} at position {at + 1}"


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
        example = {"activity": "Login", "module": "Billing"}[field]
        given = "is missing" if value is None else f"{shown(value)} is of type {type(value).__name__}"
        return (Problem(field, value, f"{given}; give a str of 1 to {limit} characters, such as {example!r}"),)
    broken = []
    if not text.strip():
        broken.append(f"{shown(text)} is empty; give 1 to {limit} characters")
    if len(text) > limit:
        broken.append(
            f"{shown(text)} has {len(text)} characters; Totango takes at most {limit}, and cut short it would be "
            f"another {field}. Give it a shorter name"
        )
    if found := has_control(text):
        broken.append(f"{shown(text)} has the control character {found!a}; remove it")
    if unpaired := unencodable(text):
        broken.append(unpaired)
    return tuple(Problem(field, value, message) for message in broken)


def unencodable(text: str) -> str | None:
    """Say why `text` cannot be sent as UTF-8, or return `None`."""
    if text.isascii() or not (found := _SURROGATE.search(text)):
        return None
    return (
        f"{shown(text)} has the lone surrogate {found[0]!a}, which cannot be written as UTF-8. "
        "Decode the text with the right encoding before it comes here"
    )


def has_control(text: str) -> str | None:
    """Return the first control character in `text`, or `None`."""
    found = _CONTROL.search(text)
    return found[0] if found else None


_SERVICE_ID = re.compile(r"SP-[0-9]+-[0-9]+")
_PLACEHOLDER = re.compile(r"SP-[Xx]+-[Xx]+")


def service_id_problem(value: object) -> str | None:
    """Say what is wrong with a service id, or return `None`."""
    if isinstance(value, str) and _SERVICE_ID.fullmatch(value):
        return None
    if isinstance(value, str) and _PLACEHOLDER.fullmatch(value):
        return f"{shown(value)} is the placeholder from the documentation; put in your own, such as 'SP-1234-01'"
    found = "is missing" if value is None or value == "" else f"{shown(value)} is not a service id"
    return f"{found}: Totango's Settings show it as SP-<digits>-<digits>, such as 'SP-1234-01'"


def product_account_id(account_id: ID, product_id: ID) -> str:
    """Join an account ID and a product ID: `819332` and `ABC` give `819332_ABC`.

    Raises `InvalidID` if either is wrong, or if the two are longer than 480 characters together.
    Joining is ambiguous where either has a `_` in it: a client says so when it meets both.
    Source: Totango's help centre, 203640435 and 209112346.
    """
    problems = [*id_problems("account", account_id, "account"), *id_problems("product", product_id, "product")]
    if not problems:
        joined = f"{canonical_id(account_id)}_{canonical_id(product_id)}"
        problems = list(joined_problems(joined))
        if not problems:
            return joined
    raise InvalidID("; ".join(str(problem) for problem in problems))


def joined_problems(joined: str) -> tuple[Problem, ...]:
    """Return what is wrong with a product-account ID whose two parts are right."""
    limit = _RULES["account"].limit
    if len(joined) <= limit:
        return ()
    message = (
        f"the product-account ID {shown(joined)} has {len(joined)} characters; Totango takes at most {limit}. "
        "Give the product an account_id of its own"
    )
    return (Problem("account", joined, message),)

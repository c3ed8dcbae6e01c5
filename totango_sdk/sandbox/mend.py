"""The call of this SDK that would have been right, for a request that was not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..errors import InvalidID
from ..identity import (
    Account,
    check_id,
    foreign_key_warning,
    product_account_id,
    rules,
    salesforce_id,
    service_id_problem,
    text_problems,
)
from ..show import shown
from ..wire import encode, quote
from ..wire.meant import meant_name
from ..wire.read import LEFTOVERS, parameter_name, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..errors import Problem
    from ..identity.ids import Kind

_NEVER = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"
_MOST_NOTES = 8
_OF_PARAMETERS = (rules.PARAMETER_TWICE.name, rules.PARAMETER_UNKNOWN.name)
_OF_NAMES = frozenset(name for name in rules.RULES if name.startswith("attribute_name."))
# What the attributes of one call may take, encoded: the client refuses a request that is much
# longer.
_ROOM = 400_000
# A product ID may have 255 characters: behind a longer account ID there may be no room for one.
_LONG = 480 - 256
_YES, _NO = ("yes", "true", "1", "y"), ("no", "false", "0", "n")


class Mend(NamedTuple):
    """A line of Python, and what it changes and why; and the same as a form, for other clients."""

    why: str
    python: str
    form: str


class _Placeholder(str):
    """A constant that a person has to fill in."""

    __slots__ = ()


def python_call(params: Iterable[Iterable[str]]) -> str:
    """Return the call that sends what these parameters say, mended where it has to be."""
    return _Mender(params).call()


def mend(event: Mapping[str, Any]) -> Mend | None:
    """Return the call that would have been right, and why; `None` where nothing is wrong."""
    if not event["problems"]:
        return None
    mender = _Mender(event["params"])
    python = mender.call()
    why = mender.why()
    return Mend(why, python, mender.form())


def _clean(text: str) -> str:
    return _NEVER.sub("", text).strip()


def _known_name(name: str) -> str:
    """Return the parameter's name as it was meant, where a space, a control character, letter case
    or another client's habit hides it.
    """
    clean = _clean(name)
    if not read([(clean, "")]).unknown:
        return clean
    return meant_name(clean) or clean


def _code(text: str) -> str:
    """Return Python that stands for this text, whatever is in it."""
    if isinstance(text, _Placeholder):
        return str(text)
    return (
        f'"{text}"' if text.isprintable() and '"' not in text and "\\" not in text else repr(text)
    )


def _call(name: str, first: str, fields: Iterable[tuple[str, str]]) -> str:
    listed = [first, *(f"{key}={code}" for key, code in fields)]
    return f"{name}({', '.join(listed)})"


def _pairs(values: Mapping[str, str]) -> list[tuple[str, str]]:
    listed = ", ".join(f"{_code(name)}: {_code(value)}" for name, value in values.items())
    return [("attributes", f"{{{listed}}}")] if values else []


class _Mender:
    """Makes the call from the parameters of one request, and notes what it changes."""

    def __init__(self, params: Iterable[Iterable[str]]) -> None:
        came = [(name, value) for name, value in params]
        self._notes: list[str] = []
        self._room = _ROOM
        # Names first: a parameter that is known by its mended name is no longer lost.
        there = {name for name, _ in came}
        named = ((_known_name(name), name, value) for name, value in came)
        self._reading = read(
            [
                (name if known in there else known, _SURROGATE.sub("", value))
                for known, name, value in named
            ]
        )

    def why(self) -> str:
        """Say what was changed."""
        notes = list(dict.fromkeys(self._notes))
        if len(notes) > _MOST_NOTES:
            notes[_MOST_NOTES:] = [f"and {len(notes) - _MOST_NOTES} changes more"]
        if notes:
            return "; ".join(notes)
        told = "; ".join(str(problem) for problem in self._reading.problems[:_MOST_NOTES])
        return (
            f"the call stays as it is: {told}"
            if told
            else "the names of its parameters are written as Totango does"
        )

    def call(self) -> str:
        """Return the call."""
        reading = self._reading
        for problem in reading.problems:
            self._note_unmended(problem)
        nothing = not (
            reading.account_id
            or reading.user_id
            or reading.account_attributes
            or reading.user_attributes
        )
        if nothing and reading.activity is reading.account_name is reading.ofid is None:
            self._notes.insert(
                0,
                "nothing in it is a parameter that Totango knows, so this shows what an event needs",
            )
            return self._activity()
        if reading.heartbeat or reading.activity is not None:
            return self._activity()
        return self._attributes()

    def form(self) -> str:
        """Return the parameters that would have been right, as a form."""
        reading = self._reading
        found: list[tuple[str, str]] = [("service_id", self._service())]
        account = self._id("account", reading.account_id, "ACCOUNT_ID", "the account's ID")
        found.append(("account", account))
        if reading.user_id or reading.user_attributes or reading.activity is not None:
            found.append(("user", self._id("user", reading.user_id, "USER_ID", "the user's ID")))
        if reading.activity is not None:
            found.append(("activity", self._text("activity", reading.activity, "ACTIVITY")))
            found.append(("module", self._text("module", reading.module, "MODULE")))

        names = {"account.name": reading.account_name, "account.ofid": reading.ofid}
        told = ((field, self._told(field, value)) for field, value in names.items())
        found += [(field, value) for field, value in told if value is not None]
        self._room = _ROOM
        for entity, said in (
            ("account", reading.account_attributes),
            ("user", reading.user_attributes),
        ):
            found += [
                (f"{entity}.{name}", value) for name, value in self._kept(entity, said).items()
            ]
        return encode((parameter_name(field), value) for field, value in found).decode()

    def _service(self) -> str:
        service = _clean(self._reading.service_id or "")
        return "SERVICE_ID" if service_id_problem(service) else service

    def _note_unmended(self, problem: Problem) -> None:
        if problem.field == "service_id":
            self._notes.append(
                f"the service ID {problem.message}, and is given once to the client, as "
                'Totango("SP-1234-01")'
            )
        elif problem.rule in _OF_PARAMETERS:
            self._notes.append(f"{shown(problem.field)}: {problem.message}")
        elif problem.rule in _OF_NAMES:
            self._notes.append(problem.message)

    # -- the calls

    def _activity(self) -> str:
        reading = self._reading
        account, product = self._account()
        fields = [("account", account), ("user", self._user() or self._nobody())]
        fields += [("product", product)] if product else []
        if reading.heartbeat:
            module = (
                None if reading.module is None else self._text("module", reading.module, "MODULE")
            )
            fields = fields if module is None else [("module", _code(module)), *fields]
            return f"totango.heartbeat({', '.join(f'{key}={code}' for key, code in fields)})"
        activity = self._text("activity", reading.activity, "ACTIVITY")
        module = self._text("module", reading.module, "MODULE")
        return _call("totango.track", f"{_code(activity)}, {_code(module)}", fields)

    def _attributes(self) -> str:
        account, product = self._account()
        user = self._user()
        if product:
            fields = [("account", account), ("user", user), ("product", product)]
            return f"totango.identify({', '.join(f'{key}={code}' for key, code in fields if code)})"
        if user is None:
            return f"totango.set_account_attributes({account})"
        call = "identify" if account.startswith("Account(") else "set_user_attributes"
        return f"totango.{call}({account}, {user})"

    # -- who

    def _account(self) -> tuple[str, str | None]:
        """Return the account, and the product if there is one."""
        reading = self._reading
        said = self._kept(
            "account", reading.account_attributes, without=("parent_id", "product_id")
        )
        keys = self._foreign_keys(said.pop("foreignkeyid", None))
        name = self._told("account.name", reading.account_name)
        named = [("name", _code(name))] if name else []
        product = self._told("account.product_id", reading.product_id)
        if product is None:
            account = self._id("account", reading.account_id, "ACCOUNT_ID", "the account's ID")
            fields = [*named, *self._parent(account), *keys, *_pairs(said)]
            return (_call("Account", _code(account), fields) if fields else _code(account)), None
        account, product, own = self._product_account(product)
        what = [*named, *([("account_id", _code(own))] if own else []), *_pairs(said)]
        return (
            _call("Account", _code(account), keys) if keys else _code(account),
            _call("Product", _code(product), what),
        )

    def _parent(self, account: str) -> list[tuple[str, str]]:
        parent = self._told("account.parent_id", self._reading.parent_id)
        if parent is None:
            return []
        parent = self._id(
            "account", parent, "PARENT_ID", "the ID of the account that this one is below"
        )
        if parent == account:
            self._notes.append("no account is its own parent, so parent is left out")
            return []
        return [("parent", _code(parent))]

    def _product_account(self, came: str) -> tuple[str, str, str | None]:
        """Return the account, the product, and the product account where the two do not make it."""
        reading = self._reading
        product = self._id("product", came, "PRODUCT_ID", "the product's ID")
        where: str | None = _clean(reading.account_id or "")
        if where in LEFTOVERS or _is_wrong("account", where):
            where = None
        parent = self._told("account.parent_id", reading.parent_id)
        if (
            parent is None
            and where
            and where.endswith(f"_{product}")
            and not _is_wrong("account", _head(where, product))
        ):
            parent = _head(where, product)
            self._notes.append(
                f"{where!r} is the product account of {parent!r}: the SDK says so with account and product"
            )
        else:
            parent = self._id(
                "account",
                parent,
                "ACCOUNT_ID",
                "the ID of the account that the product account is of",
            )
        if isinstance(parent, _Placeholder) or isinstance(product, _Placeholder):
            own = None if where == parent else where
            return parent, product, own or self._too_long(parent, len(parent) > _LONG)
        try:
            joined = product_account_id(parent, product)
        except InvalidID:
            joined = None
        if where in (None, parent, joined):
            if where != joined and joined is not None:
                self._notes.append(
                    f"usage is recorded on the product account {shown(joined)}, which the SDK makes"
                )
            return parent, product, self._too_long(parent, joined is None)
        self._notes.append(
            "leave account_id out, unless this product really was given an account ID of its own"
        )
        return parent, product, where

    def _too_long(self, parent: str, is_so: bool) -> str | None:
        if not is_so or isinstance(parent, _Placeholder):
            return None
        return self._unknown(
            "PRODUCT_ACCOUNT_ID",
            "an ID for the product account, since the two IDs together are too long",
        )

    def _foreign_keys(self, foreignkeyid: str | None) -> list[tuple[str, str]]:
        found = []
        if foreignkeyid is not None:
            code, clean = _code(foreignkeyid), _clean(foreignkeyid)
            if warning := foreign_key_warning(clean):
                try:
                    salesforce_id(clean)
                    code = f"salesforce_id({_code(clean)})"
                except InvalidID:
                    pass
                self._notes.append(warning)
            found.append(("foreignkeyid", code))
        if ofid := self._told("account.ofid", self._reading.ofid):
            found.append(("ofid", _code(ofid)))
        return found

    def _user(self) -> str | None:
        reading = self._reading
        came = self._told("user", reading.user_id) if reading.user_id else None
        if came is None and not reading.user_attributes:
            return None
        user = self._id("user", came, "USER_ID", "the user's ID")
        said = self._kept("user", reading.user_attributes)
        fields = [("name", _code(name))] if (name := said.pop("name", None)) else []
        for attribute, keyword in (("Contact", "contact"), ("Key Contact", "key_contact")):
            if (value := said.pop(attribute, None)) is not None:
                fields += self._yes_or_no(attribute, keyword, value)
        fields += _pairs(said)
        return _call("User", _code(user), fields) if fields else _code(user)

    def _nobody(self) -> str:
        return _code(self._unknown("USER_ID", "the user's ID, which every activity needs"))

    def _yes_or_no(self, attribute: str, keyword: str, value: str) -> list[tuple[str, str]]:
        meant = _clean(value).lower()
        if meant in _YES or meant in _NO:
            return [(keyword, str(meant in _YES))]
        self._notes.append(f"{attribute} is left out, since {shown(value)} is neither yes nor no")
        return []

    # -- values

    def _id(self, kind: str, came: str | None, placeholder: str, what: str) -> str:
        if came is None:
            return self._unknown(placeholder, f"{what}, which the request does not name")
        text = _clean(came)
        wrong = _wrong(kind, text)
        if wrong or text in LEFTOVERS:
            message = wrong[0].message if wrong else f"{text!r} is what {LEFTOVERS[text]}"
            return self._unknown(placeholder, f"{what}: {message}")
        if text != came:
            self._notes.append(
                f"{shown(came)} becomes {shown(text)}, without spaces around it or control characters"
            )
        return text

    def _text(self, field: str, came: str | None, placeholder: str) -> str:
        text = _clean(came or "")
        wrong = text_problems(field, text)
        if wrong or text in LEFTOVERS or _REPLACEMENT in text:
            message = wrong[0].message if wrong else f"{shown(text)} is no {field}"
            if came is None:
                message = "it is missing"
            return self._unknown(placeholder, f"the {field}: {message}")
        if text != came:
            self._notes.append(
                f"{shown(came)} becomes {shown(text)}, without spaces around it or control characters"
            )
        return text

    def _unknown(self, placeholder: str, what: str) -> str:
        self._notes.append(f"{placeholder} stands for {what}")
        return _Placeholder(placeholder)

    def _told(self, field: str, value: str | None) -> str | None:
        """Return a value that says something; `None` for what stands for no value."""
        if value is None or not value.strip():
            return None
        if _clean(value) in LEFTOVERS:
            self._notes.append(
                f"{field} is left out: {shown(value)} is what {LEFTOVERS[_clean(value)]}"
            )
            return None
        return value

    def _kept(
        self, entity: str, values: Mapping[str, str], without: tuple[str, ...] = ()
    ) -> dict[str, str]:
        """Return attributes that can be sent; they are cut to their limits already."""
        found = {}
        for name, value in values.items():
            if name in without or (
                value in LEFTOVERS and self._told(f"{entity}.{name}", value) is None
            ):
                continue
            self._room -= len(quote(name)) + len(quote(value)) + 8
            if self._room < 0:
                self._notes.append(
                    "further attributes are left out: the request would be too long. Send fewer"
                )
                break
            found[name] = self._spelled(entity, name, value)
        for problem in self._reading.problems:
            cut = problem.field.removeprefix(f"{entity}.")
            if (
                cut in found
                and cut != problem.field
                and isinstance(problem.value, str)
                and problem.value != found[cut]
            ):
                self._notes.append(f"{shown(problem.field)}: {problem.message}")
        return found

    def _spelled(self, entity: str, name: str, value: str) -> str:
        """Return the value as Totango spells it, where letter case alone is wrong."""
        meant = value.capitalize()
        if (
            entity != "account"
            or name != "Status"
            or Account("x", attributes={name: meant}).problems
        ):
            return value
        return meant


def _wrong(kind: str, text: str | None) -> list[Problem]:
    found = check_id(cast("Kind", kind), text)
    return [problem for problem in found if problem.severity == "error"]


def _is_wrong(kind: str, text: str | None) -> bool:
    return bool(_wrong(kind, text))


def _head(where: str, product: str) -> str:
    return where[: -len(product) - 1]

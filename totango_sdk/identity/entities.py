"""Account, Product and User: who an event is about.

Each is frozen, and knows its own `problems` from the moment that it exists. A wrong ID raises
nothing here, since an entity is made in the host's request path: the problem is told by the event
that uses it, as the client's `strict` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import attrs

from .. import host
from ..show import Readable
from . import rules, shape
from .ids import id_problems
from .salesforce import foreign_key_warning, record_warning
from .shape import unless_empty
from .texts import canonical_id
from .values import AttributeList

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..errors import Problem
    from .ids import ID
    from .values import Value

_NAME_LIMIT = 128
_ACCOUNT_VALUE_LIMIT = 512
_USER_VALUE_LIMIT = 255
_CACHED = 512


class Said(NamedTuple):
    """What an entity has to say beside its ID, as text: this rides along with events when it is
    due.
    """

    name: str | None
    ofid: str | None
    pairs: tuple[tuple[str, str], ...]
    mark: int  # equal for equal contents, within this process; 0 if there is nothing to say

    @property
    def anything(self) -> bool:
        return self.mark != 0


_EMPTY: Mapping[str, Any] = MappingProxyType({})
_NOTHING_SAID = Said(None, None, (), 0)


def _said(
    name: str | None, ofid: str | None, pairs: dict[str, str], order: tuple[str, ...]
) -> Said:
    names: Iterable[str] = pairs
    if order:
        # What came in the browser's own shape keeps that mapping's order, between its parent and
        # foreign_keys.
        place = {"parent_id": -1} | {name: at for at, name in enumerate(order)}
        names = sorted(pairs, key=lambda name: place.get(name, len(place)))
    listed = tuple((name, pairs[name]) for name in names)
    mark = (hash((name, ofid, listed)) or 1) if name or ofid or listed else 0
    return Said(name or None, ofid or None, listed, mark)


def _as_id(value: ID) -> str:
    text = canonical_id(value)
    return value if text is None else text  # type: ignore[return-value]  # kept as given, for `problems` to show


def _as_optional_id(value: ID | None) -> str | None:
    return None if value is None else _as_id(value)


def _frozen_mapping(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if type(value) is dict:
        return MappingProxyType(dict(value)) if value else _EMPTY
    if type(value) is MappingProxyType:
        return value
    try:
        # What is no mapping, or cannot be read, is kept as given, for `problems` to show.
        return MappingProxyType(dict(value)) if isinstance(value, Mapping) else value
    except host.FAILURES as error:
        host.swallow(error)
        return value


def _as_parent(value: Account | ID | Mapping[str, Any] | None) -> Account | str | None:
    """Return a parent that has something to say of itself; of any other its ID."""
    if value is None:
        return None
    try:
        account = Account.from_mapping(value) if isinstance(value, Mapping) else value
    except host.FAILURES as error:
        host.swallow(error)
        return _as_optional_id(value)  # type: ignore[arg-type]  # kept as given, for `problems` to show
    if not isinstance(account, Account):
        return _as_optional_id(account)
    says = account.said.mark or any(problem.field != "account" for problem in account.problems)
    return account if says else account.id


class _Entity(Readable):
    """What the three share."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy what was given; the rest is derived again."""
        given = {
            each.alias: getattr(self, each.name)
            for each in attrs.fields(cast("Any", type(self)))
            if each.init
        }
        plain = {
            name: dict(value) if type(value) is MappingProxyType else value
            for name, value in given.items()
        }
        return _rebuild, (type(self), plain)


def _note(entity: _Entity, problems: Iterable[Problem], said: Said) -> None:
    """Set what is derived; the entity is frozen from then on."""
    object.__setattr__(entity, "problems", tuple(problems))
    object.__setattr__(entity, "said", said)


def _rebuild(kind: type[Any], given: dict[str, Any]) -> Any:
    return kind(**given)


@attrs.frozen(repr=False)
class Account(_Entity):
    """A customer of yours.

    `id` is your own ID for it: ASCII letters, digits, `_` and `-`, at most 480. `name` is what
    Totango displays (128 characters). `parent` is the account, or the ID of the account, that this
    one is a child of. `foreignkeyid` is its ID in another system, such as Salesforce; further ones
    go into `foreign_keys`, and `ofid` serves legacy Salesforce connectors. `attributes` are shown
    beside the account (values of 512 characters). Source: Totango's help centre, 203640435.
    """

    id: str = attrs.field(converter=_as_id)
    name: str | None = attrs.field(default=None, kw_only=True)
    _parent: Account | str | None = attrs.field(
        default=None, kw_only=True, converter=_as_parent, alias="parent"
    )
    foreignkeyid: Value = attrs.field(default=None, kw_only=True)
    foreign_keys: Mapping[str, Value] = attrs.field(
        factory=dict, converter=_frozen_mapping, kw_only=True, hash=False
    )
    ofid: Value = attrs.field(default=None, kw_only=True)
    attributes: Mapping[str, Value] = attrs.field(
        factory=dict, converter=_frozen_mapping, kw_only=True, hash=False
    )
    _order: tuple[str, ...] = attrs.field(
        default=(), kw_only=True, alias="_order", eq=False, repr=False
    )
    problems: tuple[Problem, ...] = attrs.field(init=False, eq=False, repr=False)
    said: Said = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self._is_an_id_alone():
            _note(self, id_problems("account", self.id, "account"), _NOTHING_SAID)
            return
        found = AttributeList("account", _ACCOUNT_VALUE_LIMIT)
        found.problems += id_problems("account", self.id, "account")
        name = None if self.name is None else found.text("account.name", self.name, _NAME_LIMIT)
        ofid = self._ofid(found)
        found.add("parent_id", self.parent)
        found.add_all("attributes", self.attributes)
        found.add("foreignkeyid", self.foreignkeyid)
        found.add_all("foreign_keys", self.foreign_keys)
        _check_relations(found, self.id)
        if (parent := self.parent_account) is not None:
            found.problems += _of_parent(parent)
        _note(self, found.problems, _said(name, ofid, found.pairs, self._order))

    def _is_an_id_alone(self) -> bool:
        """Whether there is nothing else to check, as of most accounts."""
        return (
            self.name is self._parent is self.foreignkeyid is self.ofid is None
            and self.attributes is self.foreign_keys is _EMPTY
        )

    @property
    def parent(self) -> str | None:
        """The ID of the account that this one is a child of."""
        known = self.parent_account
        return self._parent if known is None else known.id  # type: ignore[return-value]

    @property
    def parent_account(self) -> Account | None:
        """The parent, where a name or attributes of it are known too."""
        # By type, not isinstance: what is kept as given may raise when it is asked for its class.
        return self._parent if issubclass(type(self._parent), Account) else None  # type: ignore[return-value]

    def _ofid(self, found: AttributeList) -> str | None:
        if self.ofid is None:
            return None
        text = found.text("account.ofid", self.ofid, _ACCOUNT_VALUE_LIMIT)
        if warning := record_warning("account", text or ""):
            found.problems.append(rules.SALESFORCE_FORM.broken("account.ofid", text, warning))
        return text

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Account:
        """Read an account in the browser's own shape: any key that has no meaning is an attribute."""
        values, attributes = shape.ACCOUNT.read(mapping)
        foreign_keys = unless_empty(values.pop("foreign_keys"))
        order = tuple(attributes)
        return cls(
            **values,
            foreignkeyid=attributes.pop("foreignkeyid", None),
            foreign_keys={} if foreign_keys is None else foreign_keys,
            attributes=attributes,
            _order=order,
        )


def _of_parent(parent: Account) -> Iterator[Problem]:
    """Yield what is wrong with a parent's own name and attributes; its ID is the child's matter."""
    if canonical_id(parent.id) is None:
        yield from id_problems("account", parent.id, "account.parent_id")
    for problem in parent.problems:
        if problem.field != "account":
            yield attrs.evolve(problem, field=f"account.parent.{problem.field[len('account.') :]}")


def _check_relations(found: AttributeList, account_id: str) -> None:
    if type(account_id) is str and found.pairs.get("parent_id") == account_id:
        message = f"{account_id!r} cannot be its own parent; leave parent out"
        found.problems.append(rules.PARENT_ITSELF.broken("account.parent_id", account_id, message))
    if warning := foreign_key_warning(found.pairs.get("foreignkeyid", "")):
        found.problems.append(
            rules.SALESFORCE_FORM.broken(
                "account.foreignkeyid", found.pairs["foreignkeyid"], warning
            ),
        )


@attrs.frozen(repr=False)
class Product(_Entity):
    """A product of yours that accounts use. Usage of it is recorded against a product account.

    `id` is joined to the account's (`819332` and `ABC` give `819332_ABC`), unless `account_id`
    names the product account itself. `module` is the module of activities that name none.
    """

    id: str = attrs.field(converter=_as_id)
    name: str | None = attrs.field(default=None, kw_only=True)
    account_id: str | None = attrs.field(default=None, kw_only=True, converter=_as_optional_id)
    module: str | None = attrs.field(default=None, kw_only=True)
    attributes: Mapping[str, Value] = attrs.field(
        factory=dict, converter=_frozen_mapping, kw_only=True, hash=False
    )
    problems: tuple[Problem, ...] = attrs.field(init=False, eq=False, repr=False)
    said: Said = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        found = AttributeList("product", _ACCOUNT_VALUE_LIMIT)
        found.problems += id_problems("product", self.id, "product")
        if self.account_id is not None:
            found.problems += id_problems("account", self.account_id, "product.account_id")
        name = None if self.name is None else found.text("product.name", self.name, _NAME_LIMIT)
        found.add_all("attributes", self.attributes)
        for taken in [name for name in ("parent_id", "product_id") if name in found.pairs]:
            message = f"{taken!r} is set from the account and the product themselves; leave it out"
            value = self.attributes[taken]
            found.problems.append(rules.PRODUCT_TAKEN.broken(f"product.{taken}", value, message))
        _note(self, found.problems, _said(name, None, found.pairs, ()))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Product:
        """Read a product in the browser's own shape: any key that has no meaning is an attribute."""
        values, attributes = shape.PRODUCT.read(mapping)
        for field in ("account_id", "module"):
            values[field] = unless_empty(values[field])
        return cls(**values, attributes=attributes)


@attrs.frozen(repr=False)
class User(_Entity):
    """A person who uses your product, below an account.

    `id` is an e-mail address or an internal ID of at most 100 characters. `name` is what Totango
    displays; `contact` and `key_contact` mark the people that your customer-success team talks to.
    Values of `attributes` have at most 255 characters. Source: Totango's help centre, 360042488351.
    """

    id: str = attrs.field(converter=_as_id)
    name: str | None = attrs.field(default=None, kw_only=True)
    contact: bool | None = attrs.field(default=None, kw_only=True)
    key_contact: bool | None = attrs.field(default=None, kw_only=True)
    attributes: Mapping[str, Value] = attrs.field(
        factory=dict, converter=_frozen_mapping, kw_only=True, hash=False
    )
    _order: tuple[str, ...] = attrs.field(
        default=(), kw_only=True, alias="_order", eq=False, repr=False
    )
    problems: tuple[Problem, ...] = attrs.field(init=False, eq=False, repr=False)
    said: Said = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        found = AttributeList("user", _USER_VALUE_LIMIT)
        found.problems += id_problems("user", self.id, "user")
        found.add("name", unless_empty(self.name))
        found.add("Contact", self.contact)
        found.add("Key Contact", self.key_contact)
        found.add_all("attributes", self.attributes)
        _note(self, found.problems, _said(None, None, found.pairs, self._order))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> User:
        """Read a user in the browser's own shape: any key that has no meaning is an attribute."""
        values, attributes = shape.USER.read(mapping)
        if "name" in attributes:  # stays there, to keep its place
            attributes["name"] = unless_empty(attributes["name"])
        order: tuple[str, ...] = ()
        if values["contact"] is not None or values["key_contact"] is not None:
            order = tuple(_CONTACTS.get(key, key) for key in (*attributes, *mapping))
        return cls(**values, attributes=attributes, _order=order)


_CONTACTS = {"contact": "Contact", "key_contact": "Key Contact"}
E = TypeVar("E", Account, Product, User)
AccountLike = Account | str | Mapping[str, Any]
ProductLike = Product | str | Mapping[str, Any]
UserLike = User | str | Mapping[str, Any]


def as_account(value: AccountLike | None) -> Account | None:
    """Return the account that a plain ID, a mapping or an `Account` stands for."""
    return as_entity(Account, value)


def as_product(value: ProductLike | None) -> Product | None:
    """Return the product that a plain ID, a mapping or a `Product` stands for."""
    return as_entity(Product, value)


def as_user(value: UserLike | None) -> User | None:
    """Return the user that a plain ID, a mapping or a `User` stands for."""
    return as_entity(User, value)


def as_entity(kind: type[E], value: Any) -> E | None:
    """Return the account, product or user that a plain ID, a mapping or one of them stands for."""
    if value is None or type(value) is kind:
        return value
    if type(value) is str:
        return _plain(kind, value) if len(value) <= _CACHED else kind(value)  # type: ignore[arg-type]
    if isinstance(value, kind):
        return value
    return kind.from_mapping(value) if isinstance(value, Mapping) else kind(value)


@lru_cache(maxsize=4096)
def _plain(kind: Any, value: str) -> Any:
    return kind(value)

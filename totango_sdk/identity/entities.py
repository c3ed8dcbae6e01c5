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

from ..errors import Readable
from .ids import Problem, canonical_id, id_problems
from .salesforce import foreign_key_warning
from .values import AttributeList

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .ids import ID
    from .values import Value

_NAME_LIMIT = 128
_ACCOUNT_VALUE_LIMIT = 512
_USER_VALUE_LIMIT = 255
_CACHED = 512


class Said(NamedTuple):
    """What an entity has to say beside its ID, as text: this rides along with events when it is due."""

    name: str | None
    ofid: str | None
    pairs: tuple[tuple[str, str], ...]
    mark: int  # equal for equal contents, within this process; 0 if there is nothing to say

    @property
    def anything(self) -> bool:
        return self.mark != 0


def _said(name: str | None, ofid: str | None, pairs: dict[str, str], order: tuple[str, ...]) -> Said:
    names: Iterable[str] = pairs
    if order:
        # What came in the browser's own shape keeps that mapping's order, between its parent and foreign_keys.
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
    if type(value) is MappingProxyType or not isinstance(value, Mapping):
        return value  # what is no mapping is kept as given, for `problems` to show
    return MappingProxyType(dict(value))


def _parent_id(value: Account | ID | Mapping[str, Any] | None) -> str | None:
    if isinstance(value, Account):
        return value.id
    if isinstance(value, Mapping):
        return _as_id(_first(value, "id", "o"))
    return _as_optional_id(value)


def _first(mapping: Mapping[str, Any], *keys: str) -> Any:
    """Return the first value that is there, as the browser does: an empty one counts as absent."""
    found = None
    for key in keys:
        value = mapping.get(key)
        if _unless_empty(value) is not None:
            return value
        if found is None:
            found = value
    return found


def _unless_empty(value: Any) -> Any:
    """Return `value`, or `None` for an empty text. By type first: some values, such as pandas' NA, have no truth."""
    return None if isinstance(value, str) and not value else value


def _extra(mapping: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return the attributes of a mapping in the browser's shape: those of `attributes`, then the rest."""
    nested = mapping.get("attributes")
    extra: dict[str, Any] = dict(nested) if isinstance(nested, Mapping) else {}
    if nested is not None and not isinstance(nested, Mapping):
        extra["attributes"] = nested
    extra.update((key, value) for key, value in mapping.items() if key not in known and key != "attributes")
    return extra


class _Entity(Readable):
    """What the three share."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy what was given; the rest is derived again."""
        given = {each.alias: getattr(self, each.name) for each in attrs.fields(cast("Any", type(self))) if each.init}
        plain = {name: dict(value) if type(value) is MappingProxyType else value for name, value in given.items()}
        return _rebuild, (type(self), plain)


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
    parent: str | None = attrs.field(default=None, kw_only=True, converter=_parent_id)
    foreignkeyid: Value = attrs.field(default=None, kw_only=True)
    foreign_keys: Mapping[str, Value] = attrs.field(factory=dict, converter=_frozen_mapping, kw_only=True, hash=False)
    ofid: Value = attrs.field(default=None, kw_only=True)
    attributes: Mapping[str, Value] = attrs.field(factory=dict, converter=_frozen_mapping, kw_only=True, hash=False)
    _order: tuple[str, ...] = attrs.field(default=(), kw_only=True, alias="_order", eq=False, repr=False)
    problems: tuple[Problem, ...] = attrs.field(init=False, eq=False, repr=False)
    said: Said = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        found = AttributeList("account", _ACCOUNT_VALUE_LIMIT)
        found.problems += id_problems("account", self.id, "account")
        name = None if self.name is None else found.text("account.name", self.name, _NAME_LIMIT)
        ofid = None if self.ofid is None else found.text("account.ofid", self.ofid, _ACCOUNT_VALUE_LIMIT)
        found.add("parent_id", self.parent)
        found.add_all("attributes", self.attributes)
        found.add("foreignkeyid", self.foreignkeyid)
        found.add_all("foreign_keys", self.foreign_keys)
        _check_relations(found, self.id)
        object.__setattr__(self, "problems", tuple(found.problems))
        object.__setattr__(self, "said", _said(name, ofid, found.pairs, self._order))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Account:
        """Read an account in the browser's own shape: any key that has no meaning is an attribute."""
        extra = _extra(mapping, frozenset(("id", "o", "name", "odn", "ofid", "fid", "parent", "foreign_keys")))
        foreignkeyid = extra.get("foreignkeyid")
        return cls(
            _first(mapping, "id", "o"),
            name=_first(mapping, "name", "odn"),
            parent=mapping.get("parent"),
            foreignkeyid=foreignkeyid,
            foreign_keys={} if (given := _unless_empty(mapping.get("foreign_keys"))) is None else given,
            ofid=_first(mapping, "fid", "ofid"),
            attributes={key: value for key, value in extra.items() if key != "foreignkeyid"},
            _order=tuple(extra),
        )


def _check_relations(found: AttributeList, account_id: str) -> None:
    if type(account_id) is str and found.pairs.get("parent_id") == account_id:
        message = f"{account_id!r} cannot be its own parent; leave parent out"
        found.problems.append(Problem("account.parent_id", account_id, message))
    if warning := foreign_key_warning(found.pairs.get("foreignkeyid", "")):
        found.problems.append(
            Problem("account.foreignkeyid", found.pairs["foreignkeyid"], warning, "warning"),
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
    attributes: Mapping[str, Value] = attrs.field(factory=dict, converter=_frozen_mapping, kw_only=True, hash=False)
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
            found.problems.append(Problem(f"product.{taken}", self.attributes[taken], message))
        object.__setattr__(self, "problems", tuple(found.problems))
        object.__setattr__(self, "said", _said(name, None, found.pairs, ()))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Product:
        """Read a product in the browser's own shape: any key that has no meaning is an attribute."""
        return cls(
            mapping.get("id"),  # type: ignore[arg-type]
            name=mapping.get("name"),
            account_id=_unless_empty(mapping.get("account_id")),
            module=_unless_empty(mapping.get("module")),
            attributes=_extra(mapping, frozenset(("id", "name", "account_id", "module"))),
        )


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
    attributes: Mapping[str, Value] = attrs.field(factory=dict, converter=_frozen_mapping, kw_only=True, hash=False)
    problems: tuple[Problem, ...] = attrs.field(init=False, eq=False, repr=False)
    said: Said = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        found = AttributeList("user", _USER_VALUE_LIMIT)
        found.problems += id_problems("user", self.id, "user")
        found.add("name", _unless_empty(self.name))
        found.add("Contact", self.contact)
        found.add("Key Contact", self.key_contact)
        found.add_all("attributes", self.attributes)
        object.__setattr__(self, "problems", tuple(found.problems))
        object.__setattr__(self, "said", _said(None, None, found.pairs, ()))

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> User:
        """Read a user in the browser's own shape: any key that has no meaning is an attribute."""
        extra = _extra(mapping, frozenset(("id", "u", "contact", "key_contact")))
        return cls(
            _first(mapping, "id", "u"),
            contact=mapping.get("contact"),
            key_contact=mapping.get("key_contact"),
            attributes={key: _unless_empty(value) if key == "name" else value for key, value in extra.items()},
        )


E = TypeVar("E", Account, Product, User)
AccountLike = Account | str | Mapping[str, Any]
ProductLike = Product | str | Mapping[str, Any]
UserLike = User | str | Mapping[str, Any]


def as_account(value: AccountLike | None) -> Account | None:
    """Return the account that a plain ID, a mapping or an `Account` stands for."""
    return _as_entity(Account, value)


def as_product(value: ProductLike | None) -> Product | None:
    """Return the product that a plain ID, a mapping or a `Product` stands for."""
    return _as_entity(Product, value)


def as_user(value: UserLike | None) -> User | None:
    """Return the user that a plain ID, a mapping or a `User` stands for."""
    return _as_entity(User, value)


def _as_entity(kind: type[E], value: Any) -> E | None:
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

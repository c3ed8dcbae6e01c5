"""The parts of a row: account, product and user, made once and remembered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from ..identity import Account, Product, User, salesforce_id
from ..identity.shape import ACCOUNT, PRODUCT, USER
from ..show import shown
from ..tables import MapSource, Unfit
from .values import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

_REMEMBERED = 25_000  # in each of two generations, so 50,000 at most
_YES_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_KINDS: dict[str, Any] = {"account": Account, "product": Product, "user": User}
_SHAPES = {"account": ACCOUNT, "product": PRODUCT, "user": USER}

K = TypeVar("K")
V = TypeVar("V")


class Memory(Generic[K, V]):
    """Remembers some answers, in two generations: dropping one by one is slower."""

    def __init__(self, size: int = _REMEMBERED) -> None:
        self._size = size
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return what is remembered, which then is young again."""
        found = self._young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Remember."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = value


class Field:
    """One value of a part: which field or attribute, and where it comes from."""

    __slots__ = ("is_plain", "kind", "name", "source")

    def __init__(self, name: str, kind: str, source: MapSource) -> None:
        self.name = name
        self.kind = kind  # "field", "attribute" or "foreign_key"
        self.source = source
        self.is_plain = source.is_plain


class Part:
    """Makes the entity of one kind out of a row's values for it."""

    def __init__(self, entity: str, fields: Iterable[Field], told: Callable[[str], None]) -> None:
        self.fields = tuple(fields)
        self._entity = entity
        self._told = told
        self._memory: Memory[Any, tuple[Any]] = Memory()

    def make(self, given: tuple[Any, ...]) -> Any:
        """Return the entity for these values, or `None` if none is given. Raises `Fault`."""
        key = (given, *map(type, given))
        try:
            found = self._memory.get(key)
        except TypeError:  # an object or a list among them
            return self._made(given)
        if found is None:
            found = (self._made(given),)
            self._memory.put(key, found)
        return found[0]

    def _made(self, given: tuple[Any, ...]) -> Any:
        values = self._read(given)
        base = values["field"].pop("id", None)
        if base is None and not any(values.values()):
            return None
        if isinstance(base, Mapping):
            return self._with(_KINDS[self._entity].from_mapping(self._flat_shape(base)), values)
        extra = {"foreign_keys": values["foreign_key"]} if values["foreign_key"] else {}
        attributes = values["attribute"]
        return _KINDS[self._entity](base, **values["field"], **extra, attributes=attributes)

    def _with(self, entity: Any, values: dict[str, dict[str, Any]]) -> Any:
        attributes = {**entity.attributes, **values["attribute"]}
        return attrs.evolve(entity, **values["field"], attributes=attributes)

    def _read(self, given: tuple[Any, ...]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {"field": {}, "attribute": {}, "foreign_key": {}}
        faults: list[tuple[str, str]] = []
        for field, value in zip(self.fields, given, strict=True):
            try:
                read = self._value(field, value)
            except Unfit as unfit:
                faults.append((f"{self._entity}.{field.name}", str(unfit)))
                continue
            if read is not None:
                self._add(found[field.kind], field, read)
        if faults:
            raise Fault("value", "; ".join(why for _, why in faults), *(name for name, _ in faults))
        return found

    def _value(self, field: Field, given: Any) -> Any:
        value = given if field.is_plain else field.source.read(given, salesforce_id)
        if value is None or value == "":
            return None
        if field.kind == "field" and field.name in ("contact", "key_contact"):
            return _yes_no(value)
        return value

    def _add(self, into: dict[str, Any], field: Field, value: Any) -> None:
        if field.kind == "field":
            into[field.name] = value
        else:
            into.update(flat(field.name, value, self._told))

    def _flat_shape(self, shape: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in shape.items():
            if _SHAPES[self._entity].is_field(name):
                found[name] = value
            elif name == "attributes" and isinstance(value, Mapping):
                found[name] = _flat_all(value, self._told)
            else:
                found.update(flat(name, value, self._told))
        return found


def _flat_all(values: Mapping[str, Any], told: Callable[[str], None]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found.update(flat(name, value, told))
    return found


def flat(name: str, value: Any, told: Callable[[str], None]) -> dict[str, Any]:
    """Return an attribute as one or several: an object gives `NAME_KEY`, a list is left out."""
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for key, inner in value.items():
            found.update(flat(f"{name}_{key}", inner, told))
        return found
    if isinstance(value, list | tuple):
        told(name)
        return {}
    return {} if value is None or value == "" else {name: value}


def _yes_no(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    found = _YES_NO.get(str(value).lower())
    if found is None:
        raise Unfit(f"{shown(value)} is neither yes nor no: give yes, no, true, false, 1 or 0")
    return found

"""What each key means is tested with the entities, in test_entities.py; here, what the shapes say of themselves."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from totango_sdk.identity import Account, Product, User
from totango_sdk.identity.shape import ACCOUNT, PRODUCT, USER, Shape

SHAPES = pytest.mark.parametrize(("kind", "shape"), [(Account, ACCOUNT), (Product, PRODUCT), (User, USER)])


@SHAPES
def test_every_field_of_an_entity_can_be_said_in_a_mapping(kind: Any, shape: Shape) -> None:
    fields = {field.alias for field in attrs.fields(kind) if field.init and not field.alias.startswith("_")}
    assert {name for name in fields if shape.is_field(name)} == fields - {"attributes"}
    assert set(shape.fields) <= fields


@SHAPES
def test_a_key_stands_for_one_field_at_most(kind: Any, shape: Shape) -> None:
    keys = [key for names in shape.fields.values() for key in names]
    assert len(keys) == len(set(keys))
    assert all(map(shape.is_field, keys)) and set(shape.beside) <= set(keys)
    assert not shape.is_field("attributes") and not shape.is_field("Plan")


@SHAPES
def test_each_field_is_read_from_the_name_that_it_is_written_under(kind: Any, shape: Shape) -> None:
    values = {field: f"the {field}" for field in shape.fields}
    attributes = {"Plan": "Gold", "attributes": "a", **{key: "k" for names in shape.fields.values() for key in names}}
    read, found = shape.read(shape.write(values, attributes))
    assert (read, found) == (values, attributes)


@SHAPES
def test_what_is_empty_is_not_written(kind: Any, shape: Shape) -> None:
    assert shape.write({"id": "1", "name": "", "module": None}, {"Plan": ""}) == {"id": "1", "Plan": ""}

"""What was seen, as plain values: whoever asks for findings fills them in."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NO_KEYS: Mapping[str, str] = MappingProxyType({})


class SeenAccount(NamedTuple):
    """An account or a product account, and what it says of itself.

    `keys` are its IDs in other systems, by name; `event` is the number of what said so last.
    """

    id: str
    name: str | None = None
    parent: str | None = None
    product: str | None = None
    keys: Mapping[str, str] = _NO_KEYS
    event: int = 0


class Sighting(NamedTuple):
    """What is known of an account, a user, a product and a parent that came together, so many
    `times`, and of these so many as usage: `used`.

    `source` is `sdk`, `browser` or `other`; `None` where it is no longer known. `event` is the
    number of the last of them.
    """

    account: str | None
    user: str | None = None
    source: str | None = None
    product: str | None = None
    event: int = 0
    times: int = 0
    parent: str | None = None
    used: int = 0


@attrs.frozen(kw_only=True)
class Seen:
    """Every account that was told of, and every sighting."""

    accounts: Sequence[SeenAccount] = ()
    sightings: Sequence[Sighting] = ()

"""What will not join up: IDs that look like one account or one user, and are two."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from . import accounts, products, spelling, users
from .people import People
from .telling import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .seen import Seen

__all__ = ["Finding", "findings"]

_MOST = 200
_SHARES = 8  # so much of all is each kind's, before one kind may take what others leave


def findings(seen: Seen, most: int = _MOST) -> list[Finding]:
    """Return what looks like one and is two, each with both sides; at most `most`.

    A finding has its `kind`, a `title`, its `sides` and an `advice`. A side says `what` it is
    (`account` or `user`), its `id`, `name`, `sources`, `detail` and the last `event` of it; the
    name of a user is left to whoever asks. `about`, where it is there, are the IDs that the finding
    is about, if these are not those of the sides.
    """
    people = People(seen)
    kinds = [
        [{"kind": kind, **found} for found in islice(find(people), most)]
        for kind, find in _KINDS.items()
    ]
    fair = most // _SHARES
    heads = [found for each in kinds for found in each[:fair]]
    rest = [found for each in kinds for found in each[fair:]]
    order = {kind: at for at, kind in enumerate(_KINDS)}
    return sorted([*heads, *rest][:most], key=lambda found: order[found["kind"]])


# In this order, since the later ones do not repeat what the earlier ones told.
_KINDS: dict[str, Callable[[People], Iterator[Finding]]] = {
    "case": spelling.case,
    "space": spelling.space,
    "salesforce": spelling.salesforce,
    "two_ids": accounts.two_ids,
    "foreign_key": accounts.foreign_key,
    "orphan": products.orphan,
    "ambiguous": products.ambiguous,
    "two_parents": products.two_parents,
    "product_usage": products.product_usage,
    "user_spelling": users.user_spelling,
    "shared_user": users.shared_user,
}

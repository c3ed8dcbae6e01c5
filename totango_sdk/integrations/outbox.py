"""The outbox: events as rows of the host's own transaction, and the relay that hands them over.

One table, whichever of Django and SQLAlchemy writes it. A row holds a checked event with all that
there is to say of its account, user and product; which of it is due is for the relay to decide,
since a web process would remember as said what was rolled back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ..events import Event
from ..identity import Account, Product, User
from ..identity.entities import _said
from ..show import shown
from ..spool.letters import refusal

if TYPE_CHECKING:
    from ..identity.entities import Said

VERSION = 1


def dumps(event: Event) -> str:
    """Return an event as the text of a row: JSON in ASCII."""
    found = {
        "kind": event.kind,
        "account": event.account and _entity(event.account),
        "user": event.user and _entity(event.user),
        "product": event.product and _entity(event.product),
        "activity": event.activity,
        "module": event.module,
        "account_optional": event.account_optional or None,
        "extra_id_characters": event.extra_id_characters or None,
    }
    said = {name: value for name, value in found.items() if value is not None}
    return json.dumps(said, separators=(",", ":"))


def _entity(entity: Account | User | Product) -> dict[str, Any]:
    said = entity.said
    found = {
        "id": entity.id,
        "name": said.name,
        "ofid": said.ofid,
        "account_id": getattr(entity, "account_id", None),
        "pairs": said.pairs,
    }
    return {name: value for name, value in found.items() if value}


def loads(text: str) -> Event:
    """Return the event of a row. Its requests are those of the call, byte for byte.

    Raises `ValueError`, or whatever a text that is no event brings about.
    """
    found = json.loads(text)
    return Event(
        kind=found["kind"],
        account=_read(Account, found.get("account")),
        user=_read(User, found.get("user")),
        product=_read(Product, found.get("product")),
        activity=found.get("activity"),
        module=found.get("module"),
        account_optional=found.get("account_optional", False),
        extra_id_characters=found.get("extra_id_characters", ""),
    )


def _read(kind: Any, found: dict[str, Any] | None) -> Any:
    if found is None:
        return None
    made = kind(found["id"])
    if "account_id" in found:
        made = kind(found["id"], account_id=found["account_id"])
    # As it was, and not made text a second time.
    said: Said = _said(found.get("name"), found.get("ofid"), dict(found.get("pairs", ())), ())
    object.__setattr__(made, "said", said)
    return made


def read_rows(rows: list[tuple[int, str]]) -> tuple[list[Event], list[bytes]]:
    """Return the events of these rows, and a dead letter for each that cannot be read."""
    events: list[Event] = []
    letters: list[bytes] = []
    for id_, text in rows:
        try:
            events.append(loads(text))
        except Exception as error:
            letters.append(_letter(id_, text, error))
    return events, letters


def _letter(id_: int, text: str, error: Exception) -> bytes:
    reason = f"row {id_} of totango_outbox cannot be read: {shown(error)}"
    return refusal({"call": "track", "row": id_, "event": text}, (), reason)

"""What a spool is given: the requests of an event, or the dead letter of one that is too large."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .calls import Call
from .errors import InvalidEvent
from .identity import rules
from .spool import Item

if TYPE_CHECKING:
    from .events import Event
    from .wire import Request

MOST_BODY_BYTES = 512 << 10


def item(request: Request, event: Event) -> Item:
    """Return what is put for a request of an event. Raises `InvalidEvent` if it is too large."""
    if len(request.body) > MOST_BODY_BYTES:
        raise too_large(event, len(request.body))
    return Item(request.body, request.about, request.updates)


def items_or_letter(made: list[Request], event: Event) -> list[Item]:
    """Return what is put for all requests of an event, or one dead letter if any is too large."""
    try:
        return [item(request, event) for request in made]
    except InvalidEvent as invalid:
        given = (event.kind, event.activity, event.module, event.account, event.user, event.product)
        return [Item(Call(*given).refusal(invalid.problems), is_letter=True)]


def too_large(event: Event, size: int) -> InvalidEvent:
    """Return what is said of an event of which a request has so many bytes."""
    message = (
        f"the request is {size} bytes long; at most {MOST_BODY_BYTES} are sent. Totango keeps 255 or 512 characters "
        "of each value: send fewer attributes"
    )
    account_id = None if event.account is None else event.account.id
    return InvalidEvent([rules.REQUEST_SIZE.broken("account", account_id, message)])

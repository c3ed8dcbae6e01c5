"""A fixture for the tests of a host: `totango_events`, a client that keeps what it is told.

    def test_paying_is_reported(totango_events):
        pay_invoice(client=totango_events.client)
        totango_events.assert_tracked("Invoice paid", module="Billing", account="819332")

Loaded by pytest. Importing `totango_sdk` does not import this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from .client import Totango
from .errors import shown
from .testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .events import Event

_SERVICE_ID = "SP-0000-00"
_FIELDS = ("account", "user", "product", "module", "kind", "where")


class TotangoEvents:
    """A strict client in memory, and what was tracked with it.

    `client` has no account, user or module of its own: `bind` gives one that has. `events` holds every
    event that was accepted, the oldest first.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._transport = RecordingTransport()
        self.client = Totango(
            _SERVICE_ID,
            spool="memory",
            transport=self._transport,
            strict=True,
            disabled=False,
            before_send=self._keep,
        )

    def _keep(self, event: Event) -> Event:
        self.events.append(event)
        return event

    @property
    def sent(self) -> list[list[tuple[str, str]]]:
        """Every request so far, each a list of names and values in wire order."""
        assert self.client.flush(), "the events could not be sent to the recording transport"
        return list(self._transport.sent)

    def assert_tracked(self, activity: str, **match: Any) -> Event:
        """Return the first event of this activity that matches; fail, with what was tracked, if there is none.

        `match` may name `account`, `user` and `product`, by ID or as a whole, `module`, `kind` and
        `where`, the ID of the account or product account that the event is recorded against.
        """
        __tracebackhide__ = True
        for name in match:
            if name not in _FIELDS:
                msg = f"assert_tracked() cannot match {name!r}, only {', '.join(_FIELDS)}"
                raise TypeError(msg)
        for event in self.events:
            if event.activity == activity and all(_is_like(getattr(event, name), match[name]) for name in match):
                return event
        wanted = ", ".join([repr(activity), *(f"{name}={value!r}" for name, value in match.items())])
        tracked = "\n".join(f"  {_line(event)}" for event in self.events) or "  nothing"
        msg = f"not tracked: {wanted}\ntracked was:\n{tracked}"
        raise AssertionError(msg)


def _is_like(found: Any, wanted: Any) -> bool:
    if found is None or wanted is None or found == wanted:
        return bool(found == wanted)
    return hasattr(found, "id") and not hasattr(wanted, "id") and bool(found.id == str(wanted))


def _line(event: Event) -> str:
    who = [(name, getattr(event, name)) for name in ("account", "user", "product")]
    told = [f"{name}={shown(value.id)}" for name, value in who if value is not None]
    told += [] if event.module is None else [f"module={event.module!r}"]
    return ", ".join([repr(event.activity) if event.activity else f"({event.kind})", *told])


@pytest.fixture
def totango_events() -> Iterator[TotangoEvents]:
    """A strict client in memory, with `assert_tracked`."""
    events = TotangoEvents()
    yield events
    events.client.close()

"""A fixture for the tests of a host: `totango_events`, a client that keeps what it is told.

    def test_paying_is_reported(totango_events):
        pay_invoice(client=totango_events.client)
        totango_events.assert_tracked("Invoice paid", module="Billing", account="819332")

Loaded by pytest. Importing `totango_sdk` does not import this.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from ..client import Totango, standing_in
from ..options import Options
from ..show import shown
from .recording import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..core import Ready
    from ..events import Event

_SERVICE_ID = "SP-1-1"
_EXTRA_IDS = "TOTANGO_EXTRA_ID_CHARACTERS"
_FIELDS = ("account", "user", "product", "module", "kind", "where")


class TotangoEvents:
    """A strict client in memory, and what was tracked with it.

    `client` has no account, user or module of its own: `bind` gives one that has. `events` holds
    every event that was accepted, the oldest first: also of a transaction that is still open, and
    not those of one that was rolled back, or of a view that failed.
    """

    def __init__(self) -> None:
        self._made: list[Ready] = []
        self._transport = RecordingTransport()
        self.client = Totango.__new__(Totango)
        self.client._start(self._options())
        self.client._core.on_ready = self._made.append

    def _options(self) -> Options:
        given = {
            "service_id": _SERVICE_ID,
            "spool": "memory",
            "transport": self._transport,
            "strict": True,
        }
        # The token, say, is of the machine that runs the tests; which IDs there are is of the host.
        environ = {name: text for name, text in os.environ.items() if name == _EXTRA_IDS}
        return Options.resolve(given, environ)

    @property
    def events(self) -> list[Event]:
        """Every event that counts as tracked now, the oldest first."""
        return [ready.event for ready in self._made if ready.is_stored or ready.is_open()]

    @property
    def sent(self) -> list[list[tuple[str, str]]]:
        """Every request so far, each a list of names and values in wire order."""
        for ready in self._made:
            if ready.is_open():
                ready()
        assert self.client.flush(), "the events could not be sent to the recording transport"
        return list(self._transport.sent)

    def assert_tracked(self, activity: str, **match: Any) -> Event:
        """Return the first event of this activity that matches; fail, with what was tracked, if
        there is none.

        `match` may name `account`, `user` and `product`, by ID or as a whole (an object or a
        mapping), `module`, `kind` and `where`, the ID of the account or product account that the event is recorded against.
        """
        __tracebackhide__ = True
        for name in match:
            if name not in _FIELDS:
                msg = f"assert_tracked() cannot match {name!r}, only {', '.join(_FIELDS)}"
                raise TypeError(msg)
        for event in self.events:
            if event.activity == activity and all(
                _is_like(getattr(event, name), match[name]) for name in match
            ):
                return event
        wanted = ", ".join(
            [repr(activity), *(f"{name}={value!r}" for name, value in match.items())]
        )
        tracked = "\n".join(f"  {_line(event)}" for event in self.events) or "  nothing"
        msg = f"not tracked: {wanted}\ntracked was:\n{tracked}"
        raise AssertionError(msg)


def _is_like(found: Any, wanted: Any) -> bool:
    if found is None or wanted is None or found == wanted:
        return bool(found == wanted)
    if isinstance(wanted, Mapping):
        return hasattr(found, "from_mapping") and bool(found == found.from_mapping(wanted))
    return hasattr(found, "id") and not hasattr(wanted, "id") and bool(found.id == str(wanted))


def _line(event: Event) -> str:
    who = [(name, getattr(event, name)) for name in ("account", "user", "product")]
    told = [f"{name}={shown(value.id)}" for name, value in who if value is not None]
    told += [] if event.module is None else [f"module={event.module!r}"]
    return ", ".join([repr(event.activity) if event.activity else f"({event.kind})", *told])


@pytest.fixture
def totango_events() -> Iterator[TotangoEvents]:
    """A strict client in memory, with `assert_tracked`; it stands in for that of every integration."""
    events = TotangoEvents()
    with standing_in(events.client._core):
        yield events
    events.client.close()

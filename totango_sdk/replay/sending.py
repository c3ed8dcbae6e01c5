"""The sender's turns over a source, until it is at its end or is to stop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..assembly import USER_AGENT
from ..delivery.gate import Gate, hold_for
from ..delivery.sender import Sender
from ..delivery.transports import Settings, make_transport
from ..wire import token_suffix

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..options import Options
    from .feed import Feed
    from .how import How

_STOP_SECONDS = 5.0
_TURN_SECONDS = 0.2
_PROGRESS_SECONDS = 0.5


class Sending:
    """Sends what a feed has."""

    def __init__(self, feed: Feed, options: Options, how: How) -> None:
        self._feed = feed
        self._how = how
        self._sender = _sender(feed, options, how)

    def run(self, save: Callable[[], None], progress: Callable[[str], None]) -> None:
        """Send until all is settled or the run is to stop; `save` now and then, and `progress`.

        `progress` hears why the last request failed that is to be sent again.
        """
        feed, how, sender = self._feed, self._how, self._sender
        told_at = 0.0
        while not feed.is_done:
            if how.stop():
                feed.is_stopped = True
                self._wind_up()
                return
            idle = sender.idle_for()
            wait = _TURN_SECONDS if idle is None else min(idle, _TURN_SECONDS)
            if wait and not sender.in_flight:
                time.sleep(wait)
                wait = 0.0
            sender.step(sender.collect(wait))
            save()
            now = time.monotonic()
            if how.on_progress is not None and now - told_at >= _PROGRESS_SECONDS:
                told_at = now
                progress(sender.last_failure)

    def _wind_up(self) -> None:
        """Wait a while for the answers to what is under way."""
        until = time.monotonic() + _STOP_SECONDS
        while self._sender.in_flight and time.monotonic() < until:
            self._sender.step(self._sender.collect(_TURN_SECONDS))

    def close(self) -> None:
        """Let go of the connections."""
        self._sender.close()


def _sender(feed: Feed, options: Options, how: How) -> Sender:
    settings = Settings(
        options.endpoint, options.timeout, options.max_connections, USER_AGENT, options.proxy
    )
    gate = Gate(
        max_connections=options.max_connections,
        max_rate=how.rate or options.max_rate,
        hold=hold_for(options.endpoint),
    )
    transport = make_transport(options.transport, settings)
    return Sender(feed, transport, gate, suffix=token_suffix(options.api_token))

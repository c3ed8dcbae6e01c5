"""A host whose own code raises where we call it, or calls us back from there. Runs as a process of its own."""

from __future__ import annotations

import gc
import json
import logging
import random
import sys
import time
from typing import TYPE_CHECKING, Any

from .drive import make_client, stats_of
from .ledger import SERVICE_ID, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

_ACCOUNTS = 20
_KINDS = (LookupError, ValueError, OSError, RecursionError, SystemExit)


def fail(*_: object) -> Any:
    raise random.choice(_KINDS)("the host's own mistake")


class Hooked:
    """The client of one host, and what the place in question makes of it."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.ledger = Ledger(config["ledger"])
        self.called = self.back = 0
        self.raised: list[str] = []
        self.options: dict[str, Any] = {}
        self.accounts: list[Any] = [None]
        PLACES[config["place"]](self)
        self.client = make_client({**config, "options": self.options})

    def run(self) -> dict[str, Any]:
        for seq in range(self.config["count"]):
            self.guarded(self.ledger.send, self.client, "hooked", seq, _ACCOUNTS)
            if seq % 10 == 0:
                self.guarded(self.client.track, "")  # refused at once
                self.guarded(self.client.track, f"warned{seq}", "M", {"id": "W", "name": "n" * 600}, "U")
                for account in self.accounts:
                    self.guarded(self.client.track, f"odd{seq}", "M", account, "U")
        began = time.monotonic()
        flushed = self.client.flush(self.config["patience"])
        took = time.monotonic() - began
        self.client.close()
        return {
            "raised": self.raised[:5], "called": self.called, "back": self.back, "flushed": flushed,
            "flush_seconds": took, "stats": stats_of(self.client), "ended_at": time.monotonic(),
        }  # fmt: skip

    def guarded(self, call: Callable[..., object], *args: Any) -> None:
        try:
            call(*args)
        except BaseException as error:
            self.raised.append(repr(error))

    def failing(self, *_: object) -> Any:
        self.called += 1
        if self.called % 3 == 0:
            fail()

    def send_back(self) -> None:
        """Track from where we are called."""
        self.back += 1
        self.ledger.send(self.client, "back", self.back, _ACCOUNTS)


# -- what raises


def before_send(host: Hooked) -> None:
    def hook(event: Any) -> Any:
        host.failing()
        return event

    host.options["before_send"] = hook


def on_dead_letter(host: Hooked) -> None:
    host.options["on_dead_letter"] = host.failing


def _filtering(host: Hooked) -> logging.Filter:
    class Stubborn(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            host.called += 1
            return bool(fail())

    return Stubborn()


def _always_telling() -> None:
    """Have every fault logged, and not one of each kind."""
    from totango_sdk import log

    log._told = _Forgetful()


class _Forgetful(dict[str, None]):
    def __contains__(self, key: object) -> bool:
        return False


def logger_filter(host: Hooked) -> None:
    _always_telling()
    logging.getLogger("totango_sdk").addFilter(_filtering(host))


def root_filter(host: Hooked) -> None:
    _always_telling()
    handler = logging.StreamHandler()
    handler.addFilter(_filtering(host))
    logging.getLogger().addHandler(handler)


def log_handler(host: Hooked) -> None:
    class Loud(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            host.called += 1
            fail()

    _always_telling()
    logging.getLogger().addHandler(Loud())


def transport(host: Hooked) -> None:
    from totango_sdk.delivery.transports import Settings
    from totango_sdk.delivery.transports.httpx import HttpxTransport

    class Broken(HttpxTransport):
        def _perhaps(self) -> None:
            host.called += 1
            if random.random() < 0.05:
                fail()

        def submit(self, ticket: int, body: bytes) -> None:
            self._perhaps()
            super().submit(ticket, body)

        def poll(self, timeout: float) -> Any:
            self._perhaps()
            return super().poll(timeout)

        def wake(self) -> None:
            super().wake()
            self._perhaps()

        def close(self) -> None:
            super().close()
            self._perhaps()

    host.options["transport"] = Broken(Settings(host.config["endpoint"], 10.0, 16, SERVICE_ID))


def properties(host: Hooked) -> None:
    def refuse(*_: object) -> Any:
        host.called += 1
        return fail()

    class Detached:
        id = property(refuse)
        __str__ = __repr__ = __hash__ = __eq__ = __bool__ = refuse  # type: ignore[assignment]

    class Text(str):
        __slots__ = ()
        __str__ = __repr__ = __format__ = refuse

    class Mapping(dict[str, Any]):
        keys = items = get = __iter__ = __getitem__ = refuse  # type: ignore[assignment]

    host.accounts = [Detached(), Text("A"), Mapping(id="A"), {"id": Detached()}, {"id": "A", "Plan": Detached()}]


def finalizer(host: Hooked) -> None:
    """A `__del__` that raises, at any moment, in any of our threads."""

    class Session:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            host.called += 1
            fail()

    sys.unraisablehook = lambda _: None
    gc.set_threshold(50)
    host.guarded = _littering(host.guarded, Session)  # type: ignore[method-assign]


def _littering(call: Callable[..., None], make: Callable[[], object]) -> Callable[..., None]:
    def littered(*args: Any) -> None:
        make()
        call(*args)

    return littered


# -- what calls us back


def tracking_before_send(host: Hooked) -> None:
    def hook(event: Any) -> Any:
        host.called += 1
        if event.activity is not None and event.activity.startswith("hooked"):
            host.send_back()
        return event

    host.options["before_send"] = hook


def tracking_dead_letter(host: Hooked) -> None:
    def hook(*_: object) -> None:
        host.called += 1
        host.send_back()
        host.client.track("")

    host.options["on_dead_letter"] = hook


def flushing_dead_letter(host: Hooked) -> None:
    def hook(*_: object) -> None:
        host.called += 1
        host.client.flush(20)

    host.options["on_dead_letter"] = hook


def closing_dead_letter(host: Hooked) -> None:
    def hook(*_: object) -> None:
        host.called += 1
        host.client.close(0.01)

    host.options["on_dead_letter"] = hook


def tracking_finalizer(host: Hooked) -> None:
    class Session:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            host.called += 1
            host.send_back()

    gc.set_threshold(50)
    host.guarded = _littering(host.guarded, Session)  # type: ignore[method-assign]


RAISING: dict[str, Callable[[Hooked], None]] = {
    "the logger's filter": logger_filter,
    "the root handler's filter": root_filter,
    "a log handler": log_handler,
    "before_send": before_send,
    "on_dead_letter": on_dead_letter,
    "a transport": transport,
    "properties": properties,
    "__del__": finalizer,
}
CALLING: dict[str, Callable[[Hooked], None]] = {
    "track in before_send": tracking_before_send,
    "track in on_dead_letter": tracking_dead_letter,
    "flush in on_dead_letter": flushing_dead_letter,
    "close in on_dead_letter": closing_dead_letter,
    "track in __del__": tracking_finalizer,
}
PLACES = {**RAISING, **CALLING}


def main(config: dict[str, Any]) -> None:
    print(json.dumps(Hooked(config).run()), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

"""What a core is made of, as the options say: its spool, its sender, and whoever runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .delivery.gate import Gate, hold_for
from .delivery.sender import Sender
from .delivery.transports import Settings, make_transport
from .delivery.worker import Worker
from .spool import MemorySpool, Owner
from .version import __version__
from .wire import token_suffix

if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable

    from .options import Options
    from .spool import Outcome, Spool

USER_AGENT = f"totango-sdk/{__version__} (Python)"


def make_worker(
    options: Options,
    gave_up: weakref.WeakMethod[Callable[[Outcome], None]],
    on_fork: Callable[[], None],
) -> Worker:
    """Return who stores and sends. It opens the spool with the first event, and in its own thread
    makes the sender.
    """
    return Worker(
        _make_spool(options),
        Owner(options.service_id, options.endpoint),
        _sender_maker(options, gave_up),
        on_fork=on_fork,
    )


def _make_spool(options: Options) -> Spool:
    if options.spool == "memory" or options.disabled:
        return MemorySpool()
    if (
        options.spool is None
        or isinstance(options.spool, str)
        or hasattr(options.spool, "__fspath__")
    ):
        from .spool import DiskSpool
        from .spool.paths import default_directory

        return DiskSpool(options.spool or default_directory(), durability=options.durability)
    spool: Spool = options.spool
    return spool


def _sender_maker(
    options: Options, gave_up: weakref.WeakMethod[Callable[[Outcome], None]]
) -> Callable[[Spool], Sender]:
    """Return what makes the sender, with the first request and in its own thread.

    It does not hold the core: a client that nobody holds any more has to end.
    """
    settings = Settings(
        options.endpoint, options.timeout, options.max_connections, USER_AGENT, options.proxy
    )

    def on_dead(outcome: Outcome) -> None:
        method = gave_up()
        if method is not None:
            method(outcome)

    def make(spool: Spool) -> Sender:
        gate = Gate(
            max_connections=options.max_connections,
            max_rate=options.max_rate,
            hold=hold_for(options.endpoint),
        )
        return Sender(
            spool,
            make_transport(options.transport, settings),
            gate,
            suffix=token_suffix(options.api_token),
            on_dead=on_dead,
        )

    return make

"""What a core is made of, as the options say: its spool and its sender."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .delivery.gate import Gate, hold_for
from .delivery.sender import Sender
from .delivery.transports import Settings, make_transport
from .spool import MemorySpool, Spool
from .version import __version__
from .wire import token_suffix

if TYPE_CHECKING:
    import weakref
    from collections.abc import Callable

    from .options import Options
    from .spool import Outcome

USER_AGENT = f"totango-sdk/{__version__} (Python)"


def make_spool(options: Options) -> Spool:
    """Return the spool that the options name. It is opened later."""
    if options.spool == "memory" or options.disabled:
        return MemorySpool()
    if (
        options.spool is None
        or isinstance(options.spool, str)
        or hasattr(options.spool, "__fspath__")
    ):
        from .spool.disk import DiskSpool
        from .spool.paths import default_directory

        return DiskSpool(options.spool or default_directory(), durability=options.durability)
    spool: Spool = options.spool
    return spool


def sender_maker(
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

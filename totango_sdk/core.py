"""What a client shares with all that are bound from it: options, memories, spool and sender."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import attrs

from .delivery.transports import Settings
from .delivery.worker import Worker
from .errors import InvalidEvent, Readable, shown
from .events import Event, Joins
from .identity import Problem
from .letters import letter, refusal
from .log import tell_once
from .options import has_pycurl
from .recall import Recall
from .spool import Item, MemorySpool, Owner, Spool
from .spool.base import given_up, is_held, refused_letter
from .version import __version__
from .wire import claimed_keys, requests, token_suffix

if TYPE_CHECKING:
    from collections.abc import Callable

    from .delivery.transports import Transport
    from .options import Options
    from .spool import DeadLetter, Outcome
    from .wire import Request

USER_AGENT = f"totango-sdk/{__version__} (Python)"
MOST_BODY_BYTES = 512 << 10
_AFTER_COLLECTION_SECONDS = 2.0


# Which call makes an event of which kind.
CALLS = {
    "track": "track",
    "heartbeat": "heartbeat",
    "identify": "identify",
    "account": "set_account_attributes",
    "user": "set_user_attributes",
}


class _HookFailed(Exception):
    """`before_send` did not give an event. Even a strict client keeps it as a letter: the call was right."""

    def __init__(self, why: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(why)
        self.problems = problems


class WouldWait(Exception):
    """Storing this now would wait for the disk or for another thread."""


@attrs.frozen(kw_only=True, repr=False)
class Stats(Readable):
    """What became of the events of this process, counted as requests; the counts always add up:

    `accepted == queued + retrying + in_flight + delivered + dead + dropped`.

    `accepted` includes what was refused for its problems, and what was taken over from processes
    that ended. `oldest_age` is in seconds, `None` if nothing waits. `durable` says whether what
    waits survives the end of this process.
    """

    accepted: int = 0
    queued: int = 0
    delivered: int = 0
    retrying: int = 0
    dead: int = 0
    dropped: int = 0
    oldest_age: float | None = None
    in_flight: int = 0
    durable: bool = False


class Core:
    """Checks, encodes and stores; holds what has to be one for a client and all bound from it."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self._forget()
        gave_up = weakref.WeakMethod(self._gave_up)
        self.worker = Worker(
            _make_spool(options),
            Owner(options.service_id, options.endpoint),
            _transport_maker(options),
            suffix=token_suffix(options.api_token),
            max_connections=options.max_connections,
            max_rate=options.max_rate,
            on_dead=lambda outcome: _call(gave_up, outcome),
            on_fork=_weakly(self),
        )
        # A client that nobody holds any more ends its thread; at exit another hook does that.
        weakref.finalize(self, self.worker.ask_to_stop, _AFTER_COLLECTION_SECONDS).atexit = False

    def _forget(self) -> None:
        """Forget what was said: a forked child says it anew."""
        self.recall = Recall(self.options.attributes_ttl)
        self.joins = Joins()
        self._count_lock = threading.RLock()
        self._dropped = 0

    # -- from a call to an event

    def admit(self, event: Event) -> Event | None:
        """Return the event to store, or `None` if the host drops it. Raises what `refuse` takes."""
        hook = self.options.before_send
        if hook is not None:
            try:
                changed = hook(event)
            except Exception as error:  # not sent as it was: the hook may be there to take a secret out
                problems = error.problems if isinstance(error, InvalidEvent) else ()
                told = f"InvalidEvent: {error}" if problems else shown(error)
                raise _HookFailed(f"before_send raised {told}", problems) from error
            if changed is None:
                self._drop()
                return None
            if not isinstance(changed, Event):
                msg = f"before_send returned {shown(changed)}; it returns an Event, or None to drop it"
                raise _HookFailed(msg, ())
            event = changed
        if event.product is not None:
            self.joins.check(event)
        return event

    def refuse(self, error: Exception, call: dict[str, Any]) -> Item:
        """Return the letter of a call that failed; if the client is strict, raises `error`."""
        if isinstance(error, _HookFailed):
            return self._refuse(call, error.problems, str(error))
        if self.options.strict:
            raise error
        if isinstance(error, InvalidEvent):
            return self._refuse(call, error.problems, str(error))
        return self._refuse(call, (), f"the call failed with {shown(error)}")

    def _refuse(self, call: dict[str, Any], problems: tuple[Problem, ...], why: str) -> Item:
        kind = ", ".join(sorted({problem.field for problem in problems})) or why[:100]
        kept = "" if self.options.disabled else ", and is kept as a dead letter"
        tell_once(f"invalid {kind}", f"an event is not sent{kept}: {why}", level="error")
        return letter(refusal(call, problems, why))

    # -- from an event to the spool

    def store(self, admitted: Event | Item | None, *, wait: bool = True) -> str | None:
        """Store what was admitted, and return the event's id; `None` if nothing will be sent.

        With `wait=False`, raises `WouldWait` instead of waiting.
        """
        if admitted is None or self.options.disabled:
            return None
        if is_held(self.recall.lock) or self.worker.is_inside:
            self._store_elsewhere(admitted)
            return None
        try:
            if isinstance(admitted, Item):
                self._store_letter(admitted, wait=wait)
                return None
            for problem in admitted.problems:
                tell_once(f"warning {problem.field}", f"an event is sent, but {problem}")
            return self._store_event(admitted, wait=wait)
        except WouldWait:
            raise
        except InvalidEvent as invalid:  # only its body tells that it is too large
            if self.options.strict:
                raise
            refused = self._refuse(_given(admitted), invalid.problems, str(invalid))
            return self.store(refused, wait=wait)
        except Exception as error:  # a full disk above all: the host must not notice
            self._drop()
            tell_once(f"lost {type(error).__name__}", f"events are lost: {error}", level="error")
            return None

    def _store_elsewhere(self, admitted: Event | Item) -> None:
        """Have another thread store what a signal handler or a `__del__` brings in the middle of one of our calls.

        Here it would wait for itself.
        """
        try:
            threading.Thread(target=self.store, args=(admitted,), name="totango-late", daemon=False).start()
        except RuntimeError as error:  # too many threads, or the interpreter is ending
            self._drop()
            tell_once("lost late", f"events are lost: {error}", level="error")

    def _store_event(self, event: Event, *, wait: bool) -> str | None:
        lock = self.recall.lock
        if not lock.acquire(blocking=wait):
            raise WouldWait
        made: list[Request] = []
        event_id = None
        try:
            made = requests(self.options.service_id, event, self.recall.due)
            items = []
            for lane, body, _ in made:
                if len(body) > MOST_BODY_BYTES:
                    raise InvalidEvent([_too_large(event, len(body))])
                items.append(Item(lane, body))
            event_id = self._put(items, wait=wait)
        finally:
            if event_id is None:
                self.recall.forget(key for request in made for key in request.keys)
            lock.release()
        return event_id

    def _store_letter(self, item: Item, *, wait: bool) -> None:
        event_id = self._put([item], wait=wait)
        if self.options.on_dead_letter is not None:
            self._tell_hook(refused_letter(event_id, item.body, time.time()))

    def _put(self, items: list[Item], *, wait: bool) -> str:
        event_id = self.worker.put(items, wait=wait)
        if event_id is None:
            raise WouldWait
        return event_id

    def _drop(self) -> None:
        with self._count_lock:
            self._dropped += 1

    # -- what became of it

    def _gave_up(self, outcome: Outcome) -> None:
        """An event came back as dead: its attributes count as not sent."""
        event = outcome.event
        self.recall.forget(claimed_keys(event.body))
        tell_once(f"dead {outcome.reason}", f"an event was given up and is kept as a dead letter: {outcome.reason}")
        if self.options.on_dead_letter is not None:
            self._tell_hook(given_up(event, outcome.reason))

    def _tell_hook(self, dead: DeadLetter) -> None:
        hook = self.options.on_dead_letter
        assert hook is not None
        try:
            hook(dead, dead.reason)
        except Exception as error:  # it may fail without harm
            tell_once("on_dead_letter", f"on_dead_letter raised {shown(error)}; the dead letter is kept all the same")

    def flush(self, timeout: float) -> bool:
        """Wait until all that was accepted is delivered or dead; `False` after `timeout` seconds."""
        return True if self.options.disabled else self.worker.flush(timeout)

    def stats(self) -> Stats:
        """Count what became of everything."""
        counts, dropped = self.worker.counts(), self._dropped
        return Stats(
            accepted=counts.accepted + dropped,
            queued=counts.queued,
            delivered=counts.delivered,
            retrying=counts.retrying,
            dead=counts.dead,
            dropped=dropped,
            oldest_age=None if counts.oldest_at is None else max(0.0, time.time() - counts.oldest_at),
            in_flight=counts.in_flight,
            durable=self.worker.spool.durable,
        )

    def letters(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""
        self.worker.open()
        return list(self.worker.spool.letters())


def _too_large(event: Event, size: int) -> Problem:
    message = (
        f"the request is {size} bytes long; at most {MOST_BODY_BYTES} are sent. Totango keeps 255 or 512 characters "
        "of each value: send fewer attributes"
    )
    return Problem("account", None if event.account is None else event.account.id, message)


def _given(event: Any) -> dict[str, Any]:
    fields = ("activity", "module", "account", "user", "product")
    return {"call": CALLS[event.kind], **{name: getattr(event, name) for name in fields}}


def _call(method: weakref.WeakMethod[Any], outcome: Outcome) -> None:
    found = method()
    if found is not None:
        found(outcome)


def _weakly(core: Core) -> Callable[[], None]:
    reference = weakref.ref(core)

    def on_fork() -> None:
        found = reference()
        if found is not None:
            found._forget()

    return on_fork


def _make_spool(options: Options) -> Spool:
    if options.spool == "memory" or options.disabled:
        return MemorySpool()
    if options.spool is None or isinstance(options.spool, str) or hasattr(options.spool, "__fspath__"):
        from .spool.disk import DiskSpool
        from .spool.paths import default_directory

        return DiskSpool(options.spool or default_directory(), durability=options.durability)
    spool: Spool = options.spool
    return spool


def _transport_maker(options: Options) -> Callable[[], Transport]:
    if not isinstance(options.transport, str):
        return lambda: options.transport

    settings = Settings(options.endpoint, options.timeout, options.max_connections, USER_AGENT, options.proxy)

    def make() -> Transport:
        # Imported with the first request, in the sender's thread.
        if options.transport == "curl" or (options.transport == "auto" and has_pycurl()):
            from .delivery.transports.curl import CurlTransport

            return CurlTransport(settings)
        from .delivery.transports.httpx import HttpxTransport

        return HttpxTransport(settings)

    return make

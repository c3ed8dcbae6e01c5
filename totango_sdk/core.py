"""What a client shares with all that are bound from it: options, memories, spool and sender."""

from __future__ import annotations

import sys
import threading
import time
import weakref
from functools import partial
from typing import TYPE_CHECKING

import attrs

from . import hooks, host
from .assembly import make_worker
from .errors import InvalidEvent, SpoolError, kinds_of
from .events import Event, Joins
from .hooks import HookFailed, LetterHook
from .items import MOST_BODY_BYTES, item, items_or_letter, too_large
from .known import KnownCalls, key_of
from .locks import is_held, make_lock
from .log import tell_once
from .recall import Recall
from .show import Readable, shown
from .spool import DeadLetter, Item
from .wire import claimed_keys, requests, user_attributes

if TYPE_CHECKING:
    from collections.abc import Callable

    from .calls import Call
    from .errors import Problem
    from .known import Short
    from .options import Options
    from .spool import Outcome
    from .wire import Request

_AFTER_COLLECTION_SECONDS = 2.0


class _BusyError(Exception):
    """Nothing was stored, since that would have waited."""


class WouldWait(Exception):
    """Storing this now would wait for the disk or for another thread; `go_on` does."""

    def __init__(self, go_on: Callable[[], str | None]) -> None:
        super().__init__()
        self.go_on = go_on


def _never() -> bool:
    return False


@attrs.define(eq=False, repr=False)
class Ready:
    """An event that is checked, and can be stored once.

    `is_stored` says whether it was, and `is_open` whether it still may be: an integration that puts
    it off sets that.
    """

    core: Core
    event: Event
    call: Call
    is_stored: bool = False
    is_open: Callable[[], bool] = _never

    def __call__(self, *, wait: bool = True) -> str | None:
        """Store it, for a host that never notices what fails; with `wait=False`, raises `WouldWait`."""
        if self.is_stored:
            return None
        core, self.is_stored = self.core, True
        return core._store(core._keep, self.event, self.call, wait=wait)


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
        self.on_ready: Callable[[Ready], None] | None = None  # for tests: told of each event
        self._forget()
        self.worker = make_worker(options, weakref.WeakMethod(self._gave_up), _weakly(self))
        # A client that nobody holds any more ends its thread; at exit another hook does that.
        weakref.finalize(self, self.worker.ask_to_stop, _AFTER_COLLECTION_SECONDS).atexit = False

    def _forget(self) -> None:
        """Forget what was said: a forked child says it anew."""
        self.recall = Recall(self.options.attributes_ttl)
        self.joins = Joins()
        self._known = KnownCalls(self.options.service_id)
        self._count_lock = make_lock()
        self._dropped = 0
        self._thread: int | None = None  # the first that has used this client
        self._is_shared = False
        hook = self.options.on_dead_letter
        self._letter_hook = None if hook is None else LetterHook(hook)

    def allow_as(self, options: Options) -> None:
        """Allow what a client with these options does, for which this one stands in."""
        mine = self.options
        self.options = attrs.evolve(
            mine,
            extra_id_characters=mine.extra_id_characters + options.extra_id_characters,
            allow_empty_accounts=mine.allow_empty_accounts or options.allow_empty_accounts,
        )

    # -- a call, from the host's line to the spool

    def take(self, call: Call, *, wait: bool = True) -> str | None:
        """Accept a call for the host, which never notices what fails; see `accept`.

        What is refused becomes a dead letter; if the client is strict, raises `InvalidEvent`.
        """
        if not self._meet_thread():
            return None
        key = None if call.kind != "track" or self._has_hooks else key_of(call)
        short = None if key is None else self._known.find(key, call)
        if short is not None:
            return self._store(self._keep_short, short, call, wait=wait)
        ready = self._ready(call, wait=wait)
        if ready is None:
            return None
        if key is not None:
            self._known.learn(key, ready.event)
        return ready(wait=wait)

    @property
    def _has_hooks(self) -> bool:
        """Whether anybody is to see each event."""
        options = self.options
        return options.before_send is not None or options.disabled or self.on_ready is not None

    def prepare(self, call: Call, *, wait: bool = True) -> Ready | None:
        """Check a call, and return what stores its event, now or later.

        `None` if there is nothing to store: nobody is meant, the host drops it, or it was refused.
        """
        return self._ready(call, wait=wait) if self._meet_thread() else None

    def _meet_thread(self) -> bool:
        """See whether the caller is another thread, or has other locks, than before.

        `False` if nothing can be stored any more, since the interpreter is about to be gone.
        """
        if self.worker.locks_of is not threading.Lock and not self.worker.look_around():
            return False
        if not self._is_shared and self._thread != threading.get_ident():
            self._note_thread()
        return True

    def _ready(self, call: Call, *, wait: bool) -> Ready | None:
        if call.is_nobodys:
            self._drop_nobodys(call)
            return None
        try:
            event = self.check(call)
        except host.FAILURES as error:
            host.swallow(error)
            self._refuse(call, error, wait=wait)
            return None
        if event is None or self.options.disabled:
            return None
        ready = Ready(self, event, call)
        if self.on_ready is not None:
            self.on_ready(ready)
        return ready

    def accept(self, call: Call) -> str | None:
        """Check, encode and store a call, and return the event's id; `None` if nothing is sent.

        Raises `InvalidEvent` and `SpoolFull`: for whoever wants to know what became of it.
        """
        event = self.check(call)
        if event is None or self.options.disabled:
            return None
        return self._keep(event)

    def check(self, call: Call) -> Event | None:
        """Return the event that a call is, as the host wants it sent; `None` if it drops it.

        Raises `InvalidEvent`.
        """
        event = self._event(call)
        if self.options.before_send is not None:
            changed = hooks.before_send(self.options.before_send, event)
            if changed is None:
                self._drop()
                return None
            event = changed
        if event.product is not None:
            self.joins.check(event)
        return event

    def _event(self, call: Call) -> Event:
        return call.event(
            allow_empty_accounts=self.options.allow_empty_accounts,
            extra_id_characters=self.options.extra_id_characters,
        )

    def _note_thread(self) -> None:
        self._is_shared = self._thread is not None
        self._thread = threading.get_ident()

    def tell_if_shared(self) -> None:
        """Tell whoever has changed the client for all threads that there are several."""
        if self._is_shared or self._thread not in (None, threading.get_ident()):
            tell_once(
                "identify shared",
                "identify() has changed the account, user or product of a client that several "
                "threads use, for all of them. In a request, use `with client.context(...)` for who "
                "it is, and set_account_attributes() to send attributes",
            )

    def _keep(self, event: Event, *, wait: bool = True) -> str:
        """Store an event that is right, with what is due of who it is about."""
        _tell_warnings(event.problems)
        return self._with_claims(self._claim_and_put, event, wait=wait)

    def _keep_short(self, short: Short, *, wait: bool = True) -> str:
        """Store an activity whose request is made already."""
        if short.known.problems:
            _tell_warnings(short.known.problems)
        return self._with_claims(self._say_or_put, short, wait=wait)

    def _with_claims(self, put: Callable[..., str], what: Event | Short, *, wait: bool) -> str:
        """Put while nobody else claims, or puts: at the end of the interpreter only this lock tells that
        a thread was stopped for good in the middle of it.
        """
        lock = self.recall.lock
        if wait and (self.worker._thread is not None or not sys.is_finalizing()):
            with lock:
                return put(what, wait=wait)
        try:
            # At the very end nobody lets go of it any more.
            if not lock.acquire(blocking=False):
                raise _BusyError
            return put(what, wait=wait)
        finally:
            if is_held(lock):
                lock.release()

    def _say_or_put(self, short: Short, *, wait: bool) -> str:
        """Put a short activity with what is due of its user, or the whole event if more is."""
        said = short.known.beginning.said
        if said and any(self.recall.is_due(key, mark) for key, mark in said):
            return self._claim_and_put(self._event(short.call), wait=wait)
        user = short.user
        if user is None or not self.recall.due(short.about[-1], user.said.mark, False):
            return self._put([Item(short.body, short.about)], wait=wait)
        record = short.about[-1:]
        event_id = None
        try:
            body = short.body + user_attributes(user)
            if len(body) > MOST_BODY_BYTES:
                raise too_large(self._event(short.call), len(body))
            event_id = self._put([Item(body, short.about, record)], wait=wait)
        finally:
            if event_id is None:
                self.recall.forget(record)
        return event_id

    def _claim_and_put(self, event: Event, *, wait: bool) -> str:
        made: list[Request] = []
        event_id = None
        try:
            made = requests(self.options.service_id, event, self.recall.due)
            event_id = self._put([item(request, event) for request in made], wait=wait)
        finally:
            if event_id is None:
                self.recall.forget(key for request in made for key in request.keys)
        return event_id

    def keep_all(self, events: list[Event], letters: list[bytes]) -> None:
        """Store events that are right and calls that were refused, in order: all, or none.

        Raises `SpoolFull`, and what else keeps a spool from storing.
        """
        items = [Item(letter, is_letter=True) for letter in letters]
        made: list[Request] = []
        with self.recall.lock:
            try:
                for event in events:
                    mine = requests(self.options.service_id, event, self.recall.due)
                    made += mine
                    items += items_or_letter(mine, event)
                self._put(items, wait=True)
            except BaseException:
                self.recall.forget(key for request in made for key in request.keys)
                raise

    def _refuse(self, call: Call, error: BaseException, *, wait: bool) -> None:
        """Keep a refused call as a dead letter; if the client is strict, raise `error`."""
        if self.options.strict and not isinstance(error, HookFailed):
            try:
                raise error
            finally:
                del error  # its traceback has this frame, with all that called us
        problems: tuple[Problem, ...] = getattr(error, "problems", ())
        why = str(error)
        if not isinstance(error, HookFailed | InvalidEvent):
            problems, why = (), f"the call failed with {shown(error)}"
        kinds = kinds_of(problems) or why[:100]
        kept = "" if self.options.disabled else ", and is kept as a dead letter"
        tell_once(f"invalid {kinds}", f"an event is not sent{kept}: {why}", level="error")
        if not self.options.disabled:
            self._store(self._bury, call.refusal(problems, why), call, wait=wait)

    def _bury(self, refusal: bytes, *, wait: bool = True) -> None:
        """Store a refused call as the dead letter that it is, and tell the host's hook."""
        event_id = self._put([Item(refusal, is_letter=True)], wait=wait)
        if self._letter_hook is not None:
            self._letter_hook.tell(DeadLetter.refused(event_id, refusal, time.time()))

    def _put(self, items: list[Item], *, wait: bool) -> str:
        event_id = self.worker.put(items, wait=wait)
        if event_id is None:
            raise _BusyError
        if self._letter_hook is not None:
            self._letter_hook.put(event_id, len(items))
        return event_id

    def _store(
        self,
        store: Callable[..., str | None],
        what: Event | Short | bytes,
        call: Call,
        *,
        wait: bool,
    ) -> str | None:
        """Store an event, or a letter, by `store`, and count what cannot be.

        With `wait=False`, raises `WouldWait`.
        """
        if is_held(self.recall.lock) or self.worker.is_inside:
            self._store_elsewhere(partial(self._store, store, what, call, wait=True))
            return None
        try:
            return store(what, wait=wait)
        except _BusyError:
            if sys.is_finalizing():
                self._drop()
                return None
            raise WouldWait(partial(self._store, store, what, call, wait=True)) from None
        except InvalidEvent as invalid:  # only its body tells that it is too large
            self._refuse(call, invalid, wait=wait)
            return None
        except SpoolError as error:  # a full disk above all: the host must not notice
            host.let_pass(error)
            self._drop()
            tell_once(f"lost {type(error).__name__}", f"events are lost: {error}", level="error")
            return None
        except host.FAILURES as error:
            host.swallow(error)
            self._drop()
            tell_once(f"lost {type(error).__name__}", f"events are lost: {error}", level="error")
            return None

    def _store_elsewhere(self, store: Callable[[], object]) -> None:
        """Have another thread store what a signal handler or a `__del__` brings in the middle of
        one of our calls. Here it would wait for itself.
        """
        if sys.is_finalizing():
            self._drop()
        else:
            self.worker.later(store)

    def _drop_nobodys(self, call: Call) -> None:
        self._drop()
        tell_once(
            "nobody",
            f"{call.name} is not sent, since nobody is identified here: give account= and user=",
            level="info",
        )

    def _drop(self) -> None:
        with self._count_lock:
            self._dropped += 1

    # -- what became of it

    def _gave_up(self, outcome: Outcome) -> None:
        """An event came back as dead: its attributes count as not sent."""
        event = outcome.event
        self.recall.forget(claimed_keys(event.body))
        tell_once(
            f"dead {outcome.reason}",
            f"an event was given up and is kept as a dead letter: {outcome.reason}",
        )
        if self._letter_hook is not None:
            self._letter_hook.gave_up(outcome)

    def flush(self, timeout: float) -> bool:
        """Wait until all that was accepted is delivered or dead; `False` after `timeout` seconds."""
        return True if self.options.disabled else self.worker.flush(timeout)

    def take_over(self, timeout: float = 0.0) -> None:
        """Deliver what processes have left that are gone; see `Worker.take_over`."""
        if not self.options.disabled:
            self.worker.take_over(timeout)

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
            oldest_age=None
            if counts.oldest_at is None
            else max(0.0, time.time() - counts.oldest_at),
            in_flight=counts.in_flight,
            durable=self.worker.spool.durable,
        )

    def letters(self) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""
        self.worker.open()
        return list(self.worker.spool.letters())


def _tell_warnings(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        tell_once(f"warning {kinds_of([problem])}", f"an event is sent, but {problem}")


def _weakly(core: Core) -> Callable[[], None]:
    reference = weakref.ref(core)

    def on_fork() -> None:
        found = reference()
        if found is not None:
            found._forget()

    return on_fork

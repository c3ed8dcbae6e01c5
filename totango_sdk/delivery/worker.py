"""Drive: the thread that steps the sender, and how it starts, wakes, forks and ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

from ..errors import SpoolError, shown
from ..log import forget_told, tell_once
from ..spool import MemorySpool, SpoolClosed
from ..spool.base import is_held
from .retry import Hold
from .sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..spool import Counts, Item, Outcome, Owner, Spool
    from .transports import Transport

HOUSEKEEPING_SECONDS = 60.0
_MAINTAIN_SECONDS = 0.05
_AFTER_ERROR_SECONDS = 1.0
_DEAF_SECONDS = 0.05
_LETTING_GO_SECONDS = 0.2
_AFTER_ALL_OTHERS = -100  # what else ends with the process may still track


class _Bell:
    """Wakes one thread. Unlike `threading.Event`, also from a signal handler that interrupts its own ringing."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.hush()

    def ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # it rings already
            self._lock.release()

    def wait(self, seconds: float) -> None:
        """Wait until it rings, and stop the ringing."""
        self._lock.acquire(timeout=seconds)

    def hush(self) -> None:
        self._lock.acquire(blocking=False)


class Worker:
    """Owns the spool and the sender's thread of this process. Starts nothing before the first event."""

    def __init__(
        self,
        spool: Spool,
        owner: Owner,
        make_transport: Callable[[], Transport],
        *,
        suffix: bytes = b"",
        max_connections: int = 16,
        max_rate: float | None = None,
        on_dead: Callable[[Outcome], None] = lambda _: None,
        on_fork: Callable[[], None] = lambda: None,
    ) -> None:
        self._preferred = spool
        self._owner = owner
        self._make_transport = make_transport
        self._suffix = suffix
        self._max_connections = max_connections
        self._max_rate = max_rate
        self._on_dead = on_dead
        self._on_fork = on_fork
        self._forget()
        _register(self)

    def _forget(self) -> None:
        self.pid = os.getpid()
        self.spool = self._preferred
        self._lock = threading.RLock()
        self._bell = _Bell()
        self._waiters: list[tuple[int | None, threading.Event]] = []
        self._thread: threading.Thread | None = None
        self._sender: Sender | None = None
        self._last_failure = ""
        self._transport: Transport | None = None
        self._is_open = False
        self._asleep = False
        self._stop_at: float | None = None

    # -- the caller's side

    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        """Store items, and wake the sender. Raises `SpoolFull`; see `Spool.put`."""
        if self.pid != os.getpid():  # a fork that no hook has told of
            self.after_fork(in_child=True)
        if self._thread is None:
            if not (wait or self._is_open):
                return None
            self.start()
        try:
            event_id = self.spool.put(items, wait=wait)
        except SpoolClosed:  # closed between two lines, by another thread
            self.start()
            event_id = self.spool.put(items, wait=wait)
        if self._asleep:
            self.wake()
        if self._thread is None:  # it ended meanwhile, perhaps before it saw this
            self.start()
        return event_id

    def start(self) -> None:
        """Open the spool and start the thread, if they are not there yet."""
        with self._lock:
            self._open()
            if (self._thread is None or not self._thread.is_alive()) and not _threads_are_off():
                self._stop_at = None
                thread = threading.Thread(target=self._run, name="totango-sender", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # too many threads, or the interpreter is ending
                    tell_once("no thread", f"events wait in the spool, since no thread can be started: {error}")
                else:
                    self._thread = thread
                    _close_with_a_child()

    def _open(self) -> None:
        if self._is_open:
            return
        try:
            self.spool.open(self._owner)
        except Exception as error:  # whatever it is, the host goes on
            told = str(error) if isinstance(error, SpoolError) else shown(error)
            tell_once("no spool", f"events are kept in memory only, and end with this process: {told}", level="error")
            self.spool = MemorySpool()
        self._is_open = True

    def wake(self) -> None:
        """Make the thread look at the spool again."""
        self._asleep = False
        self._bell.ring()
        sender = self._sender
        if sender is not None and sender.in_flight:  # else it does not wait in the transport
            transport_wake = getattr(self._transport, "wake", None)
            if transport_wake is not None:
                transport_wake()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was accepted is delivered or dead; `False` when time ran out."""
        self.start()
        if self._thread is None:  # nobody here will send anything
            return not self.spool.pending_before(None)
        waiter = (self.spool.mark(), threading.Event())
        self._waiters.append(waiter)
        self.wake()
        done = waiter[1].wait(timeout)
        self._forget_waiter(waiter)
        return done

    def _forget_waiter(self, waiter: tuple[int | None, threading.Event]) -> None:
        with contextlib.suppress(ValueError):  # whoever comes first
            self._waiters.remove(waiter)

    def close(self, timeout: float) -> None:
        """Deliver what can be delivered within `timeout` seconds, and stop. The rest stays in the spool."""
        self.ask_to_stop(timeout)
        self.join(timeout)

    def ask_to_stop(self, timeout: float) -> None:
        """Begin to close, without waiting. Some of the time is for what comes after: the spool, and the host's end."""
        self._stop_at = time.monotonic() + timeout - min(_LETTING_GO_SECONDS, timeout / 10)
        self.wake()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, which lets go of the spool."""
        thread = self._thread
        if thread is None:
            self._let_go(None)
        elif thread is not threading.current_thread():
            thread.join(timeout + _AFTER_ERROR_SECONDS)  # longer only if it is stuck in a hook or the disk

    def _let_go(self, thread: threading.Thread | None) -> None:
        with self._lock:
            if self._thread is not thread:
                return  # another one has been started meanwhile
            self._thread = None
            if self._is_open:
                self._is_open = False
                _guarded("close", self.spool.close)

    def open(self) -> None:
        """Open the spool, to look into it or before the first event."""
        with self._lock:
            self._open()

    @property
    def is_inside(self) -> bool:
        """Whether this very thread is in the middle of something here, or in the spool."""
        return is_held(self._lock) or getattr(self.spool, "is_inside", False)

    @property
    def last_failure(self) -> str:
        """Why the last request failed that is to be sent again."""
        sender = self._sender
        return self._last_failure if sender is None else sender.last_failure

    def counts(self) -> Counts:
        """What the spool holds and has seen."""
        return self.spool.counts()

    # -- the thread's side

    def _run(self) -> None:
        looked_at = -HOUSEKEEPING_SECONDS
        while True:
            now = time.monotonic()
            adopt = now - looked_at >= HOUSEKEEPING_SECONDS
            if adopt:
                looked_at = now
            _guarded("spool", self.spool.maintain, adopt=adopt)
            house_at = looked_at + HOUSEKEEPING_SECONDS
            if not _guarded("sender", self._turns, now + _MAINTAIN_SECONDS, house_at):
                self._bell.wait(self._wait_for(_AFTER_ERROR_SECONDS, house_at))
            if self._is_over():
                break
        if self._transport is not None:
            _guarded("transport", self._transport.close)
        if self._sender is not None:
            _guarded("sender", self._sender.give_back)
        if self._sender is not None:
            self._last_failure = self._sender.last_failure
        self._transport = self._sender = None
        _guarded("sender", self._tell_waiters)
        self._let_go(threading.current_thread())

    def _turns(self, until: float, house_at: float) -> None:
        """Send for a while; returns when the spool wants its housekeeping, or all is over."""
        sender = self._sender
        if sender is None:
            sender = self._begin(house_at)
            if sender is None:
                return
        while True:
            self._asleep = True  # first, so that nothing slips in between the look and the sleep
            self._tell_waiters()
            # In this order: an event that comes between the two looks is seen by the second.
            is_hungry = sender.is_hungry
            wait = self._wait_for(sender.idle_for(), house_at)
            self._asleep = is_hungry
            if wait > _DEAF_SECONDS and sender.in_flight and not hasattr(self._transport, "wake"):
                wait = _DEAF_SECONDS
            if wait > 0 and not sender.in_flight:
                self._bell.wait(wait)
                wait = 0.0
            answers = sender.collect(wait)
            self._asleep = False
            self._bell.hush()
            sender.step(answers)
            if time.monotonic() >= until or self._stop_at is not None or self.spool.needs_care:
                return

    def _begin(self, house_at: float) -> Sender | None:
        """Make the sender once there is something to send; until then the HTTP library is not imported."""
        self._asleep = True
        self._tell_waiters()
        if self.spool.next_due() is None:
            if self._stop_at is None:
                self._bell.wait(self._wait_for(None, house_at))
            return None
        self._transport = self._make_transport()
        self._sender = Sender(
            self.spool,
            self._transport,
            suffix=self._suffix,
            max_connections=self._max_connections,
            max_rate=self._max_rate,
            hold=_holds.setdefault(self._owner.endpoint, Hold()),
            on_dead=self._on_dead,
        )
        return self._sender

    def _wait_for(self, idle: float | None, house_at: float) -> float:
        latest = house_at if self._stop_at is None else min(house_at, self._stop_at)
        wait = latest - time.monotonic()
        return max(0.0, wait if idle is None else min(idle, wait))

    def _tell_waiters(self) -> None:
        for waiter in self._waiters[:]:
            if not self.spool.pending_before(waiter[0]):
                self._forget_waiter(waiter)
                waiter[1].set()

    def _is_over(self) -> bool:
        """Whether to stop: when asked to, and nothing more can be delivered in time."""
        if self._stop_at is None:
            return False
        now = time.monotonic()
        if now >= self._stop_at:
            return True
        try:
            if self._sender is None:
                return self.spool.next_due() is None
            idle = self._sender.idle_for()
        except Exception:  # told of elsewhere; nothing more can be hoped for
            return True
        return not self._sender.in_flight and (idle is None or now + idle >= self._stop_at)

    # -- fork and exit

    def before_fork(self) -> None:
        self._lock.acquire()
        _guarded("fork", self.spool.before_fork)

    def after_fork(self, *, in_child: bool) -> None:
        """Go on after a fork; the child starts its own spool and thread with its first event."""
        _guarded("fork", self.spool.after_fork, in_child=in_child)
        if not in_child:
            self._lock.release()
            return
        # What the parent had connected is its own: closing it here could say goodbye in its name.
        _inherited.append((self._transport, self._sender))
        self._forget()
        self._on_fork()


def _guarded(what: str, call: Callable[..., object], *args: object, **kwargs: object) -> bool:
    """Call, and tell once what it raises: the host must never notice, and the events are safe."""
    try:
        call(*args, **kwargs)
    except (Exception, SystemExit) as error:  # a hook may well call sys.exit
        tell_once(f"{what} {type(error).__name__}", f"the {what} goes on after {shown(error)}", level="error")
        return False
    return True


_holds: dict[str, Hold] = {}


def _threads_are_off() -> bool:
    """Whether this is uWSGI without threads, where one that is started never runs."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return False
    options = getattr(uwsgi, "opt", {})
    if any(name in options for name in ("enable-threads", b"enable-threads", "threads", b"threads")):
        return False
    tell_once(
        "no threads",
        "uWSGI runs without threads, so events wait in the spool for another process, or for `totango spool drain`: "
        "start it with --enable-threads to send them from here",
    )
    return True


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
_workers_lock = threading.RLock()  # held while the process forks
_inherited: list[object] = []
_hooked = False


def _register(worker: Worker) -> None:
    global _hooked
    with _workers_lock:
        _workers.add(worker)
        if not _hooked:
            _hooked = True
            atexit.register(close_all)
            os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


def _living() -> list[Worker]:
    with _workers_lock:
        return list(_workers)


def close_all(timeout: float = 2.0) -> None:
    """Close every worker of this process, all within the same `timeout` seconds."""
    deadline = time.monotonic() + timeout
    workers = [worker for worker in _living() if worker.pid == os.getpid()]
    for worker in workers:
        worker.ask_to_stop(timeout)
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))


# multiprocessing, and what Celery has made of it.
_WITH_CHILDREN = ("multiprocessing.util", "billiard.util")
_closes_with: set[tuple[int, str]] = set()


def _close_with_a_child() -> None:
    """Have this process close at its end also if it is a child of `multiprocessing`: those skip `atexit`."""
    for name in _WITH_CHILDREN:
        util = sys.modules.get(name)  # whoever is such a child has imported it
        if util is not None and (os.getpid(), name) not in _closes_with:
            _closes_with.add((os.getpid(), name))
            util.Finalize(None, close_all, exitpriority=_AFTER_ALL_OTHERS)


_held_for_fork: list[Worker] = []


def _before_fork() -> None:
    _workers_lock.acquire()
    for worker in _living():
        _held_for_fork.append(worker)
        worker.before_fork()


def _after_in_parent() -> None:
    while _held_for_fork:
        _held_for_fork.pop().after_fork(in_child=False)
    _workers_lock.release()


def _after_in_child() -> None:
    global _workers_lock
    _workers_lock = threading.RLock()
    forget_told()
    _held_for_fork.clear()
    for worker in _living():  # also where the fork was made in C, as in uWSGI, and nobody was asked before it
        worker.after_fork(in_child=True)

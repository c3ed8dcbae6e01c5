"""Drive: the thread that steps the sender, and how it starts, wakes, forks and ends."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING

from ..errors import SpoolError
from ..log import forget_told, tell_once
from ..spool import MemorySpool, SpoolClosed
from .sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..spool import Counts, Item, Outcome, Owner, Spool
    from .transports import Transport

HOUSEKEEPING_SECONDS = 60.0
_MAINTAIN_SECONDS = 0.05
_AFTER_ERROR_SECONDS = 1.0
_DEAF_SECONDS = 0.05


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
        _workers.add(self)
        _register_hooks()

    def _forget(self) -> None:
        self.pid = os.getpid()
        self.spool = self._preferred
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._waiters: list[tuple[int | None, threading.Event]] = []
        self._thread: threading.Thread | None = None
        self._sender: Sender | None = None
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
            if not wait:
                return None
            self.start()
        try:
            event_id = self.spool.put(items, wait=wait)
        except SpoolClosed:  # closed between two lines, by another thread
            self.start()
            event_id = self.spool.put(items, wait=wait)
        if self._asleep:
            self.wake()
        return event_id

    def start(self) -> None:
        """Open the spool and start the thread, if they are not there yet."""
        with self._lock:
            self._open()
            if self._thread is None or not self._thread.is_alive():
                self._stop_at = None
                self._thread = threading.Thread(target=self._run, name="totango-sender", daemon=True)
                self._thread.start()

    def _open(self) -> None:
        if self._is_open:
            return
        try:
            self.spool.open(self._owner)
        except SpoolError as error:
            tell_once(
                "no spool", f"events are kept in memory only, and end with this process: {error}", level="error"
            )
            self.spool = MemorySpool()
        self._is_open = True

    def wake(self) -> None:
        """Make the thread look at the spool again."""
        self._asleep = False
        self._wake.set()
        transport_wake = getattr(self._transport, "wake", None)
        if transport_wake is not None:
            transport_wake()

    def flush(self, timeout: float) -> bool:
        """Wait until all that was accepted is delivered or dead; `False` when time ran out."""
        self.start()
        waiter = (self.spool.mark(), threading.Event())
        self._waiters.append(waiter)
        self.wake()
        done = waiter[1].wait(timeout)
        if not done and waiter in self._waiters:
            self._waiters.remove(waiter)
        return done

    def close(self, timeout: float) -> None:
        """Deliver what can be delivered within `timeout` seconds, and stop. The rest stays in the spool."""
        self.ask_to_stop(timeout)
        self.join(timeout)

    def ask_to_stop(self, timeout: float) -> None:
        """Begin to close, without waiting."""
        self._stop_at = time.monotonic() + timeout
        self.wake()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, which lets go of the spool."""
        thread = self._thread
        if thread is None:
            self._let_go()
        elif thread is not threading.current_thread():
            thread.join(timeout + _AFTER_ERROR_SECONDS)  # longer only if it is stuck in a hook or the disk

    def _let_go(self) -> None:
        with self._lock:
            self._thread = None
            if self._is_open:
                self._is_open = False
                self.spool.close()

    def open(self) -> None:
        """Open the spool, to look into it or before the first event."""
        with self._lock:
            self._open()

    def counts(self) -> Counts:
        """What the spool holds and has seen."""
        return self.spool.counts()

    # -- the thread's side

    def _run(self) -> None:
        looked_at = -HOUSEKEEPING_SECONDS
        while True:
            try:
                now = time.monotonic()
                adopt = now - looked_at >= HOUSEKEEPING_SECONDS
                if adopt:
                    looked_at = now
                self.spool.maintain(adopt=adopt)
                self._turns(now + _MAINTAIN_SECONDS, looked_at + HOUSEKEEPING_SECONDS)
                if self._is_over():
                    break
            except Exception as error:  # the host must never notice, and the events are safe
                tell_once(f"sender {type(error).__name__}", f"the sender goes on after {error!r}", level="error")
                if self._stop_at is not None:
                    break
                self._wake.wait(_AFTER_ERROR_SECONDS)
                self._wake.clear()
        if self._transport is not None:
            self._transport.close()
            self._transport = self._sender = None
        self._let_go()

    def _turns(self, until: float, house_at: float) -> None:
        """Send for a while; returns when the spool wants its housekeeping, or all is over."""
        sender = self._sender
        if sender is None:
            sender = self._begin(house_at)
            if sender is None:
                return
        while True:
            self._asleep = sender.is_hungry
            self._tell_waiters()
            wait = self._wait_for(sender.idle_for(), house_at)
            if wait > _DEAF_SECONDS and sender.in_flight and not hasattr(self._transport, "wake"):
                wait = _DEAF_SECONDS
            if wait > 0 and not sender.in_flight:
                self._wake.wait(wait)
                wait = 0.0
            answers = sender.collect(wait)
            self._asleep = False
            self._wake.clear()
            sender.step(answers)
            if time.monotonic() >= until or self._stop_at is not None or self.spool.needs_care:
                return

    def _begin(self, house_at: float) -> Sender | None:
        """Make the sender once there is something to send; until then the HTTP library is not imported."""
        self._asleep = True
        self._tell_waiters()
        if self.spool.next_due() is None:
            if self._stop_at is None:
                self._wake.wait(self._wait_for(None, house_at))
                self._wake.clear()
            return None
        self._transport = self._make_transport()
        self._sender = Sender(
            self.spool,
            self._transport,
            suffix=self._suffix,
            max_connections=self._max_connections,
            max_rate=self._max_rate,
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
                self._waiters.remove(waiter)
                waiter[1].set()

    def _is_over(self) -> bool:
        """Whether to stop: when asked to, and nothing more can be delivered in time."""
        if self._stop_at is None:
            return False
        now = time.monotonic()
        if now >= self._stop_at:
            return True
        sender = self._sender
        if sender is not None and sender.in_flight:
            return False
        idle = self.spool.next_due() if sender is None else sender.idle_for()
        return idle is None or (sender is not None and now + idle >= self._stop_at)

    # -- fork and exit

    def before_fork(self) -> None:
        self._lock.acquire()
        self.spool.before_fork()

    def after_fork(self, *, in_child: bool) -> None:
        """Go on after a fork; the child starts its own spool and thread with its first event."""
        self.spool.after_fork(in_child=in_child)
        if not in_child:
            self._lock.release()
            return
        # What the parent had connected is its own: closing it here could say goodbye in its name.
        _inherited.append((self._transport, self._sender))
        self._forget()
        self._on_fork()


_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
_inherited: list[object] = []
_held_for_fork: list[Worker] = []
_hooked = False


def _register_hooks() -> None:
    global _hooked
    if not _hooked:
        _hooked = True
        atexit.register(close_all)
        os.register_at_fork(before=_before_fork, after_in_parent=_after_in_parent, after_in_child=_after_in_child)


def close_all(timeout: float = 2.0) -> None:
    """Close every worker of this process, all within the same `timeout` seconds."""
    deadline = time.monotonic() + timeout
    workers = [worker for worker in _workers if worker.pid == os.getpid()]
    for worker in workers:
        worker.ask_to_stop(timeout)
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))


def _before_fork() -> None:
    for worker in list(_workers):
        worker.before_fork()
        _held_for_fork.append(worker)


def _after_in_parent() -> None:
    while _held_for_fork:
        _held_for_fork.pop().after_fork(in_child=False)


def _after_in_child() -> None:
    forget_told()
    while _held_for_fork:
        _held_for_fork.pop().after_fork(in_child=True)

"""Own: the spool of a process and its sender's thread, how it starts, wakes and ends."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from typing import TYPE_CHECKING

from .. import host
from ..clock import monotonic
from ..errors import SpoolError
from ..locks import make_lock
from ..log import tell_once
from ..show import shown
from ..spool import SpoolClosed
from ..spool.fallback import FallbackSpool
from . import process
from .bells import LOOK_SECONDS, Life
from .drive import LONGEST_REST_SECONDS, Drive
from .guard import guarded, surely

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..spool import Counts, Item, Owner, Spool
    from .sender import Sender

_LETTING_GO_SECONDS = 0.2
_MOST_TRIES = 100


class Worker:
    """Owns the spool and the sender's thread of this process. Starts nothing before the first
    event.
    """

    def __init__(
        self,
        spool: Spool,
        owner: Owner,
        make_sender: Callable[[Spool], Sender],
        *,
        on_fork: Callable[[], None] = lambda: None,
    ) -> None:
        self._preferred = spool
        self._owner = owner
        self._make_sender = make_sender
        self._on_fork = on_fork
        self._late: deque[Callable[[], object]] = deque()
        self._forget()
        process.register(self)

    def _forget(self) -> None:
        self.pid = os.getpid()
        self.spool = self._preferred
        # What makes locks now: gevent puts its own in the place of these, sooner or later.
        self.locks_of = threading.Lock
        self._lock = make_lock()
        self._drive = Drive(self.spool, self._make_sender, self._late)
        self._thread: Life | None = None
        self._is_open = False
        self._has_no_thread = False  # since no more can be started
        self._only_stores = False

    # -- the caller's side

    def put(self, items: Sequence[Item], *, wait: bool = True) -> str | None:
        """Store items, and wake the sender. Raises `SpoolFull`; see `Spool.put`."""
        if self.pid != os.getpid():
            process.notice_fork()
        if self._thread is None:
            if not (wait or self._is_open):
                return None
            self.start()
            process.check_end(self.spool)
        try:
            event_id = self.spool.put(items, wait=wait)
        except SpoolClosed:  # closed between two lines, by another thread
            event_id = self._put_again(items, wait=wait)
        if self._drive.is_asleep:
            self.wake()
        if self._thread is None:  # it ended meanwhile, perhaps before it saw this
            self.start()
        return event_id

    def _put_again(self, items: Sequence[Item], *, wait: bool) -> str | None:
        """Store items although other threads close again and again."""
        for _ in range(_MOST_TRIES):
            self._is_open = False  # opening it once more does no harm
            self.start()
            with contextlib.suppress(SpoolClosed):
                return self.spool.put(items, wait=wait)
        return self.spool.put(items, wait=wait)

    def look_around(self) -> bool:
        """Make everything anew if what makes locks is another now: gevent has patched.

        `False` if the interpreter has emptied its modules: nothing can be stored any more, and who
        holds a lock is gone.
        """
        if getattr(threading, "Lock", None) is None:
            return False
        if self._thread is not None:  # a real one: nothing that it locks gives way
            return True
        if not self.spool.pending_before(None):
            self._preferred.after_fork(in_child=True)
        self._forget()
        self._on_fork()
        return True

    def start(self) -> None:
        """Open the spool and start the thread, if they are not there yet."""
        if not self._is_open or (self._thread is None and self._may_have_thread):
            process.uninterrupted(self._start)

    @property
    def _may_have_thread(self) -> bool:
        return not self._only_stores and not process.has_no_threads()

    def _start(self) -> None:
        # The lock is taken by whoever does it: one who only waits may be interrupted, and would let go.
        with self._lock:
            self._open()
            self._start_thread()

    def _start_thread(self) -> None:
        if self._thread is not None or not self._may_have_thread:
            return
        life = Life()
        self._has_no_thread = False
        self._drive.stop_at = None
        self._thread = life
        thread = threading.Thread(
            target=self._run, args=(life,), name="totango-sender", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:  # too many threads, or the interpreter is ending
            self._thread = None
            self._has_no_thread = True
            tell_once(
                "no thread",
                f"events wait in the spool, since no thread can be started: {error}",
            )
        else:
            process.close_with_a_child()

    def _open(self) -> None:
        """Open the spool, with the lock held."""
        if self._is_open:
            return
        try:
            self.spool.open(self._owner)
        except host.FAILURES as error:  # whatever it is, the host goes on
            host.swallow(error)
            told = str(error) if isinstance(error, SpoolError) else shown(error)
            tell_once(
                "no spool",
                f"events are kept in memory only, and end with this process, until this is mended: {told}",
                level="error",
            )
            self.spool = self._drive.spool = FallbackSpool(self._preferred, self._owner, told)
        self._is_open = True

    def only_store(self) -> None:
        """Send nothing from this process: it ends soon, and another takes over what it has stored."""
        self._only_stores = True
        getattr(self.spool, "be_brief", lambda: None)()

    def has_stored(self) -> None:
        """Let go of the spool, in a process that only stores: what it leaves takes less room then. The
        next event opens it again.
        """
        if self._only_stores and self._is_open:
            process.uninterrupted(self._let_go)

    def take_over(self, timeout: float = 0.0) -> None:
        """Look now for what processes have left that are gone, and deliver it.

        Waits up to `timeout` seconds until it was looked for.
        """
        self._drive.look_for_the_dead()
        self.start()
        self.wake()
        if timeout and self._thread is not None:
            self._drive.wait_until_looked(timeout)

    def wake(self) -> None:
        """Make the thread look at the spool again."""
        self._drive.wake()

    def later(self, work: Callable[[], object]) -> None:
        """Have another thread do what this one cannot do now, in the middle of something here."""
        self._late.append(work)
        if self._thread is not None:
            self._drive.bell.ring()
        elif not process.has_no_threads():
            process.begin(self._drive.catch_up)

    def flush(self, timeout: float) -> bool:
        """Wait until all that was accepted is delivered or dead; `False` when time ran out.

        In the sender's own thread, which would wait for itself, only tells whether it is so.
        """
        until = monotonic() + timeout
        if self._late and not self.is_inside:
            process.uninterrupted(self._drive.catch_up)
        self.start()
        if self._is_own_thread or self.is_inside:
            return not self.spool.pending_before(None)
        waiter = self._drive.waiters.add(self.spool.mark())
        try:
            while not waiter.is_done:
                if self._thread is None:
                    self.start()
                if self._has_no_thread or process.has_no_threads():
                    return not self.spool.pending_before(waiter.mark)
                self.wake()
                left = until - monotonic()
                waiter.bell.wait(min(left, LOOK_SECONDS))
                if left <= 0:
                    return waiter.is_done
            return True
        finally:
            self._drive.waiters.leave(waiter)

    @property
    def _is_own_thread(self) -> bool:
        life = self._thread
        return life is not None and life.ident == threading.get_ident()

    def close(self, timeout: float) -> None:
        """Deliver what can be delivered within `timeout` seconds, and stop. The rest stays in the
        spool.
        """
        if self._late and not self.is_inside:
            process.uninterrupted(self._drive.catch_up)
        self.ask_to_stop(timeout)
        self.join(timeout)

    def ask_to_stop(self, timeout: float) -> None:
        """Begin to close, without waiting. Some of the time is for what comes after: the spool, and
        the host's end.
        """
        self._drive.stop_at = monotonic() + timeout - min(_LETTING_GO_SECONDS, timeout / 10)
        self.wake()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, which lets go of the spool."""
        life = self._thread
        if life is None:
            process.uninterrupted(self._let_go)
        elif not self._is_own_thread:
            # Longer only if it is stuck in a hook or the disk.
            life.join(timeout + LONGEST_REST_SECONDS)

    def abandon(self) -> None:
        """Expect nothing of the thread any more: the interpreter ends, and it may not have."""
        self._thread = None

    def _let_go(self, life: Life | None = None) -> None:
        with self._lock:
            if self._thread is not life:
                return  # another one has been started meanwhile
            if self._is_open:
                self._is_open = False
                guarded("close", self.spool.close)
            self._thread = None

    def open(self) -> None:
        """Open the spool, to look into it or before the first event."""
        if not self._is_open:
            process.uninterrupted(self._open_alone)

    def _open_alone(self) -> None:
        with self._lock:
            self._open()

    @property
    def is_inside(self) -> bool:
        """Whether this very thread is in the middle of something here, or in the spool."""
        # Asked before each `put`, so not by `is_held`.
        if self._lock._is_owned() or (process.helpers and process.is_helping()):
            return True
        try:
            return self.spool.is_inside
        except AttributeError as error:  # a spool of the host's own need not have it
            host.let_pass(error)
            return False

    @property
    def last_failure(self) -> str:
        """Why the last request failed that is to be sent again."""
        return self._drive.last_failure

    def counts(self) -> Counts:
        """What the spool holds and has seen."""
        return self.spool.counts()

    # -- the thread's side

    def _run(self, life: Life) -> None:
        life.ident = threading.get_ident()
        try:
            self._drive.live()
        except BaseException as error:  # the next `put` starts another one
            tell_once(
                f"sender died {type(error).__name__}",
                f"the sender's thread ended by {shown(error)}; the next event starts another one",
                level="error",
            )
        finally:
            self._end(life)

    def _end(self, life: Life) -> None:
        """Let go of everything, the last reference to the sender too, before the end is told."""
        self._drive.end_sender()
        surely("late calls", self._drive.catch_up)
        surely("sender", self._drive.tell_waiters)
        surely("sender", self._let_go, life)
        if self._thread is life:
            self._thread = None
        life.end()

    # -- fork

    def before_fork(self) -> None:
        self._lock.acquire()
        guarded("fork", self.spool.before_fork)

    def after_fork(self, *, in_child: bool) -> None:
        """Go on after a fork; the child starts its own spool and thread with its first event."""
        guarded("fork", self.spool.after_fork, in_child=in_child)
        if not in_child:
            self._lock.release()
            return
        # What the parent had connected is its own: closing it here could say goodbye in its name.
        _inherited.append(self._drive.sender)
        self._late.clear()  # the parent does that
        self._forget()
        self._on_fork()


_inherited: list[object] = []

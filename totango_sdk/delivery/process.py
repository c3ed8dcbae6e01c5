"""Drive: the process around the senders: how it forks, and how it ends.

Also where neither is announced: uWSGI forks in C, and a child of `multiprocessing` ends without
`atexit`.
"""

from __future__ import annotations

import _thread
import atexit
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

from .. import host, imports
from ..clock import monotonic
from ..errors import SpoolError
from ..locks import make_lock
from ..log import forget_told, tell_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..spool import Spool

_AFTER_ALL_OTHERS = -100  # what else ends with the process may still track
# multiprocessing, and what Celery has made of it.
_WITH_CHILDREN = ("multiprocessing.util", "billiard.util")


class Member(Protocol):
    """What is told of the forks and of the end of its process."""

    pid: int

    def ask_to_stop(self, timeout: float) -> None:
        """Begin to close, without waiting."""

    def join(self, timeout: float) -> None:
        """Wait until it is closed, for at most about `timeout` seconds."""

    def abandon(self) -> None:
        """Count on no thread any more: the interpreter ends."""

    def before_fork(self) -> None:
        """Hold still."""

    def after_fork(self, *, in_child: bool) -> None:
        """Go on; in the child, as one that has just been made."""


_members: weakref.WeakSet[Member] = weakref.WeakSet()
_members_lock = make_lock()  # held while the process forks
_held_for_fork: list[Member] = []
_closes_with: set[tuple[int, str]] = set()
_hooked = False
_is_ending = False
helpers: set[int] = set()  # threads that do something for others


def register(member: Member) -> None:
    """Have a member told of every fork, and closed at the end. It is held weakly."""
    global _hooked
    with _members_lock:
        _members.add(member)
        if not _hooked:
            _hooked = True
            atexit.register(end)
            os.register_at_fork(
                before=_before_fork,
                after_in_parent=_after_in_parent,
                after_in_child=after_in_child,
            )


def _living() -> list[Member]:
    with _members_lock:
        return list(_members)


# -- the end


def end() -> None:
    """Close everything. What is tracked after this waits in the spool for the next process."""
    global _is_ending
    close_all()
    _is_ending = True
    for member in _living():
        member.abandon()


def close_all(timeout: float = 2.0) -> None:
    """Close every member of this process, all within the same `timeout` seconds."""
    deadline = monotonic() + timeout
    members = [member for member in _living() if member.pid == os.getpid()]
    for member in members:
        member.ask_to_stop(timeout)
    for member in members:
        member.join(max(0.0, deadline - monotonic()))


def check_end(spool: Spool) -> None:
    """Raise `SpoolError` if what is put now would be lost with the process, or wait for ever.

    At the very end no other thread runs any more: what one holds now it holds for good.
    """
    if _is_ending and not spool.durable:
        msg = "the process ends, and its spool with it: close after the last event"
        raise SpoolError(msg)
    if sys.is_finalizing() and _has_a_lock_held(spool):
        msg = "the process ends, and a thread that is gone has locked the spool"
        raise SpoolError(msg)


def _has_a_lock_held(spool: Spool) -> bool:
    """Look into the spool, and into the parts and spools that it is made of."""
    module = type(spool).__module__
    package = module.rpartition(".")[0] or module
    parts: list[object] = [spool]
    for part in parts:  # which grows meanwhile
        for value in vars(part).values():
            if _is_locked(value):
                return True
            is_part = type(value).__module__.startswith(package) and hasattr(value, "__dict__")
            if is_part and not any(value is known for known in parts):
                parts.append(value)
    return False


def _is_locked(value: object) -> bool:
    if not hasattr(value, "acquire") or not hasattr(value, "release"):
        return False
    free = value.acquire(blocking=False)
    if free:
        value.release()
    return not free


def close_with_a_child() -> None:
    """Have this process close at its end also if it is a child of `multiprocessing`: those skip
    `atexit`.
    """
    for name in _WITH_CHILDREN:
        util = sys.modules.get(name)  # whoever is such a child has imported it
        if util is not None and (os.getpid(), name) not in _closes_with:
            _closes_with.add((os.getpid(), name))
            util.Finalize(None, end, exitpriority=_AFTER_ALL_OTHERS)


# -- forks


def _before_fork() -> None:
    _members_lock.acquire()
    for member in _living():
        _held_for_fork.append(member)
        member.before_fork()


def _after_in_parent() -> None:
    while _held_for_fork:
        _held_for_fork.pop().after_fork(in_child=False)
    _members_lock.release()


def notice_fork() -> None:
    """Do now what nobody did after a fork in C: not even Python knows that it is in a child.

    Until then its threads wait for those of the parent.
    """
    try:
        import _imp
        import ctypes

        # Who is told before a fork takes the lock of imports, and Python lets go of it here: of
        # one that nobody has, since 3.13, it would end the process.
        if not _imp.lock_held():
            _imp.acquire_lock()
        ctypes.pythonapi.PyOS_AfterFork_Child()
    except (ImportError, AttributeError):  # no CPython, or one without ctypes
        after_in_child()


def after_in_child() -> None:
    """Make every member new. Also where the fork was made in C, and nobody was asked before it."""
    global _members_lock, _is_ending
    _members_lock = make_lock()
    _is_ending = False
    helpers.clear()
    forget_told()
    imports.after_in_child()
    _held_for_fork.clear()
    for member in _living():
        member.after_fork(in_child=True)


# -- threads


def uninterrupted(work: Callable[[], object]) -> None:
    """Do this where no signal handler of the host can break it off: those run in the main thread.

    An exception out of one breaks off the waiting, and the work goes on.
    """
    if threading.get_ident() != threading.main_thread().ident or has_no_threads():
        work()
        return
    done = threading.Lock()
    done.acquire()
    failures: list[BaseException] = []

    def help_out() -> None:
        helpers.add(threading.get_ident())
        try:
            work()
        except BaseException as error:
            failures.append(error)
        finally:
            helpers.discard(threading.get_ident())
            done.release()

    if not begin(help_out):
        work()
        return
    done.acquire()
    if failures:
        raise failures.pop()  # not to be kept by this frame, which its traceback has


def is_helping() -> bool:
    """Whether another thread waits for what this one does: it may hold what this one would need."""
    return threading.get_ident() in helpers


def begin(work: Callable[[], object]) -> bool:
    """Start a thread, in one step that nothing can break off; `False` if there can be no more.

    It does not keep the process alive.
    """
    try:
        _thread.start_new_thread(work, ())
    except RuntimeError as error:  # too many threads, or the interpreter is ending
        host.let_pass(error)
        return False
    return True


def has_no_threads() -> bool:
    """Whether a thread that is started now would never run, or not long enough."""
    return _is_ending or sys.is_finalizing() or _threads_are_off()


def _threads_are_off() -> bool:
    """Whether this is uWSGI without threads, where one that is started never runs."""
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return False
    options = getattr(uwsgi, "opt", {})
    if any(
        name in options for name in ("enable-threads", b"enable-threads", "threads", b"threads")
    ):
        return False
    tell_once(
        "no threads",
        "uWSGI runs without threads, so events wait in the spool for another process, or for `totango spool drain`: "
        "start it with --enable-threads to send them from here",
    )
    return True

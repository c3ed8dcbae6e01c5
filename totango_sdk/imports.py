"""Imports in the middle of a call, which no signal handler of the host may break off.

What one raises there can leave a lock of Python's own import system held for good: no other thread
of the process, ours included, would ever import anything again.
"""

from __future__ import annotations

import _imp
import _thread
import contextlib
import sys
import threading
from importlib import import_module

from . import host


def preload(name: str) -> None:
    """Import a module where no signal handler runs, so that the `import` that follows finds it."""
    if name in sys.modules or not _can_be_struck():
        return
    done = _thread.allocate_lock()
    done.acquire()

    def work() -> None:
        with contextlib.suppress(BaseException):  # the `import` that follows raises it
            import_module(name)
        done.release()

    try:
        _thread.start_new_thread(work, ())
    except RuntimeError as error:  # no more threads, or the interpreter is ending
        host.let_pass(error)
    else:
        done.acquire()


def _can_be_struck() -> bool:
    """Whether this is the main thread, and another one can do it instead.

    Not in uWSGI, where it may never run, nor with gevent, where it is a greenlet of this very thread;
    nor where the import system is in the middle of something: a `__del__` of the host's, called from
    there, would wait for itself.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return False
    if not {"gevent", "uwsgi"}.isdisjoint(sys.modules):
        return False
    return not (sys.is_finalizing() or _imp.lock_held())

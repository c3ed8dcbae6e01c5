"""Imports in the middle of a call, which no signal handler of the host and no fork may break off.

What a handler raises there can leave a lock of Python's own import system held for good: no other
thread of the process, ours included, would ever import anything again. A fork there leaves half a
module to the child, and a lock whose thread does not exist.
"""

from __future__ import annotations

import _imp
import _thread
import contextlib
import os
import sys
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import host
from .locks import is_held, make_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

# Held while the sender's thread imports. Never by two greenlets of one thread for long: nothing
# that is done with it gives way to another one.
_lock = make_lock()
_IMPORT_SECONDS = 5.0
_PATIENT_LOOKS, _LOOK_SECONDS = 50, 0.0005
_forks_wait = False
_mended_in: int | None = None  # the process


def preload(name: str) -> None:
    """Import a module where no signal handler runs, so that the `import` that follows finds it."""
    if name in sys.modules and not _is_unfinished(sys.modules[name]):
        return
    _have_children_mend()
    if not _can_be_struck():
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


def late(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__`: for names that it has, each from a module that is imported
    with its first use.
    """

    def find(name: str) -> Any:
        if name not in homes:
            message = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(message)
        home = f"{package}.{homes[name]}"
        preload(home)
        return getattr(import_module(home), name)

    return find


def _can_be_struck() -> bool:
    """Whether this is the main thread, and another one can do it instead.

    Not in uWSGI, where it may never run, nor with gevent, where it is a greenlet of this very thread;
    nor where this thread is in the middle of the import system: a `__del__` of the host's, called
    from there, would wait for itself.
    """
    if threading.get_ident() != threading.main_thread().ident:
        return False
    if not {"gevent", "uwsgi"}.isdisjoint(sys.modules):
        return False
    return not (sys.is_finalizing() or _is_import_system_held())


def _is_import_system_held() -> bool:
    """Whether its lock stays held. Nobody tells by whom: another thread needs it for microseconds
    only, and this one would for ever.
    """
    for _ in range(_PATIENT_LOOKS):
        if not _imp.lock_held():
            return False
        time.sleep(_LOOK_SECONDS)
    return True


# -- forks


@contextlib.contextmanager
def no_fork() -> Iterator[None]:
    """Let forks wait until this is done: in the middle of an import, they would leave half a
    module to the child.
    """
    _have_forks_wait()
    with _lock:
        yield


def _have_forks_wait() -> None:
    """Wait for imports before all else that is done before a fork: logging locks itself there, and
    what is being imported may need it. What was registered last comes first.
    """
    global _forks_wait
    if not _forks_wait:
        import logging  # noqa: F401

        _forks_wait = True
        os.register_at_fork(before=_wait_for_imports, after_in_parent=_wait_no_more)


def _wait_for_imports() -> None:
    # Not for ever: the import may itself wait for one that the forking thread is in the middle of.
    _lock.acquire(timeout=_IMPORT_SECONDS)


def _wait_no_more() -> None:
    if is_held(_lock):  # else it was not to be had in time
        _lock.release()


def _have_children_mend() -> None:
    global _mended_in
    if _mended_in is None:
        _mended_in = os.getpid()
        os.register_at_fork(after_in_child=after_in_child)
    elif _mended_in != os.getpid():  # the fork was made in C, and nobody was told
        after_in_child()


def after_in_child() -> None:
    """Forget the modules that another thread was importing when the fork came: nobody finishes
    them. Whoever needs one imports it anew.
    """
    global _lock, _mended_in
    _lock = make_lock()
    _mended_in = os.getpid()
    locks: dict[str, Callable[[], object]]
    locks = getattr(sys.modules["_frozen_importlib"], "_module_locks", {})
    me = threading.get_ident()
    for name, find in list(locks.items()):
        if getattr(find(), "owner", None) not in (None, me):
            locks.pop(name, None)
    unfinished = [name for name, module in list(sys.modules.items()) if _is_unfinished(module)]
    if unfinished:
        mine = _imported_here()
        for name in unfinished:
            if name not in mine:
                sys.modules.pop(name, None)
                locks.pop(name, None)


def _imported_here() -> set[str]:
    """Return the modules that this very thread is in the middle of."""
    found = set()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            found.add(str(frame.f_globals.get("__name__")))
        frame = frame.f_back
    return found


def _is_unfinished(module: object) -> bool:
    return getattr(getattr(module, "__spec__", None), "_initializing", False) is True

"""Whatever the host does: one rule for all of its code that we call.

Filters and handlers of its log, `before_send`, `on_dead_letter`, a transport or a spool of its own,
the objects that it passes: what they raise ends where we called them. What came out of a signal
handler (a job's deadline, Ctrl-C) is not theirs but the host's own, wherever it struck, and goes on.

    try:
        hook(event)
    except host.FAILURES as error:
        host.swallow(error)
        ...
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

# A hook may well call sys.exit. What derives from nothing but BaseException is for nobody here.
FAILURES = (Exception, SystemExit)

_PACKAGE = os.path.dirname(__file__) + os.sep
_NOT_THE_HOSTS = {__package__, "attr", "attrs", "cachetools", "httpcore", "httpx", "pycurl"}
_watchers: list[Callable[[BaseException], object]] = []


def let_pass(error: BaseException) -> None:
    """Raise what has interrupted us, if `error` is that or came of it."""
    interruption = interruption_in(error)
    try:
        if interruption is not None:
            raise interruption
    finally:
        # Its traceback has this frame: what the frame keeps of it is a circle, with all that called us.
        del error, interruption


def swallow(error: BaseException) -> None:
    """Let `error` end here, unless it interrupted us: then raise what did."""
    try:
        let_pass(error)
        for watcher in _watchers:
            watcher(error)
    finally:
        del error


def interruption_in(error: BaseException) -> BaseException | None:
    """Return what struck this thread from outside: `error`, or what it was raised in the middle of.

    That is what a signal handler raised, and what another thread threw into this one.
    """
    passed: set[FrameType] = set()
    found: BaseException | None = error
    while found is not None:
        frames = list(_frames(found.__traceback__))
        # What was over before this began struck somebody else.
        if not frames or (passed and frames[0] not in passed):
            return None
        # The first one catches it, and is no handler. Up to Python 3.12 to look into it would leave a
        # copy of its variables to it: `error` among them, in a circle with all that called us.
        if any(map(_is_handler, frames[1:])) or _was_thrown(found, frames[-1]):
            return found
        passed.update(frames)
        found = found.__cause__ or found.__context__
    return None


def _frames(traceback: TracebackType | None) -> Iterator[FrameType]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _is_handler(frame: FrameType) -> bool:
    """Whether this runs a signal handler: those alone are given the frame that they interrupt."""
    code = frame.f_code
    given = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 0x04)
    if not given or frame.f_back is None:
        return False
    values: dict[str, Any] = frame.f_locals
    for name in code.co_varnames[:given]:
        value = values.get(name)
        if value is frame.f_back:
            return True
        # By its real type: a host's object may say of itself what it is not, or raise.
        if type(value) is tuple and any(each is frame.f_back for each in value):
            return True
    return False


def _was_thrown(error: BaseException, where: FrameType) -> bool:
    """Whether a line of ours raises what only the host can have made, and nobody of its was called."""
    if not where.f_code.co_filename.startswith(_PACKAGE):
        return False
    home = type(error).__module__.partition(".")[0]
    return home not in _NOT_THE_HOSTS and home not in sys.stdlib_module_names


class watching:  # noqa: N801 - used like a function
    """A `with` block in which `watcher` is told of all that is swallowed: for tests."""

    def __init__(self, watcher: Callable[[BaseException], object]) -> None:
        self._watcher = watcher

    def __enter__(self) -> None:
        _watchers.append(self._watcher)

    def __exit__(self, *_: object) -> None:
        _watchers.remove(self._watcher)

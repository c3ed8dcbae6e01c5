"""A deadline that strikes anywhere, as a job's time limit does, and counts what must reach its job."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType


class Deadline(Exception):
    """What the handler of SIGALRM raises."""

    struck = 0


def _strike(_: int, frame: FrameType) -> None:
    # What is raised in the callback of a weak reference ends there: Python itself sees to that.
    if not frame.f_code.co_filename.endswith(("_weakrefset.py", "weakref.py")):
        Deadline.struck += 1
    raise Deadline


def arm() -> None:
    """Have SIGALRM raise."""
    signal.signal(signal.SIGALRM, _strike)

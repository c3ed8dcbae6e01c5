"""Forks that nobody announces to Python."""

from __future__ import annotations

import ctypes
import os
import sys


def fork_in_c() -> int:
    """Fork as uWSGI does, which runs not a line of Python before it tells Python of it.

    Until then the child must not let go of the interpreter's lock: it would wait for ever for a thread that only the
    parent has. Any other thread may ask for it between two lines, once it has waited for the interval.
    """
    parent = os.getpid()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    pid = int(ctypes.PyDLL(None).fork())
    if os.getpid() == parent:
        sys.setswitchinterval(interval)
    return pid

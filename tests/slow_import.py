"""An import that takes its time in a thread, so that something can come in the middle of it."""

from __future__ import annotations

import importlib.abc
import sys
import threading
import time
from typing import Any


class _Slow(importlib.abc.MetaPathFinder):
    def __init__(self, module: str) -> None:
        self._module = module
        self.reached = threading.Event()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name == self._module and threading.current_thread() is not threading.main_thread():
            self.reached.set()
            time.sleep(0.2)


def slow_down(module: str) -> threading.Event:
    """Have the import of this module take 0.2 s, but in the main thread; set once it has begun."""
    slow = _Slow(module)
    sys.meta_path.insert(0, slow)
    return slow.reached

"""A lock that no exception out of a signal handler leaves held."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from totango_sdk import locks
from totango_sdk.locks import make_lock


class Deadline(Exception):
    pass


# In a process of its own: what measures coverage has a lock, too, which would be left held.
INTERRUPTED = """
import signal
from totango_sdk import locks

class Deadline(Exception):
    pass

def handler(*_):
    raise Deadline

signal.signal(signal.SIGALRM, handler)
lock = locks.{make}()
for number in range(500):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0002 + number / 1e6)
        while True:
            with lock:
                pass
    except Deadline:
        assert not lock._is_owned(), number
print("done")
"""


@pytest.mark.parametrize("make", ["make_lock", "_Lock"])
def test_an_exception_out_of_a_signal_handler_leaves_it_free(make: str) -> None:
    code = INTERRUPTED.format(make=make)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.parametrize("make", [make_lock, locks._Lock], ids=["this Python's", "that of 3.14"])
def test_it_is_one_threads_who_may_take_it_again(make: Any) -> None:
    lock = make()
    elsewhere: list[bool] = []
    with lock, lock:
        assert lock._is_owned()
        thread = threading.Thread(target=lambda: elsewhere.append(lock.acquire(blocking=False)))
        thread.start()
        thread.join()
    assert elsewhere == [False]
    assert not lock._is_owned()


def test_what_strikes_when_it_is_taken_lets_go_of_that_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Struck(locks._Lock):
        strikes = False

        def acquire(self, *args: Any, **kwargs: Any) -> Any:
            taken = super().acquire(*args, **kwargs)
            if self.strikes:
                raise Deadline
            return taken

    lock = Struck()
    with lock:
        lock.strikes = True
        with pytest.raises(Deadline), lock:
            raise AssertionError("never here")
        assert lock._recursion_count() == 1
    assert not lock._is_owned()

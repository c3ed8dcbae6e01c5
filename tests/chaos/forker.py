"""Hosts that fork: `multiprocessing`, and many forks while a thread tracks."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import sys
import threading
import warnings
from typing import Any

from .drive import make_client
from .ledger import Ledger


def many_forks(config: dict[str, Any], client: Any, ledger: Ledger) -> None:
    """Fork again and again while a thread tracks; each child tracks, and half of them close."""
    done = threading.Event()

    def keep_tracking() -> None:
        for seq in itertools.count():
            ledger.send(client, "before", seq, 20)
            if done.wait(0.001):
                return

    thread = threading.Thread(target=keep_tracking)
    thread.start()
    codes = []
    for number in range(config["forks"]):
        pid = os.fork()
        if pid == 0:
            _be_child(client, ledger, number)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    done.set()
    thread.join()
    assert codes == [0] * config["forks"], codes


def _be_child(client: Any, ledger: Ledger, number: int) -> None:
    status = 1
    try:
        for seq in range(3):
            ledger.send(client, f"child{number}", seq, 20)
        if number % 2:
            client.close()
        status = 0
    finally:
        os._exit(status)


def pools(config: dict[str, Any], client: Any, ledger: Ledger) -> None:
    """Use a pool and single processes of `multiprocessing`, started by fork."""
    context = multiprocessing.get_context("fork")
    for seq in range(50):
        ledger.send(client, "before", seq, 20)
    work = _Work(client, ledger)
    with context.Pool(4) as pool:
        pool.map(work, range(20))
    processes = [context.Process(target=work, args=(100 + number,)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
        assert process.exitcode == 0, process.exitcode
    for seq in range(50, 100):
        ledger.send(client, "before", seq, 20)


_inherited: Any = None


class _Work:
    """A task for a child, which uses the client that it has inherited."""

    def __init__(self, client: Any, ledger: Ledger) -> None:
        global _inherited  # noqa: PLW0603
        _inherited = (client, ledger)

    def __call__(self, number: int) -> None:
        client, ledger = _inherited
        for seq in range(5):
            ledger.send(client, f"task{number}", seq, 20)


def main(config: dict[str, Any]) -> None:
    # Python 3.12 warns of every fork in a process with threads: that is what is tested here.
    warnings.filterwarnings("ignore", "This process.*is multi-threaded", DeprecationWarning)
    client = make_client(config)
    {"many": many_forks, "pools": pools}[config["kind"]](config, client, Ledger(config["ledger"]))
    print(json.dumps({"done": True}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

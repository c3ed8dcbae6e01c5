"""What the HTTP libraries do by themselves: one POST an event, bodies made beforehand, no spool, no retries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

from benchmarks.peers import MODULE, USER, account, marker

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def bodies(count: int) -> list[bytes]:
    """The bodies that our own client would send."""
    form = "sdr_s=SP-1234-01&sdr_o={}&sdr_u={}&sdr_a=opened%20{}&sdr_m={}"
    return [form.format(account(i), quote(USER), marker(i), MODULE).encode() for i in range(count)]


def httpx_shared(url: str, waiting: Iterable[bytes], connections: int) -> None:
    """One httpx.Client for all threads."""
    import httpx

    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    with httpx.Client(timeout=10, limits=limits) as client:
        _in_threads(lambda: client, url, waiting, connections)


def httpx_own(url: str, waiting: Iterable[bytes], connections: int) -> None:
    """One httpx.Client for each thread, so that they do not meet in one pool."""
    import httpx

    context = httpx.create_ssl_context()
    _in_threads(lambda: httpx.Client(timeout=10, verify=context), url, waiting, connections)


def _in_threads(client: Callable[[], Any], url: str, waiting: Iterable[bytes], connections: int) -> None:
    queue, lock = iter(waiting), threading.Lock()

    def work() -> None:
        post = client().post
        while True:
            with lock:
                body = next(queue, None)
            if body is None:
                return
            post(f"{url}/pixel.gif/", content=body, headers=FORM).raise_for_status()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _easy(url: str) -> Any:
    import pycurl

    easy = pycurl.Curl()
    easy.setopt(pycurl.URL, f"{url}/pixel.gif/")
    easy.setopt(pycurl.POST, 1)
    easy.setopt(pycurl.NOSIGNAL, 1)
    easy.setopt(pycurl.TIMEOUT_MS, 10_000)
    easy.setopt(pycurl.WRITEFUNCTION, len)
    return easy


def _start(multi: Any, easy: Any, queue: Iterator[bytes]) -> int:
    """Gives a free handle the next body; 0 when there is none left."""
    import pycurl

    body = next(queue, None)
    if body is None:
        return 0
    easy.setopt(pycurl.POSTFIELDS, body)
    multi.add_handle(easy)
    return 1


def _again(multi: Any, queue: Iterator[bytes]) -> tuple[int, int]:
    """Takes the handles that are done and starts them again; gives how many were done and how many started."""
    ended = started = 0
    while True:
        left, done, failed = multi.info_read()
        if failed:
            raise RuntimeError(f"{failed[0][1]}: {failed[0][2]}")
        for easy in done:
            multi.remove_handle(easy)
            started += _start(multi, easy, queue)
        ended += len(done)
        if not left:
            return ended, started


def curl(url: str, waiting: Iterable[bytes], connections: int) -> None:
    """CurlMulti over reused handles: perform, start again what is done, select when nothing is left to start."""
    import pycurl

    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_MAXCONNECTS, connections)
    queue = iter(waiting)
    easies = [_easy(url) for _ in range(connections)]
    working = sum(_start(multi, easy, queue) for easy in easies)
    while working:
        multi.perform()
        ended, started = _again(multi, queue)
        working += started - ended
        if working and not started:  # what was started waits for the next perform, not for an answer
            multi.select(1.0)


SENDERS: dict[str, Callable[[str, Iterable[bytes], int], None]] = {
    "httpx": httpx_shared,
    "httpx-own": httpx_own,
    "curl": curl,
}

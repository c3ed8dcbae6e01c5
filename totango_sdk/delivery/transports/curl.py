"""Carry with libcurl: one thread, all connections, no waiting. Comes with the extra `fast`.

libcurl says which sockets it waits for (`_watch`) and when it wants to be called at the latest
(`_set_timer`); epoll tells which are ready. Easy handles are kept and used again with their settings.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import TYPE_CHECKING

try:
    import pycurl
except ImportError as missing:
    message = "transport='curl' needs pycurl: pip install 'totango-sdk[fast]'"
    raise ImportError(message) from missing

from .base import CONTENT_TYPE, MOST_ANSWER_BYTES, Answer, ca_file, proxy_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .base import Settings

_READABLE, _WRITABLE = select.POLLIN, select.POLLOUT
_WATCHED = {
    pycurl.POLL_IN: _READABLE,
    pycurl.POLL_OUT: _WRITABLE,
    pycurl.POLL_INOUT: _READABLE | _WRITABLE,
}


class CurlTransport:
    """Sends up to `max_connections` requests at once from the thread that polls."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout_ms = max(1, int(settings.timeout * 1000))
        self._proxy = proxy_for(settings)
        self._poller = _Poller()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, settings.max_connections)
        self._unneeded: set[int] = set()
        self._deadline: float | None = None
        self._idle: list[tuple[pycurl.Curl, list[bytes]]] = []
        self._busy: dict[pycurl.Curl, tuple[int, list[bytes]]] = {}

    def submit(self, ticket: int, body: bytes) -> None:
        """Begin to POST a form body; it leaves with the next `poll`."""
        easy, headers = self._idle.pop() if self._idle else self._new_handle()
        headers.clear()
        easy.setopt(pycurl.POSTFIELDS, body)
        self._busy[easy] = ticket, headers
        self._multi.add_handle(easy)

    def poll(self, timeout: float) -> list[Answer]:
        """Return the answers that are there; wait up to `timeout` seconds for the first."""
        until = time.monotonic() + timeout
        while True:
            self._run_timer()
            answers = self._finished()
            wait = 0.0 if answers else self._wait(until)
            woken = self._serve(wait)
            if not answers:
                answers = self._finished()
            if answers or woken or time.monotonic() >= until:
                return answers

    def wake(self) -> None:
        """Make a `poll` that waits return."""
        self._poller.wake()

    def close(self) -> None:
        """Stop at once, and close every connection."""
        if self._multi.closed:
            return
        for easy in [*self._busy, *(handle for handle, _ in self._idle)]:
            if easy in self._busy:
                self._multi.remove_handle(easy)
            easy.close()
        self._busy.clear()
        self._idle.clear()
        self._multi.close()
        self._poller.close()

    def _new_handle(self) -> tuple[pycurl.Curl, list[bytes]]:
        easy = pycurl.Curl()
        headers: list[bytes] = []
        easy.setopt(pycurl.URL, self._settings.endpoint)
        easy.setopt(pycurl.POST, 1)
        # An empty Expect: keeps libcurl from asking first whether it may send a body.
        easy.setopt(pycurl.HTTPHEADER, [f"Content-Type: {CONTENT_TYPE}", "Expect:"])
        easy.setopt(pycurl.USERAGENT, self._settings.user_agent)
        easy.setopt(pycurl.TIMEOUT_MS, self._timeout_ms)
        easy.setopt(pycurl.CONNECTTIMEOUT_MS, self._timeout_ms)
        easy.setopt(pycurl.NOSIGNAL, 1)
        easy.setopt(pycurl.FOLLOWLOCATION, 0)
        easy.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        easy.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        easy.setopt(pycurl.SSL_VERIFYPEER, 1)
        easy.setopt(pycurl.SSL_VERIFYHOST, 2)
        easy.setopt(pycurl.PROXY, self._proxy or "")  # empty: libcurl does not look at the environment itself
        if self._settings.endpoint.startswith("https:"):
            easy.setopt(pycurl.CAINFO, ca_file())
        easy.setopt(pycurl.MAXFILESIZE, MOST_ANSWER_BYTES)
        # Functions written in C: a Python function for each line would cost more than the sending.
        easy.setopt(pycurl.WRITEFUNCTION, len)
        easy.setopt(pycurl.HEADERFUNCTION, headers.append)
        easy.setopt(pycurl.SOCKOPTFUNCTION, self._opened)
        return easy, headers

    # -- what libcurl asks for

    def _watch(self, what: int, fd: int, *_: object) -> None:
        # A socket that is not needed now stays watched: the next request on it asks for the same again.
        if what == pycurl.POLL_REMOVE:
            self._unneeded.add(fd)
        else:
            self._unneeded.discard(fd)
            self._poller.watch(fd, _WATCHED.get(what, 0))

    def _opened(self, fd: int, _: int) -> int:
        # The number may have been that of a connection which is closed now.
        self._poller.forget(fd)
        return int(pycurl.SOCKOPT_OK)

    def _set_timer(self, milliseconds: int) -> None:
        self._deadline = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def _run_timer(self) -> None:
        if self._deadline is not None and self._deadline <= time.monotonic():
            self._deadline = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    # -- what is ready

    def _wait(self, until: float) -> float:
        latest = until if self._deadline is None else min(until, self._deadline)
        return max(0.0, latest - time.monotonic())

    def _serve(self, wait: float) -> bool:
        """Wait for sockets, and let libcurl work on those that are ready; `True` if woken."""
        woken = False
        for fd, events in self._poller.poll(wait):
            if fd == self._poller.wake_fd:
                woken = True
                self._poller.drain()
                continue
            if fd in self._unneeded:
                # An idle connection that the server closed: libcurl notices when it wants to use it again.
                self._poller.forget(fd)
                continue
            mask = pycurl.CSELECT_IN if events & ~_WRITABLE else 0
            mask |= pycurl.CSELECT_OUT if events & _WRITABLE else 0
            self._multi.socket_action(fd, mask)
        return woken

    def _finished(self) -> list[Answer]:
        answers: list[Answer] = []
        left = 1
        while left:
            left, done, failed = self._multi.info_read()
            answers += [self._answer(easy, None) for easy in done]
            answers += [self._answer(easy, f"libcurl {code}: {text}") for easy, code, text in failed]
        return answers

    def _answer(self, easy: pycurl.Curl, error: str | None) -> Answer:
        ticket, headers = self._busy.pop(easy)
        status = int(easy.getinfo(pycurl.RESPONSE_CODE))
        self._multi.remove_handle(easy)
        self._idle.append((easy, headers))
        if error is not None and not (status and error.startswith(_TOO_LARGE)):
            return Answer(ticket, None, error=error)
        return Answer(ticket, status) if status == 200 else Answer(ticket, status, _parsed(headers))


_TOO_LARGE = f"libcurl {pycurl.E_FILESIZE_EXCEEDED}:"


def _parsed(lines: list[bytes]) -> Mapping[str, str]:
    """Return the headers of the last answer: an interim one (100) has its own before."""
    found: dict[str, str] = {}
    for line in lines:
        if line.startswith(b"HTTP/"):
            found.clear()
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            found[name.strip().lower()] = value.strip()
    return found


class _Poller:
    """epoll where there is one, else poll; and a descriptor by which another thread can wake it."""

    def __init__(self) -> None:
        self._is_epoll = hasattr(select, "epoll")
        self._poll = select.epoll() if self._is_epoll else select.poll()
        self._watched: dict[int, int] = {}
        self.wake_fd, self._wake_write = os.pipe()
        os.set_blocking(self.wake_fd, False)
        os.set_blocking(self._wake_write, False)
        self._poll.register(self.wake_fd, _READABLE)

    def watch(self, fd: int, events: int) -> None:
        known = self._watched.get(fd)
        if known == events:
            return
        if known is None:
            self._poll.register(fd, events)
        else:
            self._poll.modify(fd, events)
        self._watched[fd] = events

    def forget(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            with contextlib.suppress(OSError, KeyError):
                self._poll.unregister(fd)

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        return self._poll.poll(seconds if self._is_epoll else seconds * 1000)

    def wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is woken already; or closed
            os.write(self._wake_write, b"\0")

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self.wake_fd, 4096)) == 4096:
                pass

    def close(self) -> None:
        if self._is_epoll:
            self._poll.close()  # type: ignore[union-attr]
        os.close(self.wake_fd)
        os.close(self._wake_write)

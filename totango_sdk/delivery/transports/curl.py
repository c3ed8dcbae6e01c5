"""Carry with libcurl: one thread, all connections, no waiting. Comes with the extra `fast`.

`perform` moves everything at once, with the interpreter let go and without a call back into Python for each
socket; epoll only tells that it is worth another look. Easy handles are kept and used again with their settings.
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

# A socket tells that it has changed, once; what it waits for is libcurl's business. What no socket of ours tells
# (a name that was looked up, an answer longer than one read) is seen by looking again: soon, then less often.
_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.01, 0.1


class CurlTransport:
    """Sends up to `max_connections` requests at once from the thread that polls."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout_ms = max(1, int(settings.timeout * 1000))
        self._proxy = proxy_for(settings)
        self._bell = _EpollBell() if hasattr(select, "epoll") else _PlainBell()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, settings.max_connections)
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
        look = _FIRST_LOOK_SECONDS
        self._multi.perform()
        while not (answers := self._finished()):
            left = until - time.monotonic()
            if left <= 0 or self._wait(min(left, look)):
                break
            look = min(2 * look, _LAST_LOOK_SECONDS)
            self._multi.perform()
        return answers

    def _wait(self, seconds: float) -> bool:
        """Wait until there may be something for libcurl to do; `True` if woken."""
        due = self._multi.timeout()
        return self._bell.wait(self._multi, seconds if due < 0 else min(seconds, due / 1000))

    def wake(self) -> None:
        """Make a `poll` that waits return."""
        self._bell.ring()

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
        self._bell.close()

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
        easy.setopt(pycurl.SOCKOPTFUNCTION, self._bell.opened)
        return easy, headers

    def _finished(self) -> list[Answer]:
        answers: list[Answer] = []
        left = 1
        while left:
            left, done, failed = self._multi.info_read()
            for easy in done:
                ticket, headers, status = self._free(easy)
                if status == 200 and headers and headers[-1] in _BLANK:  # nearly every one
                    answers.append(Answer(ticket, 200))
                elif _is_whole(headers):
                    answers.append(Answer(ticket, status, _parsed(headers)))
                else:
                    answers.append(Answer(ticket, None, error="the answer broke off within its headers"))
            for easy, code, text in failed:
                ticket, headers, status = self._free(easy)
                if status and code == pycurl.E_FILESIZE_EXCEEDED:
                    answers.append(Answer(ticket, status, _parsed(headers)))
                else:
                    answers.append(Answer(ticket, None, error=f"libcurl {code}: {text}"))
        return answers

    def _free(self, easy: pycurl.Curl) -> tuple[int, list[bytes], int]:
        """Take a handle back that is done; return its ticket, the lines of its headers and its status."""
        ticket, headers = self._busy.pop(easy)
        status: int = easy.getinfo(pycurl.RESPONSE_CODE)
        self._multi.remove_handle(easy)
        self._idle.append((easy, headers))
        return ticket, headers, status


_BLANK = (b"\r\n", b"\n")


def _is_whole(lines: list[bytes]) -> bool:
    """Whether the head of the last answer has an end: libcurl says nothing of a connection that is closed within it."""
    ended = False
    for line in lines:  # behind the end there may be trailers, and behind that of an interim answer the real one
        ended = line in _BLANK or (ended and not line.startswith(b"HTTP/"))
    return ended


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


class _EpollBell:
    """Rings when a connection has changed, or another thread wants it to."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wake_fd, self._wake_write = os.pipe()
        os.set_blocking(self._wake_fd, False)
        os.set_blocking(self._wake_write, False)
        self._epoll.register(self._wake_fd, select.EPOLLIN)

    def opened(self, fd: int, _: int) -> int:
        """libcurl has opened a socket. One that is closed leaves by itself."""
        with contextlib.suppress(FileExistsError):
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
        return int(pycurl.SOCKOPT_OK)

    def wait(self, _: pycurl.CurlMulti, seconds: float) -> bool:
        """Wait for a ring; `True` if it was another thread's."""
        woken = any(fd == self._wake_fd for fd, _ in self._epoll.poll(seconds))
        if woken:
            with contextlib.suppress(BlockingIOError):
                while len(os.read(self._wake_fd, 4096)) == 4096:
                    pass
        return woken

    def ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it rings already; or closed
            os.write(self._wake_write, b"\0")

    def close(self) -> None:
        self._epoll.close()
        os.close(self._wake_fd)
        os.close(self._wake_write)


class _PlainBell:  # pragma: no cover - macOS
    """The same where there is no epoll; another thread is heard with the next look."""

    _rang = False

    def opened(self, _fd: int, _: int) -> int:
        return int(pycurl.SOCKOPT_OK)

    def wait(self, multi: pycurl.CurlMulti, seconds: float) -> bool:
        if not self._rang:
            multi.select(seconds)
        woken, self._rang = self._rang, False
        return woken

    def ring(self) -> None:
        self._rang = True

    def close(self) -> None: ...

"""Carry with libcurl: one thread, all connections, no waiting. Comes with the extra `fast`.

`perform` moves everything at once, with the interpreter let go and without a call back into Python
for each socket; epoll only tells that it is worth another look. Easy handles are kept and used
again with their settings.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import TYPE_CHECKING

try:
    import pycurl
except ImportError as missing:
    message = "transport='curl' needs pycurl: pip install 'totango-sdk[fast]'"
    raise ImportError(message) from missing

from ... import host
from ...clock import monotonic
from .base import (
    CLOSED,
    CONTENT_TYPE,
    MOST_ANSWER_BYTES,
    Answer,
    advice_on,
    ca_file,
    missing_descriptor,
    never_closed,
    proxy_for,
)
from .canary import Canary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .base import Settings

# A socket tells that it has changed, once; what it waits for is libcurl's business. What no socket
# of ours tells (a name that was looked up, an answer longer than one read) is seen by looking
# again: soon, then less often.
_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.01, 0.1


class CurlTransport:
    """Sends up to `max_connections` requests at once from the thread that polls."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout_ms = max(1, int(settings.timeout * 1000))
        self._proxy = proxy_for(settings)
        self._ca_file = ca_file() if settings.endpoint.startswith("https:") else None
        self._is_closed = False
        self._gave_up_lookup = False  # and libcurl has not: somebody still waits for an address
        self._begin()

    def _begin(self) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, self._settings.max_connections)
        self._bell = _EpollBell() if hasattr(select, "epoll") else _PlainBell()
        self._idle: list[tuple[pycurl.Curl, list[bytes]]] = []
        self._busy: dict[pycurl.Curl, tuple[int, list[bytes]]] = {}

    def _begin_again(self) -> list[Answer]:
        """Leave all as it is, for good, and start anew: its descriptors may be somebody else's now."""
        never_closed.append((self._multi, self._idle, self._busy, self._bell))
        answers = [Answer(ticket, None, error=CLOSED) for ticket, _ in self._busy.values()]
        self._begin()
        return answers

    def submit(self, ticket: int, body: bytes) -> None:
        """Begin to POST a form body; it leaves with the next `poll`."""
        easy, headers = self._idle.pop() if self._idle else self._new_handle()
        headers.clear()
        easy.setopt(pycurl.POSTFIELDS, body)
        self._busy[easy] = ticket, headers
        self._multi.add_handle(easy)

    def poll(self, timeout: float) -> list[Answer]:
        """Return the answers that are there; wait up to `timeout` seconds for the first."""
        until = monotonic() + timeout
        look = _FIRST_LOOK_SECONDS
        if not self._bell.is_alive and (answers := self._begin_again()):
            return answers
        self._multi.perform()
        while not (answers := self._finished()):
            left = until - monotonic()
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
        if self._is_closed:
            return
        self._is_closed = True
        if not self._bell.is_alive:
            self._begin_again()
        if self._gave_up_lookup or any(map(_may_look_up, self._busy)):
            # libcurl waits for a name server that does not answer; nobody else has to.
            threading.Thread(target=self._close, name="totango-curl-close", daemon=True).start()
        else:
            self._close()

    def _close(self) -> None:
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
        self._describe(easy)
        self._secure(easy)
        easy.setopt(pycurl.MAXFILESIZE, MOST_ANSWER_BYTES)
        # Functions written in C: a Python function for each line would cost more than the sending.
        easy.setopt(pycurl.WRITEFUNCTION, len)
        easy.setopt(pycurl.HEADERFUNCTION, headers.append)
        easy.setopt(pycurl.SOCKOPTFUNCTION, self._bell.opened)
        return easy, headers

    def _describe(self, easy: pycurl.Curl) -> None:
        """Say what goes where, and for how long."""
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
        # Set also where empty, so that libcurl does not look at the environment itself.
        easy.setopt(pycurl.PROXY, self._proxy.address if self._proxy is not None else "")
        easy.setopt(pycurl.NOPROXY, "")

    def _secure(self, easy: pycurl.Curl) -> None:
        easy.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
        easy.setopt(pycurl.SSL_VERIFYPEER, 1)
        easy.setopt(pycurl.SSL_VERIFYHOST, 2)
        if self._ca_file is not None:
            easy.setopt(pycurl.CAINFO, self._ca_file)

    def _finished(self) -> list[Answer]:
        answers: list[Answer] = []
        left = 1
        while left:
            left, done, failed = self._multi.info_read()
            answers += [self._answered(easy) for easy in done]
            answers += [self._failed(easy, code, text) for easy, code, text in failed]
        return answers

    def _answered(self, easy: pycurl.Curl) -> Answer:
        ticket, headers, status = self._free(easy)
        if status == 200 and headers and headers[-1] in _BLANK:  # nearly every one
            kind = easy.getinfo(pycurl.CONTENT_TYPE)
            if kind and kind.startswith("text/html"):
                return Answer(ticket, 200, _parsed(headers))
            return Answer(ticket, 200)
        if _is_whole(headers):
            return Answer(ticket, status, _parsed(headers))
        return Answer(ticket, None, error="the answer broke off within its headers")

    def _failed(self, easy: pycurl.Curl, code: int, text: str) -> Answer:
        self._gave_up_lookup |= code == pycurl.E_OPERATION_TIMEDOUT and _may_look_up(easy)
        ticket, headers, status = self._free(easy)
        if status and code == pycurl.E_FILESIZE_EXCEEDED:
            return Answer(ticket, status, _parsed(headers))
        return Answer(ticket, None, error=self._told(easy, code, text))

    def _told(self, easy: pycurl.Curl, code: int, text: str) -> str:
        """Return an error in words, with what to do about it and without a password."""
        errno = easy.getinfo(pycurl.OS_ERRNO) or missing_descriptor()
        told = f"libcurl {code}: {text}{advice_on(errno)}"
        return told if self._proxy is None else self._proxy.hide(told)

    def _free(self, easy: pycurl.Curl) -> tuple[int, list[bytes], int]:
        """Take a handle back that is done.

        Return its ticket, the lines of its headers and its status.
        """
        ticket, headers = self._busy.pop(easy)
        status: int = easy.getinfo(pycurl.RESPONSE_CODE)
        self._multi.remove_handle(easy)
        self._idle.append((easy, headers))
        return ticket, headers, status


def _may_look_up(easy: pycurl.Curl) -> bool:
    """Whether a request may be waiting for the address of its host."""
    return bool(easy.getinfo(pycurl.NAMELOOKUP_TIME) == 0.0)


_BLANK = (b"\r\n", b"\n")


def _is_whole(lines: list[bytes]) -> bool:
    """Whether the head of the last answer has an end.

    libcurl says nothing of a connection that is closed within it.
    """
    ended = False
    # Behind the end there may be trailers, and behind that of an interim answer the real one.
    for line in lines:
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
        self._canary = Canary()
        self._wake_fd, self._wake_write = self._canary.read_fd, self._canary.write_fd
        os.set_blocking(self._wake_fd, False)
        os.set_blocking(self._wake_write, False)
        self._epoll.register(self._wake_fd, select.EPOLLIN)

    def opened(self, fd: int, _: int) -> int:
        """libcurl has opened a socket. One that is closed leaves by itself."""
        with contextlib.suppress(FileExistsError):
            self._epoll.register(
                fd, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
            )
        return int(pycurl.SOCKOPT_OK)

    def wait(self, _: pycurl.CurlMulti, seconds: float) -> bool:
        """Wait for a ring; `True` if it was another thread's."""
        woken = any(fd == self._wake_fd for fd, _ in self._epoll.poll(seconds))
        if woken:
            with contextlib.suppress(BlockingIOError):
                while len(os.read(self._wake_fd, 4096)) == 4096:
                    pass
        return woken

    @property
    def is_alive(self) -> bool:
        """Whether its descriptors are still its own."""
        return self._canary.is_alive

    def ring(self) -> None:
        try:
            if self.is_alive:
                os.write(self._wake_write, b"\0")
        except OSError as error:  # full: it rings already; or closed
            host.let_pass(error)

    def close(self) -> None:
        self._epoll.close()
        self._canary.close()


class _PlainBell:  # pragma: no cover - macOS
    """The same where there is no epoll; another thread is heard with the next look."""

    _rang = False
    is_alive = True

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

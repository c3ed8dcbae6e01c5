"""The way to the collector, step by step: name, connection, proxy, TLS, answer, clock.

With the standard library, so that each step can be told apart; certificates and proxies are those
that the client would use. What is sent is an empty body, which is no event.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import attrs

from ..delivery.transports.base import CONTENT_TYPE, MOST_ANSWER_BYTES, ca_file, proxy_for
from ..endpoint import REGIONS, is_totangos
from ..errors import DeliveryError
from ..version import __version__
from .verdicts import Check, fail, ok, skip, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..delivery.transports import Settings
    from ..delivery.transports.base import Proxy

_AGENT = f"totango-sdk/{__version__} (Python; doctor)"
_TUNNEL = re.compile(r"Tunnel connection failed: (\d{3}) ?(.*)")
_SOON_DAYS = 14
_SLOW_SECONDS, _WRONG_SECONDS = 30.0, 300.0
_EXPIRED, _NOT_YET, _OTHER_HOST = 10, 9, 62  # X509_V_ERR_*
_DAY_SECONDS = 86400.0
_SINCE = "not looked at, since {} failed"


def way_checks(settings: Settings) -> Iterator[Check]:
    """Go the way once, as far as it leads."""
    try:
        proxy = proxy_for(settings)
    except DeliveryError as error:
        yield fail("proxy", str(error), "mend the setting that it names")
        return
    way = _Way(settings, proxy)
    yield way.told_proxy()
    if proxy is not None and proxy.scheme != "http":
        found = f"a {proxy.scheme} proxy is not gone through step by step"
        yield skip("network", found, "try it with an event: totango doctor --send")
        return
    yield from way.walk()


@attrs.define
class _Way:
    """One connection and one request on it."""

    settings: Settings
    proxy: Proxy | None

    @property
    def host(self) -> str:
        """The collector's."""
        return urlsplit(self.settings.endpoint).hostname or ""

    @property
    def port(self) -> int:
        """The collector's."""
        parts = urlsplit(self.settings.endpoint)
        return parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def is_secure(self) -> bool:
        """Whether it is reached by TLS."""
        return self.settings.endpoint.startswith("https:")

    def told_proxy(self) -> Check:
        """Say which proxy there is, and why."""
        if self.proxy is None:
            return ok("proxy", "none")
        parts = urlsplit(self.proxy.address)
        login = " with a login" if parts.username else ""
        return ok("proxy", f"{parts.hostname}:{parts.port or 80}{login}, by {self.proxy.setting}")

    def walk(self) -> Iterator[Check]:
        """Yield what each step finds; those behind one that fails are skipped."""
        told, connection = self._connect()
        yield told
        if connection is None:
            yield from self._skipped("network", ("TLS", "collector", "clock"))
            return
        try:
            if self.is_secure:
                told = self._secure(connection)
                yield told
                if told.verdict == "fail":
                    yield from self._skipped("TLS", ("collector", "clock"))
                    return
            yield from self._ask(connection)
        finally:
            connection.close()

    def _skipped(self, cause: str, names: tuple[str, ...]) -> Iterator[Check]:
        for name in names:
            if name != "TLS" or self.is_secure:
                yield skip(name, _SINCE.format(cause))

    # -- the network

    def _connect(self) -> tuple[Check, http.client.HTTPConnection | None]:
        connection = self._connection()
        began = time.monotonic()
        try:
            with _Limit(connection, self.settings.timeout):
                connection.connect()
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            return self._no_way(error), None
        taken = (time.monotonic() - began) * 1000
        peer = connection.sock.getpeername()[0]
        return ok("network", f"{self._target()} is there ({peer}, {taken:.0f} ms)"), connection

    def _connection(self) -> http.client.HTTPConnection:
        timeout = self.settings.timeout
        if self.proxy is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        parts = urlsplit(self.proxy.address)
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port or 80, timeout=timeout
        )
        if self.is_secure:
            connection.set_tunnel(self.host, self.port, self._login())
        return connection

    def _login(self) -> dict[str, str]:
        parts = urlsplit("" if self.proxy is None else self.proxy.address)
        if not parts.username:
            return {}
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"Proxy-Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}

    def _target(self) -> str:
        if self.proxy is None:
            return f"{self.host}:{self.port}"
        parts = urlsplit(self.proxy.address)
        return f"the proxy {parts.hostname}:{parts.port or 80}"

    def _no_way(self, error: Exception) -> Check:
        refused = _TUNNEL.search(str(error))
        if refused is not None:
            return self._no_tunnel(int(refused[1]))
        target = self._target()
        behind = "check the network; behind a firewall, set HTTPS_PROXY to the address of its proxy"
        if self.proxy is not None:
            behind = f"check the address in {self.proxy.setting}"
        if isinstance(error, socket.gaierror):
            return fail("network", f"no address is found for {target} ({error.strerror})", behind)
        if isinstance(error, TimeoutError):
            found = f"{target} does not answer within {self.settings.timeout:g} s"
            return fail("network", found, behind)
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        if isinstance(error, ConnectionRefusedError):
            behind = f"nobody listens on {target}: check its address"
        return fail("network", f"{target} cannot be reached ({why})", behind)

    def _no_tunnel(self, status: int) -> Check:
        found = f"{self._target()} answers {status} instead of a way to {self.host}"
        if status == 407:
            return fail("network", found, "put user and password into the proxy's address")
        return fail("network", found, f"have the proxy let {self.host}:{self.port} through")

    # -- TLS

    def _secure(self, connection: http.client.HTTPConnection) -> Check:
        try:
            context = ssl.create_default_context(cafile=ca_file())
        except (DeliveryError, OSError) as error:
            return fail("TLS", str(error), "mend SSL_CERT_FILE, or unset it")
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            secured = context.wrap_socket(
                connection.sock, server_hostname=self.host, do_handshake_on_connect=False
            )
            connection.sock = secured
            with _Limit(connection, self.settings.timeout):
                secured.do_handshake()
        except ssl.SSLCertVerificationError as error:
            return self._not_verified(error)
        except (OSError, ValueError) as error:
            return self._no_tls(error)
        return _told_certificate(secured)

    def _not_verified(self, error: ssl.SSLCertVerificationError) -> Check:
        today = f"{datetime.now(UTC):%Y-%m-%d}"
        code, said = error.verify_code, error.verify_message
        if code in (_EXPIRED, _NOT_YET):
            what = "has expired" if code == _EXPIRED else "is not valid yet"
            found = f"the certificate of {self.host} {what}, if today is {today}"
            advice = "see whether the clock is right; else whoever runs that host has to renew it"
            return fail("TLS", found, advice)
        if code == _OTHER_HOST:
            return self._other_host()
        found = f"the certificate of {self.host} is not trusted ({said})"
        advice = (
            "a proxy that inspects TLS has an authority of its own: set SSL_CERT_FILE to a file "
            "that has it"
        )
        return fail("TLS", found, advice)

    def _other_host(self) -> Check:
        names = self._names()
        found = f"the certificate is not for {self.host}"
        if names:
            found += f" but for {', '.join(names[:3])}"
        regions = [each for each, url in REGIONS.items() if urlsplit(url).hostname in names]
        if is_totangos(self.host) and regions:
            found += f": this name leads to the collector of the region {regions[0]}"
        return fail("TLS", found, f"see where {self.host} leads: DNS, /etc/hosts, the proxy")

    def _names(self) -> list[str]:
        """Return the hosts that the certificate is for, which another look tells."""
        connection = self._connection()
        context = ssl.create_default_context(cafile=ca_file())
        context.check_hostname = False
        try:
            connection.connect()
            with context.wrap_socket(connection.sock, server_hostname=self.host) as secured:
                told: dict[str, Any] = dict(secured.getpeercert() or {})
                return [str(name) for _, name in told.get("subjectAltName", ())]
        except (OSError, http.client.HTTPException):
            return []
        finally:
            connection.close()

    def _no_tls(self, error: Exception) -> Check:
        why = getattr(error, "reason", None) or str(error) or type(error).__name__
        found = f"{self.host}:{self.port} does not speak TLS 1.2 or later ({why})"
        if isinstance(error, TimeoutError):
            found = f"{self.host}:{self.port} does not answer within {self.settings.timeout:g} s"
        return fail("TLS", found, "check the endpoint's port, and what stands before it")

    # -- the answer

    def _ask(self, connection: http.client.HTTPConnection) -> Iterator[Check]:
        parts = urlsplit(self.settings.endpoint)
        target = parts.path
        headers = {"User-Agent": _AGENT, "Content-Type": CONTENT_TYPE}
        if self.proxy is not None and not self.is_secure:
            target, headers = self.settings.endpoint, {**headers, **self._login()}
        else:
            headers["Host"] = parts.netloc
        try:
            with _Limit(connection, self.settings.timeout):
                connection.request("POST", target, body=b"", headers=headers)
                response = connection.getresponse()
                body = response.read(MOST_ANSWER_BYTES)
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = str(error) or type(error).__name__
            found = f"{self.host} does not answer as a web server does ({why})"
            if isinstance(error, TimeoutError):
                found = f"{self.host} does not answer within {self.settings.timeout:g} s"
            yield fail("collector", found, "check the endpoint, and what stands before it")
            yield skip("clock", _SINCE.format("collector"))
            return
        yield self._judged(response, body)
        yield told_clock(response.getheader("Date"), time.time())

    def _judged(self, response: http.client.HTTPResponse, body: bytes) -> Check:
        status = response.status
        if status != 200:
            return self._refused(status, response.getheader("Location"))
        if body.startswith(b"GIF8"):
            return ok("collector", "answers 200 and a GIF, as Totango does; no event was sent")
        kind = (response.getheader("Content-Type") or "no type").partition(";")[0].strip()
        is_page = kind == "text/html" or body.lstrip()[:1] == b"<"
        if is_page:
            found = "answers 200 and a web page, which is no collector's: a proxy's, or a login"
            advice = (
                f"have {self.host} let through without inspection, and log in where this network "
                "wants it: events sent now count as delivered, and are lost"
            )
            return fail("collector", found, advice)
        found = f"answers 200 and {len(body)} bytes ({kind}), which are no GIF"
        return fail("collector", found, "check the endpoint: this is no collector")

    def _refused(self, status: int, location: str | None) -> Check:
        found = f"answers {status}"
        if 300 <= status < 400:
            where = urlsplit(location or "")
            found += f" and leads to {where.scheme}://{where.hostname}" if where.hostname else ""
            return fail("collector", found, "redirects are not followed: check the endpoint")
        advice = {
            401: "check the token",
            403: "check the token and the service id, and what stands before the collector",
            404: "check the endpoint's path, which is /pixel.gif/, and the region",
            407: "put user and password into the proxy's address",
            429: "too much at once: lower max_rate",
        }.get(status, "see the endpoint's own log" if status < 500 else "wait: events are kept")
        return fail("collector", found, advice)


class _Limit:
    """Ends what a connection is at after some seconds in all, however much comes. Raises `TimeoutError`."""

    def __init__(self, connection: http.client.HTTPConnection, seconds: float) -> None:
        self._connection = connection
        self._is_over = False
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def _cut(self) -> None:
        self._is_over = True
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._is_over:
            raise TimeoutError("timed out") from None


def _told_certificate(secured: ssl.SSLSocket) -> Check:
    certificate: dict[str, Any] = dict(secured.getpeercert() or {})
    until = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = int((until - time.time()) / _DAY_SECONDS)
    issuer = {key: value for each in certificate.get("issuer", ()) for key, value in each}
    whose = issuer.get("organizationName") or issuer.get("commonName") or "an unnamed authority"
    found = f"{secured.version()}, a certificate by {whose} for {days} more days"
    if days < _SOON_DAYS:
        return warn("TLS", found, "whoever runs that host has to renew it in time")
    return ok("TLS", found)


def told_clock(date: str | None, now: float) -> Check:
    """Compare this machine's clock with the `Date` of an answer."""
    name = "clock"
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        return skip(name, "the answer tells no date to compare with")
    if theirs.tzinfo is None:  # "-0000", which means UTC all the same
        theirs = theirs.replace(tzinfo=UTC)
    ahead = now - theirs.timestamp()
    seconds = abs(ahead)
    if seconds <= _SLOW_SECONDS:
        return ok(name, f"within {_SLOW_SECONDS:.0f} s of the answer's date")
    length = f"{seconds:.0f} s" if seconds < 2 * 60 else f"{seconds / 60:.0f} minutes"
    found = f"{length} {'ahead of' if ahead > 0 else 'behind'} the answer's date"
    if seconds < _WRONG_SECONDS:
        return warn(name, found, "synchronise it (NTP)")
    advice = "synchronise it (NTP): certificates and the age of rows in a replay go by it"
    return fail(name, found, advice)

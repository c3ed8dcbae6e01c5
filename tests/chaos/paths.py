"""Rows 13 and 14: paths and endpoints to which nothing must go."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .collector import Collector
from .hosts import Site, finish, start
from .kills import check_finish, check_sums
from .ledger import SERVICE_ID, read
from .oracle import Row, judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _link_as_leaf(place: Path, outside: Path) -> Path:
    (place / "spool").symlink_to(outside)
    return place / "spool"


def _link_on_the_way(place: Path, outside: Path) -> Path:
    place.chmod(0o777)  # whoever may write here could change where the link leads
    (place / "way").symlink_to(outside)
    return place / "way" / "spool"


def _open_leaf(place: Path, outside: Path) -> Path:
    spool = place / "spool"
    spool.mkdir()
    spool.chmod(0o777)
    return spool


def _group_may_write(place: Path, outside: Path) -> Path:
    spool = place / "spool"
    spool.mkdir()
    spool.chmod(0o770)
    return spool


def _of_somebody_else(place: Path, outside: Path) -> Path:
    spool = place / "spool"
    spool.mkdir(mode=0o700)
    os.chown(spool, 12345, 12345)
    return spool


def _a_file(place: Path, outside: Path) -> Path:
    (place / "spool").write_text("kept")
    return place / "spool"


UNSAFE: dict[str, Callable[[Path, Path], Path]] = {
    "symbolic link": _link_as_leaf,
    "symbolic link on the way": _link_on_the_way,
    "open to all": _open_leaf,
    "open to the group": _group_may_write,
    "somebody else's": _of_somebody_else,
    "a file": _a_file,
}


PARENTS = {"emptyDir": 0o777, "fsGroup": 0o2775, "umask 002": 0o775}


def open_parent(directory: Path, name: str) -> Row:
    """A parent that others can write to, as in volumes of Kubernetes, is accepted, and the spool is closed to them."""
    parent = directory / "volume"
    parent.mkdir()
    parent.chmod(PARENTS[name])
    with Collector() as collector:
        site = Site(directory, collector)
        site.spool = str(parent / "spool")
        ended = site.host(stream="s", count=20, flush=20)
        row = judge(f"open parent: {name}", "13", read(site.ledger), collector.arrivals(), bound=0)
    row.require(ended.report.get("stats", {}).get("durable") is True, f"not durable: {ended.log[-500:]}")
    row.require((parent / "spool").stat().st_mode & 0o777 == 0o700, "the spool is open to others")
    return row


def unsafe_path(directory: Path, name: str) -> Row:
    """A spool in such a place is refused, nothing there is touched, and events go on in memory."""
    outside, place = directory / "outside", directory / "place"
    for each in (outside, place):
        each.mkdir(mode=0o700)
    (outside / "treasure").write_text("kept")
    with Collector() as collector:
        site = Site(directory, collector)
        site.spool = str(UNSAFE[name](place, outside))
        before = _picture(directory)
        ended = site.host(stream="s", count=20, flush=20)
        after = _picture(directory)
        row = judge(f"unsafe path: {name}", "13", read(site.ledger), collector.arrivals(), bound=0)
    row.require(before == after, f"something was touched: {sorted(set(after) ^ set(before))}")
    row.require(ended.code == 0 and "Traceback" not in ended.log, f"code {ended.code}: {ended.log[-500:]}")
    row.require(ended.report.get("stats", {}).get("durable") is False, "the spool says that it is durable")
    row.require("in memory only" in ended.log and str(place) in ended.log, f"not told: {ended.log[-500:]!r}")
    row.require(row.events == 20, f"{row.events} of 20 accepted")
    check_finish(row, ended)
    return row


def _picture(directory: Path) -> list[tuple[str, int, int, int, bytes]]:
    """Return everything below a directory, as far as it can be changed, but for the ledger."""
    found = []
    for root, directories, files in os.walk(directory):
        for name in (*directories, *files):
            path = os.path.join(root, name)
            if name == "ledger":
                continue
            status = os.lstat(path)
            data = b""
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    data = file.read()
            found.append((path, status.st_mode, status.st_uid, status.st_ino, data))
    return sorted(found)


def link_in_place_of_a_file(directory: Path) -> Row:
    """Somebody has put a link where the files of a dead process lay: what it leads to is not touched."""
    with Collector() as collector:
        site = Site(directory, collector)
        collector.refuse()
        site.host(stream="l", count=20, end="sigkill")
        collector.reopen()
        treasure = directory / "treasure"
        treasure.write_bytes(b"kept" * 5000)
        for name in os.listdir(site.spool):
            path = os.path.join(site.spool, name)
            os.rename(path, str(directory / name))
            os.symlink(treasure, path)
        last = site.finish()
        fresh = [each for each in read(site.ledger) if each.stream == "fresh"]
        row = judge("a link in the place of a file", "13", fresh, collector.arrivals(), bound=0)
    row.require(treasure.read_bytes() == b"kept" * 5000, "what the link leads to was changed")
    check_finish(row, last)
    return row


REFUSED_ENDPOINTS: dict[str, dict[str, Any]] = {
    "file:///etc/passwd": {},
    "file://localhost/etc/passwd": {"allow_http": True},
    "ftp://127.0.0.1/x": {"allow_http": True},
    "gopher://127.0.0.1:70/x": {"allow_http": True},
    "http://collector.example.com/pixel.gif/": {},
    "http://192.0.2.1/pixel.gif/": {},
    "http://127.0.0.1.example.com/pixel.gif/": {},
    "http://localhost.example.com/pixel.gif/": {},
    "http://sdr.totango.com/pixel.gif/": {"allow_http": True},
    "https://user:secret@collector.example.com/pixel.gif/": {},
    "https://user@collector.example.com/pixel.gif/": {},
    "https://@collector.example.com/": {},
    "http://127.0.0.1@collector.example.com/pixel.gif/": {"allow_http": True},
    "https://collector.example.com/pixel.gif/?to=elsewhere": {},
    "https://collector.example.com/pixel.gif/#there": {},
    "https:///pixel.gif/": {},
    "//collector.example.com/": {},
    "https://collector.example.com/a\r\nHost: elsewhere": {},
    "https://collector.example.com\\@elsewhere.example.com/": {},
}


def refused_endpoints() -> Row:
    """A client for such an endpoint cannot be made; a password in it is not repeated."""
    from totango_sdk import OptionsError, Totango

    row = Row("endpoints that are refused", "14", runs=len(REFUSED_ENDPOINTS))
    for endpoint, options in REFUSED_ENDPOINTS.items():
        try:
            Totango(SERVICE_ID, endpoint=endpoint, spool="memory", **options)
        except OptionsError as error:
            row.require("endpoint" in str(error), f"{endpoint!r}: the error does not name the option: {error}")
            row.require("secret" not in str(error), f"the error repeats a password: {error}")
        else:
            row.require(holds=False, otherwise=f"{endpoint!r} was taken")
    return row


def redirect(directory: Path, status: int, transport: str) -> Row:
    """A redirect is not followed, to nowhere, and the events are delivered when it is over."""
    with Collector() as collector, Collector() as elsewhere:
        site = Site(directory, collector)
        collector.behave("status", status=status, headers={"Location": elsewhere.endpoint})
        host = start(site.config(stream="r", count=50, flush=60, options={"transport": transport}))
        collector.wait_for_requests(5)
        collector.behave("ok")
        ended = finish(host, 90)
        last = site.finish()
        arrivals = collector.arrivals()
        row = judge(f"redirect {status} ({transport})", "14", read(site.ledger), arrivals, bound=0)
        row.require(elsewhere.count() == 0, f"{elsewhere.count()} requests followed the redirect")
    row.require(any(each.status == status for each in arrivals), "nothing was redirected: the harness is wrong")
    row.require(ended.report.get("flushed"), f"not delivered afterwards: {ended.report.get('stats')}")
    check_sums(row, ended)
    check_finish(row, last)
    return row

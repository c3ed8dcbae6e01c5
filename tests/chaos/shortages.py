"""Row 24: something runs out, a name server is mute, a proxy's address is wrong."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from . import exits, names
from .collector import Collector
from .hosts import Ended, Site, environment
from .kills import check_finish, check_sums
from .ledger import read
from .oracle import Row, judge
from .outages import SLOW, calmly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

TRANSPORTS = ("httpx", "curl")
_PASSWORD = "gehe1m"
_MOST_LINES = 2
_EXIT_SECONDS = 3.0  # 2 of ours, and the interpreter's own end on a busy machine
_PATIENCE = 150.0
_FRESH = {"trouble": "none", "count": 1, "before": 0, "flush_during": 60, "ends": False, "stream": "fresh"}
_EXHAUSTED = {"descriptors": "ulimit -n", "threads": "no thread can be started"}
_SHORT = 5  # of so many runs, one
NAME_SERVER = "a mute name server"
_SECRET = f"marlo:{_PASSWORD}"
PROXIES = {
    "no host": f"http://{_SECRET}@",
    "a word for a port": f"http://{_SECRET}@proxy:port",
    "a port too large": f"http://{_SECRET}@proxy:99999",
    "an unquoted password": f"http://{_SECRET}#{_PASSWORD}@127.0.0.1:9",
    "another scheme": f"ftp://{_SECRET}@127.0.0.1:9",
    "a path": f"http://{_SECRET}@127.0.0.1:9/x",
    "a blank": f"http://{_SECRET}@127.0.0.1 :9",
}


class Tried(NamedTuple):
    """What one host came to, and how long its end took."""

    row: Row
    exit_seconds: float


def _run(
    site: Site, within: Sequence[str], env: Mapping[str, str], mend: Callable[[], None], details: dict[str, Any]
) -> Ended:
    """Run a host to its end, and mend what it cannot mend itself once it says so."""
    command = [*within, sys.executable, "-m", "chaos.starved", json.dumps(site.config(**details))]
    log = site.directory / "log"
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    report: dict[str, Any] = {}
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, env=environment(env), stderr=errors, text=True, **pipes) as host,
        _killed_after(host, _PATIENCE),
    ):
        for line in host.stdout:
            told = json.loads(line)
            if told.get("mend"):
                mend()
                host.stdin.write("\n")
                host.stdin.flush()
            else:
                report = told
        host.wait()
        ended = time.monotonic()
    return Ended(host.returncode, report, log.read_text(), ended - report.get("ended_at", ended), 0)


@contextlib.contextmanager
def _killed_after(host: subprocess.Popen[str], seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, host.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _trouble(
    directory: Path,
    fault: str,
    collector: Collector,
    *,
    names_it: str,
    ends: bool,
    within: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    mend: Callable[[], None] = lambda: None,
    after: Mapping[str, str] | None = None,
    **details: Any,
) -> Tried:
    """One host in this trouble: it ends in it, or until it is mended. The next process delivers the rest."""
    site = Site(directory, collector)
    given = {"count": 20, "before": 0, "flush_during": 0.5, "ends": ends, **details}
    told = _run(site, within, env or {}, mend, given)
    if ends:
        mend()
    same = {name: details[name] for name in ("endpoint", "options") if name in details}
    last = _run(site, within, after or {}, mend, {**_FRESH, **same})
    row = judge(f"{fault}{', to the end' if ends else ''}", "24", read(site.ledger), collector.arrivals(), bound=0)
    _check(row, told, names_it, ends=ends)
    check_finish(row, last)
    return Tried(row, told.exit_seconds if ends else 0.0)


def _check(row: Row, told: Ended, names_it: str, *, ends: bool) -> None:
    report, lines = told.report, told.report.get("lines") or []
    row.require(told.code == 0 and "Traceback" not in told.log, f"code {told.code}: {told.log[-800:]}")
    row.require(report.get("before"), "nothing was delivered before it began: the harness is wrong")
    row.require(report.get("during") is False, "everything was delivered all the same: the harness is wrong")
    row.require(report.get("durable"), "the spool is in memory")
    row.require(any(names_it in line for line in lines), f"no line names {names_it!r}: {lines}")
    row.require(len(lines) <= _MOST_LINES, f"{len(lines)} lines in the log: {lines}")
    row.require(_PASSWORD not in told.log + "".join(lines), "the password is in the log")
    row.require(report.get("longest", 9) < 1, f"a call took {report.get('longest')} s")
    if ends:
        row.require(told.exit_seconds < _EXIT_SECONDS, f"{SLOW}: the exit took {told.exit_seconds:.2f} s")
    else:
        row.require(report.get("flushed"), f"not delivered once it was mended: {report.get('stats')}")
        check_sums(row, told)


# -- the troubles


def exhausted(directory: Path, *, what: str, transport: str, ends: bool, before: int = 0) -> Tried:
    """Descriptors or threads run out: once the spool is open, before the first request or behind some."""
    with Collector() as collector:
        collector.behave("status", status=200, headers={"Connection": "close"})  # so that each needs a descriptor
        fault = f"no {what}, {transport}{', later' if before else ''}"
        return _trouble(
            directory, fault, collector, names_it=_EXHAUSTED[what], ends=ends, trouble=what, before=before,
            options={"transport": transport},
        )  # fmt: skip


def mute_name_server(directory: Path, *, transport: str, ends: bool) -> Tried | None:
    """The name server does not answer; `None` where there can be none of our own."""
    if not names.possible():
        return None
    with Collector() as collector, names.NameServer() as server:
        return _trouble(
            directory, f"mute name server, {transport}", collector, names_it="are sent again", ends=ends,
            within=server.asked_by(directory), mend=server.answer, trouble="elsewhere",
            endpoint=f"http://{names.NAME}:{collector.port}/pixel.gif/",
            options={"transport": transport, "allow_http": True, "timeout": 2.0},
        )  # fmt: skip


def wrong_proxy(directory: Path, *, name: str, transport: str, ends: bool) -> Tried:
    """The address of the proxy has a wrong form."""
    with Collector() as collector:
        right = {"HTTP_PROXY": f"http://127.0.0.1:{collector.port}"}  # a collector does for a proxy of itself
        return _trouble(
            directory, f"proxy with {name}, {transport}", collector, names_it="HTTP_PROXY is wrong", ends=ends,
            env={"HTTP_PROXY": PROXIES[name], "MENDED": json.dumps(right)}, after=right, trouble="environment",
            endpoint=f"http://{names.NAME}:{collector.port}/pixel.gif/",
            options={"transport": transport, "allow_http": True},
        )  # fmt: skip


def dead_proxy(directory: Path, *, transport: str, ends: bool) -> Tried:
    """The proxy does not listen, for a while; its address has no scheme."""
    with Collector() as collector:
        collector.refuse()
        env = {"HTTP_PROXY": f"marlo:{_PASSWORD}@127.0.0.1:{collector.port}"}
        return _trouble(
            directory, f"proxy that is down, {transport}", collector, names_it="are sent again", ends=ends,
            env=env, after=env, mend=collector.reopen, trouble="elsewhere",
            endpoint=f"http://{names.NAME}:{collector.port}/pixel.gif/",
            options={"transport": transport, "allow_http": True},
        )  # fmt: skip


KINDS: dict[str, list[Callable[..., Tried | None]]] = {
    "descriptors run out": [partial(exhausted, what="descriptors", before=before) for before in (0, 5)],
    "threads run out": [partial(exhausted, what="threads")],
    NAME_SERVER: [mute_name_server],
    "a wrong or dead proxy": [*(partial(wrong_proxy, name=name) for name in PROXIES), dead_proxy],
}


def troubles(directory: Path, *, kind: str, short: bool = False) -> Row | None:
    """Each trouble of a kind, with both transports, mended and to the end, as one line of the table."""
    tried: list[Tried] = []
    runs = [(run, transport, ends) for run in KINDS[kind] for transport in TRANSPORTS for ends in (False, True)]
    for number, (run, transport, ends) in enumerate(runs[:: _SHORT if short else 1]):
        found = _calmly(directory / str(number), partial(run, transport=transport, ends=ends))
        if found is None:
            return None
        tried.append(found)
    row = exits.together(kind, "24", [each.row for each in tried])
    row.note = f"exit within {max(each.exit_seconds for each in tried):.1f} s"
    return row


def _calmly(directory: Path, run: Callable[[Path], Tried | None]) -> Tried | None:
    """Try again where nothing but an exit was slow."""
    tried: list[Tried | None] = []

    def once(attempt: int) -> Row:
        place = directory / str(attempt)
        place.mkdir(parents=True)
        tried.append(run(place))
        return Row("") if tried[-1] is None else tried[-1].row

    calmly(once)
    return tried[-1]

"""Row 23: our files or our directory are removed, replaced or cut short under a living process, which is then killed."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .collector import Collector
from .hosts import Site, start
from .kills import check_finish
from .ledger import read
from .oracle import BOUND, Row, judge

if TYPE_CHECKING:
    from collections.abc import Callable

_RATE = 300
_HOUSEKEEPING = 0.5  # instead of a minute
_PATIENCE = 20.0


def _log(spool: Path) -> Path:
    (path,) = spool.glob("*.log")
    return path


def _remove_directory(spool: Path) -> None:
    shutil.rmtree(spool)


def _swap_directory(spool: Path) -> None:
    spool.rename(spool.with_name("elsewhere"))
    spool.mkdir(0o700)


def _remove_log(spool: Path) -> None:
    _log(spool).unlink()


def _replace_log(spool: Path) -> None:
    path = _log(spool)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)


def _cut_log(spool: Path) -> None:
    os.truncate(_log(spool), 0)


def _cut_to_a_page(spool: Path) -> None:
    os.truncate(_log(spool), 4096)


def _remove_lock(spool: Path) -> None:
    (lock,) = spool.glob("*.lock")
    lock.unlink()


TROUBLES: dict[str, Callable[[Path], None]] = {
    "directory removed": _remove_directory,
    "directory replaced": _swap_directory,
    "log removed": _remove_log,
    "log replaced": _replace_log,
    "log emptied": _cut_log,
    "log cut to a page": _cut_to_a_page,
    "lock removed": _remove_lock,
}


def taken_away(directory: Path, name: str, *, events: int = 600) -> Row:
    """Do that to a process while it tracks and nothing can leave; kill it once it had time to notice."""
    with Collector() as collector:
        collector.behave("mute")
        site = Site(directory, collector)
        host = start(
            site.config(
                stream="r", count=events, rate=_RATE, housekeeping=_HOUSEKEEPING, hold=True, options={"timeout": 1.0}
            )
        )
        row = Row(name, "23")
        _wait_for(lambda: len(read(site.ledger)) >= events // 3)
        TROUBLES[name](Path(site.spool))
        began = time.monotonic()
        _wait_for(lambda: list(Path(site.spool).glob("*.lock")) and len(read(site.ledger)) == events)
        time.sleep(max(0.0, 4 * _HOUSEKEEPING - (time.monotonic() - began)))
        row.require(host.poll() is None, f"the host ended with {host.returncode}")
        host.kill()
        log = host.communicate()[1]
        row.require("removed or replaced" in log or "cut short" in log, f"not told: {log[-500:]!r}")
        collector.behave("ok")
        ended = site.finish()
        obligations = read(site.ledger)
        collector.wait_for(len(obligations), 5)
        judged = judge(f"under a living process: {name}", "23", obligations, collector.arrivals(), bound=BOUND)
    judged.failures += row.failures
    check_finish(judged, ended)
    return judged


def _wait_for(holds: Callable[[], object]) -> None:
    until = time.monotonic() + _PATIENCE
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)

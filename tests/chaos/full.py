"""Row 6: a disk that is full, and a quota that is used up."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING, Any

from .collector import Collector
from .hosts import Console, Site
from .kills import check_finish, check_sums
from .ledger import accepted, read, read_all
from .oracle import Row, judge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE = 60.0
_ACCOUNTS = 50
# Seconds on average for a call that cannot be stored: the host must not crawl because the disk is full.
_MOST_SECONDS_A_CALL = 0.005


@contextlib.contextmanager
def small_disk(directory: Path, size: str = "3m") -> Iterator[Path | None]:
    """Mount a small file system in memory; gives `None` where that is not permitted."""
    place = directory / "disk"
    place.mkdir(mode=0o700)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(place)]
    try:
        done = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    if not done:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], capture_output=True, check=True)


def full_disk(directory: Path, *, events: int = 30_000, poison: bool = False) -> Row | None:
    """Track until a disk of 3 MB is full, and on; `None` where such a disk cannot be had.

    What is delivered makes room for itself. Dead letters need more of it than there is: with `poison`, it is given.
    """
    with small_disk(directory) as disk:
        if disk is None:
            return None
        name = "disk full" + (", and dead letters" if poison else "")
        return _overfill(name, directory, str(disk / "spool"), events, {}, poison=poison, disk=disk)


def _make_room(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], capture_output=True, check=True)


def full_quota(directory: Path, *, events: int = 3_000, poison: bool = False) -> Row:
    """Track beyond the quota."""
    sizes = {"quota_bytes": 200_000, "segment_bytes": 16_384}
    name = "quota used up" + (", and dead letters" if poison else "")
    return _overfill(name, directory, str(directory / "spool"), events, sizes, poison=poison)


def _overfill(
    name: str,
    directory: Path,
    spool: str,
    events: int,
    sizes: dict[str, Any],
    *,
    poison: bool,
    disk: Path | None = None,
) -> Row:
    row = Row(name, "6")
    with Collector() as collector:
        site = Site(directory, collector)
        site.spool = spool
        collector.refuse()
        config = site.config(stream="d", accounts=_ACCOUNTS, **sizes)
        with Console(config) as host:
            seconds = host.ask("load", count=events)
            calls = read_all(site.ledger)
            dropped = len(calls) - len(accepted(calls))
            stats = host.ask("stats")
            if poison:
                collector.poison("sdr_a=d.1")  # a tenth of all, while there is no room to keep one
            collector.reopen()
            if poison and disk is not None:
                collector.wait_for_requests(events // 50)
                _make_room(disk)
            flushed = host.ask("flush", timeout=_PATIENCE)
            fresh_seconds = host.ask("load", count=200, start=events)
            flushed_again = host.ask("flush", timeout=_PATIENCE)
            stats_after = host.ask("stats")
            letters = len(host.ask("letters"))
            ended = host.end()
        last = site.finish()
        obligations = read(site.ledger)
        arrivals = collector.arrivals()
        refused = frozenset(each.body for each in arrivals if each.status == 400)
        row = judge(name, "6", obligations, arrivals, excused=refused, bound=0)
    row.note = f"{dropped} refused and counted; {1e6 * seconds / events:.0f} µs a call"
    row.require(dropped > 0, "nothing was refused: the disk was not full")
    row.require(stats["dropped"] == dropped, f"{dropped} calls returned None, {stats['dropped']} were counted")
    row.require(seconds / events < _MOST_SECONDS_A_CALL, f"{1e3 * seconds / events:.1f} ms a call on a full disk")
    row.require(flushed and flushed_again, f"did not drain: {stats_after}")
    row.require(fresh_seconds < _PATIENCE, f"{fresh_seconds:.1f} s for 200 calls once there was room")
    later = [each for each in read_all(site.ledger) if each.stream == "d" and each.seq >= events]
    row.require(len(accepted(later)) == 200, f"only {len(accepted(later))} of 200 accepted once there was room")
    row.require(stats_after["dead"] == len(refused), f"{stats_after['dead']} dead of {len(refused)} refused")
    row.require(letters == len(refused), f"{letters} dead letters of {len(refused)} refused")
    row.require(ended.code == 0 and "Traceback" not in ended.log, f"code {ended.code}: {ended.log[-800:]}")
    check_sums(row, ended)
    check_finish(row, last)
    return row

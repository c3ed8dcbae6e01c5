"""Row 8: an event that the collector refuses for ever, among many."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

from .collector import Collector
from .hosts import Site, environment
from .kills import check_finish, check_sums
from .ledger import SERVICE_ID, account_of, body_of, read
from .oracle import Row, judge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .collector import Arrival

_ACCOUNTS = 20
_DELAY_SECONDS = 2.0  # far more than a pause of a busy machine, far less than any wait for a poison event


def among_many(directory: Path, *, events: int = 10_000) -> Row:
    """One poison event among so many: the others are not delayed, and it can be sent again from the command line."""
    poison = events // 2  # an activity, since it ends in neither 3
    body = body_of("p", poison, _ACCOUNTS)
    with Collector() as collector:
        collector.poison(f"sdr_a=p.{poison}&")
        site = Site(directory, collector)
        ended = site.host(stream="p", count=events, accounts=_ACCOUNTS, flush=120, letters=True, timeout=150)
        refused = collector.arrivals()
        last = site.finish(letters=True)
        row = judge(
            "a poison event", "8", read(site.ledger), collector.arrivals(), bound=0, excused=frozenset([body])
        )  # fmt: skip
        row.note = f"longest pause {_longest_pause(refused):.2f} s"
        _check_retry(row, site, body)
    row.require(row.events == events + 1, f"{row.events} of {events + 1} accepted")
    row.require(ended.report.get("flushed"), f"not all delivered: {ended.report.get('stats')}")
    row.require(ended.report["stats"]["dead"] == 1, f"one is dead, not {ended.report['stats']['dead']}")
    row.require(ended.report["letters"] == 1, f"one dead letter, not {ended.report['letters']}")
    row.require(last.report["letters"] == 1, f"one dead letter for the next process, not {last.report['letters']}")
    row.require(sum(each.body == body for each in refused) == 1, "the poison event came more than once")
    row.require(_longest_pause(refused) < _DELAY_SECONDS, f"others waited for {_longest_pause(refused):.2f} s")
    behind = [each for each in refused if f"sdr_o={account_of(poison, _ACCOUNTS)}&".encode() in each.body]
    row.require(behind[-1].at >= next(each.at for each in refused if each.body == body), "nothing came behind it")
    check_sums(row, ended)
    check_finish(row, last)
    return row


def _longest_pause(arrivals: Sequence[Arrival]) -> float:
    return max((later.at - earlier.at for earlier, later in pairwise(arrivals)), default=0.0)


def _check_retry(row: Row, site: Site, body: bytes) -> None:
    """Send the dead letter again with `totango spool retry`, now that the collector takes it."""
    site.collector.heal()
    told = json.loads(command(site, "spool", "dead", "--json").stdout)
    row.require(len(told) == 1 and told[0]["reason"], f"spool dead tells of {told}")
    for step in (("retry", "--yes"), ("drain",)):
        done = command(site, "spool", *step, "--json")
        row.require(done.returncode == 0, f"spool {step[0]} ended with {done.returncode}: {done.stdout} {done.stderr}")
    times = sum(each.body == body and each.taken for each in site.collector.arrivals())
    row.require(times == 1, f"after spool retry the event was delivered {times} times")
    left = json.loads(command(site, "spool", "dead", "--json").stdout)
    row.require(not left, f"dead letters after the retry: {left}")


def command(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line on the spool of a site."""
    return _totango(
        *arguments,
        TOTANGO_SERVICE_ID=SERVICE_ID, TOTANGO_ENDPOINT=site.collector.endpoint, TOTANGO_SPOOL=site.spool,
    )  # fmt: skip


def _totango(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from totango_sdk.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment(env), capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip

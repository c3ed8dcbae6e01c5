"""How a long command tells how far it is: one line on a terminal, a plain one every 10 s elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_PLAIN_SECONDS = 10.0
_REASON_SHOWN = 60


class Telling:
    """Tells of a replay while its block lasts; called with the report from time to time."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._told_at = self._began = time.monotonic()
        self._delivered = -1

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = Progress(
                BarColumn(bar_width=16),
                TextColumn("{task.description}"),
                TimeRemainingColumn(compact=True),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("reading", total=None)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, report: Any) -> None:
        """Tell how far it is."""
        now = time.monotonic()
        if self._bar is not None:
            self._show(self._bar, report, now)
        elif now - self._told_at >= _PLAIN_SECONDS:
            self._told_at = now
            print(self._line(report, now), file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Tell something once, above the progress line if there is one."""
        if self._bar is None:
            print(text, file=sys.stderr, flush=True)
        else:
            self._bar.console.print(text, markup=False, highlight=False)

    def _show(self, bar: Progress, report: Any, now: float) -> None:
        share = self._share(report)
        bar.update(
            self._task,
            description=escape(self._line(report, now)),
            total=None if share is None else 1.0,
            completed=share or 0.0,
        )

    def _share(self, report: Any) -> float | None:
        share: float | None = report.share
        return share

    def _line(self, report: Any, now: float) -> str:
        is_stuck = report.trouble and report.left and report.delivered == self._delivered
        self._delivered = report.delivered
        if is_stuck:
            trouble = report.trouble[:_REASON_SHOWN]
            return f"{report.delivered:,} delivered, {report.left:,} waiting: {trouble}"
        speed = report.delivered / max(now - self._began, 0.001)
        return (
            f"{report.rows:,} rows, {report.delivered:,} delivered ({speed:,.0f}/s), "
            f"{report.rejected:,} rejected, {report.left:,} waiting"
        )


class TellingRows(Telling):
    """The same of a command that only reads."""

    def _share(self, report: Any) -> float | None:
        return None

    def _line(self, report: Any, now: float) -> str:
        speed = report.rows / max(now - self._began, 0.001)
        return f"{report.rows:,} rows ({speed:,.0f}/s), {report.rejected:,} rejected"

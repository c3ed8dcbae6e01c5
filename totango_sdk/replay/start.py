"""`replay`: sends sources one after another, and reports on all."""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import TYPE_CHECKING, Any

from ..errors import OptionsError
from ..show import shown
from ..tables import expanded, read_map
from .how import How
from .preview import reading_of, statuses, zone_of
from .report import Report, Tally
from .run import Run
from .values import Rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..options import Options


def replay(
    source: Any,
    client: Any,
    *,
    map: Any = None,  # noqa: A002  # the contract's name
    format: str | None = None,  # noqa: A002  # the contract's name
    dry_run: bool = False,
    ledger: Any = None,
    again: bool = False,
    rate: float | None = None,
    max_age: float = 86400,
    arrival_time_is_fine: bool = False,
    unique: bool = False,
    rejected: Any = None,
    on_progress: Callable[[Report], None] | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    escape: str | None = None,
    null: str | None = None,
    timezone: str | None = None,
    status: Any = None,
    limit: int | None = None,
    from_line: int | None = None,
    verify: bool = False,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Send the rows of a source, and return what became of each; see docs/replay.md.

    `source` is a path, a list of paths, a binary file or an iterable of mappings. `client` gives
    the options, the transport, the defaults and `before_send`. `max_age` is in seconds, `rate` in
    requests a second; `stop` is asked now and then whether to end, and `say` is told, before the
    first event leaves, that it counts as happening now. Raises `OptionsError` for what
    concerns a whole source, and `SpoolFull` if the ledger cannot be written.
    """
    options: Options = client._core.options
    map_ = None if map is None else read_map(map)
    for name, number in (("limit", limit), ("from_line", from_line)):
        if number is not None and number < 1:
            raise OptionsError.of(name, number, "it is a whole number from 1 on", "1000")
    if not isinstance(max_age, int | float):
        raise OptionsError.of("max_age", max_age, "it is a number of seconds", "86400")
    if rate is not None and (not isinstance(rate, int | float) or not rate > 0):
        raise OptionsError(f"rate={shown(rate)} is wrong: give requests a second, such as 50")
    rules = Rules(
        service_id=options.service_id,
        now=time.time(),
        account=options.account,
        user=options.user,
        product=options.product,
        module=options.module,
        map=map_,
        timezone=zone_of(map_, timezone),
        status=statuses(status),
        max_age=max_age,
        arrival_time_is_fine=arrival_time_is_fine,
        allow_empty_accounts=options.allow_empty_accounts,
        extra_id_characters=options.extra_id_characters,
    )
    reading = reading_of(
        map_, format=format, encoding=encoding, delimiter=delimiter, escape=escape, null=null
    )
    how = How(
        reading=reading,
        rules=rules,
        dry_run=dry_run,
        ledger=ledger,
        again=again,
        verify=verify,
        rate=rate,
        unique=unique,
        rejected=None if rejected is None else os.fspath(rejected),
        limit=limit,
        from_line=from_line,
        on_progress=on_progress,
        stop=stop,
        say=say,
    )
    return _all(_sources(source), options, how)


def _sources(source: Any) -> list[Any]:
    if isinstance(source, list | tuple) and source and all(map(_is_path, source)):
        return list(expanded([os.fspath(each) for each in source]))
    return list(expanded([os.fspath(source)])) if _is_path(source) else [source]


def _is_path(source: Any) -> bool:
    return isinstance(source, str | os.PathLike)


def _all(sources: list[Any], options: Options, how: How) -> Report:
    report = Report(dry_run=how.dry_run)
    tally = Tally(report)
    began = time.monotonic()
    for number, source in enumerate(sources):
        Run(source, options, how, tally, number).run()
        if report.stopped or _is_enough(report, how):
            break
    if how.dry_run and how.rate:
        report.notes.append(_duration(report.requests, how.rate))
    report.seconds = round(time.monotonic() - began, 3)
    report.finished = not report.stopped and len(report.sources) == len(sources)
    return report


def _is_enough(report: Report, how: How) -> bool:
    return how.limit is not None and report.rows - report.earlier >= how.limit


def _duration(requests: int, rate: float) -> str:
    took = dt.timedelta(seconds=round(requests / rate))
    return f"at {rate:g} requests a second, these {requests:,} requests take {took} (hours:minutes:seconds)"

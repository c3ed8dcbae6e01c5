"""Send one source: rows become requests as the sender asks for them, and each is counted once."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import attrs

from ..errors import InvalidEvent, OptionsError, SpoolError
from ..tables import Batch, Broken, Position, open_source
from .feed import Feed
from .ground import known_of, rejected_of
from .how import TO_SEND_ALL, arrival
from .making import Maker
from .meaning import Meaning
from .preview import call_told
from .seen import Seen, digest_of, timed
from .sending import Sending
from .short import Short
from .values import Fault, Meant, Rejected, Skipped

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from ..options import Options
    from ..spool import Item
    from .how import How
    from .making import Usual
    from .report import Tally

_LOOKED_AT = 1000
_MOST_AHEAD = 100_000  # rows behind the mark
_GROUP = 100  # requests that are struck off together, so that a kill repeats no more
_MOST_ROWS = 1000  # the same of rows without a request, which a kill does not repeat
_CALLS = 5
_NO_ROWS = Batch((), (), (), ())
_NO_TIME = "no column gives the time, so no row's age is checked"
_SAME = "the same as an earlier row"
_DROPPED = "dropped by before_send"


class Run:
    """The replay of one source, which is the one of this number."""

    def __init__(
        self, given: Any, options: Options, how: How, tally: Tally, number: int = 0
    ) -> None:
        self._options = options
        self._how = how
        self._report = tally.report
        self._number = number
        self._tally = tally
        self._timed_before = tally.timed
        self._source = open_source(given, how.reading)
        try:
            self._known = known_of(self._source, options, how)
            self._prepare()
        except BaseException:
            self._source.close()
            raise
        self._begin_rows()
        # Rows behind the mark, in order: their numbers, the lines and the offsets behind them.
        self._places: deque[tuple[int, int, int]] = deque()
        self._open: dict[int, tuple[int, Any]] = {}  # rows with requests: their lines and values
        self._final: set[int] = set() if self._known is None else set(self._known.finished)
        self._earlier = frozenset(self._final)
        self._unsaved: list[int] = []
        self._unsaved_requests = 0
        self._seen = Seen()
        self._skipped: Counter[str] = Counter()

    def _prepare(self) -> None:
        start = self._how.rules.now if self._known is None else self._known.start
        try:
            self._meaning = Meaning(self._source, attrs.evolve(self._how.rules, now=start))
            self._files = rejected_of(self._source, self._how, self._known, self._number)
        except BaseException:
            if self._known is not None:
                self._known.close()
            raise
        how = self._how
        self._maker = Maker(self._options, self._meaning.joins)
        self._is_told_once = how.unique or how.dry_run
        self._short: Short | None = None
        if not self._maker.has_hook:
            is_wanted = self._is_wanted if self._is_told_once else None
            self._short = Short(self._meaning, self._maker, self._tally, is_wanted)
        self._is_shaped = self._meaning.is_shaped

    def _begin_rows(self) -> None:
        self._begin = Position() if self._known is None else self._known.mark
        self._row = self._begin.row
        self._batch, self._at = _NO_ROWS, 0
        self._ahead: deque[Batch] = deque()
        self._passed_over = 0  # rows before --from-line
        self._most_rows = sys.maxsize
        if self._how.limit is not None:
            left = self._how.limit - (self._report.rows - self._report.earlier)
            self._most_rows = self._begin.row + left
        self._is_limited = False
        self._last_line = 0
        self._told_rows = 0  # how many of them the report has

    # -- rows

    def _fill(self) -> tuple[int, list[Item]] | None:
        """Give the requests of the next row; see `Feed`."""
        at = self._at
        if at == len(self._batch.rows):
            if not self._read_on():
                return None
            at = self._at
        batch = self._batch
        row = self._row + 1
        if row > self._most_rows:
            self._is_limited = True
            return None
        self._row, self._at = row, at + 1
        values, line = batch.rows[at], batch.lines[at]
        self._places.append((row, batch.next_lines[at], batch.ends[at]))
        if self._earlier and row in self._earlier:
            self._report.earlier += 1
            return row, []
        items = self._quickly(values)
        if items is None:
            items = self._judged(row, line, values)
        if items:
            self._open[row] = line, values
        else:
            self._close_row(row)
        return row, items

    def _read_on(self) -> bool:
        """Go to the next rows; `False` at the end. Those before `--from-line` are passed over."""
        self._sync()
        while True:
            batch = self._ahead.popleft() if self._ahead else next(self._batches, None)
            if batch is None:
                self._batch, self._at = _NO_ROWS, 0
                return False
            first = self._how.from_line or 0
            passed = sum(line < first for line in batch.lines) if first else 0
            self._row += passed
            self._passed_over += passed
            self._most_rows += passed
            if passed:
                self._begin = Position(
                    self._row, batch.next_lines[passed - 1], batch.ends[passed - 1]
                )
            if passed < len(batch.rows):
                self._batch, self._at = batch, passed
                return True

    def _sync(self) -> None:
        """Tell the report how many rows were read."""
        rows = self._row - self._passed_over
        self._report.rows += rows - self._told_rows
        self._told_rows = rows
        if self._at:
            self._last_line = self._batch.lines[self._at - 1]

    def _look_ahead(self) -> None:
        """Say what becomes of the times, as the first 1,000 rows have them.

        Raises `OptionsError` if all of them are too old.
        """
        if self._how.dry_run:
            return
        verdicts: list[Any] = []
        is_all_old = True
        for rows in self._first_rows():
            for values in rows:
                verdicts += [] if isinstance(values, Broken) else self._meaning.verdicts(values)
            is_all_old = all(getattr(each, "code", None) == "too-old" for each in verdicts)
            if not is_all_old:
                break
        self._meaning.ahead = 0  # it is counted when the rows are sent
        times = [time for each in verdicts if (time := getattr(each, "time", None)) is not None]
        if not times:
            return
        if is_all_old and not self._begin.row:
            raise OptionsError(arrival(min(times)) + TO_SEND_ALL)
        if not self._tally.is_arrival_told:
            self._tally.is_arrival_told = True
            self._how.say(arrival(min(times)))

    def _first_rows(self) -> Iterator[list[Any]]:
        """Yield the first 1,000 rows that are to be sent, as they are read; all stay to be read."""
        first, left = self._how.from_line or 0, _LOOKED_AT
        for batch in self._batches:
            self._ahead.append(batch)
            rows = [row for line, row in zip(batch.lines, batch.rows, strict=True) if line >= first]
            yield rows[:left]
            left -= len(rows)
            if left <= 0:
                return

    def _quickly(self, values: Any) -> list[Item] | None:
        """Return the requests of a row like one before; `None` for the long way."""
        short = self._short
        if short is None or type(values) is Broken:
            return None
        if self._is_shaped:
            return short.items(self._meaning.as_mapping(values))
        return short.items(values)

    def _is_wanted(self, usual: Usual, time: dt.datetime | None) -> bool:
        """Whether the call of a row like one before is to be sent."""
        if usual.call is None:
            assert usual.meant is not None
            usual.call = digest_of(usual.meant)
        if self._is_first(timed(usual.call, time)):
            return True
        self._skip(_SAME)
        return False

    def _judged(self, row: int, line: int, values: Any) -> list[Item]:
        if isinstance(values, Broken):
            self._reject(line, values, Rejected(values.code, values.reason))
            return []
        verdicts = self._meaning.verdicts(values)
        rejected = next((each for each in verdicts if isinstance(each, Rejected)), None)
        items: list[Item] = []
        why = _SAME
        if rejected is None:
            try:
                for verdict in verdicts:
                    if isinstance(verdict, Skipped):
                        why = verdict.why
                    elif isinstance(verdict, Meant) and self._is_first_of(verdict):
                        items += self._items(verdict)
                        why = _DROPPED
            except InvalidEvent as invalid:
                fields = tuple(problem.field for problem in invalid.problems)
                rejected = Rejected("invalid", str(invalid), fields)
            except Fault as fault:
                rejected = fault.rejected
        if rejected is not None:
            self._reject(line, values, rejected)
            return []
        if not items:
            self._skip(why)
        elif self._short is not None and len(verdicts) == 1 and len(self._report.calls) >= _CALLS:
            self._short.learn(self._meaning.as_mapping(values), verdicts[0])  # type: ignore[arg-type]
        return items

    def _items(self, meant: Meant) -> list[Item]:
        self._tally.meant(meant)
        items = self._maker.items(meant)
        calls = self._report.calls
        if items and len(calls) < _CALLS:
            bodies = [item.body.decode("ascii") for item in items]
            calls.append({**call_told(meant), "bodies": bodies})
        return items

    def _is_first_of(self, meant: Meant) -> bool:
        return not self._is_told_once or self._is_first(timed(digest_of(meant), meant.time))

    def _is_first(self, call: bytes) -> bool:
        """Whether a call is to be sent: with `unique`, only the first one is."""
        if self._known is not None:
            return self._known.ledger.is_first(call, self._row)
        is_first = self._seen.is_first(call)
        if not is_first and not self._how.unique:
            self._tally.warn("duplicate")
            return True
        return is_first

    # -- what becomes of them

    def _skip(self, why: str) -> None:
        self._report.skipped += 1
        self._skipped[why] += 1

    def _reject(self, line: int, values: Any, rejected: Rejected) -> None:
        self._tally.rejected(line, rejected)
        if self._files is None:
            return
        if isinstance(values, Broken):
            self._files.add_raw(values)
        else:
            self._files.add(line, values, rejected)

    def _settled(self, row: int, requests: int, refused: str | None) -> None:
        """All requests of a row are settled; see `Feed`."""
        self._unsaved_requests += requests
        line, values = self._open.pop(row)
        if refused is None:
            self._report.delivered += 1
        else:
            self._reject(line, values, Rejected("refused", f"the collector answered {refused}"))
        self._close_row(row)

    def _close_row(self, row: int) -> None:
        self._final.add(row)
        self._unsaved.append(row)
        if len(self._unsaved) >= _GROUP and self._known is None:
            self._save()

    def _save_in_groups(self) -> None:
        """Write down what is final, once it is enough. Raises `SpoolFull`."""
        self._report.pace.note(time.monotonic(), self._report.delivered)
        if self._unsaved_requests >= _GROUP or len(self._unsaved) >= _MOST_ROWS:
            self._save()

    def _save(self, *, is_end: bool = False) -> None:
        """Move the mark on, and write down what is final."""
        places, final, place = self._places, self._final, None
        while places and places[0][0] in final:
            place = places.popleft()
            final.discard(place[0])
        if place is not None:
            self._begin = Position(*place)
        if self._files is not None:
            self._files.flush()
        known = self._known
        if known is not None and (self._unsaved or is_end):
            if self._files is not None:
                known.lengths = dict(self._files.lengths)
            known.mark = self._begin
            beyond = [row for row in self._unsaved if row > self._begin.row]
            known.keep(beyond, is_end=is_end)
        self._unsaved, self._unsaved_requests = [], 0

    # -- the run

    def run(self) -> None:
        """Send everything, or until stopped."""
        try:
            if self._known is not None and self._known.finished_on is not None:
                self._told_finished(self._known.finished_on)
                return
            self._report.earlier += self._begin.row
            self._batches = self._source.batches(self._begin if self._begin.row else None)
            self._look_ahead()
            is_over = self._dry() if self._how.dry_run else self._send()
            self._end(is_over=is_over)
        finally:
            self._close()

    def _told_finished(self, when: str) -> None:
        self._report.earlier += self._row
        self._report.notes.append(f"{self._source.name}: sent on {when}; --again repeats it")
        self._tell_source()

    def _dry(self) -> bool:
        while (filled := self._fill()) is not None:
            row, items = filled
            self._report.requests += len(items)
            if items:
                self._report.left += 1
                del self._open[row]
                self._close_row(row)
            if self._how.stop():
                return False
        return True

    def _send(self) -> bool:
        feed = Feed(self._fill, self._settled, self._save_in_groups, self._is_far_ahead)
        sending = Sending(feed, self._options, self._how)
        try:
            sending.run(self._save_in_groups, lambda trouble: self._progress(feed, trouble))
        finally:
            sending.close()
            self._report.requests += feed.delivered
            self._sync()
            with contextlib.suppress(OptionsError, SpoolError):
                self._save()
        self._report.left += len(self._open)
        return feed.is_done

    def _is_far_ahead(self) -> bool:
        return len(self._places) >= _MOST_AHEAD

    def _progress(self, feed: Feed, trouble: str) -> None:
        self._sync()
        report = self._report
        report.left, report.share, report.trouble = feed.waiting, self._share(), trouble
        assert self._how.on_progress is not None
        self._how.on_progress(report)
        report.left = 0

    def _share(self) -> float | None:
        """Return how much of the source is read, from 0 to 1; `None` where nobody knows."""
        path = self._source.path
        if path is None or not self._source.has_offsets:
            return None
        offset = self._places[-1][2] if self._places else self._begin.offset
        return min(1.0, offset / max(1, os.path.getsize(path)))

    def _end(self, *, is_over: bool) -> None:
        report, name = self._report, self._source.name
        self._sync()
        self._save(is_end=is_over and not self._is_limited)
        report.stopped = report.stopped or not is_over
        report.reread += self._source.reread
        for left_out in self._meaning.left_out:
            self._tally.warn(left_out)
        if self._meaning.ahead:
            self._tally.warn("time", self._meaning.ahead)
        report.notes += [f"{count} rows skipped: {why}" for why, count in self._skipped.items()]
        if self._is_limited and not self._how.dry_run:
            report.notes.append(f"{name}: stopped behind {self._row} rows, as --limit says")
        if self._source.path is None and not self._how.dry_run:
            self._note_unremembered(is_over=is_over)
        has_times = self._meaning.has_time or self._tally.timed > self._timed_before
        if not (has_times or self._source.format == "log" or _NO_TIME in report.notes):
            report.notes.append(_NO_TIME)
        report.notes += [] if self._known is None else self._known.notes
        self._tell_source()

    def _note_unremembered(self, *, is_over: bool) -> None:
        name = self._source.name
        note = f"{name} cannot be read twice: nothing remembers how far this run came"
        if not is_over:
            note += f"; go on with --from-line {self._begin.next_line}"
        self._report.notes.append(note)

    def _tell_source(self) -> None:
        self._sync()
        report, layout = self._report, self._meaning.layout
        told = {
            "path": self._source.name,
            "format": self._source.format,
            "rows": self._told_rows,
            "last_line": self._last_line,
        }
        report.sources.append({**told, **({"cut": True} if self._source.is_cut else {})})
        report.notes += self._source.notes
        if layout is not None:
            report.notes += layout.notes(self._source.name)
        unused = list(self._meaning.keys) if layout is None else layout.unused
        report.unused_columns += [name for name in unused if name not in report.unused_columns]
        if self._files is not None:
            report.rejected_files += self._files.paths
        self._tally.close()

    def _close(self) -> None:
        self._source.close()
        self._seen.close()
        if self._files is not None:
            self._files.close()
        if self._known is not None:
            self._known.close()

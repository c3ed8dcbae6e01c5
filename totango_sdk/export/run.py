"""Read sources row by row, and write what Totango's importer takes."""

from __future__ import annotations

import glob
import os
import time
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import OptionsError
from ..replay.meaning import Meaning
from ..replay.preview import reading_of, statuses, zone_of
from ..replay.rejected import RejectedFiles
from ..replay.report import Report, Tally
from ..replay.values import Meant, Rejected, Rules, Skipped
from ..show import shown
from ..tables import Broken, Reading, expanded, iso, open_source, read_map, read_time
from .collections import Collections
from .files import Parts, on_one_line
from .gather import Gathered
from .report import UPLOAD, Exported
from .said import Record, accounts_of, activity_of, user_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..tables import Source

KINDS = ("usage", "users", "accounts", "collections")
MOST_BYTES = 50_000_000
_ACCOUNT, _USER, _COLLECTION = "Account ID", "User ID", "Collection ID"
_USAGE = (_ACCOUNT, _USER, "Action", "Module", "Timestamp")
# The IDs, and the columns that are always there.
_HEADERS = {
    "users": ((_ACCOUNT, _USER), ("name", "Contact", "Key Contact")),
    "accounts": (
        (_ACCOUNT,),
        ("account_name", "parent_id", "product_id", "ofid", "foreignkeyid"),
    ),
    "collections": ((_ACCOUNT, _COLLECTION), ()),
}
_PROGRESS_SECONDS = 0.5


class _Writer(Protocol):
    """Writes one kind of file."""

    def begin(self, source: Source) -> Callable[[Any], list[Any]]:
        """Return what gives the verdicts on the rows of a source."""

    def add(self, verdict: Any) -> Rejected | Skipped | None:
        """Take a verdict that is no rejection; return why it gives nothing, if so."""

    def end(self) -> list[dict[str, Any]]:
        """Write what is left, and return the files."""

    def remove(self) -> None:
        """Remove what was written, and let go."""


class _Usage:
    """One row for each activity, as it comes."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._parts = Parts(job.out, "usage", _USAGE, job.most)

    def begin(self, source: Source) -> Callable[[Any], list[Any]]:
        return self._job.meaning(source).verdicts

    def add(self, verdict: Any) -> Rejected | Skipped | None:
        found = activity_of(verdict)
        if found is None:
            return Skipped("no activity")
        when = verdict.time
        if when is None:
            if self._job.needs_time:
                reason = "the row has no time, which the importer wants: see --arrival-time-is-fine"
                return Rejected("time", reason, ("time",))
            when = self._job.now
        self._parts.write([*self._job.plain("usage", found), iso(when)])
        return None

    def end(self) -> list[dict[str, Any]]:
        self._parts.close()
        return self._parts.files

    def remove(self) -> None:
        self._parts.remove()


class _Records:
    """One row for each account, user or collection's ID, once all is known."""

    def __init__(self, job: _Job, to: str) -> None:
        self._job = job
        self._to = to
        self._gathered = Gathered(*_HEADERS[to])
        self._parts: dict[str, Parts] = {}
        self._collections: list[Collections] = []

    def begin(self, source: Source) -> Callable[[Any], list[Any]]:
        if self._to != "collections":
            return self._job.meaning(source).verdicts
        self._collections.append(Collections(source, self._job.rules.map))
        return lambda row: [self._collections[-1].verdict(row)]

    def add(self, verdict: Any) -> Rejected | Skipped | None:
        records = self._records(verdict)
        for record in records:
            self._gathered.add(self._on_one_line(record))
        return None if records else Skipped(f"nothing of {self._to}")

    def _records(self, verdict: Any) -> list[Record]:
        if isinstance(verdict, Record):
            return [verdict]
        return list(user_of(verdict) if self._to == "users" else accounts_of(verdict))

    def _on_one_line(self, record: Record) -> Record:
        what = {"users": "user", "accounts": "account", "collections": "collection"}[self._to]
        warn = self._job.tally.warn
        said = tuple(
            (name, on_one_line(value, lambda name=name: warn(f"{what}.{name}")))  # type: ignore[misc]
            for name, value in record.said
        )
        return record._replace(said=said)

    def end(self) -> list[dict[str, Any]]:
        for collections in self._collections:
            for field, count in collections.warnings.items():
                self._job.tally.warn(field, count)
        header = self._gathered.columns
        for key, values in self._gathered.rows():
            stem, ids = self._stem(key)
            parts = self._parts.get(stem)
            if parts is None:
                parts = self._parts[stem] = Parts(self._job.out, stem, header, self._job.most)
            parts.write([*ids, *values])
        for parts in self._parts.values():
            parts.close()
        self._gathered.close()
        return [file for parts in self._parts.values() for file in parts.files]

    def _stem(self, key: list[str]) -> tuple[str, list[str]]:
        if self._to != "collections":
            return self._to, key
        kind, *ids = key
        return f"collections-{kind}" if kind else "collections", ids

    def remove(self) -> None:
        for parts in self._parts.values():
            parts.remove()
        self._gathered.close()


class _Job:
    """One export: what all its sources share."""

    def __init__(
        self,
        to: str,
        out: str,
        rules: Rules,
        reading: Reading,
        *,
        most: int,
        rejected: str | None,
        needs_time: bool,
        limit: int | None,
        on_progress: Callable[[Exported], None] | None,
    ) -> None:
        self.out = out
        self.rules = rules
        self.most = most
        self.needs_time = needs_time
        self.now = read_time(rules.now, None)
        self.exported = Exported(to=to)
        self.report = Report()
        self.tally = Tally(self.report)
        self._reading = reading
        self._rejected = rejected
        self._limit = limit
        self._on_progress = on_progress
        self._told_at = time.monotonic()
        self._meaning: Meaning | None = None
        self._writer: _Writer = _Usage(self) if to == "usage" else _Records(self, to)

    def meaning(self, source: Source) -> Meaning:
        """Return what reads the calls of a source."""
        self._meaning = Meaning(source, self.rules)
        return self._meaning

    def plain(self, what: str, values: Iterable[str]) -> list[str]:
        """Return values without line ends; each that had one is warned of."""
        return [on_one_line(value, lambda: self.tally.warn(what)) for value in values]

    def run(self, sources: list[Any]) -> Exported:
        """Read all, and write all."""
        began = time.monotonic()
        try:
            for given in sources:
                self._one(given)
            self._meaning = None  # what it remembers would stand beside what is sorted now
            self.exported.files = self._writer.end()
        except BaseException:
            self._writer.remove()
            raise
        self.tally.close()
        exported, report = self.exported, self.report
        exported.rejected, exported.by_code = report.rejected, report.by_code
        exported.examples, exported.warnings = report.examples, report.warnings
        exported.seconds = round(time.monotonic() - began, 3)
        if exported.to == "usage":
            exported.notes.append(UPLOAD)
        return exported

    def _one(self, given: Any) -> None:
        source = open_source(given, self._reading)
        files = None
        try:
            verdicts = self._writer.begin(source)
            files = self._rejected_files(source)
            told = {"path": source.name, "format": source.format, "rows": 0, "last_line": 0}
            self._rows(source, verdicts, files, told)
            self._told(source, told, files)
        finally:
            source.close()
            if files is not None:
                files.close()

    def _rows(
        self,
        source: Source,
        verdicts: Callable[[Any], list[Any]],
        files: RejectedFiles | None,
        told: dict[str, Any],
    ) -> None:
        for line, row in source.rows():
            if self._limit is not None and self.exported.rows >= self._limit:
                return
            self.exported.rows += 1
            told["rows"] += 1
            told["last_line"] = line
            rejected = self._take(row, verdicts)
            if rejected is not None:
                self.tally.rejected(line, rejected)
                self._keep(files, line, row, rejected)
            if self._on_progress is not None:
                self._progress(self._on_progress)

    def _take(self, row: Any, verdicts: Callable[[Any], list[Any]]) -> Rejected | None:
        """Write what a row says, and count it; return why it is rejected, if it is."""
        if isinstance(row, Broken):
            return Rejected(row.code, row.reason)
        given = verdicts(row)
        wrong = next((each for each in given if isinstance(each, Rejected)), None)
        if wrong is not None:
            return wrong
        taken = 0
        for verdict in given:
            if isinstance(verdict, Skipped):
                continue
            why = self._writer.add(verdict)
            if isinstance(why, Rejected):
                return why
            if why is None:
                taken += 1
                if isinstance(verdict, Meant):
                    self.tally.meant(verdict)
        if taken:
            self.exported.exported += 1
        else:
            self.exported.skipped += 1
        return None

    def _keep(self, files: RejectedFiles | None, line: int, row: Any, why: Rejected) -> None:
        if files is None:
            return
        if isinstance(row, Broken):
            files.add_raw(row)
        else:
            files.add(line, row, why)

    def _rejected_files(self, source: Source) -> RejectedFiles | None:
        base = self._rejected
        if base is None and source.path is not None:
            folder = os.path.dirname(os.path.abspath(source.path))
            base = os.path.join(self.out, f"{os.path.basename(source.path)}.rejected")
            if os.access(folder, os.W_OK):
                base = f"{source.path}.rejected"
        if base is None:
            return None
        files = RejectedFiles(base, source)
        files.resume({})
        return files

    def _told(self, source: Source, told: dict[str, Any], files: RejectedFiles | None) -> None:
        exported = self.exported
        exported.sources.append({**told, **({"cut": True} if source.is_cut else {})})
        exported.reread += source.reread
        exported.notes += source.notes
        if files is not None:
            exported.rejected_files += files.paths
        unused = self._unused()
        exported.unused_columns += [each for each in unused if each not in exported.unused_columns]
        if self._meaning is not None:
            for name in self._meaning.left_out:
                self.tally.warn(name)

    def _unused(self) -> list[str]:
        if isinstance(self._writer, _Records) and self._writer._collections:
            return self._writer._collections[-1].unused
        if self._meaning is None or self._meaning.layout is None:
            return [] if self._meaning is None else list(self._meaning.keys)
        return self._meaning.layout.unused

    def _progress(self, tell: Callable[[Exported], None]) -> None:
        now = time.monotonic()
        if now - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = now
            self.exported.rejected = self.report.rejected
            tell(self.exported)


def export(
    source: Any,
    *,
    to: str,
    out: Any,
    service_id: str | None = None,
    account: Any = None,
    user: Any = None,
    product: Any = None,
    module: str | None = None,
    map: Any = None,  # noqa: A002  # the contract's name
    format: str | None = None,  # noqa: A002  # the contract's name
    encoding: str | None = None,
    delimiter: str | None = None,
    escape: str | None = None,
    null: str | None = None,
    timezone: str | None = None,
    status: Any = None,
    arrival_time_is_fine: bool = False,
    max_bytes: int = MOST_BYTES,
    rejected: Any = None,
    limit: int | None = None,
    force: bool = False,
    on_progress: Callable[[Exported], None] | None = None,
) -> Exported:
    """Write the CSV files that Totango's importer takes for `to` into the directory `out`.

    `to` is `usage`, `users`, `accounts` or `collections`; `source`, `map` and the flags are those
    of `replay`. Requests of another service than `service_id` are rejected; without one, none are.
    With `arrival_time_is_fine`, an activity without a time gets that of the export. Raises
    `OptionsError` for what concerns a whole source, and then leaves no file.
    """
    if to not in KINDS:
        raise OptionsError.of("to", to, f"it is one of {', '.join(KINDS)}", repr(KINDS[0]))
    sources = _sources(source)
    map_ = None if map is None else read_map(map)
    rules = Rules(
        service_id=service_id or "",
        now=time.time(),
        account=account,
        user=user,
        product=product,
        module=module,
        map=map_,
        timezone=zone_of(map_, timezone),
        status=statuses(status),
        arrival_time_is_fine=True,
    )
    job = _Job(
        to,
        _directory(out, to, sources, force=force),
        rules,
        reading_of(
            map_, format=format, encoding=encoding, delimiter=delimiter, escape=escape, null=null
        ),
        most=max_bytes,
        rejected=None if rejected is None else os.fspath(rejected),
        needs_time=not arrival_time_is_fine,
        limit=limit,
        on_progress=on_progress,
    )
    return job.run(sources)


def _directory(out: Any, to: str, sources: list[Any], *, force: bool) -> str:
    """Return the directory to write to, made if it is not there; without an earlier export."""
    path: str = os.fspath(out)
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise OptionsError(f"out={shown(path)} cannot be made ({error.strerror})") from None
    earlier = sorted(glob.glob(os.path.join(glob.escape(path), f"{to}-*.csv")))
    if earlier and not force:
        raise OptionsError(f"{earlier[0]!r} is there already: give another --out, or --force")
    read = {os.path.realpath(source) for source in sources if _is_path(source)}
    for file in earlier:
        if os.path.realpath(file) in read:
            raise OptionsError(f"{file!r} is a source: give another --out")
    for file in earlier:
        os.unlink(file)
    return path


def _sources(source: Any) -> list[Any]:
    if isinstance(source, list | tuple) and source and all(map(_is_path, source)):
        return list(expanded([os.fspath(each) for each in source]))
    return list(expanded([os.fspath(source)])) if _is_path(source) else [source]


def _is_path(source: Any) -> bool:
    return isinstance(source, str | os.PathLike)

"""Row 7: a spool that was damaged while nobody had it open."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
from typing import TYPE_CHECKING, NamedTuple

from totango_sdk.spool.records import RECORD_BYTES, recover

from .collector import Collector
from .exits import together
from .hosts import Console, Ended, Site, Zygote
from .kills import check_finish
from .ledger import read
from .oracle import Row, judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .ledger import Obligation

_EVENTS = 160
_ACCOUNTS = 8
_PAGE = 4096
_AROUND = 64  # bytes before a body that belong to its cell: sizes, id, lane
_LOG_HEAD, _FRAME_HEAD = 32, 24  # bytes at the start of SQLite's log, and before each page in it
_LEAF = 13
_MOST_CELL = 400
STALE = "stale"
_PATIENCE = 10.0


class Damage(NamedTuple):
    """One mutation of one file."""

    file: str
    kind: str
    start: int
    end: int  # bytes that are not as they were; for a file cut short, to its former end

    def __str__(self) -> str:
        return f"{self.file.partition('.')[2]} {self.kind} {self.start}-{self.end}"


class Base(NamedTuple):
    """A spool that is mutated again and again: files, and what it owes."""

    name: str
    files: dict[str, bytes]
    owed: list[Obligation]
    earlier: dict[str, bytes]  # the same files some time before
    places: dict[bytes, list[Place]]

    def holds(self, body: bytes, damage: Damage | None = None) -> bool:
        """Whether this event can still be read: where it stands, the damage has touched nothing."""
        if damage is not None and damage.file.endswith(".db") and damage.start < 64 and damage.end > 60:
            return False  # SQLite's user_version: it now is a spool of a newer version, which is left alone
        if damage is not None and damage.kind == STALE:
            return False  # SQLite cannot tell a whole log of earlier from the right one: it takes what that says
        return any(damage is None or not _touches(place, damage) for place in self.places.get(body, ()))


class Place(NamedTuple):
    """The bytes of one file on which an event depends."""

    file: str
    start: int
    end: int


def _touches(place: Place, damage: Damage) -> bool:
    return damage.file == place.file and damage.start < place.end and damage.end > place.start


def find_places(files: dict[str, bytes], bodies: list[bytes]) -> dict[bytes, list[Place]]:
    """Return where each event stands: its record in the journal, or its page of the database or of the log.

    Bytes of events lie in other places too, from which they were moved; those do not count.
    """
    places: dict[bytes, list[Place]] = {body: [] for body in bodies}
    for name, data in files.items():
        if name.endswith(".journal"):
            for record in recover(data).records:
                at = data.rfind(record.body)
                start = at - len(record.lane.encode()) - RECORD_BYTES
                places[record.body].append(Place(name, start, at + len(record.body)))
    for place, page in _valid_pages(files).values():
        for body in _bodies_in(page, bodies):
            places[body].append(place)
    return places


def _valid_pages(files: dict[str, bytes]) -> dict[int, tuple[Place, bytes]]:
    """Return each page of the database as SQLite would read it, where the log goes first.

    A page in the log depends on all to the end of its transaction, which says that it is valid.
    """
    pages = {}
    for name, data in sorted(files.items()):  # .db before .db-wal
        if name.endswith(".db"):
            for at in range(0, len(data), _PAGE):
                pages[at // _PAGE + 1] = Place(name, at, at + _PAGE), data[at : at + _PAGE]
        elif name.endswith(".db-wal"):
            end = 0
            for at in reversed(range(_LOG_HEAD, len(data), _FRAME_HEAD + _PAGE)):
                number, size = (int.from_bytes(data[at + start : at + start + 4], "big") for start in (0, 4))
                start = at + _FRAME_HEAD
                end = start + _PAGE if size else end
                if pages.get(number, (None,))[0] is None or pages[number][0].file != name:
                    pages[number] = Place(name, at, end), data[start : start + _PAGE]
    return pages


def _bodies_in(page: bytes, bodies: list[bytes]) -> list[bytes]:
    """Return the events of a leaf page, by the pointers to its cells."""
    if page[0] != _LEAF:
        return []
    count = int.from_bytes(page[3:5], "big")
    starts = [int.from_bytes(page[8 + 2 * number : 10 + 2 * number], "big") for number in range(count)]
    cells = [page[start : start + _MOST_CELL] for start in starts]
    return [body for body in bodies if any(0 <= cell.find(body) < _AROUND for cell in cells)]


def make_base(directory: Path, collector: Collector, name: str) -> Base:
    """Fill a spool during an outage. `killed` leaves journal, database and log; `closed` a tidy database."""
    directory.mkdir()
    site = Site(directory, collector)
    collector.refuse()
    with Console(site.config(stream=name, accounts=_ACCOUNTS, segment_bytes=8192)) as host:
        host.ask("load", count=_EVENTS * 2 // 3)
        earlier = _read_files(site.spool)
        host.ask("load", count=_EVENTS - _EVENTS * 2 // 3, start=_EVENTS * 2 // 3)
        if name == "killed":
            host.process.kill()
            host.process.wait()
        else:
            host.ask("close", timeout=0.1)
    collector.reopen()
    files = _read_files(site.spool)
    owed = read(site.ledger)
    base = Base(name, files, owed, earlier, find_places(files, [each.body for each in owed]))
    assert len(base.owed) == _EVENTS, "not all were accepted"
    assert all(base.holds(each.body) for each in base.owed), "the base does not hold what it owes"
    return base


def _read_files(directory: str) -> dict[str, bytes]:
    files = {}
    for entry in sorted(os.listdir(directory)):
        with open(os.path.join(directory, entry), "rb") as file:
            files[entry] = file.read()
    return files


def _flip(data: bytearray, chance: random.Random) -> tuple[int, int]:
    at = chance.randrange(len(data))
    data[at] ^= 1 << chance.randrange(8)
    return at, at + 1


def _cut(data: bytearray, chance: random.Random) -> tuple[int, int]:
    at, before = chance.randrange(len(data)), len(data)
    del data[at:]
    return at, before


def _zero(data: bytearray, chance: random.Random) -> tuple[int, int]:
    at = chance.randrange(len(data))
    end = min(len(data), at + chance.choice((1, 8, 512, 4096, len(data))))
    data[at:end] = bytes(end - at)
    return at, end


def _noise(data: bytearray, chance: random.Random) -> tuple[int, int]:
    at = chance.randrange(len(data))
    end = min(len(data), at + chance.choice((4, 64, 4096)))
    data[at:end] = chance.randbytes(end - at)
    return at, end


MUTATIONS: dict[str, Callable[[bytearray, random.Random], tuple[int, int]]] = {
    "flip": _flip,
    "cut": _cut,
    "zero": _zero,
    "noise": _noise,
}
# Where a random bit would rarely fall: headers, and the first bytes of each segment of the journal.
_SENSITIVE = {"journal": [(0, 64), (4096, 4200), (4096 + 8192, 4200 + 8192)], "db": [(0, 128)], "db-wal": [(0, 64)]}


def _flip_sensitive(data: bytearray, suffix: str, chance: random.Random) -> tuple[int, int]:
    start, end = chance.choice(_SENSITIVE[suffix])
    at = chance.randrange(start, min(end, len(data)))
    data[at] ^= 1 << chance.randrange(8)
    return at, at + 1


def mutate(base: Base, chance: random.Random) -> tuple[dict[str, bytes], Damage]:
    """Return the files with one of them damaged."""
    names = [name for name, data in base.files.items() if data and not name.endswith(".lock")]
    name = chance.choice(names)
    suffix = name.partition(".")[2]
    kind = chance.choice((*MUTATIONS, "sensitive") if suffix in _SENSITIVE else tuple(MUTATIONS))
    data = bytearray(base.files[name])
    if kind == "sensitive":
        start, end = _flip_sensitive(data, suffix, chance)
    else:
        start, end = MUTATIONS[kind](data, chance)
    return {**base.files, name: bytes(data)}, Damage(name, kind, start, end)


def stale_log(base: Base) -> tuple[dict[str, bytes], Damage] | None:
    """Return the files with a write-ahead log of earlier in the place of the right one, or of none."""
    found = [(name, data) for name, data in base.earlier.items() if name.endswith(".db-wal") and data]
    if not found:
        return None
    (name, data), *_ = found
    now = base.files.get(name, b"")
    same = next((at for at, (old, new) in enumerate(zip(data, now, strict=False)) if old != new), len(data))
    return {**base.files, name: data}, Damage(name, STALE, same, max(len(data), len(now)))


class Mutant(NamedTuple):
    """What became of one damaged spool."""

    damage: Damage
    row: Row
    missing: int  # of those that may be, since the damage has touched all copies
    aside: bool


def run_mutant(
    place: Path, collector: Collector, zygote: Zygote, base: Base, files: dict[str, bytes], damage: Damage
) -> Mutant:
    """Run a process on a damaged spool, and see what it delivers."""
    (place / "spool").mkdir(parents=True, mode=0o700)
    site, before, report = Site(place, collector), collector.count(), place / "report"
    _lay_out(site.spool, files)
    zygote.start(site.config(stream="fresh", count=1, flush=_PATIENCE, report=str(report)))
    code = zygote.wait()
    ended = Ended(code, json.loads(report.read_text()) if report.exists() else {}, "", 0, 0)
    arrivals = collector.arrivals(before)
    gone = frozenset(each.body for each in base.owed if not base.holds(each.body, damage))
    row = judge(f"{base.name}, {damage}", "7", [*base.owed, *read(site.ledger)], arrivals, excused=gone)
    row.require(row.events == len(base.owed) + 1, "the fresh event was not accepted")
    row.require(ended.report.get("stats", {}).get("durable"), "it went on in memory only")
    check_finish(row, ended)
    came = {arrival.body for arrival in arrivals}
    aside = any(".corrupt-" in name for name in os.listdir(site.spool))
    if not row.failures:
        shutil.rmtree(place)
    return Mutant(damage, row, sum(body not in came for body in gone), aside)


def _lay_out(directory: str, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        fd = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)


def newer_version(directory: Path) -> Row:
    """A spool of a newer version is left alone, byte for byte, and named; events go on beside it."""
    with Collector() as collector:
        base = make_base(directory / "closed", collector, "closed")
        site = Site(directory / "closed", collector)
        name = next(name for name in base.files if name.endswith(".db"))
        with contextlib.closing(sqlite3.connect(os.path.join(site.spool, name))) as db:
            db.execute("PRAGMA user_version=99")
        # With the journal of this version beside it, what that holds could be delivered; the database is what counts.
        before = _read_files(site.spool)[name]
        ended = site.finish(timeout=_PATIENCE)
        after = _read_files(site.spool)
        excused = frozenset(each.body for each in base.owed)
        row = judge("spool of a newer version", "7", read(site.ledger), collector.arrivals(), excused=excused)
    row.require(after.get(name) == before, "it was changed, or set aside")
    row.require(name in ended.log and "newer version" in ended.log, f"not named: {ended.log[-500:]!r}")
    check_finish(row, ended)
    return row


def all_mutants(directory: Path, *, mutants: int, seed: int | None = None) -> Row:
    """Run a process on each of so many damaged spools."""
    chance = random.Random(seed)
    done = []
    with Collector() as collector, Zygote() as zygote:
        bases = [make_base(directory / name, collector, name) for name in ("killed", "closed")]
        plans = [(base, *mutate(base, chance)) for number in range(mutants) for base in [bases[number % 4 == 3]]]
        plans += [(base, *stale) for base in bases if (stale := stale_log(base)) is not None]
        for number, (base, files, damage) in enumerate(plans):
            done.append(run_mutant(directory / str(number), collector, zygote, base, files, damage))
    whole = together("corrupt spool", "7", [mutant.row for mutant in done])
    aside, missing = sum(mutant.aside for mutant in done), sum(mutant.missing for mutant in done)
    whole.note = f"{aside} set aside; {missing} events destroyed"
    whole.require(aside > 0, "nothing was set aside: the damage was none")
    return whole

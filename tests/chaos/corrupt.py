"""Row 7: a spool that was damaged while nobody had it open."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from typing import TYPE_CHECKING, NamedTuple

from totango_sdk.spool.mapped import PAGE_BYTES
from totango_sdk.spool.records import EVENT, SETTLED, Head, record_at, walk

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
        return any(damage is None or not _touches(place, damage) for place in self.places.get(body, ()))


class Place(NamedTuple):
    """The bytes of one file on which an event depends."""

    file: str
    start: int
    end: int


def _touches(place: Place, damage: Damage) -> bool:
    return damage.file == place.file and damage.start < place.end and damage.end > place.start


def find_places(files: dict[str, bytes], bodies: list[bytes]) -> dict[bytes, list[Place]]:
    """Return where the record of each event stands."""
    places: dict[bytes, list[Place]] = {body: [] for body in bodies}
    for name, data in files.items():
        if not name.endswith(".log"):
            continue
        for spot in walk(data, PAGE_BYTES, len(data)):
            record = record_at(data, spot.at, len(data))
            if record is not None and spot.kind == EVENT and spot.state != SETTLED:
                places[record.body].append(Place(name, spot.at, spot.end))
    return places


def make_base(directory: Path, collector: Collector, name: str) -> Base:
    """Fill a spool during an outage, into several segments; its process is `killed` then, or it has `closed` it."""
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
        # Of a living process: a segment that is in the making changes its name as soon as it is made.
        with contextlib.suppress(FileNotFoundError), open(os.path.join(directory, entry), "rb") as file:
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
# Where a random bit would rarely fall: the head, where the end stands, and the first records.
_SENSITIVE = [(0, 100), (PAGE_BYTES - 8, PAGE_BYTES), (PAGE_BYTES, PAGE_BYTES + 100)]


def _flip_sensitive(data: bytearray, chance: random.Random) -> tuple[int, int]:
    start, end = chance.choice(_SENSITIVE)
    at = chance.randrange(start, min(end, len(data)))
    data[at] ^= 1 << chance.randrange(8)
    return at, at + 1


def mutate(base: Base, chance: random.Random) -> tuple[dict[str, bytes], Damage]:
    """Return the files with one of them damaged."""
    names = [name for name, data in base.files.items() if data and not name.endswith(".lock")]
    name = chance.choice(names)
    kind = chance.choice((*MUTATIONS, "sensitive"))
    data = bytearray(base.files[name])
    if kind == "sensitive":
        start, end = _flip_sensitive(data, chance)
    else:
        start, end = MUTATIONS[kind](data, chance)
    return {**base.files, name: bytes(data)}, Damage(name, kind, start, end)


def stale_log(base: Base) -> tuple[dict[str, bytes], Damage] | None:
    """Return the files with a segment as it was earlier in the place of the right one."""
    for name, data in base.earlier.items():
        now = base.files.get(name, b"")
        pairs = enumerate(zip(data[PAGE_BYTES:], now[PAGE_BYTES:], strict=False), PAGE_BYTES)
        same = next((at for at, (old, new) in pairs if old != new), None)
        if same is not None:
            return {**base.files, name: data}, Damage(name, STALE, same, max(len(data), len(now)))
    return None


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
        name = next(name for name in base.files if name.endswith(".log"))
        with open(os.path.join(site.spool, name), "r+b") as file:
            head = Head.read(file.read(PAGE_BYTES))
            assert head is not None
            file.seek(0)
            file.write(head._replace(schema=99).packed())
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

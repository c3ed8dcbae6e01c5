"""A source that a ledger knows: whether it is still the same, and where to go on."""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import IO, TYPE_CHECKING, Any

import attrs

from ..errors import OptionsError
from ..tables import Position
from .ledger import Chain, Ledger, edges

if TYPE_CHECKING:
    from ..tables import Source


class _Head:
    """The first bytes of a file, as a file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._size = size
        self._at = 0

    def read(self, size: int) -> bytes:
        """Read on."""
        data = os.pread(self._file.fileno(), min(size, self._size - self._at), self._at)
        self._at += len(data)
        return data


@attrs.define
class Known:
    """What a ledger says of one source, kept up to date while a run lasts."""

    ledger: Ledger
    file: IO[bytes]
    source: Source
    told: dict[str, Any]  # whose run it is: service, endpoint, hash of map and flags
    mark: Position = Position()
    start: float = 0.0
    finished_on: str | None = None
    finished: set[int] = attrs.field(factory=set)
    lengths: dict[str, int] = attrs.field(factory=dict)
    notes: list[str] = attrs.field(factory=list)
    _chain: Chain | None = None

    def open(self, *, again: bool, verify: bool, now: float) -> None:
        """Compare the source with what the ledger knows. Raises `OptionsError` if it differs."""
        if again:
            self.ledger.clear()
        old = self.ledger.get("source")
        self.start = now
        if old is None:
            self._begin(now)
            return
        self._compare_run(self.ledger.get("run"))
        self.mark = Position(*self.ledger.get("mark"))
        self.start = self.ledger.get("start")
        self.lengths = self.ledger.get("lengths")
        self.finished = self.ledger.finished()
        grown = self._compare(old, verify=verify)
        end = self.ledger.get("end")
        if end is not None and not grown:
            self.finished_on = dt.datetime.fromtimestamp(end, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
        if grown:
            self._check_last_line(old, end)
            self.notes.append(
                f"{self.source.name} has grown by {grown} bytes: what is new is taken"
            )
            self.ledger.keep({"source": self._seen(), "end": None})

    def _begin(self, now: float) -> None:
        if self.source.has_offsets:
            self._chain = Chain(self.file)
        seen = self._seen()
        self.ledger.keep(
            {
                "source": seen,
                "run": self.told,
                "start": now,
                "end": None,
                "mark": list(self.mark),
                "digest": "" if self._chain else self._whole(seen["size"]),
                "lengths": {},
            }
        )

    def _seen(self) -> dict[str, Any]:
        stat = os.fstat(self.file.fileno())
        return {
            "path": os.path.abspath(self.source.path or ""),
            "size": stat.st_size,
            "mtime": stat.st_mtime_ns,
            "format": self.source.format,
            "edges": edges(self.file, stat.st_size),
        }

    def _whole(self, size: int) -> str:
        return Chain(self.file).digest(size)

    def _compare_run(self, run: dict[str, Any]) -> None:
        for name, value in self.told.items():
            if run.get(name) != value:
                msg = (
                    f"{self.source.name} was begun with another {name} ({run.get(name)}, not "
                    f"{value}): go on with that, give another --ledger, or start over by --again"
                )
                raise OptionsError(msg)

    def _compare(self, old: dict[str, Any], *, verify: bool) -> int:
        """Return by how many bytes the source has grown. Raises `OptionsError` if it differs."""
        seen = self._seen()
        grown = int(seen["size"] - old["size"])
        if seen["format"] != old["format"]:
            raise self._differs(f"its format is {seen['format']}, not {old['format']}")
        if grown < 0:
            raise self._differs("it is shorter")
        if edges(self.file, old["size"]) != old["edges"]:
            raise self._differs("its beginning or end has other bytes")
        if not self.source.has_offsets:
            return self._compare_packed(old, seen, verify=verify)
        at, chain = self.ledger.get("chain") or (0, "")
        is_thorough = verify or seen["mtime"] != old["mtime"]
        self._chain = Chain(self.file) if is_thorough else Chain(self.file, at, chain)
        if self._chain.digest(self.mark.offset) != self.ledger.get("digest") and self.mark.offset:
            raise self._differs("its rows up to where the last run came have other bytes")
        return grown

    def _compare_packed(self, old: dict[str, Any], seen: dict[str, Any], *, verify: bool) -> int:
        """The same of what is packed, or in UTF-16: all its bytes are compared, if any."""
        grown = int(seen["size"] - old["size"])
        if grown and self.source.format in ("parquet", "json"):
            raise self._differs(f"it has more bytes, and {self.source.format} does not grow")
        is_same = seen["mtime"] == old["mtime"] and not verify and not grown
        if not is_same and self._whole(old["size"]) != self.ledger.get("digest"):
            raise self._differs("it has other bytes")
        if grown:
            self.ledger.keep({"digest": self._whole(seen["size"])})
        return grown

    def _check_last_line(self, old: dict[str, Any], end: Any) -> None:
        """Raise `OptionsError` if a row that was taken may have become longer."""
        upto = max(int(old["size"]), self.mark.offset if self.source.has_offsets else 0)
        if end is None and not self.finished and self.mark.offset < upto:
            return  # its last line was not reached, and is read anew
        if self.source.has_offsets:
            last = os.pread(self.file.fileno(), 1, upto - 1)
        else:
            last = self.source.last_of(_Head(self.file, upto))
        if last not in (b"\n", b"\r"):
            raise self._differs("it has grown within its last line")

    def _differs(self, what: str) -> OptionsError:
        return OptionsError(
            f"{self.source.name} is not the source that {self.ledger.path} knows: {what}. "
            "Give another --ledger, or start over by --again"
        )

    def keep(self, rows: list[int], *, is_end: bool = False) -> None:
        """Write down the mark and the rows that became final."""
        told: dict[str, Any] = {"mark": list(self.mark), "lengths": self.lengths}
        if self._chain is not None:
            told["digest"] = self._chain.digest(self.mark.offset)
            told["chain"] = [self._chain.at, self._chain.chain]
        if is_end:
            told |= {"end": time.time()}
            if os.fstat(self.file.fileno()).st_size < self.mark.offset and self._chain is not None:
                self.notes.append(f"{self.source.name} became shorter while it was read")
        self.ledger.keep(told, rows, self.mark.row)

    def close(self) -> None:
        """Let go of the ledger and the source."""
        self.ledger.close()
        self.file.close()

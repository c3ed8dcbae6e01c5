"""One source: which format it has, and its rows."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import OptionsError
from ..show import shown
from .delimited import Delimited
from .logs import Log, is_log
from .objects import Array, Lines
from .streams import Stream
from .values import FORMATS, Batch, Broken, Position, Reading, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_AS_READ = Reading()
_ROWS_AT_ONCE = 1000
_BY_NAME = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson",
}  # fmt: skip
_PACKED = (".gz", ".zst")


class _Reader(Protocol):
    reread: int

    def batches(self, start: Position | None) -> Iterator[Batch]: ...


class Source:
    """Rows of one source, in its order.

    `columns` are the names of a CSV or Parquet source; `None` where each row is a mapping.
    `notes` says what was found out against the source's name. After the last row, `is_cut` says
    that the source ends too early, and `reread` how many rows were read again behind a broken one.
    """

    def __init__(
        self, name: str, path: str | None, kind: str, reader: _Reader, stream: Stream | None
    ) -> None:
        self.name = name
        self.path = path
        self.format = kind
        self.columns: tuple[str, ...] | None = getattr(reader, "columns", None)
        self.delimiter: str = getattr(reader, "delimiter", ",")
        self.notes: list[str] = []
        self._reader = reader
        self._stream = stream

    @property
    def is_cut(self) -> bool:
        """Whether the source ends before its end; known behind the last row."""
        return self._stream is not None and self._stream.is_cut

    @property
    def has_offsets(self) -> bool:
        """Whether the offsets of its rows are those of the file itself."""
        return self._stream is not None and self._stream.is_plain and self.format != "parquet"

    @property
    def codec(self) -> str:
        """What the bytes of its rows are decoded with."""
        return "utf-8" if self._stream is None else self._stream.codec

    @property
    def header(self) -> bytes:
        """All that stands before the first row of a CSV source, as it stands there."""
        return self._reader.header if isinstance(self._reader, Delimited) else b""

    def last_of(self, file: Any) -> bytes:
        """Return the last byte of a file that is packed and encoded as this one, unpacked."""
        last = b""
        stream = Stream(file)
        stream.look(None if self._stream is None else self._stream.encoding)
        for chunk in stream.chunks():
            last = chunk[-1:] or last
        return b"" if stream.is_cut else last

    @property
    def reread(self) -> int:
        """How many rows were read again behind a broken one."""
        return self._reader.reread

    def batches(self, start: Position | None = None) -> Iterator[Batch]:
        """Yield the rows many at once, from a position on that an earlier pass had reached."""
        return self._reader.batches(start)

    def rows(self) -> Iterator[Row]:
        """Yield the rows one by one."""
        for batch in self.batches():
            yield from map(Row, batch.lines, batch.rows)

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._stream is not None:
            self._stream.close()


class _Given:
    """Rows out of an iterable of mappings; a row's line is its number, from 1."""

    reread = 0

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows = iter(rows)

    def batches(self, start: Position | None) -> Iterator[Batch]:
        done = 0
        while taken := list(islice(self._rows, _ROWS_AT_ONCE)):
            behind = done + len(taken)
            lines = range(done + 1, behind + 1)
            yield Batch([_mapping(row) for row in taken], lines, range(done + 2, behind + 2), lines)
            done = behind


def _mapping(row: Any) -> Mapping[str, Any] | Broken:
    if isinstance(row, Mapping):
        return row
    return Broken("not-object", f"it is {shown(row)}, no mapping", repr(row).encode())


def open_source(source: Any, reading: Reading = _AS_READ) -> Source:
    """Open a path, `"-"` (standard input), a binary file, or an iterable of mappings.

    Raises `OptionsError` for what concerns the whole source.
    """
    if reading.format is not None and reading.format not in FORMATS:
        msg = f"format={shown(reading.format)} is wrong: it is one of {', '.join(FORMATS)}"
        raise OptionsError(msg)
    if not isinstance(source, str | os.PathLike) and not hasattr(source, "read"):
        if not isinstance(source, Iterable) or isinstance(source, bytes):
            msg = f"source {shown(source)} is wrong: give a path, a file, or rows as mappings"
            raise OptionsError(msg)
        return Source("the rows given", None, "rows", _Given(source), None)
    stream = Stream(source)
    try:
        stream.look(reading.encoding)
        if not stream.head:
            raise OptionsError(f"{stream.name} is empty: give a file with rows")
        return _source(stream, reading)
    except BaseException:
        stream.close()
        raise


def _source(stream: Stream, reading: Reading) -> Source:
    named = _by_name(stream.name)
    kind = reading.format or _by_content(stream, named)
    path = stream.name if stream.is_again else None
    if (kind == "parquet") != stream.head.startswith(b"PAR1"):
        msg = f"{stream.name} is no Parquet: leave --format out"
        raise OptionsError(msg if kind == "parquet" else msg.replace("no Parquet", "Parquet"))
    opened = Source(stream.name, path, kind, _reader(stream, kind, reading), stream)
    if named is not None and named != kind and reading.format is None:
        opened.notes.append(f"{stream.name} is read as {kind}, as its content is")
    return opened


def _reader(stream: Stream, kind: str, reading: Reading) -> _Reader:
    if kind == "csv":
        return Delimited(stream, reading)
    if kind == "parquet":
        return _parquet(stream)
    readers: dict[str, Callable[[Stream], _Reader]] = {"ndjson": Lines, "json": Array, "log": Log}
    return readers[kind](stream)


def _parquet(stream: Stream) -> _Reader:
    if not stream.is_again:
        msg = (
            f"{stream.name} is Parquet, which is not read from its beginning: give the file's path"
        )
        raise OptionsError(msg)
    if stream.packing:
        raise OptionsError(f"{stream.name} is a packed Parquet file: unpack it first")
    from .parquet import Parquet

    return Parquet(stream.name)


def _by_name(name: str) -> str | None:
    lower = name.lower()
    for packed in _PACKED:
        lower = lower.removesuffix(packed)
    return _BY_NAME.get(os.path.splitext(lower)[1])


def _by_content(stream: Stream, named: str | None) -> str:
    head = stream.head[stream.bom :]
    if stream.head.startswith(b"PAR1"):
        return "parquet"
    first = head.lstrip()[:1]
    if first == b"{":
        return "ndjson"
    if first == b"[":
        return "json"
    if is_log(head.decode(stream.codec, "replace")):
        return "log"
    return named or "csv"


def expanded(sources: Sequence[str]) -> list[str]:
    """Return the paths that these stand for: a pattern such as `day-*.csv` in sorted order.

    Raises `OptionsError` for a pattern that nothing matches.
    """
    found: list[str] = []
    for source in sources:
        is_pattern = glob.has_magic(source) and not os.path.exists(source)
        matching = sorted(glob.glob(source)) if is_pattern else [source]
        if not matching:
            raise OptionsError(f"no file matches {shown(source)}: check the path")
        found += matching
    return found

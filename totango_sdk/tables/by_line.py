"""Formats that have a row in each line."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from .lines import Block, blocks, line_end
from .values import Batch, Broken, Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .streams import Stream

CUT = "the file ends within it"


class ByLine(ABC):
    """Reads a row from each line that is not empty."""

    columns = None
    reread = 0

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._end = line_end(stream.head)

    @abstractmethod
    def _row(self, line: str) -> Any:
        """Return the row of a line, or what is wrong with it; `None` for an empty line."""

    def batches(self, start: Position | None) -> Iterator[Batch]:
        """Yield the rows, a block of lines at a time."""
        begin = start or Position()
        offset = max(begin.offset, self._stream.bom)
        chunks = self._stream.chunks(begin.offset)
        for block in blocks(chunks, self._end, begin.next_line, offset):
            yield self._batch(block)

    def _batch(self, block: Block) -> Batch:
        if block.is_too_long:
            broken = Broken("too-large", "it is longer than 1 MiB", block.body)
            return Batch([broken], [block.line], [block.line + 1], [block.start + block.size])
        raw = block.body.split(self._end)
        if block.has_end:
            raw.pop()
        try:
            lines = block.body.decode(self._stream.codec).split(self._end.decode())
            rows = [self._row(line) for line in lines[: len(raw)]]
        except UnicodeDecodeError:
            rows = [self._decoded(line) for line in raw]
        if not block.has_end and rows[-1] is not None and self._is_cut(rows[-1]):
            rows[-1] = Broken("cut-short", CUT, raw[-1])
        return _kept(block, raw, rows)

    def _decoded(self, line: bytes) -> Any:
        try:
            return self._row(line.decode(self._stream.codec))
        except UnicodeDecodeError:
            reason = f"it has bytes that are not {self._stream.encoding}. Give --encoding"
            return Broken("encoding", reason, line + self._end)

    def _is_cut(self, row: Any) -> bool:
        """Whether the row of a last line that has no end is but a part of one."""
        return self._stream.is_cut


def _kept(block: Block, raw: list[bytes], rows: list[Any]) -> Batch:
    ends = list(accumulate(map(len, raw), lambda at, size: at + size + 1, initial=block.start))
    ends[-1] = min(ends[-1], block.start + block.size)
    places = range(len(rows))
    if None in rows:
        places = [at for at in places if rows[at] is not None]  # type: ignore[assignment]
    return Batch(
        [rows[at] for at in places],
        [block.line + at for at in places],
        [block.line + at + 1 for at in places],
        [ends[at + 1] for at in places],
    )

"""Web servers' logs in the Common and the Combined Log Format."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING

from .lines import Block, blocks, line_end
from .values import Batch, Broken, Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .streams import Stream

NAMES = ("host", "ident", "user", "time", "request", "status", "size", "referer", "agent")
LINE = re.compile(
    r'(\S+) (\S+) (.+?) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)'
    r'(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?(?: .*)?\r?'
)
_LINES_LOOKED_AT = 20


def is_log(text: str) -> bool:
    """Whether the first 20 lines that are not empty are all lines of a web server's log."""
    lines = [line for line in text.splitlines()[: 50 * _LINES_LOOKED_AT] if line.strip()]
    if len(lines) > 1 and not text.endswith(("\n", "\r")):
        lines.pop()  # perhaps the head ends within it
    first = lines[:_LINES_LOOKED_AT]
    return bool(first) and all(LINE.fullmatch(line) for line in first)


class Log:
    """Reads a log; each line becomes its parts, and `None` if it is no line of a log."""

    columns = None
    reread = 0

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._end = line_end(stream.head)

    def batches(self, start: Position | None) -> Iterator[Batch]:
        """Yield the lines, a block at a time."""
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
        ends = list(accumulate(map(len, raw), lambda at, size: at + size + 1, initial=block.start))
        ends[-1] = min(ends[-1], block.start + block.size)
        rows = [self._row(line) for line in raw]
        if not block.has_end and self._stream.is_cut:
            rows[-1] = Broken("cut-short", "the file ends within it", raw[-1])
        places = [at for at, line in enumerate(raw) if line.strip()]
        return Batch(
            [rows[at] for at in places],
            [block.line + at for at in places],
            [block.line + at + 1 for at in places],
            [ends[at + 1] for at in places],
        )

    def _row(self, line: bytes) -> dict[str, str | None] | Broken:
        try:
            text = line.decode(self._stream.codec)
        except UnicodeDecodeError:
            reason = f"it has bytes that are not {self._stream.encoding}. Give --encoding"
            return Broken("encoding", reason, line + self._end)
        found = LINE.fullmatch(text)
        values = found.groups() if found else (None,) * len(NAMES)
        return dict(zip(NAMES, values, strict=True), line=text)

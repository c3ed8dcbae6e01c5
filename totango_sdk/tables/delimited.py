"""CSV: rows by the standard library's `csv`, a block of lines at a time, and one line for a fault."""

from __future__ import annotations

import csv
import re
import threading
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ..errors import OptionsError
from ..show import shown
from .lines import Block, blocks, line_end
from .values import MOST_ROW_BYTES, Batch, Broken, Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .streams import Stream
    from .values import Reading

DELIMITERS = ",;\t|"
MOST_COLUMNS = 1000
_SEP = re.compile(r"\A\"?sep=(.)\"?\r?\n?\Z", re.IGNORECASE)
# Lone surrogates: what `surrogateescape` makes of bytes that are no text, and marks of our own
# for characters that `csv` would take for something else.
_UNDECODED = re.compile("[\udc80-\udcff]")
_QUOTE_MARK, _ESCAPE_MARK, _CR_MARK, _LF_MARK = "\ud801", "\ud802", "\ud803", "\ud804"
_limit_lock = threading.Lock()
_WORDS = {
    "quote": "a quote is open at its end, or a character stands behind a closing quote",
    "fields-few": "it has {} fields, and the header {}",
    "fields-many": "it has {} fields, and the header {}. Quote a value that has the delimiter in it",
    "encoding": "it has bytes that are not {}. Give --encoding, such as --encoding cp1252",
    "cut-short": "the file ends within it",
    "too-large": "it is longer than 1 MiB",
}


class Delimited:
    """Reads one CSV source. `reread` counts the rows that were read again behind a broken one."""

    def __init__(self, stream: Stream, reading: Reading) -> None:
        self.reread = 0
        self._stream = stream
        self._codec = stream.codec
        self._end = line_end(stream.head)
        self._escape = _escape(reading.escape)
        self._null = reading.null
        self._delimiter = reading.delimiter
        self._far = 0  # the line behind all that was read for a row that turned out broken
        self.columns = self._read_header()

    @property
    def delimiter(self) -> str:
        """What stands between two fields."""
        return self._delimiter or ","

    @property
    def header(self) -> bytes:
        """All that stands before the first row, with its line end."""
        found = self._stream.head[: self._begin.offset]
        return found if found.endswith((b"\n", b"\r")) else found + self._end

    # -- the header

    def _read_header(self) -> tuple[str, ...]:
        lines = self._head_lines()
        at = 0
        if lines and (found := _SEP.match(lines[0])):
            self._delimiter = self._delimiter or found[1]
            at = 1
        while at < len(lines) and not lines[at].strip("\r\n"):
            at += 1
        if at == len(lines):
            raise OptionsError(f"{self._stream.name} has no header: its first line names columns")
        self._delimiter = self._delimiter or max(
            DELIMITERS, key=lambda each: len(self._header(lines[at:], each)[0])
        )
        _check_delimiter(self._delimiter)
        columns, used = self._header(lines[at:], self._delimiter)
        if not columns:
            msg = f"{self._stream.name} has a header that cannot be read: {shown(lines[at])}"
            raise OptionsError(msg)
        self._begin = self._behind(lines[: at + used])
        return self._checked(columns)

    def _head_lines(self) -> list[str]:
        head = self._stream.head[self._stream.bom :]
        text = head.decode(self._codec, "surrogateescape")
        return _split(text, self._end.decode())

    def _header(self, lines: list[str], delimiter: str) -> tuple[list[str], int]:
        reader = self._reader(iter([self._marked(line) for line in lines]), delimiter)
        try:
            with _long_fields():
                columns = next(reader)
            return columns, reader.line_num
        except (csv.Error, StopIteration):
            return [], 0

    def _behind(self, lines: list[str]) -> Position:
        size = sum(len(line.encode(self._codec, "surrogateescape")) for line in lines)
        return Position(0, len(lines) + 1, self._stream.bom + size)

    def _checked(self, columns: list[str]) -> tuple[str, ...]:
        name = self._stream.name
        if any(_UNDECODED.search(column) for column in columns):
            msg = f"{name} has a header that is not {self._stream.encoding}. Give --encoding"
            raise OptionsError(msg)
        if len(columns) >= MOST_COLUMNS:
            raise OptionsError(f"{name} has {len(columns)} columns: at most 999 can be read")
        return tuple(self._mended(column) for column in columns)

    # -- the rows

    def batches(self, start: Position | None) -> Iterator[Batch]:
        """Yield the rows, a block of lines at a time."""
        begin = start if start is not None and start.offset else self._begin
        chunks = self._stream.chunks(begin.offset)
        pending: Block | None = None
        for block in blocks(chunks, self._end, begin.next_line, begin.offset):
            whole = block if pending is None else _joined(pending, block)
            pending = None
            if block.is_too_long:
                yield from self._too_long(whole, block)
                continue
            batch, rest = self._block(whole)
            yield batch
            pending = rest
        if pending is not None:
            yield self._block(pending, is_last=True)[0]

    def _too_long(self, whole: Block, block: Block) -> Iterator[Batch]:
        if whole is not block:  # a quote was open before it
            yield self._block(_before(whole, block), is_last=True)[0]
        broken = Broken("too-large", _WORDS["too-large"], block.body)
        yield Batch([broken], [block.line], [block.line + 1], [block.start + block.size])

    def _block(self, block: Block, *, is_last: bool = False) -> tuple[Batch, Block | None]:
        quick = self._quick(block)
        return (quick, None) if quick is not None else _Slow(self, block, is_last=is_last).read()

    def _quick(self, block: Block) -> Batch | None:
        """Read a block of which every row is one line, as nearly all are; else return `None`."""
        if not block.has_end:
            return None
        body = block.body
        try:
            text = body.decode(self._codec)
        except UnicodeDecodeError:
            return None
        if self._escape or self._has_other_ends(body):
            return None
        lines = text.split(self._end.decode())
        lines.pop()
        try:
            with _long_fields():
                rows = list(self._reader(iter(lines), self._delimiter or ","))
        except csv.Error:
            return None
        if len(rows) != len(lines) or not set(map(len, rows)) <= {len(self.columns)}:
            return None
        raw = lines if body.isascii() else body.split(self._end)[:-1]
        ends = accumulate(map(len, raw), lambda at, size: at + size + 1, initial=block.start)
        if self._null is not None:
            rows = [self._without_null(row) for row in rows]
        last = block.line + len(rows)
        if self._far > block.line:
            self.reread += min(last, self._far) - block.line
        return Batch(rows, range(block.line, last), range(block.line + 1, last + 1), list(ends)[1:])

    def _has_other_ends(self, body: bytes) -> bool:
        if self._end == b"\r":
            return b"\n" in body
        return b"\r" in body and body.count(b"\r\n") != body.count(b"\r")

    def _reader(self, lines: Iterator[str], delimiter: str) -> Any:
        return csv.reader(lines, strict=True, delimiter=delimiter, doublequote=self._escape is None)

    def _without_null(self, row: list[str]) -> list[str]:
        null = self._null
        return ["" if value == null else value for value in row]

    def _mended(self, value: str) -> str:
        """Give back what the marks stand for."""
        for mark, meant in (
            (_QUOTE_MARK, '"'),
            (_ESCAPE_MARK, self._escape or ""),
            (_CR_MARK, "\r"),
            (_LF_MARK, "\n"),
        ):
            if mark in value:
                value = value.replace(mark, meant)
        return value

    def _marked(self, line: str) -> str:
        """Put marks for what `csv` would misread: an escaped quote, a line end that ends no line."""
        if self._escape and self._escape in line:
            line = re.sub(
                f'{re.escape(self._escape)}([{re.escape(self._escape)}"])',
                lambda found: _QUOTE_MARK if found[1] == '"' else _ESCAPE_MARK,
                line,
            )
        if self._end == b"\r":
            return line.replace("\n", _LF_MARK)
        body = line.removesuffix("\r\n")
        return body.replace("\r", _CR_MARK) + line[len(body) :] if "\r" in body else line


class _Slow:
    """One block, row by row: some rows span lines, or are broken."""

    def __init__(self, owner: Delimited, block: Block, *, is_last: bool) -> None:
        self._owner = owner
        self._block = block
        self._is_last = is_last or not block.has_end
        end = owner._end
        self._raw = _split(block.body, end)
        self._lines = [
            owner._marked(line.decode(owner._codec, "surrogateescape")) for line in self._raw
        ]
        self._offsets = list(accumulate(map(len, self._raw), initial=block.start))
        self._rows: list[Any] = []
        self._begins: list[int] = []
        self._nexts: list[int] = []

    def read(self) -> tuple[Batch, Block | None]:
        """Return the rows, and what is left for the next block: a row with an open quote."""
        at: int | None = 0
        with _long_fields():
            while at is not None and at < len(self._lines):
                at = self._run(at)
        done = len(self._lines) if at is None else at
        if at is None:
            done = self._open_at
        return self._batch(), self._rest(done)

    def _batch(self) -> Batch:
        line = self._block.line
        return Batch(
            self._rows,
            [line + at for at in self._begins],
            [line + at for at in self._nexts],
            [self._offsets[at] for at in self._nexts],
        )

    def _rest(self, at: int) -> Block | None:
        if at >= len(self._lines):
            return None
        start = self._offsets[at]
        body = self._block.body[start - self._block.start :]
        return Block(body, self._block.line + at, start, len(body), self._block.has_end)

    def _run(self, begin: int) -> int | None:
        """Read rows from the line at `begin` on, up to a broken one; return where to go on.

        `None`: a quote is open at the end of the block, and `_open_at` is where its row begins.
        """
        owner = self._owner
        feed = _Feed(self._lines, begin)
        reader = owner._reader(feed, owner._delimiter or ",")
        at = begin
        while True:
            feed.began = at
            try:
                row = next(reader, None)
            except csv.Error:
                return self._failed(at, feed)
            if row is None:
                return at
            behind = feed.at
            if row and not self._take(row, at, behind):
                return at + 1
            at = behind

    def _failed(self, at: int, feed: _Feed) -> int | None:
        if feed.is_empty and not self._is_last:
            self._open_at = at
            return None
        self._give_up(at, feed.at)
        return at + 1

    def _give_up(self, at: int, behind: int) -> None:
        is_cut = at == len(self._lines) - 1 and not self._block.has_end
        self._reject(at, "cut-short" if is_cut else "quote")
        self._owner._far = max(self._owner._far, self._block.line + behind)

    def _take(self, row: list[str], at: int, behind: int) -> bool:
        """Take a row that was read; `False` if it is broken, and its further lines are read again."""
        owner = self._owner
        width = len(owner.columns)
        if len(row) != width and behind - at > 1:
            self._give_up(at, behind)
            return False
        is_cut = behind == len(self._lines) and not self._block.has_end
        if is_cut and (len(row) < width or owner._stream.is_cut):
            self._reject(at, "cut-short")
        elif len(row) != width:
            code = "fields-few" if len(row) < width else "fields-many"
            self._reject(at, code, len(row), width)
        elif any(map(_UNDECODED.search, row)):
            self._reject(at, "encoding", owner._stream.encoding, behind=behind)
        else:
            self._add([owner._mended(value) for value in row], at, behind)
        return True

    def _add(self, row: list[str] | Broken, at: int, behind: int) -> None:
        owner = self._owner
        if owner._null is not None and isinstance(row, list):
            row = owner._without_null(row)
        owner.reread += self._block.line + at < owner._far
        self._rows.append(row)
        self._begins.append(at)
        self._nexts.append(behind)

    def _reject(self, at: int, code: str, *values: object, behind: int = 0) -> None:
        behind = behind or at + 1
        raw = b"".join(self._raw[at:behind])
        self._add(Broken(code, _WORDS[code].format(*values), raw), at, behind)


class _Feed:
    """Gives lines to `csv`, and notes how far it has come; ends a row that is longer than 1 MiB."""

    def __init__(self, lines: list[str], at: int) -> None:
        self._lines = lines
        self.at = at
        self.began = at
        self.is_empty = False
        self._size = 0

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        at = self.at
        self._size = 0 if at == self.began else self._size + len(self._lines[at - 1])
        if self._size > MOST_ROW_BYTES:
            raise csv.Error("too long")
        if at == len(self._lines):
            self.is_empty = True
            raise StopIteration
        self.at = at + 1
        return self._lines[at]


@contextmanager
def _long_fields() -> Iterator[None]:
    """Let fields be as long as a row. The limit belongs to the process, so it is put back."""
    with _limit_lock:
        before = csv.field_size_limit(2 * MOST_ROW_BYTES)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _split(text: Any, end: Any) -> list[Any]:
    """Return the lines of text or bytes, with their ends."""
    lines = [line + end for line in text.split(end)]
    last = lines.pop()[: -len(end)]
    return [*lines, last] if last else lines


def _joined(first: Block, second: Block) -> Block:
    body = first.body + second.body
    return Block(body, first.line, first.start, len(body), second.has_end, second.is_too_long)


def _before(whole: Block, block: Block) -> Block:
    body = whole.body[: block.start - whole.start]
    return Block(body, whole.line, whole.start, len(body))


def _escape(given: str | None) -> str | None:
    if given is not None and (len(given) != 1 or given == '"'):
        msg = f"escape={shown(given)} is wrong: it is one character, such as a backslash"
        raise OptionsError(msg)
    return given


def _check_delimiter(given: str) -> None:
    if given == "\t" or (len(given) == 1 and given.isprintable() and given not in '" '):
        return
    msg = f"delimiter={shown(given)} is wrong: it is one character, such as ; or a tab"
    raise OptionsError(msg)

"""NDJSON, one object a line, and JSON, one array of objects that is read element by element."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NoReturn

from .by_line import CUT, ByLine
from .values import MOST_ROW_BYTES, Batch, Broken, Position

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .streams import Stream

_SPACE = re.compile(r"[ \t\r\n]*")
_UNDECODED = re.compile("[\udc80-\udcff]")
_NO_JSON = "it is no JSON: {}"
_NO_OBJECT = "it is JSON, but no object"
_MOST_BEHIND = 256 << 10


def _refuse(name: str) -> NoReturn:
    msg = f"{name} is no JSON"
    raise ValueError(msg)


_decoder = json.JSONDecoder(parse_constant=_refuse)
_scan: Callable[[str, int], tuple[Any, int]] = getattr(_decoder, "scan_once")  # noqa: B009  # typeshed lacks it
_FAULTS = (ValueError, StopIteration, RecursionError)  # a huge integer is a ValueError too


def _why(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return str(error) if isinstance(error, ValueError) else "a value is missing"


class Lines(ByLine):
    """Reads NDJSON."""

    def _row(self, line: str) -> Any:
        try:
            row = _decoder.decode(line)
        except _FAULTS as error:
            if not line.strip(" \t\r\n"):
                return None
            return Broken("json", _NO_JSON.format(_why(error)), self._raw(line))
        if type(row) is dict:
            return row
        return Broken("not-object", _NO_OBJECT, self._raw(line))

    def _raw(self, line: str) -> bytes:
        return line.encode(self._stream.codec, "surrogateescape") + self._end

    def _is_cut(self, row: Any) -> bool:
        # It may be whole all the same.
        return self._stream.is_cut or (isinstance(row, Broken) and row.code != "not-object")


class Array:
    """Reads one JSON array, holding no more than an element and what was read behind it."""

    columns = None
    reread = 0

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._text = ""
        self._at = 0
        self._line = 1
        self._offset = stream.bom
        self._is_over = False

    def batches(self, start: Position | None) -> Iterator[Batch]:
        """Yield the elements. With a start, those before it are read and passed over."""
        self.__init__(self._stream)  # type: ignore[misc]  # a second pass begins anew
        self._chunks = self._decoded()
        self._skip_space()
        self._pass(1)  # the bracket
        rows: list[Any] = []
        places: list[tuple[int, int, int]] = []
        drop = 0 if start is None else start.row
        for row, line in self._elements():
            if drop:
                drop -= 1
                continue
            rows.append(row)
            places.append((line, self._line, self._offset))
            if len(rows) == 1000:
                yield Batch(rows, *map(list, zip(*places, strict=True)))
                rows, places = [], []
        if rows:
            yield Batch(rows, *map(list, zip(*places, strict=True)))

    def _decoded(self) -> Iterator[str]:
        import codecs

        decoder = codecs.getincrementaldecoder(self._stream.codec)("surrogateescape")
        for chunk in self._stream.chunks():
            yield decoder.decode(chunk)
        yield decoder.decode(b"", True)

    def _more(self) -> bool:
        """Read on; `False` at the end."""
        if self._at > _MOST_BEHIND:
            self._text, self._at = self._text[self._at :], 0
        for piece in self._chunks:
            if piece:
                self._text += piece
                return True
        self._is_over = True
        return False

    def _pass(self, count: int) -> None:
        passed = self._text[self._at : self._at + count]
        self._line += passed.count("\n")
        self._offset += len(passed.encode(self._stream.codec, "surrogateescape"))
        self._at += len(passed)

    def _skip_space(self) -> str:
        """Go to the next character that is no space, and return it; an empty text at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            assert found is not None
            self._pass(found.end() - self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _elements(self) -> Iterator[tuple[Any, int]]:
        is_first = True
        while (character := self._skip_space()) not in ("]", ""):
            if character == "," and not is_first:
                self._pass(1)
                character = self._skip_space()
            is_first = False
            if character in ("]", ""):
                break
            line = self._line
            row = self._element()
            yield row, line
        if character == "":
            self._stream.is_cut = True
            return
        self._pass(1)
        if self._skip_space():
            yield self._behind_end(), self._line

    def _behind_end(self) -> Broken:
        """Reject what stands behind the array: it would be lost in silence."""
        text = self._text[self._at :][: 64 << 10]
        raw = text.encode(self._stream.codec, "surrogateescape")
        return Broken("json", _NO_JSON.format("it stands behind the end of the array"), raw)

    def _element(self) -> Any:
        """Return the next element, or what is wrong with it; reads on until it is whole."""
        tries = 1
        while True:
            try:
                row, behind = _scan(self._text, self._at)
                is_whole = behind < len(self._text) or not self._more_behind(tries)
            except _FAULTS as error:
                if self._size() <= MOST_ROW_BYTES and self._more_behind(tries):
                    tries *= 2
                    continue
                return self._broken(error)
            if is_whole:
                return self._taken(row, behind)

    def _more_behind(self, pieces: int) -> bool:
        got = [self._more() for _ in range(pieces)]
        return any(got)

    def _size(self) -> int:
        return len(self._text) - self._at

    def _taken(self, row: Any, behind: int) -> Any:
        text = self._text[self._at : behind]
        self._pass(behind - self._at)
        raw = text.encode(self._stream.codec, "surrogateescape")
        if len(raw) > MOST_ROW_BYTES:
            return Broken("too-large", "it is longer than 1 MiB", raw[: 64 << 10])
        if _UNDECODED.search(text):
            return Broken("encoding", f"it has bytes that are not {self._stream.encoding}", raw)
        return row if type(row) is dict else Broken("not-object", _NO_OBJECT, raw + b"\n")

    def _broken(self, error: BaseException) -> Broken:
        """Reject an element that is no JSON, and go on at the next line that begins an object."""
        if self._is_over and not self._later():
            raw = self._text[self._at :].encode(self._stream.codec, "surrogateescape")
            self._pass(self._size())
            return Broken("cut-short", CUT, raw)
        kept = ""
        is_large = self._size() > MOST_ROW_BYTES
        while True:
            found = self._later()
            step = found - self._at if found else self._size()
            kept += self._text[self._at : self._at + step][: (64 << 10) - len(kept)]
            self._pass(step)
            if found or not self._more():
                break
        raw = kept.encode(self._stream.codec, "surrogateescape")
        if is_large:
            return Broken("too-large", "it is longer than 1 MiB", raw)
        return Broken("json", _NO_JSON.format(_why(error)), raw)

    def _later(self) -> int:
        """Where the next line begins that has an object or the end of the array; 0 if none does."""
        found = re.compile(r"\n[ \t]*(?=[{\]])").search(self._text, self._at)
        return 0 if found is None else found.end()

"""CSV as Totango's importer takes it, in parts that are not too large."""

from __future__ import annotations

import os
import re
from typing import IO, TYPE_CHECKING, Any

import attrs

from ..errors import OptionsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_QUOTED = re.compile(r'[,"\r\n]|^ | $')
_LINE_END = re.compile(r"\r\n|\r|\n")


def line(fields: Sequence[str]) -> bytes:
    """Return a row: UTF-8, comma, CRLF, quoted only where it must be."""
    return (",".join(map(_field, fields)) + "\r\n").encode()


def _field(text: str) -> str:
    if _QUOTED.search(text) is None:
        return text
    return '"' + text.replace('"', '""') + '"'


def on_one_line(text: str, told: Callable[[], None]) -> str:
    """Return a value without line ends, each of which becomes a space; `told` is called if so."""
    if "\n" not in text and "\r" not in text:
        return text
    told()
    return _LINE_END.sub(" ", text)


@attrs.define
class Parts:
    """Files `STEM-0001.csv` and on, each with the header, each smaller than `most` bytes."""

    _out: str
    _stem: str
    _header: Sequence[str]
    _most: int
    files: list[dict[str, Any]] = attrs.field(factory=list)
    _open: IO[bytes] | None = None

    def write(self, fields: Sequence[str]) -> None:
        """Write one row. Raises `OptionsError` if no part could hold it."""
        data = line(fields)
        if self._open is None or self.files[-1]["bytes"] + len(data) >= self._most:
            self._next(len(data))
        assert self._open is not None
        self._open.write(data)
        self.files[-1]["rows"] += 1
        self.files[-1]["bytes"] += len(data)

    def _next(self, wanted: int) -> None:
        header = line(self._header)
        if len(header) + wanted >= self._most:
            size = len(header) + wanted
            msg = f"--max-bytes {self._most} is too few: the header and one row have {size}"
            raise OptionsError(msg)
        self.close()
        path = os.path.join(self._out, f"{self._stem}-{len(self.files) + 1:04d}.csv")
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        self._open = os.fdopen(descriptor, "wb")
        self.files.append({"path": path, "rows": 0, "bytes": len(header)})
        self._open.write(header)

    def close(self) -> None:
        """Close the part that is open."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def remove(self) -> None:
        """Remove what was written: half an export is none."""
        self.close()
        for file in self.files:
            if os.path.exists(file["path"]):
                os.unlink(file["path"])

"""Rows that were rejected, in files that can be mended and replayed as they are."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import SpoolFull
from ..wire.redact import redact

if TYPE_CHECKING:
    from ..tables import Broken, Source
    from .values import Rejected

_MOST_PENDING = 1 << 20
_BESIDE = ["rejected_line", "rejected_code", "rejected_reason"]


class RejectedFiles:
    """Writes rejected rows. `lengths` says how long each file is; a later run cuts them back."""

    def __init__(self, base: str, source: Source) -> None:
        self._base = base
        self._columns = source.columns
        self._is_csv = source.format == "csv"
        self._header = source.header
        self._end = b"\r" if source.header.endswith(b"\r") else b"\n"
        self._files: dict[str, int] = {}
        self._pending: dict[str, list[bytes]] = {}
        self._size = 0
        self._failed: SpoolFull | None = None
        self.lengths: dict[str, int] = {}

    def resume(self, lengths: dict[str, int]) -> None:
        """Cut the files back to what an earlier run is sure of."""
        for kind in ("csv", "ndjson", "raw"):
            path = f"{self._base}.{kind}"
            if kind in lengths:
                self._open(kind, lengths[kind])
            elif os.path.exists(path):
                os.unlink(path)

    @property
    def paths(self) -> list[str]:
        """The files that there are, or that `flush` will make."""
        return [f"{self._base}.{kind}" for kind in {**self.lengths, **self._pending}]

    def add(self, line: int, row: Any, rejected: Rejected) -> None:
        """Note a row that could be read; `flush` writes it."""
        reason = redact(rejected.reason)
        if self._columns is not None and not isinstance(row, Mapping) and not self._is_csv:
            row = dict(zip(self._columns, row, strict=True))
        if self._columns is not None and not isinstance(row, Mapping):
            values = ["" if each is None else each for each in map(_hidden, self._columns, row)]
            self._note("csv", _csv([*values, str(line), rejected.code, reason]))
            return
        told = {"line": line, "code": rejected.code, "reason": reason}
        if "line" in row and "request" in row and self._columns is None and row.get("host"):
            text = redact(str(row["line"]))
            self._note("raw", (text.rstrip("\r\n") + "\n").encode())
            return
        kept = {name: _hidden(name, value) for name, value in row.items()}
        text = json.dumps({**kept, "rejected": told}, default=str, ensure_ascii=False)
        self._note("ndjson", (text + "\n").encode("utf-8", "backslashreplace"))

    def add_raw(self, broken: Broken) -> None:
        """Note a row that could not be read, as its own bytes; `flush` writes it."""
        raw = broken.raw if broken.raw.endswith((b"\n", b"\r")) else broken.raw + self._end
        text = raw.decode("latin-1")
        hidden = redact(text)
        if hidden != text:
            raw = hidden.rstrip("\r\n").encode("latin-1", "replace") + self._end
        self._note("raw", raw)

    def _note(self, kind: str, data: bytes) -> None:
        self._pending.setdefault(kind, []).append(data)
        self._size += len(data)
        if self._size >= _MOST_PENDING and self._failed is None:
            self._write()

    def flush(self) -> None:
        """Write what was noted. Raises `SpoolFull` if there is no room."""
        if self._pending and self._failed is None:
            self._write()
        if self._failed is not None:
            raise self._failed

    def _write(self) -> None:
        """Write what was noted; a fault is kept for `flush`, where the run can end in order."""
        try:
            for kind, pieces in self._pending.items():
                self._append(kind, b"".join(pieces))
        except OSError as error:
            msg = (
                f"the rejected rows of {self._base!r} cannot be written: {error.strerror}. Make room "
                "on its disk; the same command goes on"
            )
            self._failed = SpoolFull(msg)
            return
        self._pending, self._size = {}, 0

    def _append(self, kind: str, data: bytes) -> None:
        if kind not in self._files:
            self._open(kind, 0)
            head = self._header if kind == "raw" else b""
            if kind == "csv":
                head = _csv([*(self._columns or ()), *_BESIDE])
            data = head + data
        written = 0
        while written < len(data):
            written += os.write(self._files[kind], data[written:])
        self.lengths[kind] += len(data)

    def _open(self, kind: str, length: int) -> None:
        path = f"{self._base}.{kind}"
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        self._files[kind] = descriptor
        os.ftruncate(descriptor, length)
        os.lseek(descriptor, 0, os.SEEK_END)
        self.lengths[kind] = length

    def close(self) -> None:
        """Write what was noted, if that is possible, and close the files."""
        if self._pending and self._failed is None:
            self._write()
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files = {}


def _hidden(name: str, value: Any) -> Any:
    """Return a value without the security token, if it has one or its name says that it is one."""
    if isinstance(value, str):
        return "…" if redact(f"{name}=1") != f"{name}=1" else redact(value)
    if isinstance(value, Mapping):
        return {key: _hidden(str(key), each) for key, each in value.items()}
    if isinstance(value, list):
        return [_hidden(name, each) for each in value]
    return value


def _csv(row: list[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(row)
    return text.getvalue().encode("utf-8", "backslashreplace")

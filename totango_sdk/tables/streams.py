"""Bytes from a file, a stream or standard input, unpacked and with a byte order mark understood."""

from __future__ import annotations

import codecs
import os
import sys
import zlib
from typing import IO, TYPE_CHECKING, Any

from ..errors import OptionsError
from ..show import shown
from .values import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 256 << 10
_ZSTD_FEED = 1 << 10  # a packed KiB may become 32 MiB
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ARCHIVES = (
    (b"PK\x03\x04", "a ZIP archive, as Excel workbooks are too"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"BZh", "packed by bzip2"),
    (b"\xfd7zXZ", "packed by xz"),
)
_ASCII = bytes(range(128))
_TEXT_CONTROLS = b"\t\n\r\f\x1b"
_BROKEN = "totango-broken"


def _as_broken(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


# What cannot be decoded becomes text that is no UTF-8, so that its row is rejected later.
codecs.register_error(_BROKEN, _as_broken)


class Stream:
    """The bytes of one source. `is_cut` says, once all was read, that its packing has no end."""

    def __init__(self, source: Any) -> None:
        self.is_cut = False
        self._file, self.name, self.is_again = _opened(source)

    def look(self, encoding: str | None) -> None:
        """Find out how it is packed and encoded. Raises `OptionsError` for what is no text."""
        self._first = self._read()
        self.packing = _packing(self._first)
        self._is_first_pass = True
        self._unpacked = self._unpack()
        self.head = self._fill()
        self._refuse_archives()
        self._skip, found = _bom(self.head)
        named = None if encoding is None else _codec(encoding)
        self.encoding = found or named or "utf-8"
        self._is_rewritten = not _is_like_ascii(self.encoding)
        self._refuse_binary()
        if self._is_rewritten:
            self.head = self._rewritten_head()

    @property
    def codec(self) -> str:
        """What the chunks are decoded with."""
        return "utf-8" if self._is_rewritten else self.encoding

    @property
    def is_plain(self) -> bool:
        """Whether an offset is one of the file itself."""
        return self.packing is None and not self._is_rewritten and self.is_again

    @property
    def bom(self) -> int:
        """How many bytes of `head` are the byte order mark."""
        return 0 if self._is_rewritten else self._skip

    def close(self) -> None:
        """Close what was opened here."""
        if self.is_again:
            self._file.close()

    def chunks(self, start: int = 0) -> Iterator[bytes]:
        """The bytes from an offset on. Of what cannot be read twice this works once."""
        if start and self.is_plain:
            self._file.seek(start)
            return self._plain()
        return _dropped(self._all(), max(start, self.bom))

    def _all(self) -> Iterator[bytes]:
        if self._is_first_pass:
            self._is_first_pass = False
            source = self._unpacked
            pieces = _chained(self._raw_head, source)
        else:
            self._again()
            pieces = self._unpack()
        return self._rewritten(pieces) if self._is_rewritten else pieces

    def _again(self) -> None:
        if not self.is_again:
            raise OptionsError(f"{self.name} cannot be read twice: save it as a file")
        self._file.seek(0)
        self.is_cut = False
        self._first = self._read()

    # -- raw bytes

    def _read(self) -> bytes:
        try:
            data = self._file.read(_CHUNK)
        except OSError as error:
            raise OptionsError(f"{self.name} cannot be read: {error.strerror}") from None
        if not isinstance(data, bytes | None):
            raise OptionsError(f"{self.name} gives {shown(data)}: open it in binary mode")
        return data or b""

    def _plain(self) -> Iterator[bytes]:
        while data := self._read():
            yield data

    def _raw(self) -> Iterator[bytes]:
        if self._first:
            yield self._first
        yield from self._plain()

    def _unpack(self) -> Iterator[bytes]:
        if self.packing == "gzip":
            return self._gunzip()
        if self.packing == "zstd":
            return self._unzstd()
        return self._raw()

    def _gunzip(self) -> Iterator[bytes]:
        unpacker = None
        for data in self._raw():
            rest = data
            while rest:
                if unpacker is None:
                    rest = rest.lstrip(b"\0")  # padding between members, and behind the last
                    if not rest:
                        break
                    unpacker = zlib.decompressobj(31)
                try:
                    made = unpacker.decompress(rest, _CHUNK)
                except zlib.error:
                    self.is_cut = True
                    return
                if made:
                    yield made
                rest = unpacker.unconsumed_tail or unpacker.unused_data
                if unpacker.eof:
                    unpacker = None
        self.is_cut = unpacker is not None

    def _unzstd(self) -> Iterator[bytes]:
        zstandard = _zstandard()
        unpacker = None
        for data in self._raw():
            for at in range(0, len(data), _ZSTD_FEED):
                rest = data[at : at + _ZSTD_FEED]
                while rest:
                    if unpacker is None:
                        unpacker = zstandard.ZstdDecompressor().decompressobj()
                    try:
                        made = unpacker.decompress(rest)
                    except zstandard.ZstdError:
                        self.is_cut = True
                        return
                    if made:
                        yield made
                    rest = unpacker.unused_data if unpacker.eof else b""
                    if unpacker.eof:
                        unpacker = None
        self.is_cut = unpacker is not None

    # -- what it is

    def _fill(self) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while size < HEAD_BYTES:
            piece = next(self._unpacked, b"")
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        self._raw_head = b"".join(pieces)
        if not self._raw_head and self._first and self.packing:
            msg = f"{self.name} cannot be opened as {self.packing}: it is damaged or cut short"
            raise OptionsError(msg)
        return self._raw_head

    def _refuse_archives(self) -> None:
        for magic, what in _ARCHIVES:
            if self.head.startswith(magic):
                msg = f"{self.name} is {what}: save its table as CSV, and give that"
                raise OptionsError(msg)
        if self.head[257:262] == b"ustar":
            raise OptionsError(f"{self.name} is a tar archive: unpack it, and give its files")

    def _refuse_binary(self) -> None:
        if self._is_rewritten or self.head.startswith(b"PAR1"):
            return
        block = self.head[:8192]
        controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in block)
        is_binary = controls > len(block) // 20 and not _is_utf8(block)
        if is_binary or block.count(b"\0") > len(block) * 0.4:
            msg = (
                f"{self.name} is no text: its first bytes are {shown(block[:16])}. "
                "If it is UTF-16 without a mark, give --encoding utf-16-le"
            )
            raise OptionsError(msg)

    def _rewritten(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(self.encoding)(_BROKEN)
        drop = self._skip
        for piece in pieces:
            text = decoder.decode(piece[drop:])
            drop = 0
            yield text.encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", True).encode("utf-8", "surrogatepass")

    def _rewritten_head(self) -> bytes:
        return b"".join(self._rewritten(iter((self._raw_head,))))


def _opened(source: Any) -> tuple[IO[bytes], str, bool]:
    if source == "-":
        return sys.stdin.buffer, "standard input", False
    if hasattr(source, "read"):
        return source, str(getattr(source, "name", "the file")), False
    path = os.fspath(source)
    if os.path.isdir(path):
        raise OptionsError(f"{shown(path)} is a directory: give files, such as {path}/*.csv")
    try:
        return open(path, "rb"), str(path), True  # closed by the stream
    except FileNotFoundError:
        raise OptionsError(f"{shown(path)} is not there: check the path") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise OptionsError(f"{shown(path)} cannot be opened: {why}") from None


def _packing(first: bytes) -> str | None:
    if first.startswith(_GZIP):
        return "gzip"
    return "zstd" if first.startswith(_ZSTD) else None


def _bom(head: bytes) -> tuple[int, str | None]:
    for mark, name in _BOMS:
        if head.startswith(mark):
            return len(mark), name
    return 0, None


def _codec(name: str) -> str:
    try:
        b"".decode(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError, TypeError):
        msg = f"encoding {shown(name)} is not known: give one such as utf-8, cp1252 or utf-16-le"
        raise OptionsError(msg) from None


def _is_like_ascii(name: str) -> bool:
    try:
        return _ASCII.decode(name).encode("ascii") == _ASCII and name != "utf-7"
    except UnicodeError:
        return False


def _is_utf8(block: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(block)  # the last character may go on behind the block
    except UnicodeDecodeError:
        return False
    return True


def _zstandard() -> Any:
    try:
        import zstandard
    except ModuleNotFoundError:
        msg = "a file packed by zstd needs zstandard: pip install 'totango-sdk[replay]'"
        raise OptionsError(msg) from None
    return zstandard


def _chained(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    for at in range(0, len(head), _CHUNK):
        yield head[at : at + _CHUNK]
    yield from rest


def _dropped(chunks: Iterator[bytes], drop: int) -> Iterator[bytes]:
    for chunk in chunks:
        if drop >= len(chunk):
            drop -= len(chunk)
            continue
        yield chunk[drop:] if drop else chunk
        drop = 0

"""Physical lines, many at once; one that is too long is passed over without being held."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .values import MOST_ROW_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEPT_OF_TOO_LONG = 64 << 10


class Block(NamedTuple):
    """Whole lines with their ends. `line` is the first of them, `start` the offset of its first byte.

    `is_too_long`: it is the beginning of one line of `size` bytes. `has_end`: its last line has one.
    """

    body: bytes
    line: int
    start: int
    size: int
    has_end: bool = True
    is_too_long: bool = False


def blocks(chunks: Iterator[bytes], end: bytes, line: int, start: int) -> Iterator[Block]:
    """Yield the lines of `chunks` in blocks, the first at `line` and the offset `start`."""
    held = b""
    for chunk in chunks:
        held = held + chunk if held else chunk
        if len(held) > MOST_ROW_BYTES and (block := _passed(held, chunks, end, line, start)):
            passed, held = block
            yield passed
            line, start = line + 1, start + passed.size
        cut = held.rfind(end) + 1
        if cut == 0:
            continue
        body, held = held[:cut], held[cut:]
        yield Block(body, line, start, cut)
        line, start = line + body.count(end), start + cut
    if held:
        yield Block(held, line, start, len(held), has_end=False)


def _passed(
    held: bytes, chunks: Iterator[bytes], end: bytes, line: int, start: int
) -> tuple[Block, bytes] | None:
    """Pass over the first line of `held` if it is too long; return it, and what is behind it."""
    cut = held.find(end) + 1
    if 0 < cut <= MOST_ROW_BYTES + 2:
        return None
    kept, size = held[:_KEPT_OF_TOO_LONG], cut or len(held)
    rest = held[cut:] if cut else b""
    while not cut:
        chunk = next(chunks, b"")
        if not chunk:
            break
        cut = chunk.find(end) + 1
        size += cut or len(chunk)
        rest = chunk[cut:] if cut else b""
    return Block(kept, line, start, size, has_end=cut > 0, is_too_long=True), rest


def line_end(head: bytes) -> bytes:
    """Return what ends a line: CR only where the head has no LF."""
    return b"\r" if b"\n" not in head and b"\r" in head else b"\n"

"""What is read, and how: the options of a reading, its rows, and the rows that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMATS = ("csv", "ndjson", "json", "parquet", "log")
MOST_ROW_BYTES = 1 << 20
HEAD_BYTES = 64 << 10


@attrs.frozen(kw_only=True)
class Reading:
    """How a source is to be read; what is `None` is found out from its content."""

    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    escape: str | None = None
    null: str | None = None


class Broken(NamedTuple):
    """A row that cannot be read: its code, why, and its bytes as they stand in the source."""

    code: str
    reason: str
    raw: bytes


class Position(NamedTuple):
    """A place behind `row` rows, the last of which began on line `line` and ended at `offset`.

    `offset` counts the bytes of the source, unpacked and, of UTF-16, as UTF-8.
    `next_line` is the line that comes next.
    """

    row: int = 0
    next_line: int = 1
    offset: int = 0


# A row of a CSV or Parquet source has its values by column, one of the others is a mapping.
Values = list[Any] | tuple[Any, ...] | Mapping[str, Any]


class Batch(NamedTuple):
    """Rows one after another; the three sequences go side by side.

    `lines` has where each row begins, `next_lines` the line behind it, `ends` the offset behind it.
    """

    rows: Sequence[Values | Broken]
    lines: Sequence[int]
    next_lines: Sequence[int]
    ends: Sequence[int]


class Row(NamedTuple):
    """One row with the line that it begins on."""

    line: int
    values: Values | Broken

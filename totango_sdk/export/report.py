"""What became of every row of an export."""

from __future__ import annotations

from typing import Any

import attrs

UPLOAD = (
    "Totango's usage upload requires the timestamp and does not use it: each event counts on the "
    'day of the upload. Its data-warehouse connectors list a "Historical Activity Stream", keyed '
    "by a timestamp; ask Totango whether you can use it."
)


@attrs.define(kw_only=True)
class Exported:
    """Every row is in exactly one count: `rows == exported + rejected + skipped`.

    `files` has the path, the rows and the bytes of each file that was written.
    """

    to: str
    sources: list[dict[str, Any]] = attrs.field(factory=list)
    rows: int = 0
    exported: int = 0
    rejected: int = 0
    skipped: int = 0
    reread: int = 0
    by_code: dict[str, int] = attrs.field(factory=dict)
    examples: list[dict[str, Any]] = attrs.field(factory=list)
    warnings: dict[str, int] = attrs.field(factory=dict)
    unused_columns: list[str] = attrs.field(factory=list)
    files: list[dict[str, Any]] = attrs.field(factory=list)
    rejected_files: list[str] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)
    seconds: float = 0.0

    def as_mapping(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"export": 1, **attrs.asdict(self)}

    @property
    def exit_code(self) -> int:
        """0 every row exported or skipped; 1 some rejected, or a source that is cut short."""
        is_cut = any(source.get("cut") for source in self.sources)
        return 1 if self.rejected or is_cut else 0

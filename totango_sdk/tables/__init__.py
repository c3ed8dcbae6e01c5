"""Rows from files, with their exact lines, and what their columns mean.

    source = open_source("events.csv.gz", Reading(encoding="cp1252"))
    for line, values in source.rows():
        if isinstance(values, Broken):
            print(line, values.code, values.reason)

| | |
| --- | --- |
| `open_source(source, reading)` | a path, `"-"`, a binary file or an iterable of mappings, as a `Source` |
| `Source.rows()` | each `Row(line, values)`: a list in the order of `Source.columns` (CSV, Parquet), a mapping, or `Broken(code, reason, raw)` |
| `Source.batches(start)` | the same, many at once and with byte offsets: what is fast |
| `recognised(columns)` | which columns mean what, by their names |
| `read_map(path or text)`, `suggested_map(source)` | a map in TOML, and one made for a source |
| `read_time(value, zone)` | a time out of a file, in UTC |

Values stay as they are written: text in CSV and logs, their types in JSON and Parquet. A row that
cannot be read costs its line, and nothing else. What concerns a whole source raises `OptionsError`.
"""

from __future__ import annotations

from .columns import NAMES, Meaning, duplicates, meaning_of, nearest, plain_name, recognised
from .maps import Map, at_path, read_map, written
from .maps import Source as MapSource
from .source import Source, expanded, open_source
from .suggest import suggested_map
from .times import NoZone, Unfit, iso, read_time, usual_time, zone
from .values import FORMATS, Batch, Broken, Position, Reading, Row

__all__ = [
    "FORMATS",
    "NAMES",
    "Batch",
    "Broken",
    "Map",
    "MapSource",
    "Meaning",
    "NoZone",
    "Position",
    "Reading",
    "Row",
    "Source",
    "Unfit",
    "at_path",
    "duplicates",
    "expanded",
    "iso",
    "meaning_of",
    "nearest",
    "open_source",
    "plain_name",
    "read_map",
    "read_time",
    "recognised",
    "suggested_map",
    "usual_time",
    "written",
    "zone",
]

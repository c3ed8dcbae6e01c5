"""The CSV files that Totango's own importer takes, made from recorded events and lists of IDs.

    exported = export("events.csv", to="usage", out="upload")
    print(exported.exported, exported.files)

Read, checked and rejected as by a replay; nothing is sent.
"""

from __future__ import annotations

from .report import Exported
from .run import KINDS, export

__all__ = ["KINDS", "Exported", "export"]

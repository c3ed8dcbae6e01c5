"""Recorded events, checked and sent: from files, streams and iterables.

`preview(source, service_id=…)` says what each row means and sends nothing. `replay(source, client)`
sends, and gives a `Report` in which every row is counted once.
"""

from __future__ import annotations

from .preview import Preview, preview
from .report import Report
from .start import replay

__all__ = ["Preview", "Report", "preview", "replay"]

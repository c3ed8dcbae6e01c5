"""Events over time, in sixty steps."""

from __future__ import annotations

import math
from typing import Any

BUCKETS = 60
_SHORTEST_MS = 60_000


def empty_series(first: float | None, last: float | None) -> dict[str, Any]:
    """Return no events in each sixtieth of the time from the first to the last, in seconds."""
    start = int((first or 0) * 1000)
    step = math.ceil(max((last or 0) * 1000 - start, _SHORTEST_MS) / BUCKETS)
    return {"from": start, "step_ms": step, "counts": [0] * BUCKETS}

"""What time it is for a deadline: a clock that no test freezes, and no correction moves.

Libraries that freeze the time of a test replace `time.monotonic` wherever a module holds it. A
deadline by a clock that stands still never comes.
"""

from __future__ import annotations

import time
from functools import partial

monotonic = partial(time.clock_gettime, time.CLOCK_MONOTONIC)

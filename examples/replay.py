"""Replays a file of recorded events; without one, rows out of the program itself.

    python examples/replay.py examples/data/events.csv

Service id and endpoint come from TOTANGO_SERVICE_ID and TOTANGO_ENDPOINT.
"""

import sys
from collections.abc import Iterator

from totango_sdk import Totango
from totango_sdk.replay import replay


def rows() -> Iterator[dict[str, str]]:
    """Yield mappings from anywhere: a query, a queue, an interface of another system."""
    for number in range(1, 4):
        yield {
            "account_id": "819332",
            "user_id": f"u{number}",
            "activity": "Login",
            "module": "App",
        }


with Totango(spool="memory") as client:
    report = replay(sys.argv[1] if len(sys.argv) > 1 else rows(), client)
for example in report.examples:
    print(f"line {example['line']}: {example['reason']}")
print(f"{report.rows} rows: {report.delivered} delivered, {report.rejected} rejected")
sys.exit(report.exit_code)

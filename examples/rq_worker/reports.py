"""Jobs that tell Totango what they did, as whoever has ordered it.

    export TOTANGO_SERVICE_ID=SP-1234-01 TOTANGO_ENDPOINT=http://127.0.0.1:8035/pixel.gif/
    rq worker --path examples/rq_worker --worker-class reports.Worker

What is worth copying:

- `Job` carries who has ordered a job, and `Worker` runs it as that user. A job only says what it did.
- RQ ends the process of each job at once. So it only stores what it tells, and the worker, which
  lives on, delivers it.
"""

from __future__ import annotations

from totango_sdk import Totango
from totango_sdk.integrations.rq import TotangoJob, TotangoWorker

client = Totango(module="Reports")


class Job(TotangoJob):
    """A job that knows who has ordered it: `Queue(job_class=Job)`."""

    totango = client


class Worker(TotangoWorker):
    """A worker that delivers what its jobs tell."""

    totango, job_class = client, Job


@client.tracked("Report made")
def make_report(month: str) -> str:
    """Sum up a month. What raises is not told."""
    return f"All was well in {month}"

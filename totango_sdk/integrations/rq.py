"""RQ: a job knows who enqueued it, and what it tracks is delivered by the worker that lives on.

class Job(TotangoJob):
    totango = client                      # Queue("default", job_class=Job)

class Worker(TotangoWorker):
    totango, job_class = client, Job      # rq worker --worker-class shop.jobs.Worker
"""

from __future__ import annotations

from typing import Any

from .. import carry as _carry  # noqa: F401 - once, and not in each work horse anew
from ..client import Face, adopt
from . import missing

try:
    from rq import Worker
    from rq.job import Job
except ModuleNotFoundError as error:
    raise missing("rq", "RQ", "rq") from error

META = "totango-context"


def _adopt(of: Any) -> None:
    """Let the fixture `totango_events` stand in for the client; an extension sees to it itself."""
    client = of.__dict__.get("totango")
    if isinstance(client, Face):
        adopt(client)


class TotangoJob(Job):
    """A job that carries who was in force when it was made, also when it is retried or repeated."""

    totango: Face

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a job; see `rq.job.Job.create`."""
        job = super().create(*args, **kwargs)
        if META not in job.meta:
            # Not into the caller's own mapping, which may go with the next job too.
            job.meta = {**job.meta, META: cls.totango.carry() or ""}
        return job

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _adopt(cls)


class TotangoWorker(Worker):
    """A worker whose work horses store what they track, and which delivers it itself.

    A horse ends by `os._exit`: to send from it would cost a connection for each job, and it might
    die between the sending and the striking off. Mixes with any other worker class, which comes
    second (`class Worker(TotangoWorker, SpawnWorker)`), but for `SimpleWorker`, which has no horse
    and comes first: it sends itself.
    """

    totango: Face

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _adopt(cls)

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Take over what earlier workers have left, and work; see `rq.worker.Worker.work`."""
        self.totango._core.take_over()
        worked: bool = super().work(*args, **kwargs)
        return worked

    def perform_job(self, job: Any, *args: Any, **kwargs: Any) -> bool:
        """Run a job as whoever enqueued it; see `rq.worker.Worker.perform_job`."""
        text = job.meta.get(META) if isinstance(job.meta, dict) else None
        try:
            with self.totango.carried(text):
                done: bool = super().perform_job(job, *args, **kwargs)
                return done
        finally:  # a horse ends by `os._exit`
            self.totango._core.worker.has_stored()

    def main_work_horse(self, job: Any, queue: Any) -> Any:
        """Run in the horse, which sends nothing; see `rq.worker.Worker.main_work_horse`."""
        self.totango._core.worker.only_store()
        return super().main_work_horse(job, queue)

    def execute_job(self, job: Any, queue: Any) -> Any:
        """Run a job in a horse, and take over what it has stored; see `rq.worker.Worker`."""
        try:
            return super().execute_job(job, queue)
        finally:
            self.totango._core.take_over()

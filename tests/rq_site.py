"""Jobs for the tests of the RQ integration, run by real workers."""

import os
import signal

import rq.worker
from rq.worker import SimpleWorker

from totango_sdk import Totango
from totango_sdk.integrations.rq import TotangoJob, TotangoWorker

totango = Totango("SP-1234-01", module="Jobs")


class Job(TotangoJob):
    totango = totango


class Worker(TotangoWorker):
    totango, job_class = totango, Job


if hasattr(rq.worker, "SpawnWorker"):  # since RQ 2.2

    class Spawning(TotangoWorker, rq.worker.SpawnWorker):
        totango, job_class = totango, Job


class Bare(rq.worker.Worker):
    """RQ's own, to know what a job costs without us."""


class Simple(SimpleWorker, TotangoWorker):
    totango, job_class = totango, Job


def paid(number):
    totango.track(f"paid {number}")


def killed(number):
    totango.track(f"paid {number}")
    os.kill(os.getpid(), signal.SIGKILL)


def nothing(number):
    """Do nothing."""

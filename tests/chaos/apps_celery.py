"""What a Celery worker imports."""

from __future__ import annotations

import os

from celery import Celery

from .apps import track

celery = Celery("chaos", broker=os.environ["CHAOS_REDIS"], backend=os.environ["CHAOS_REDIS"])
celery.conf.broker_connection_retry_on_startup = True
celery.conf.worker_hijack_root_logger = False


@celery.task(name="chaos.track")
def task(count: int) -> str:
    return track(count)

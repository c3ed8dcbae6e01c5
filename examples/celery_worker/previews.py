"""Tasks that tell Totango what they did, as whoever has ordered it.

    export TOTANGO_SERVICE_ID=SP-1234-01 TOTANGO_ENDPOINT=http://127.0.0.1:8035/pixel.gif/
    celery --workdir examples/celery_worker -A previews worker

What is worth copying:

- `install` is called once, where the app is made. Who orders and who works import the same module.
- A task only says what it did. Whose it is comes with the message, also along a chain and after
  a retry.
- Nothing is to be done at the end of a worker: it delivers, and leaves the rest to the next one.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from totango_sdk import Totango
from totango_sdk.integrations.celery import install

BROKER = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379/0")

app = Celery("previews", broker=BROKER)
app.conf.update(broker_connection_retry_on_startup=True, task_ignore_result=True)
totango = Totango(module="Documents")
install(totango)


@app.task(bind=True, max_retries=3)
@totango.tracked("Preview made")
def make_preview(task: Any, title: str) -> str:
    """Draw a document. The renderer is busy at first, and a try that fails is not told."""
    if task.request.retries == 0:
        raise task.retry(countdown=0)
    return f"{title}.png"


@app.task
def announce(file: str) -> None:
    """Tell the team that the picture is there, and Totango that we did."""
    print(f"{file} is ready")
    totango.track("Preview announced", "Notices")

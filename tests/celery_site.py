"""Tasks for the tests of the Celery integration, run by real workers."""

import os
import time

from celery import Celery
from celery.exceptions import Reject

from totango_sdk import Totango
from totango_sdk.integrations.celery import install

# No task is shared: each import of this file would add to every other app of the process.
app = Celery("site", broker=os.environ["SITE_REDIS"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_max_tasks_per_child=int(os.environ.get("SITE_TASKS", "0")) or None,
    worker_hijack_root_logger=False,
)
totango = Totango("SP-1234-01", module="Tasks", transport=os.environ.get("SITE_TRANSPORT", "auto"))
install(totango)


@app.task(shared=False)
def paid(number):
    totango.track(f"paid {number}")


@app.task(shared=False)
def written(number):
    """Track, and write down what was accepted."""
    if totango.track(f"written {number}"):
        with open(os.environ["SITE_LEDGER"], "a") as ledger:
            ledger.write(f"{number}\n")


@app.task(shared=False)
def endless(activity):
    totango.track(activity)
    while True:
        time.sleep(0.01)


@app.task(shared=False, bind=True, max_retries=3)
def stubborn(self):
    totango.track(f"try {self.request.retries}", module=f"Header {len(self.request.headers['totango-context'])}")
    if self.request.retries < 3:
        with totango.context(account="Wrong", user="wrong"):
            raise self.retry(countdown=0)


@app.task(shared=False, acks_late=True)
def rejected():
    totango.track("rejected")
    raise Reject("no", requeue=False)


@app.task(shared=False)
@totango.tracked("Outer done")
def outer():
    with totango.context(account="Within"):
        paid.apply(args=["eager"])
    totango.track("outer")
    paid.delay("from a task")

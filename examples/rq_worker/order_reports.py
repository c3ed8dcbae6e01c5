"""Order reports as two customers would: a web application does this in its requests."""

from __future__ import annotations

import os

from redis import Redis
from reports import Job, client, make_report
from rq import Queue

from totango_sdk import Account, User

REDIS = os.environ.get("RQ_REDIS_URL", "redis://localhost:6379/0")
CUSTOMERS = (
    (Account("1001", name="Dune Coffee"), User("ada@dune.example", name="Ada")),
    (Account("1002", name="Ember"), User("ben@ember.example", name="Ben")),
)


def main() -> None:
    """Order a report, once for each customer."""
    with client, Redis.from_url(REDIS) as connection:
        queue = Queue("default", connection=connection, job_class=Job)
        for account, user in CUSTOMERS:
            with client.context(account=account, user=user):
                client.track("Report ordered")
                queue.enqueue(make_report, "October")
        client.flush()


if __name__ == "__main__":
    main()

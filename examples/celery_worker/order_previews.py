"""Order previews as two customers would: a web application does this in its requests."""

from __future__ import annotations

from previews import announce, make_preview, totango

from totango_sdk import Account, User

CUSTOMERS = (
    (Account("1001", name="Dune Coffee"), User("ada@dune.example", name="Ada")),
    (Account("1002", name="Ember"), User("ben@ember.example", name="Ben")),
)


def main() -> None:
    """Upload and order, once for each customer."""
    with totango:
        for account, user in CUSTOMERS:
            with totango.context(account=account, user=user):
                totango.track("Document uploaded")
                (make_preview.s("Draft") | announce.s()).delay()
        totango.flush()


if __name__ == "__main__":
    main()

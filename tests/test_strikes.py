"""A signal handler that raises, at each moment of each call: it reaches the host, and the client goes on."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest
from strikes import strikes

from totango_sdk import Totango
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_numbers = itertools.count()


def new(name: str = "x") -> str:
    return f"{name}{next(_numbers)}"


CALLS: dict[str, Callable[[Totango], object]] = {
    "track": lambda client: client.track(new()),
    "track, with a new user": lambda client: client.track("x", user={"id": new("U"), "name": "é"}),
    "track, with names of any form": lambda client: client.track("x", account=f"a\u2028b {new()}"),
    "track, refused": lambda client: client.track(""),
    "identify": lambda client: client.identify(account={"id": "A", "Plan": new()}, user="U"),
    "set_account_attributes": lambda client: client.set_account_attributes({"id": "A", "Contract Renewal": "2026-01-01"}),
    "a product": lambda client: client.track("x", product=new("P")),
    "stats": lambda client: client.stats(),
    "dead_letters": lambda client: client.dead_letters(),
    "carried": lambda client: client.carried(f'{{"v":1,"s":"SP-1-1","a":"{new("A")}"}}'),
    "flush": lambda client: (client.track("x"), client.flush(0.01)),
    "close": lambda client: (client.track("x"), client.close(0.01)),
}  # fmt: skip
# What a host's deadline may be called, and what our own lines look out for.
ERRORS: list[Callable[[], BaseException]] = [
    lambda: TimeoutError("deadline"), lambda: ValueError("deadline"), lambda: RuntimeError("deadline"),
    lambda: AttributeError("deadline"), KeyboardInterrupt,
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=lambda make: type(make()).__name__)
@pytest.mark.parametrize("call", CALLS)
def test_a_deadline_at_any_moment_reaches_the_host_and_the_client_goes_on(
    call: str, error: Any, tmp_path: Path, swallowed: list[BaseException]
) -> None:
    client = Totango("SP-1-1", account="A", user="U", module="M", spool=tmp_path / "spool", transport=RecordingTransport())  # fmt: skip
    client.track("first")
    CALLS[call](client)
    missed = [where for reached, where in strikes(lambda: CALLS[call](client), error) if not reached]
    assert not missed
    assert client.track("last")
    assert client.flush(30)
    stats = client.stats()
    assert stats.accepted == stats.delivered + stats.dead, stats
    assert stats.durable and not stats.dropped, stats
    client.close()
    swallowed.clear()

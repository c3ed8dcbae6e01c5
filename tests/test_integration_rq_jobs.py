"""RQ without a server: what a job carries, who stands in for its client, and one that is disabled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis

from totango_sdk import Totango
from totango_sdk.integrations.rq import TotangoJob, TotangoWorker
from totango_sdk.spool import DiskSpool, Item, Owner
from totango_sdk.testing import RecordingTransport
from totango_sdk.testing.plugin import TotangoEvents, totango_events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["totango_events"]


@pytest.fixture
def client() -> Iterator[Totango]:
    with Totango("SP-1-1", module="Jobs", spool="memory", transport=RecordingTransport()) as made:
        yield made


def job_of(client: Totango) -> Any:
    return type("Job", (TotangoJob,), {"totango": client})


def test_jobs_that_share_their_meta_are_each_for_whoever_enqueued_them(client: Totango) -> None:
    shared = {"source": "web"}
    carried = []
    for account in ("A", "B"):
        with client.context(account=account, user="U"):
            job = job_of(client).create(print, connection=Redis(), meta=shared)
        assert job.meta["source"] == "web"
        carried.append(job.meta["totango-context"])
    assert shared == {"source": "web"}
    assert [f'"a":"{account}"' in text for account, text in zip("AB", carried, strict=True)] == [True, True]


def test_what_is_there_already_wins(client: Totango) -> None:
    with client.context(account="B", user="U"):
        job = job_of(client).create(print, connection=Redis(), meta={"totango-context": ""})
    assert job.meta == {"totango-context": ""}


def test_the_plugins_fixture_stands_in_for_the_jobs_client(client: Totango, totango_events: TotangoEvents) -> None:
    job_of(client)
    client.track("Paid", account="A", user="U")
    totango_events.assert_tracked("Paid", account="A")


def test_a_worker_that_is_disabled_sends_nothing_of_what_others_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = RecordingTransport()
    with Totango("SP-1-1", spool=tmp_path, transport=transport, disabled=True) as client:
        options = client._core.options
        left = DiskSpool(tmp_path)
        left.open(Owner(options.service_id, options.endpoint))
        left.put([Item(b"sdr_s=SP-1-1")])
        left.close()
        files = sorted(tmp_path.iterdir())
        kind = type("Worker", (TotangoWorker,), {"totango": client})
        monkeypatch.setattr("rq.Worker.work", lambda *_: True)
        assert kind.work(kind.__new__(kind))
        assert client.flush()
        assert not client._core.worker._is_open
    assert sorted(tmp_path.iterdir()) == files
    assert transport.sent == []

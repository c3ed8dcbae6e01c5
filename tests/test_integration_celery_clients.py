"""Celery with the clients of web frameworks: a task is whose the request was that has enqueued it. All in this process."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import djangos  # noqa: F401  # sets Django up
import flask
import pytest
from celery import Celery, signals
from celery.contrib.testing.worker import start_worker
from django.test import RequestFactory, override_settings
from django_site import who as django_who
from servers import PATIENCE, wait_for
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from totango_sdk import AsyncTotango, Identity
from totango_sdk.integrations import celery as integration
from totango_sdk.integrations.django import TotangoMiddleware as DjangoMiddleware
from totango_sdk.integrations.django import totango as django_totango
from totango_sdk.integrations.flask import TotangoFlask
from totango_sdk.integrations.starlette import TotangoMiddleware, get_totango
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def celery(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    monkeypatch.setattr(integration, "_installed", None)
    names = ("before_task_publish", "task_prerun", "task_postrun", "worker_process_shutdown", "worker_shutdown")
    before = {name: list(getattr(signals, name).receivers) for name in names}
    app = Celery("clients", broker="memory://", set_as_current=False)
    app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False)
    level = logging.root.level
    yield app
    app.close()
    logging.root.setLevel(level)  # the worker of a test sets it
    for name, receivers in before.items():
        getattr(signals, name).receivers[:] = receivers
        getattr(signals, name).sender_receivers_cache.clear()


def work_off(celery: Celery, *names: str) -> None:
    """Run a worker until it has done these tasks."""
    done: list[str] = []

    def note(sender: Any = None, **_: Any) -> None:
        done.append(sender.name)

    signals.task_postrun.connect(note)
    with start_worker(celery, pool="solo", perform_ping_check=False, shutdown_timeout=PATIENCE):
        wait_for(lambda: sorted(done) == sorted(names))


def sent(transport: RecordingTransport) -> list[tuple[str, str]]:
    return sorted((dict(pairs)["sdr_o"], dict(pairs)["sdr_a"]) for pairs in transport.sent)


def test_flasks_extension_serves_tasks(celery: Celery) -> None:
    transport, totango = RecordingTransport(), TotangoFlask()
    integration.install(totango)  # before its app is made, as modules go

    @celery.task(name="flask.paid", shared=False)
    def paid() -> None:
        totango.track("paid")

    app = flask.Flask("site")
    app.config.update(
        TOTANGO_SERVICE_ID="SP-1-1", TOTANGO_SPOOL="memory", TOTANGO_MODULE="M", TOTANGO_TRANSPORT=transport
    )
    totango.identity(lambda request: Identity(account=request.args["account"], user="U"))
    app.add_url_rule("/", view_func=lambda: str(paid.delay()))
    totango.init_app(app)
    for account in ("A", "B"):
        app.test_client().get(f"/?account={account}")
    work_off(celery, "flask.paid", "flask.paid")
    assert totango.flush(PATIENCE)
    assert sent(transport) == [("A", "paid"), ("B", "paid")]
    totango.close()


def test_djangos_client_serves_tasks(celery: Celery) -> None:
    transport = RecordingTransport()
    integration.install(django_totango)

    @celery.task(name="django.paid", shared=False)
    @django_totango.tracked("paid")
    def paid() -> None:
        """Be told by the decorator."""

    def view(request: Any) -> Any:
        from django.http import HttpResponse

        paid.delay()
        return HttpResponse("ok")

    given = {"SERVICE_ID": "SP-1-1", "MODULE": "M", "SPOOL": "memory", "TRANSPORT": transport}
    with override_settings(TOTANGO=given | {"IDENTITY": django_who.who}):
        for account in ("A", "B"):
            DjangoMiddleware(view)(RequestFactory().get("/", headers={"X-Account": account})).close()
        work_off(celery, "django.paid", "django.paid")
        assert django_totango.flush(PATIENCE)
        assert sent(transport) == [("A", "paid"), ("B", "paid")]
        django_totango.close()


def test_an_async_client_serves_tasks(celery: Celery) -> None:
    transport = RecordingTransport()
    totango = AsyncTotango("SP-1-1", module="M", spool="memory", transport=transport)
    integration.install(totango)

    @celery.task(name="starlette.paid", shared=False)
    def paid() -> None:
        totango.sync.track("paid")

    async def who(connection: Any) -> Identity:
        await asyncio.sleep(0)
        return Identity(account=connection.query_params["account"], user="U")

    async def view(request: Any) -> PlainTextResponse:
        await get_totango(request).acarry()  # so that the identity is known where Celery asks for it
        paid.delay()
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/", view)])
    app.add_middleware(TotangoMiddleware, client=totango, identity=who)
    browser = TestClient(app)
    for account in ("A", "B"):
        browser.get(f"/?account={account}")
    work_off(celery, "starlette.paid", "starlette.paid")
    assert totango.sync.flush(PATIENCE)
    assert sent(transport) == [("A", "paid"), ("B", "paid")]
    totango.sync.close()

"""The same small view in Flask, Django and FastAPI, and a task of Celery's, with the SDK and without: BENCH_HOW.

"bare" knows nothing of it, "idle" has the integration but tracks nothing, "tracks" tracks once. The view reads 50 rows of
SQLite and shows them in a template (FastAPI: as JSON).
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from typing import Any

HOW = os.environ.get("BENCH_HOW", "bare")
KIND = os.environ.get("BENCH_KIND", "")
DB = os.environ.get("BENCH_DB", ":memory:")
SERVICE = "SP-1234-01"
ACTIVITY = "EVT0000001"
ROWS = 50
TEMPLATE = "<html><ul>{% for id, title, owner in rows %}<li id=\"{{ id }}\">{{ title }} ({{ owner }})</li>{% endfor %}</ul></html>"
DJANGO_TEMPLATE = (
    "<html><ul>{% for row in rows %}<li id=\"{{ row.0 }}\">{{ row.1 }} ({{ row.2 }})</li>{% endfor %}</ul></html>"
)
QUERY = f"SELECT id, title, owner FROM documents ORDER BY id LIMIT {ROWS}"
_local = threading.local()


def fill(path: str) -> None:
    """Make the database that all of them read."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE documents (id INTEGER PRIMARY KEY, title TEXT, owner TEXT)")
        rows = [(f"Document {number}", f"user{number}@example.com") for number in range(1000)]
        connection.executemany("INSERT INTO documents (title, owner) VALUES (?, ?)", rows)
    connection.close()


def rows() -> list[tuple[Any, ...]]:
    """Read what the view shows."""
    if not hasattr(_local, "connection"):
        _local.connection = sqlite3.connect(DB)
    return list(_local.connection.execute(QUERY))


def who(request: Any) -> Any:
    from totango_sdk import Identity

    return Identity(account=request.headers["X-Account"], user="marlo@barksdale.com")


def flask_app() -> Any:
    from flask import Flask, render_template_string

    app = Flask("bench")
    totango: Any = None
    if HOW != "bare":
        from totango_sdk.integrations.flask import TotangoFlask

        app.config.update(TOTANGO_SERVICE_ID=SERVICE, TOTANGO_MODULE="Bench")
        totango = TotangoFlask(app, identity=who)

    @app.get("/")
    def view() -> str:
        if HOW == "tracks":
            totango.track(ACTIVITY)
        return render_template_string(TEMPLATE, rows=rows())

    return app


def django_app() -> Any:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.template import engines
    from django.urls import path

    has_sdk = HOW != "bare"
    settings.configure(
        SECRET_KEY="of the benchmark",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DB, "CONN_MAX_AGE": 600}},
        INSTALLED_APPS=["totango_sdk.integrations.django"] if has_sdk else [],
        MIDDLEWARE=["totango_sdk.integrations.django.TotangoMiddleware"] if has_sdk else [],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
        **({"TOTANGO": {"SERVICE_ID": SERVICE, "MODULE": "Bench", "IDENTITY": who}} if has_sdk else {}),
    )
    django.setup()
    template = engines["django"].from_string(DJANGO_TEMPLATE)
    totango: Any = None
    if has_sdk:
        from totango_sdk.integrations.django import totango

    def view(request: Any) -> HttpResponse:
        from django.db import connection

        if HOW == "tracks":
            totango.track(ACTIVITY)
        with connection.cursor() as cursor:
            cursor.execute(QUERY)
            found = cursor.fetchall()
        text = template.render({"rows": found}, request).encode()
        return HttpResponse(text, headers={"Content-Length": str(len(text))})

    sys.modules[__name__].urlpatterns = [path("", view)]
    return WSGIHandler()


def fastapi_app() -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    totango: Any = None
    if HOW != "bare":
        from totango_sdk import AsyncTotango
        from totango_sdk.integrations.starlette import TotangoMiddleware

        totango = AsyncTotango(SERVICE, module="Bench")
        app.add_middleware(TotangoMiddleware, client=totango, identity=who)

    @app.get("/")
    async def view() -> Any:
        if HOW == "tracks":
            await totango.track(ACTIVITY)
        return [{"id": id_, "title": title, "owner": owner} for id_, title, owner in rows()]

    return app


def celery_app() -> Any:
    from celery import Celery

    app = Celery("bench", broker=os.environ["BENCH_REDIS"])
    app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)
    totango: Any = None
    if HOW != "bare":
        from totango_sdk import Totango
        from totango_sdk.integrations.celery import install

        totango = Totango(SERVICE, module="Bench", account="A1", user="marlo@barksdale.com")
        install(totango)
    ends = {0: "first", int(os.environ["BENCH_TASKS"]) - 1: "last"}

    @app.task(name="work")
    def work(number: int) -> None:
        rows()
        if HOW == "tracks":
            totango.track(ACTIVITY)
        if number in ends:
            with open(os.environ["BENCH_TIMES"], "a") as times:
                times.write(f"{ends[number]} {time.monotonic()} {time.process_time()}\n")

    return app


_APPS = {"flask": flask_app, "django": django_app, "fastapi": fastapi_app, "celery": celery_app}
if KIND:
    app = _APPS[KIND]()

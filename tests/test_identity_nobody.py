"""Nobody in each framework: anonymous visitors, and a member of staff who looks at a customer's pages as that customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import djangos  # noqa: F401  # sets Django up
import flask
import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django_site import who as django_who
from servers import PATIENCE
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from totango_sdk import AsyncTotango, Identity, Totango
from totango_sdk.integrations.django import totango as django_totango
from totango_sdk.integrations.flask import TotangoFlask
from totango_sdk.integrations.starlette import TotangoMiddleware, get_totango
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VISITS = 1000
# A client's own account and user stand in for nobody.
OPTIONS = {"account": "OWN", "user": "own@x.com", "module": "M", "spool": "memory"}


def who(session: Any) -> Identity | None:
    """Whose a session is; nobody's where a member of staff is in it as somebody else."""
    if "account" not in session or "staff" in session:
        return None
    return Identity(account=session["account"], user="U")


class Site:
    """One site in one of the frameworks: pages that say who is there, and one that is tracked."""

    def __init__(self, visit: Callable[[str], str], transport: RecordingTransport, client: Any) -> None:
        self.visit = visit
        self._transport = transport
        self._client = client

    @property
    def sent(self) -> list[tuple[str, str]]:
        assert self._client.flush(PATIENCE)
        events = [dict(pairs) for pairs in self._transport.sent]
        return [(event["sdr_o"], event.get("sdr_a", "")) for event in events]

    @property
    def counts(self) -> tuple[int, int]:
        stats = self._client.stats()
        return stats.dropped, stats.dead


def flask_site(transport: RecordingTransport) -> Iterator[Site]:
    client = Totango("SP-1-1", transport=transport, **OPTIONS)
    totango = TotangoFlask(client=client, identity=lambda _: who(flask.session))
    app = flask.Flask("site")
    app.secret_key = "of this test"

    @app.get("/be/<name>/<value>")
    def be(name: str, value: str) -> str:
        flask.session[name] = value
        return value

    @app.get("/leave/<name>")
    def leave(name: str) -> str:
        return str(flask.session.pop(name))

    @app.get("/done")
    @totango.tracked("Done")
    def done() -> str:
        return f"{totango.track('x') is not None}|{totango.carry()}|{totango.snippet()}"

    @app.get("/named")
    def named() -> str:
        return str(totango.track("named", account="N", user="U") is not None)

    totango.init_app(app)
    with client, app.test_client() as browser:
        yield Site(lambda path: browser.get(path).text, transport, client)


def starlette_site(transport: RecordingTransport) -> Iterator[Site]:
    client = AsyncTotango("SP-1-1", transport=transport, **OPTIONS)

    async def be(request: Any) -> PlainTextResponse:
        request.session[request.path_params["name"]] = request.path_params["value"]
        return PlainTextResponse("")

    async def leave(request: Any) -> PlainTextResponse:
        return PlainTextResponse(request.session.pop(request.path_params["name"]))

    @client.tracked("Done")
    async def done(request: Any) -> PlainTextResponse:
        totango = get_totango(request)
        return PlainTextResponse(f"{await totango.track('x') is not None}|{totango.carry()}|{totango.snippet()}")

    async def named(request: Any) -> PlainTextResponse:
        return PlainTextResponse(str(await get_totango(request).track("named", account="N", user="U") is not None))

    routes = [
        Route("/be/{name}/{value}", be),
        Route("/leave/{name}", leave),
        Route("/done", done),
        Route("/named", named),
    ]
    middleware = [
        Middleware(TotangoMiddleware, client=client, identity=lambda connection: who(connection.session)),
        Middleware(SessionMiddleware, secret_key="of this test"),
    ]
    with TestClient(Starlette(routes=routes, middleware=middleware)) as browser:
        yield Site(lambda path: browser.get(path).text, transport, client.sync)


@pytest.fixture(params=[flask_site, starlette_site], ids=["flask", "starlette"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    yield from request.param(RecordingTransport())


@pytest.mark.parametrize("is_staff", [False, True], ids=["anonymous", "impersonating"])
def test_nobody_sends_nothing_however_often(site: Site, is_staff: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "totango_sdk")
    if is_staff:
        site.visit("/be/account/A")
        site.visit("/be/staff/agent@us.com")
    for _ in range(VISITS):
        assert site.visit("/done") == "False|None|"
    assert site.sent == []
    assert site.counts == (2 * VISITS, 0)  # the call, and what the decorator would tell
    assert len([record for record in caplog.records if record.name == "totango_sdk"]) == 1


def test_what_staff_do_is_the_customers_once_they_have_left(site: Site) -> None:
    site.visit("/be/account/A")
    assert site.visit("/done").startswith('True|{"v":1,"s":"SP-1-1","a":"A","u":"U","m":"M"}|<script>')
    site.visit("/be/staff/agent@us.com")
    site.visit("/done")
    assert site.visit("/named") == "True"  # a call that names all that it needs asks nobody
    site.visit("/leave/staff")
    site.visit("/done")
    assert sorted(site.sent) == [("A", "Done"), ("A", "Done"), ("A", "x"), ("A", "x"), ("N", "named")]


@pytest.mark.django_db
def test_a_member_of_staff_in_django_is_nobody_with_a_users_session(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "totango_sdk")
    transport = RecordingTransport()

    def hijacked(request: Any) -> Identity | None:
        return None if "staff" in request.session else django_who.who(request)

    given = {"SERVICE_ID": "SP-1234-01", "IDENTITY": hijacked, "TRANSPORT": transport}
    with override_settings(TOTANGO=given | {name.upper(): value for name, value in OPTIONS.items()}):
        browser = Client()
        browser.force_login(User.objects.create(username="avon", email="avon@x.com"))
        session = browser.session
        session["staff"] = "agent@us.com"
        session.save()
        for _ in range(VISITS):
            assert browser.get("/done/200").status_code == 200
        assert browser.get("/page").content == b"|"
        assert (django_totango.stats().dropped, django_totango.stats().dead) == (VISITS, 0)
        session = browser.session
        del session["staff"]
        session.save()
        browser.get("/done/200")
        assert django_totango.flush(PATIENCE)
        django_totango.close()
    assert [(dict(pairs)["sdr_o"], dict(pairs)["sdr_a"]) for pairs in transport.sent] == [("avon", "Done")]
    assert len([record for record in caplog.records if record.name == "totango_sdk"]) == 1

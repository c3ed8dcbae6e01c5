"""Django: whose a request is, what it tracks, and what becomes of it with its transaction."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import threading
from typing import TYPE_CHECKING, Any

import djangos  # noqa: F401  # sets Django up
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, RequestFactory, TestCase, override_settings
from django_site import who
from rest_framework.authtoken.models import Token
from servers import PATIENCE

from totango_sdk import InvalidEvent
from totango_sdk.integrations.django import TotangoMiddleware, totango
from totango_sdk.testing import RecordingTransport
from totango_sdk.testing.plugin import TotangoEvents, totango_events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["totango_events"]
ROLLS_BACK = pytest.mark.django_db
COMMITS = pytest.mark.django_db(transaction=True)


class Site:
    """The site, with a client whose events are kept in memory."""

    def __init__(self, transport: RecordingTransport) -> None:
        self._transport = transport
        self.browser = Client(raise_request_exception=False)

    def get(self, path: str, account: str | None = None, **headers: str) -> Any:
        given = headers | ({} if account is None else {"X-Account": account})
        response = self.browser.get(path, headers=given)
        self.text = b"".join(response.streaming_content) if response.streaming else response.content
        response.close()
        return response

    @property
    def sent(self) -> list[tuple[str | None, str | None]]:
        """Account and activity of each request."""
        assert totango.flush(PATIENCE)
        events = [dict(pairs) for pairs in self._transport.sent]
        return [(event.get("sdr_o"), event.get("sdr_a")) for event in events]


@contextlib.contextmanager
def settings(**changes: Any) -> Iterator[Site]:
    transport = RecordingTransport()
    who.asked.clear()
    given = {"SERVICE_ID": "SP-1234-01", "MODULE": "Site", "IDENTITY": who.who, "SPOOL": "memory"}
    with override_settings(TOTANGO=given | {"TRANSPORT": transport} | changes):
        yield Site(transport)
        totango.close()
    who.asked.clear()  # requests that are held would keep what they hold
    gc.collect()  # a request that failed holds its frames in a circle


@pytest.fixture
def site() -> Iterator[Site]:
    with settings() as found:
        yield found


@ROLLS_BACK
def test_a_view_that_tracks_has_the_identity_of_its_request(site: Site) -> None:
    site.get("/track/x", "A")
    site.get("/track/y", "B")
    assert site.sent == [("A", "x"), ("B", "y")]
    assert totango.track("outside") is None
    assert totango.dead_letters()[0].reason.startswith("account")


@ROLLS_BACK
def test_a_page_that_tracks_nothing_costs_no_query_and_does_not_vary(
    site: Site, django_assert_num_queries: Callable[[int], Any]
) -> None:
    site.browser.force_login(User.objects.create(username="avon", email="avon@x.com"))
    with django_assert_num_queries(0):
        response = site.get("/quiet")
    assert "Vary" not in response.headers
    assert not response.wsgi_request.session.accessed
    assert who.asked == []
    site.get("/track/x")
    assert site.sent == [("avon", "x")]


@ROLLS_BACK
def test_nobody_is_dropped_counted_and_told_once(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "totango_sdk")
    for _ in range(1000):
        assert site.browser.get("/done/200").status_code == 200
    assert (site.sent, totango.dead_letters(), totango.stats().dropped) == ([], [], 1000)
    assert len([record for record in caplog.records if record.name == "totango_sdk"]) == 1


@ROLLS_BACK
@pytest.mark.parametrize("is_known", [True, False])
def test_what_goes_on_after_a_request_has_the_identity_that_was_asked_for(site: Site, is_known: bool) -> None:
    """Django's object is gone by then: nobody is asked, and nobody is guessed."""
    over, done = threading.Event(), threading.Event()

    def late() -> None:
        assert over.wait(PATIENCE)
        totango.track("late")
        done.set()

    def view(_: HttpRequest) -> HttpResponse:
        if is_known:
            totango.track("x")
        threading.Thread(target=contextvars.copy_context().run, args=(late,)).start()
        return HttpResponse("ok")

    request = RequestFactory().get("/", headers={"X-Account": "A"})
    TotangoMiddleware(view)(request)
    who.asked.clear()
    del request
    gc.collect()
    over.set()
    assert done.wait(PATIENCE)
    assert site.sent == ([("A", "x"), ("A", "late")] if is_known else [])
    reasons = [letter.reason for letter in totango.dead_letters()]
    assert [reason for reason in reasons if "totango.carry()" in reason] == ([] if is_known else reasons)


@ROLLS_BACK
def test_a_login_view_tracks_before_and_after(site: Site) -> None:
    User.objects.create_user("avon", "avon@x.com", "secret")
    site.get("/login")
    assert site.sent == [("avon", "after")]
    assert totango.stats().dropped == 2


@ROLLS_BACK
def test_tracked_tells_what_succeeded_and_was_asked_for(site: Site) -> None:
    for status in (200, 302, 404, 500):
        assert site.get(f"/done/{status}", "A").status_code == status
    site.browser.head("/done/200", headers={"X-Account": "A"})
    site.browser.options("/done/200", headers={"X-Account": "A"})
    assert site.sent == [("A", "Done"), ("A", "Done")]


@ROLLS_BACK
def test_a_stream_keeps_its_identity_and_the_next_request_has_none_of_it(site: Site) -> None:
    site.get("/stream", "A")
    assert site.text == b"ab"
    totango.track("outside")
    assert site.sent == [("A", "streamed")]


@ROLLS_BACK
def test_identify_changes_the_request_alone_and_a_thread_has_no_identity(site: Site) -> None:
    site.get("/identify", "A")
    site.get("/track/x", "B")
    assert set(site.sent) == {("Other", None), ("Other", "as another"), ("B", "x")}
    assert [letter.input and letter.input["activity"] for letter in totango.dead_letters()] == ["from a thread"]


@ROLLS_BACK
def test_rest_framework_says_who_came_by_token(site: Site) -> None:
    token = Token.objects.create(user=User.objects.create(username="avon", email="avon@x.com"))
    response = site.get("/api", Authorization=f"Token {token.key}")
    assert response.json() == {"user": "avon"}
    assert site.sent == [("avon", "by token")]


@ROLLS_BACK
def test_the_page_has_the_snippet_of_the_same_identity() -> None:
    with settings(NONCE="django_site.who.nonce") as site:
        site.get("/page", "A")
        assert site.text.count(b'"account": {"id": "A"}') == 2
        assert site.text.count(b'<script nonce="nonce5">') == site.text.count(b'<script nonce="abc">') == 1
        site.get("/page")
        assert site.text == b"|"


def test_an_identity_function_that_fails_costs_the_page_nothing(site: Site) -> None:
    def fails(_: Any) -> None:
        raise ValueError("no session")

    with settings(IDENTITY=fails) as site:
        assert site.get("/track/x").status_code == 200
        assert "no session" in totango.dead_letters()[0].reason
    with settings(IDENTITY=fails, STRICT=True) as site, pytest.raises(InvalidEvent, match="no session"):
        Client().get("/track/x")


# -- async


def run_async(*paths: str, **headers: str) -> list[int]:
    async def run() -> list[int]:
        browser = AsyncClient()
        return [(await browser.get(path, headers=headers)).status_code for path in paths]

    return asyncio.run(run())


@COMMITS
@pytest.mark.parametrize("function", [who.who, who.who_later])
def test_an_async_view_that_awaits_has_the_user_of_the_session(function: Any) -> None:
    user = User.objects.create(username="avon", email="avon@x.com")

    async def run() -> int:
        browser = AsyncClient()
        await sync_to_async(browser.force_login)(user)
        return (await browser.get("/atrack/x")).status_code

    with settings(IDENTITY=function) as site:
        assert asyncio.run(run()) == 200
        assert site.sent == [("avon", "x")]


@pytest.mark.parametrize(("function", "what"), [(who.who, "database"), (who.who_later, "async")])
@COMMITS
def test_track_in_async_code_says_what_to_use(function: Any, what: str) -> None:
    user = User.objects.create(username="avon", email="avon@x.com")

    async def run() -> int:
        browser = AsyncClient()
        await sync_to_async(browser.force_login)(user)
        return (await browser.get("/track-async/x")).status_code

    with settings(IDENTITY=function) as site:
        assert asyncio.run(run()) == 200
        assert site.sent == []
        (letter,) = totango.dead_letters()
        assert "use await totango.atrack(...)" in letter.reason
        assert what in letter.reason


@COMMITS
@pytest.mark.parametrize("function", [who.who, who.who_later])
def test_what_a_page_and_a_job_need_can_be_awaited(function: Any) -> None:
    with settings(IDENTITY=function):
        response = asyncio.run(AsyncClient().get("/acarry", headers={"X-Account": "A"}))
        carried, _, snippet = response.content.decode().partition("|")
        assert carried == '{"v":1,"s":"SP-1234-01","a":"A","u":"A@x.com","m":"Site"}'
        assert '"account": {"id": "A"}' in snippet
        assert asyncio.run(AsyncClient().get("/acarry")).content == b"None|"


@ROLLS_BACK
def test_an_async_function_serves_plain_views_too() -> None:
    with settings(IDENTITY=who.who_later) as site:
        site.get("/track/x", "A")
        assert site.sent == [("A", "x")]


@COMMITS
@pytest.mark.parametrize("function", [who.who, who.who_later])
def test_async_views_are_tracked_and_stream_as_plain_ones_do(function: Any) -> None:
    with settings(IDENTITY=function) as site:
        assert run_async("/adone/200", "/adone/404", "/done/302", X_Account="A") == [200, 404, 302]
        assert site.sent == [("A", "Done later"), ("A", "Done")]


@ROLLS_BACK
def test_each_call_that_stores_has_an_awaited_form(site: Site) -> None:
    async def run() -> None:
        with totango.context(account="A", user="U"):
            await totango.aset_account_attributes({"id": "A", "Plan": "Pro"})
            await totango.aset_user_attributes("A", {"id": "U", "Title": "CEO"})
            await totango.aheartbeat()
            await totango.aidentify("B", "V")
            assert await totango.atrack("x")
        assert await totango.aflush()

    asyncio.run(run())
    assert [activity for account, activity in site.sent if account == "A"] == [None, None, "__heartbeat"]
    assert [activity for account, activity in site.sent if account == "B"] == [None, "x"]


# -- transactions


@COMMITS
@pytest.mark.parametrize(
    ("how", "stored"),
    [("all", ["kept", "inner", "behind"]), ("inner", ["kept", "behind"]), ("outer", ["behind"])],
)
def test_an_event_is_stored_with_its_transaction(site: Site, how: str, stored: list[str]) -> None:
    assert site.get(f"/save/{how}", "A").status_code == 200
    assert [activity for _, activity in site.sent] == stored
    assert len(who.asked) == 1


@COMMITS
def test_a_callback_that_raises_keeps_no_event_before_it(site: Site) -> None:
    assert site.get("/save/callback", "A").status_code == 500
    assert [activity for _, activity in site.sent] == ["kept", "inner"]


@COMMITS
def test_a_request_that_fails_tracks_nothing_where_requests_are_atomic(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    assert site.get("/fail", "A").status_code == 500
    assert site.get("/tracked-save/outer", "A").status_code == 200
    assert site.sent == []
    assert site.get("/tracked-save/all", "A").status_code == 200
    assert site.get("/save/all", "A").status_code == 200
    assert [activity for _, activity in site.sent] == ["Saved", "kept", "inner", "behind"]


@COMMITS
def test_without_autocommit_and_atomic_an_event_is_stored_at_once(site: Site) -> None:
    transaction.set_autocommit(False)
    try:
        assert totango.track("x", account="A", user="U")
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert site.sent == [("A", "x")]


class InTestCase(TestCase):
    """A `TestCase` has a transaction of its own around each test, which does not count."""

    @pytest.fixture(autouse=True)
    def _events(self, totango_events: TotangoEvents) -> None:
        self.events = totango_events

    @property
    def tracked(self) -> list[str | None]:
        return [event.activity for event in self.events.events]

    def test_an_open_transaction_counts_until_its_savepoint_is_rolled_back(self) -> None:
        self.client.get("/save/all", headers={"X-Account": "A"})
        self.events.assert_tracked("inner", account="A", user="A@x.com", module="Site")
        assert self.tracked == ["kept", "inner", "behind"]
        assert [dict(pairs)["sdr_a"] for pairs in self.events.sent] == ["behind", "kept", "inner"]

    def test_what_was_rolled_back_is_not_there(self) -> None:
        self.client.get("/save/inner", headers={"X-Account": "A"})
        assert self.tracked == ["kept", "behind"]
        with contextlib.suppress(ValueError), transaction.atomic():
            totango.track("x", account="A", user="U")
            assert self.tracked == ["kept", "behind", "x"]
            raise ValueError
        assert self.tracked == ["kept", "behind"]
        assert len(self.events.sent) == 2

    def test_with_callbacks_nothing_counts_twice(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            self.client.get("/save/inner", headers={"X-Account": "A"})
        assert self.tracked == ["kept", "behind"]
        assert len(self.events.sent) == 2

    def test_a_view_that_failed_tracked_nothing(self) -> None:
        browser = Client(raise_request_exception=False)
        for status in (200, 404, 500):
            browser.get(f"/done/{status}", headers={"X-Account": "A"})
        assert self.tracked == ["Done"]

    def test_it_is_strict_and_serves_bound_clients_too(self) -> None:
        totango.bind(account="A", user="U").track("bound")
        assert self.tracked == ["bound"]
        with pytest.raises(InvalidEvent):
            totango.track("x")


def test_nothing_leaks_into_the_next_test(site: Site) -> None:
    bound = totango.bind(account="A", user="U")
    with contextlib.contextmanager(totango_events.__wrapped__)() as events:
        bound.track("in a test")
        totango.track("too", account="A", user="U")
        assert [event.activity for event in events.events] == ["in a test", "too"]
    bound.track("x")
    assert site.sent == [("A", "x")]

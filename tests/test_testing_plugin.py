from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import flask
import pytest

from totango_sdk import Account, Answer, InvalidEvent, Product, Totango, User
from totango_sdk.integrations.flask import TotangoFlask
from totango_sdk.testing import RecordingTransport
from totango_sdk.testing.plugin import TotangoEvents, totango_events  # noqa: F401
from totango_sdk.wire import encode

if TYPE_CHECKING:
    from pathlib import Path


def test_recording_transport_answers_200_and_keeps_pairs_in_wire_order() -> None:
    transport = RecordingTransport()
    assert transport.poll(0) == []
    pairs = [("b", "1"), ("a", "é &="), ("c", "")]
    transport.submit(7, encode(pairs))
    transport.submit(8, b"x=1")
    assert transport.poll(5.0) == [Answer(7, 200), Answer(8, 200)]
    assert transport.poll(0) == []
    transport.close()
    assert transport.sent == [pairs, [("x", "1")]]


def test_recording_transport_can_serve_two_clients_one_after_the_other() -> None:
    transport = RecordingTransport()
    for name in ("x", "y"):
        with Totango("SP-1-1", account="A", user="U", module="M", spool="memory", transport=transport) as client:
            client.track(name)
    assert [dict(pairs)["sdr_a"] for pairs in transport.sent] == ["x", "y"]


def test_the_fixture_says_what_was_tracked(totango_events: TotangoEvents) -> None:  # noqa: F811
    client = totango_events.client.bind(account=Account("A", name="Acme"), user="U", module="M")
    client.track("Invoice paid")
    client.track("Invoice paid", "N", account="B", product="P")
    client.set_account_attributes("C")
    event = totango_events.assert_tracked("Invoice paid")
    assert event is totango_events.events[0]
    assert totango_events.assert_tracked("Invoice paid", account="B") is totango_events.events[1]
    assert totango_events.assert_tracked("Invoice paid", product="P", module="N", user=User("U"), where="B_P")
    assert totango_events.assert_tracked("Invoice paid", account=Account("A", name="Acme"), product=None, kind="track")
    assert [dict(pairs).get("sdr_a") for pairs in totango_events.sent].count("Invoice paid") == 2


def test_the_fixture_takes_a_mapping_for_a_whole_as_a_client_does(totango_events: TotangoEvents) -> None:  # noqa: F811
    acme = {"id": "A", "name": "Acme", "Plan": "Gold"}
    totango_events.client.track("Login", "M", acme, {"id": "U"})
    assert totango_events.assert_tracked("Login", account=acme, user={"u": "U"})
    for wrong in ({"account": {"id": "A"}}, {"account": acme | {"Plan": "Free"}}, {"product": acme}, {"module": {}}):
        with pytest.raises(AssertionError, match="not tracked"):
            totango_events.assert_tracked("Login", **wrong)


def test_the_fixture_fails_with_what_was_tracked_instead(totango_events: TotangoEvents) -> None:  # noqa: F811
    with pytest.raises(AssertionError, match="not tracked: 'Login'\ntracked was:\n  nothing"):
        totango_events.assert_tracked("Login")
    client = totango_events.client.bind(account="A", user="U", module="M")
    client.track("Login", product=Product("P"))
    client.identify(user="V")
    for match in (
        {"account": "B"},
        {"account": Account("A", name="x")},
        {"product": None},
        {"module": "N"},
        {"user": 5},
    ):
        with pytest.raises(AssertionError) as caught:
            totango_events.assert_tracked("Login", **match)
        assert str(caught.value).endswith(
            "tracked was:\n  'Login', account='A', user='U', product='P', module='M'\n  (identify), account='A', user='V'"
        )
    with pytest.raises(AssertionError):
        totango_events.assert_tracked("login")
    with pytest.raises(TypeError, match="cannot match 'acount', only account, user"):
        totango_events.assert_tracked("Login", acount="A")


def test_the_fixture_is_strict_and_asks_nobody_whether_it_is_disabled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOTANGO_DISABLED", "1")
    events = TotangoEvents()
    with pytest.raises(InvalidEvent):
        events.client.track("x")
    assert events.client.track("x", "M", "A", "U")
    assert len(events.sent) == 1
    events.client.close()


def test_the_fixture_has_nothing_of_the_machine_but_which_ids_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("API_TOKEN", "secret"), ("REGION", "mars"), ("SPOOL", "/nowhere"), ("STRICT", "no")):
        monkeypatch.setenv(f"TOTANGO_{name}", text)
    monkeypatch.setenv("TOTANGO_EXTRA_ID_CHARACTERS", ".")
    events = TotangoEvents()
    with pytest.raises(InvalidEvent):
        events.client.track("")
    assert events.client.track("x", "M", "acme.com", "U")
    names = [name for name, _ in events.sent[0]]
    assert names == ["sdr_s", "sdr_o", "sdr_u", "sdr_a", "sdr_m"]
    events.client.close()


def test_a_client_that_it_stands_in_for_may_send_what_it_may_in_production(
    totango_events: TotangoEvents,  # noqa: F811
) -> None:
    app = flask.Flask("app")
    app.config |= {"TOTANGO_SERVICE_ID": "SP-1234-01", "TOTANGO_EXTRA_ID_CHARACTERS": ".", "TOTANGO_SPOOL": "memory"}
    totango = TotangoFlask(app)
    with app.app_context():
        totango.track("Login", "M", "acme.com", "U")
        with pytest.raises(InvalidEvent):
            totango.track("Login", "M", "acme@com", "U")
        with pytest.raises(InvalidEvent):
            totango.track("Login", "M", user="U")
    totango_events.assert_tracked("Login", account="acme.com")


def test_pytest_finds_the_fixture_in_a_hosts_own_tests(tmp_path: Path) -> None:
    (tmp_path / "test_host.py").write_text(
        "def test_right(totango_events):\n"
        "    totango_events.client.track('x', 'M', 'A', 'U')\n"
        "    totango_events.assert_tracked('x', account='A')\n"
        "def test_wrong(totango_events):\n"
        "    totango_events.assert_tracked('x')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert "1 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "not tracked: 'x'" in ended.stdout

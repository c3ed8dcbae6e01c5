from __future__ import annotations

import gc
import inspect
import json
import logging
import math
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from servers import PATIENCE, bytes_below, wait_for

from totango_sdk import (
    Account,
    Answer,
    Event,
    InvalidEvent,
    MemorySpool,
    Product,
    Stats,
    Totango,
    User,
)
from totango_sdk.testing import RecordingTransport

SECRET = "s3cr3t-T0ken"


def make(**options: Any) -> tuple[Totango, RecordingTransport]:
    transport = options.pop("transport", None) or RecordingTransport()
    given: dict[str, Any] = {"account": "A", "user": "U", "module": "M", "spool": "memory", "strict": True}
    return Totango("SP-1-1", transport=transport, **{**given, **options}), transport


def sent(client: Totango, transport: RecordingTransport) -> list[dict[str, str]]:
    """What was sent since this was last asked."""
    assert client.flush(PATIENCE)
    found = [dict(pairs) for pairs in transport.sent]
    transport.sent.clear()
    return found


def adds_up(stats: Stats) -> bool:
    parts = (stats.queued, stats.retrying, stats.in_flight, stats.delivered, stats.dead, stats.dropped)
    return stats.accepted == sum(parts) and min(parts) >= 0


# -- calls


def test_the_calls_take_their_arguments_in_the_browsers_order() -> None:
    def names(method: Any) -> list[str]:
        return list(inspect.signature(method).parameters)[1:]

    assert names(Totango.track) == ["activity", "module", "account", "user", "product"]
    assert names(Totango.identify) == ["account", "user", "product"]
    assert names(Totango.set_account_attributes) == ["account"]
    assert names(Totango.set_user_attributes) == ["account", "user"]
    assert names(Totango.heartbeat) == ["module", "account", "user", "product"]
    for method in (Totango.bind, Totango.context):
        kinds = {name: each.kind for name, each in inspect.signature(method).parameters.items() if name != "self"}
        assert kinds == dict.fromkeys(["account", "user", "product", "module"], inspect.Parameter.KEYWORD_ONLY)


def test_track_sends_one_activity_and_returns_its_id() -> None:
    client, transport = make(api_token=SECRET)
    event_id = client.track("Login")
    assert isinstance(event_id, str) and event_id
    assert client.flush(PATIENCE)
    assert transport.sent == [
        [("sdr_s", "SP-1-1"), ("sdr_o", "A"), ("sdr_u", "U"), ("sdr_a", "Login"), ("sdr_m", "M"), ("api-token", SECRET)]
    ]
    client.close()


def test_a_call_names_what_is_its_own() -> None:
    client, transport = make()
    client.track("x", "N", "B", "V", "P")
    client.track("x", account=Account("B"), user={"id": "V"}, product={"id": "P", "module": "Q"})
    first, second = (each for each in sent(client, transport) if "sdr_a" in each)
    assert (first["sdr_o"], first["sdr_u"], first["sdr_m"]) == ("B_P", "V", "N")
    assert (second["sdr_o"], second["sdr_u"], second["sdr_m"]) == ("B_P", "V", "Q")
    client.close()


def test_names_and_attributes_ride_along_when_new_and_when_changed() -> None:
    client, transport = make(account=None, user=None)
    acme = Account("A", name="Acme", attributes={"Plan": "Gold"})
    nora = User("U", name="Nora")
    for account, user in ((acme, nora), (acme, nora), (attrs.evolve(acme, name="Acme 2"), nora), (acme, User("U"))):
        client.track("x", account=account, user=user)
    found = sent(client, transport)
    assert [("sdr_odn" in each, "sdr_u.name" in each) for each in found] == [
        (True, True),
        (False, False),
        (True, False),
        (True, False),
    ]
    client.track("x", account="B", user=nora)  # another account's user is another user
    assert [("sdr_odn" in each, "sdr_u.name" in each) for each in sent(client, transport)] == [(False, True)]
    client.close()


def test_unchanged_attributes_are_sent_again_when_due() -> None:
    client, transport = make(account=Account("A", name="Acme"))
    clock = [1000.0]
    client._core.recall._clock = lambda: clock[0]
    for wait in (0, 3599, 1, 3599, 1):
        clock[0] += wait
        client.track("x")
    assert ["sdr_odn" in each for each in sent(client, transport)] == [True, False, True, False, True]
    client.close()


def test_without_a_time_to_live_attributes_are_sent_every_time() -> None:
    client, transport = make(account=Account("A", name="Acme"), user=User("U", name="Nora"), attributes_ttl=0)
    for _ in range(3):
        client.track("x")
    assert [("sdr_odn" in each, "sdr_u.name" in each) for each in sent(client, transport)] == [(True, True)] * 3
    client.close()


def test_identify_becomes_and_sends_now() -> None:
    client, transport = make()
    acme = Account("B", name="Bcme")
    assert client.identify(acme, User("V", name="Vera"))
    assert client.identify(acme, User("V", name="Vera"))
    client.track("x")
    found = sent(client, transport)
    assert [("sdr_odn" in each, "sdr_u.name" in each, "sdr_a" in each) for each in found] == [
        (True, True, False),
        (True, True, False),
        (False, False, True),
    ]
    assert (found[2]["sdr_o"], found[2]["sdr_u"]) == ("B", "V")
    client.identify(product="P")
    client.track("x")
    assert sent(client, transport)[-1]["sdr_o"] == "B_P"
    client.close()


def test_identify_without_anything_new_still_sends_one_request() -> None:
    client, transport = make()
    assert client.identify()
    assert sent(client, transport) == [{"sdr_s": "SP-1-1", "sdr_o": "A", "sdr_u": "U"}]
    client.close()


def test_the_setters_send_attributes_and_change_no_defaults() -> None:
    client, transport = make(product="P")
    client.set_account_attributes(Account("B", attributes={"Plan": "Pro"}))
    client.set_user_attributes("B", User("V", attributes={"Role": "Boss"}))
    account, user = sent(client, transport)
    client.set_user_attributes(None, User("V", attributes={"Role": "Boss"}))
    (own,) = sent(client, transport)
    assert account == {"sdr_s": "SP-1-1", "sdr_o": "B", "sdr_o.Plan": "Pro"}
    assert (user["sdr_o"], user["sdr_u"], user["sdr_u.Role"]) == ("B_P", "V", "Boss")
    assert (own["sdr_o"], own["sdr_u"], own["sdr_u.Role"]) == ("A_P", "V", "Boss")
    client.track("x")
    assert sent(client, transport)[-1]["sdr_u"] == "U"
    client.close()


def test_account_attributes_need_no_user_and_not_a_right_one_either() -> None:
    client, transport = make(user="not right \n", product="not right")
    assert client.set_account_attributes(Account("B", attributes={"Plan": "Pro"}))
    assert sent(client, transport) == [{"sdr_s": "SP-1-1", "sdr_o": "B", "sdr_o.Plan": "Pro"}]
    client.close()


def test_a_heartbeat_is_one_of_the_module_or_of_the_system() -> None:
    client, transport = make()
    client.heartbeat()
    client.heartbeat("N", "B", "V", Product("P", module="Q"))
    client.bind(product=Product("P", module="Q")).heartbeat()
    client.close()
    other, _ = make(module=None, transport=transport)
    other.heartbeat()
    assert other.flush(PATIENCE)
    beats = [dict(pairs) for pairs in transport.sent if ("sdr_a", "__heartbeat") in pairs]
    assert [beat["sdr_m"] for beat in beats] == ["M", "N", "Q", "__system"]
    other.close()


def test_a_client_may_send_without_an_account() -> None:
    client, transport = make(account=None, allow_empty_accounts=True)
    for account in (None, "", {}, {"id": ""}):
        assert client.track("x", account=account)
    assert sent(client, transport) == [{"sdr_s": "SP-1-1", "sdr_u": "U", "sdr_a": "x", "sdr_m": "M"}] * 4
    client.close()


def test_bound_clients_have_their_own_defaults_on_one_spool_and_one_sender() -> None:
    client, transport = make(account=Account("A", name="Acme"))
    bound = client.bind(user="V", module="N")
    client.track("x")
    bound.track("x")
    again = bound.bind(account="B")
    again.track("x")
    bound.identify("C")
    bound.track("x")
    client.track("x")
    found = sorted(sent(again, transport), key=lambda each: each["sdr_o"])  # accounts do not wait for one another
    assert [(each["sdr_o"], each["sdr_u"]) for each in found] == [
        ("A", "U"),
        ("A", "V"),
        ("A", "U"),
        ("B", "V"),
        ("C", "V"),
        ("C", "V"),
    ]
    assert ["sdr_odn" in each for each in found] == [True, False, False, False, False, False]
    assert client.stats() == bound.stats() == again.stats()
    assert client.stats().delivered == 6
    assert isinstance(bound, Totango)
    client.close()


def test_a_client_closes_with_its_block_and_can_close_twice() -> None:
    client, transport = make()
    with client as entered:
        assert entered is client
        client.track("x")
    assert len(transport.sent) == 1
    client.close()
    client.close()


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_track_after_close_opens_again_and_the_counts_go_on(kind: str, tmp_path: Path) -> None:
    client, transport = make(spool="memory" if kind == "memory" else tmp_path / "spool")
    for number in range(3):
        client.track(f"x{number}")
        assert client.flush(PATIENCE)
        client.close()
        assert adds_up(client.stats()), client.stats()
    assert [dict(pairs)["sdr_a"] for pairs in transport.sent] == ["x0", "x1", "x2"]


# -- strict or not


def test_a_strict_client_raises_with_every_problem() -> None:
    client, transport = make(account=None, user=None, module=None)
    with pytest.raises(InvalidEvent) as caught:
        client.track("", account=Account("A B", attributes={"x": object()}))
    assert [problem.field for problem in caught.value.problems if problem.severity == "error"] == [
        "account",
        "account.x",
        "user",
        "activity",
        "module",
    ]
    assert client.dead_letters() == []
    assert client.stats().accepted == 0
    client.close()
    assert transport.sent == []


def test_another_client_keeps_the_whole_input_with_every_problem(caplog: pytest.LogCaptureFixture) -> None:
    client, transport = make(strict=False, user=None)
    given = {"id": "A B", "Plan": "Gold", "nested": {"a": [1, {2: None}]}, "nan": math.nan, "lone": "\ud800"}
    for _ in range(5):
        assert client.track("x" * 300, "M", given) is None
    letters = client.dead_letters()
    assert len(letters) == 5
    first = letters[0]
    assert [problem["field"] for problem in first.problems] == [
        "account",
        "account.nested",
        "account.nan",
        "account.lone",
        "user",
        "activity",
    ]
    assert first.input is not None
    assert first.input["call"] == "track"
    assert first.input["activity"] == "x" * 300
    assert math.isnan(first.input["account"].pop("nan"))
    assert first.input["account"] == {
        "id": "A B",
        "Plan": "Gold",
        "nested": {"a": [1, {"2": None}]},
        "lone": "\ud800",
    }
    assert all(problem["field"] in first.reason for problem in first.problems)
    assert (first.body, first.attempts) == (None, 0)
    assert 0 <= time.time() - first.accepted_at < PATIENCE
    assert client.stats().dead == client.stats().accepted == 5
    assert len(caplog.records) == 1
    assert "an event is not sent, and is kept as a dead letter: account: 'A B'" in caplog.text
    assert "\n" not in caplog.records[0].message
    client.close()
    assert transport.sent == []


def test_each_kind_of_fault_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = make(strict=False)
    for _ in range(10):
        client.track("")
        client.track("x", account="A B")
        client.track("x", account=Account("A", attributes={"x" * 5000: 1}))
    assert len(caplog.records) == 3
    assert {record.name for record in caplog.records} == {"totango_sdk"}
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    client.close()


def test_a_warning_is_told_once_and_the_event_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    client, transport = make()
    for _ in range(3):
        assert client.track("x", user="nora+test@example.com")
    assert len(sent(client, transport)) == 3
    assert len(caplog.records) == 1
    assert "an event is sent, but user: " in caplog.text
    client.close()


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Unreadable(dict[str, Any]):
    def get(self, *_: Any) -> Any:
        raise RuntimeError("no")


HOSTILE: list[Any] = [
    Hostile(),
    Unreadable(),
    "x" * 1_500_000,
    "\ud800",
    math.nan,
    b"bytes",
    {"id": Hostile(), "name": Hostile(), Hostile(): 1},
    {1: {2: {3: Hostile()}}},
    [],
    10**5000,
    object,
]


@pytest.mark.parametrize("spool", ["memory", "disk"])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type(value).__name__)
def test_no_value_raises_into_the_host(value: Any, spool: str, tmp_path: Path) -> None:
    client, transport = make(strict=False, spool="memory" if spool == "memory" else tmp_path / "spool")
    calls = [
        lambda: client.track(value),
        lambda: client.track("x", value),
        lambda: client.track("x", account=value),
        lambda: client.track("x", user=value),
        lambda: client.track("x", product=value),
        lambda: client.track("x", account=Account("A", attributes={"x": value})),
        lambda: client.set_account_attributes(value),
        lambda: client.set_user_attributes(None, value),
        lambda: client.heartbeat(value),
        lambda: client.bind(account=value).track("x"),
        lambda: client.identify(value, value, value),
    ]
    ids = [call() for call in calls]
    letters = client.dead_letters()
    assert len(letters) == ids.count(None)
    assert all(letter.input is not None and letter.reason for letter in letters)
    assert adds_up(client.stats())
    client.close()
    assert len(transport.sent) == len(ids) - len(letters)


def test_an_event_that_is_too_large_is_a_dead_letter_with_the_whole_input(tmp_path: Path) -> None:
    attributes = {f"attribute {number}": "x" * 500 for number in range(2000)}
    for spool in ("memory", tmp_path / "spool"):
        client, transport = make(strict=False, spool=spool)
        assert client.track("x", account=Account("A", attributes=attributes)) is None
        assert client.track("x", account=Account("A", attributes={"Plan": "Gold"}))
        (letter,) = client.dead_letters()
        assert "send fewer attributes" in letter.reason
        assert letter.input is not None
        assert letter.input["account"]["attributes"] == attributes
        assert (letter.input["call"], letter.input["activity"]) == ("track", "x")
        assert [each["sdr_o.Plan"] for each in sent(client, transport)] == ["Gold"]
        assert adds_up(client.stats())
        client.close()
    strict, transport = make()
    with pytest.raises(InvalidEvent, match="send fewer attributes"):
        strict.track("x", account=Account("A", attributes=attributes))
    strict.close()


def test_the_ambiguous_product_account_is_found_within_a_process() -> None:
    client, transport = make()
    assert client.track("x", account="A_B", product="C")
    assert client.track("x", account="A_B", product="C")
    with pytest.raises(InvalidEvent, match="'A_B_C' stands for account 'A' with product 'B_C'"):
        client.track("x", account="A", product="B_C")
    with pytest.raises(InvalidEvent):
        client.bind(account="A").identify(product="B_C")
    assert client.track("x", account="A", product=Product("B_C", account_id="A-B_C"))
    client.close()


# -- hooks


def test_before_send_changes_an_event() -> None:
    client, transport = make(before_send=lambda event: attrs.evolve(event, activity=f"{event.activity}!", user="V"))
    assert client.track("x")
    (found,) = sent(client, transport)
    assert (found["sdr_a"], found["sdr_u"]) == ("x!", "V")
    client.close()


def test_before_send_drops_an_event_which_is_counted() -> None:
    client, transport = make(before_send=lambda event: None if event.activity == "secret" else event)
    assert client.track("secret") is None
    assert client.track("x")
    assert len(sent(client, transport)) == 1
    stats = client.stats()
    assert (stats.accepted, stats.dropped, stats.delivered) == (2, 1, 1)
    assert client.dead_letters() == []
    client.close()


@pytest.mark.parametrize(
    ("hook", "why"),
    [
        (lambda event: 1 / 0, "before_send raised ZeroDivisionError('division by zero')"),
        (lambda event: "x", "before_send returned 'x'; it returns an Event, or None to drop it"),
        (lambda event: True, "before_send returned True"),
        (lambda event, more: event, "before_send raised TypeError"),
        (lambda event: attrs.evolve(event, activity=""), "before_send raised InvalidEvent: activity: "),
        (lambda event: attrs.evolve(event, account="A B", module=5), "before_send raised InvalidEvent: account: "),
    ],
)
def test_an_event_whose_hook_fails_is_a_dead_letter_and_is_not_sent(
    hook: Any, why: str, swallowed: list[BaseException]
) -> None:
    client, transport = make(before_send=hook)
    assert client.track("x") is None
    (letter,) = client.dead_letters()
    assert letter.reason.startswith(why)
    assert letter.input is not None and letter.input["activity"] == "x"
    client.close()
    assert transport.sent == []
    if "TypeError" in why:  # of a hook with other parameters: raised in its call, not in it
        swallowed.clear()


def test_a_hook_that_makes_a_clash_is_told_of_it() -> None:
    def hook(event: Event) -> Event:
        return attrs.evolve(event, account="A", product="B_C") if event.activity == "y" else event

    client, _ = make(before_send=hook)
    client.track("x", account="A_B", product="C")
    with pytest.raises(InvalidEvent, match="would merge the two"):
        client.track("y")
    client.close()


def test_what_a_hook_drops_claims_no_product_account() -> None:
    client, _ = make(before_send=lambda event: None if event.activity == "secret" else event)
    client.track("secret", account="A_B", product="C")
    assert client.track("x", account="A", product="B_C")
    client.close()


class Refusing(RecordingTransport):
    """Answers 400 to what a test says is bad."""

    bad: tuple[str, ...] = ("bad",)

    def submit(self, ticket: int, body: bytes) -> None:
        super().submit(ticket, body)
        if any(word in body.decode() for word in self.bad):
            with self._lock:
                self._answers[-1] = Answer(ticket, 400)


def test_on_dead_letter_is_called_with_each_event_that_is_given_up() -> None:
    given_up: list[Any] = []
    client, _ = make(
        strict=False, transport=Refusing(), on_dead_letter=lambda letter, reason: given_up.append((letter, reason))
    )
    client.track("")
    client.track("bad")
    assert client.flush(PATIENCE)
    client.close()
    (refused, why), (dead, reason) = given_up
    assert refused.input["activity"] == "" and why.startswith("activity: ")
    assert (
        b"sdr_a=bad" in dead.body and reason == dead.reason == "the collector answered 400, which speaks of this event"
    )
    assert dead.attempts == 1


@pytest.mark.parametrize("error", [ZeroDivisionError, SystemExit])
def test_on_dead_letter_may_raise_without_harm(error: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    def hook(letter: Any, reason: str) -> None:
        raise error

    client, transport = make(strict=False, transport=Refusing(), on_dead_letter=hook)
    for _ in range(3):
        client.track("bad")
        assert client.flush(PATIENCE)
    client.track("x")
    assert client.flush(PATIENCE)
    assert (client.stats().dead, client.stats().delivered) == (3, 1)
    assert len(client.dead_letters()) == 3
    if error is ZeroDivisionError:
        client.track("")
        assert len([record for record in caplog.records if "on_dead_letter raised" in record.message]) == 1
    client.close()


def test_attributes_of_a_request_that_ends_as_a_dead_letter_count_as_not_sent() -> None:
    client, transport = make(
        strict=False,
        transport=Refusing(),
        account=Account("A", name="Acme"),
        user=User("U", name="Nora"),
        product=Product("P", name="Ex"),
    )
    client.track("bad")
    found = sent(client, transport)
    assert [("sdr_odn" in each, "sdr_u.name" in each) for each in found] == [(True, False), (True, True)]
    client.track("x")
    (again,) = sent(client, transport)  # the account's own request was not refused
    assert (again["sdr_odn"], again["sdr_u.name"], again["sdr_o.parent_id"]) == ("Ex", "Nora", "A")
    client.track("x")
    (last,) = sent(client, transport)
    assert "sdr_odn" not in last and "sdr_u.name" not in last
    transport.bad = ("sdr_odn=Acme",)
    client.identify(Account("A", name="Acme"))
    client.track("x")
    assert ["sdr_odn" in each for each in sent(client, transport)][-1] in (True, False)
    client.track("x", account=Account("A", name="Acme"))
    assert any(each.get("sdr_odn") == "Acme" for each in sent(client, transport))
    client.close()


class Full(MemorySpool):
    full = True

    def put(self, items: Any, *, wait: bool = True) -> str | None:
        if self.full:
            raise OSError(28, "No space left on device")
        return super().put(items, wait=wait)


def test_what_cannot_be_stored_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    spool = Full()
    client, transport = make(spool=spool, account=Account("A", name="Acme"), strict=False)
    for _ in range(5):
        assert client.track("x") is None
        assert client.track("") is None
    assert (client.stats().accepted, client.stats().dropped) == (10, 10)
    assert len([record for record in caplog.records if "events are lost" in record.message]) == 1
    spool.full = False
    assert client.track("x")
    assert sent(client, transport)[0]["sdr_odn"] == "Acme"  # what was not stored was not said
    assert adds_up(client.stats())
    client.close()


# -- counted


class Moody(RecordingTransport):
    """Answers each request with the next of these."""

    def __init__(self, *statuses: int | None) -> None:
        super().__init__()
        self._statuses = statuses

    def submit(self, ticket: int, body: bytes) -> None:
        super().submit(ticket, body)
        with self._lock:
            self._answers[-1] = Answer(ticket, self._statuses[len(self.sent) % len(self._statuses)])


def test_the_counts_add_up_at_every_moment() -> None:
    client, transport = make(
        strict=False,
        transport=Moody(200, 200, 200, 400, 200, None),
        before_send=lambda event: None if event.activity == "secret" else event,
    )
    done = threading.Event()
    seen: list[Stats] = []

    def look() -> None:
        while not done.is_set():
            seen.append(client.stats())

    looking = threading.Thread(target=look)
    looking.start()

    def work(number: int) -> None:
        for at in range(300):
            client.track(("x", "", "secret", "y")[at % 4], account=f"A{number}_{at % 50}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    looking.join()
    assert all(adds_up(stats) for stats in seen)
    last = client.stats()
    assert adds_up(last) and last.accepted == 1200
    assert last.dropped == 300
    client.close()


def test_the_stats_are_frozen_and_tell_age_and_durability(tmp_path: Path) -> None:
    client, transport = make(spool=tmp_path / "spool", transport=Moody(503))
    assert client.stats() == Stats(durable=True)
    client.track("x")
    stats = wait_for(lambda: client.stats() if client.stats().retrying else None)
    assert stats.oldest_age is not None and 0 <= stats.oldest_age < PATIENCE
    assert (stats.accepted, stats.retrying, stats.durable) == (1, 1, True)
    with pytest.raises(AttributeError):
        stats.accepted = 5
    client.close(0)
    assert not make()[0].stats().durable


def test_flush_says_whether_all_is_delivered_or_dead() -> None:
    client, transport = make(transport=Refusing())
    assert client.flush(PATIENCE)
    client.track("bad")
    client.track("x")
    assert client.flush(PATIENCE)
    assert client.stats().in_flight == client.stats().queued == 0
    client.close()
    stuck, _ = make(transport=Moody(503))
    stuck.track("x")
    assert not stuck.flush(0.05)
    assert not stuck.flush(0)
    stuck.close(0)


def test_a_disabled_client_checks_everything_and_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = threading.enumerate()
    client, transport = make(disabled=True, spool=tmp_path / "spool")
    with client:
        assert client.track("x") is None
        assert client.identify("B") is None
        assert client.heartbeat() is None
        with pytest.raises(InvalidEvent):
            client.track("")
        assert client.flush(0)
        assert client.dead_letters() == []
        assert client.stats() == Stats()
    monkeypatch.setenv("TOTANGO_DISABLED", "1")
    lenient, _ = make(strict=False, spool=tmp_path / "spool")
    assert lenient.track("") is None
    assert "an event is not sent: activity: '' is empty" in caplog.text
    assert lenient.dead_letters() == []
    assert threading.enumerate() == before
    assert not (tmp_path / "spool").exists()
    assert transport.sent == []


# -- the token


def test_the_token_is_in_no_dead_letter_no_log_no_stats_and_not_on_the_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[Any] = []
    client, transport = make(
        api_token=SECRET,
        strict=False,
        spool=tmp_path / "spool",
        transport=Refusing(),
        on_dead_letter=lambda *given: told.append(given),
    )
    client.track("bad")
    client.track("")
    client.track("x")
    assert client.flush(PATIENCE)
    assert len(told) == 2
    assert SECRET not in repr((told, client.dead_letters(), client.stats(), client, client._core.options))
    assert all(SECRET.encode() not in (letter.body or b"") for letter in client.dead_letters())
    assert all(("api-token", SECRET) == pairs[-1] for pairs in transport.sent)
    stored = bytes_below(tmp_path)
    assert b"sdr_a=bad" in stored
    client.close()
    for content in (stored, bytes_below(tmp_path), caplog.text.encode()):
        assert SECRET.encode() not in content


# -- many at once


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_of_a_hundred_thousand_tracks_from_eight_threads_each_arrives_once_and_in_order(
    kind: str, tmp_path: Path
) -> None:
    # In a process of its own, which no coverage slows down.
    command = [sys.executable, "-I", str(Path(__file__).parent / "many.py"), kind, str(tmp_path / "spool")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "100000 arrived, each once and in order; 40 accounts were named once\n"


def test_recording_transport_takes_what_eight_threads_send_each_exactly_once() -> None:
    client, transport = make()

    def work(number: int) -> None:
        for at in range(500):
            client.track(f"x{number}-{at}", account=f"A{number}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = sent(client, transport)
    for number in range(8):
        mine = [each["sdr_a"] for each in found if each["sdr_o"] == f"A{number}"]
        assert mine == [f"x{number}-{at}" for at in range(500)]
    client.close()


def test_a_strict_client_does_not_hide_what_an_argument_raises() -> None:
    client, _ = make()
    with pytest.raises(RuntimeError, match="no"):
        client.track("x", account=Unreadable())
    client.close()


def test_what_comes_for_a_client_that_is_gone_goes_nowhere() -> None:
    client, _ = make()
    worker = client._core.worker
    del client
    gc.collect()
    worker._make_sender(MemorySpool())._on_dead(None)  # type: ignore[arg-type]
    worker._on_fork()


def test_what_a_dead_letter_holds_is_json_all_through() -> None:
    client, _ = make(strict=False)
    client.track("x", account={"id": Hostile(), "list": [Hostile()]})
    (letter,) = client.dead_letters()
    json.dumps(attrs.asdict(letter))
    client.close()

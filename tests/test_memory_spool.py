from __future__ import annotations

import json

import pytest
from spools import FAR, NOW, bodies, bury, deliver, drain, fill, put, retry

from totango_sdk.errors import SpoolFull
from totango_sdk.spool import Item, MemorySpool
from totango_sdk.spool import memory as module


def test_it_says_that_it_is_not_durable() -> None:
    spool = MemorySpool()
    assert not spool.durable
    assert not spool.needs_care


def test_it_is_full_when_it_has_reached_its_bytes_and_has_room_again_after_deliveries() -> None:
    spool = MemorySpool(most_bytes=10_000)
    with pytest.raises(SpoolFull, match="give spool= a directory"):
        fill(spool, 1000)
    accepted = spool.counts().accepted
    assert 0 < accepted < 40
    assert len(drain(spool)) == accepted
    assert put(spool, b"again") is not None


def test_what_does_not_fit_is_not_kept_in_part() -> None:
    spool = MemorySpool(most_bytes=1000)
    with pytest.raises(SpoolFull):
        put(spool, b"x" * 100, b"x" * 900)
    assert spool.counts().accepted == 0
    assert spool.lease(9, NOW) == []


def test_letters_can_be_read_while_others_put() -> None:
    spool = MemorySpool()
    put(spool, b"1", lane="a")
    put(spool, b"2", lane="b")
    bury(spool, spool.lease(9, NOW))
    for letter in spool.letters():
        put(spool, b"again: " + (letter.body or b""))
    assert bodies(drain(spool)) == [b"again: 1", b"again: 2"]


def test_a_refusal_that_cannot_be_read_is_kept_all_the_same() -> None:
    spool = MemorySpool()
    for refused in (b"not json", b"[1]", json.dumps({"reason": "why"}).encode()):
        spool.put([Item(refused, is_letter=True)])
    first, second, third = spool.letters()
    assert "not json" in first.reason
    assert "[1]" in second.reason
    assert (third.reason, third.input, third.problems) == ("why", None, ())


def test_only_the_last_letters_are_kept_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_MOST_LETTERS", 3)
    spool = MemorySpool()
    for number in range(5):
        spool.put([Item(json.dumps({"reason": str(number)}).encode(), is_letter=True)])
    assert [letter.reason for letter in spool.letters()] == ["2", "3", "4"]
    assert spool.counts().dead == 5
    assert len(caplog.records) == 1


def test_the_time_of_the_next_retry_is_told() -> None:
    spool = MemorySpool()
    put(spool, b"1")
    assert spool.next_due() == 0.0
    retry(spool, spool.lease(9, NOW), FAR)
    assert spool.next_due() == FAR
    deliver(spool, spool.lease(9, FAR))
    assert spool.next_due() is None


def test_a_child_starts_empty() -> None:
    spool = MemorySpool()
    put(spool, b"parents")
    spool.before_fork()
    spool.after_fork(in_child=True)
    assert spool.counts().accepted == 0
    put(spool, b"childs")
    assert bodies(drain(spool)) == [b"childs"]

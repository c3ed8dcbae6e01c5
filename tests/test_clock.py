"""Deadlines go by a clock that no test freezes, and dates by the clock of the one who gave them."""

from __future__ import annotations

import time

import freezegun
from servers import Collector, mute, wait_for

from totango_sdk import Answer, Totango, clock
from totango_sdk.delivery.retry import judge


def test_a_frozen_time_freezes_no_deadline() -> None:
    with freezegun.freeze_time("2020-01-01"):
        before = clock.monotonic()
        wait_for_real(0.02)
        assert clock.monotonic() - before >= 0.02


def wait_for_real(seconds: float) -> None:
    until = time.clock_gettime(time.CLOCK_MONOTONIC) + seconds
    while time.clock_gettime(time.CLOCK_MONOTONIC) < until:
        pass


def test_a_client_closes_in_time_though_a_test_has_frozen_it() -> None:
    for transport in ("httpx", "curl"):
        with Collector(lambda _: mute) as silent:
            client = Totango(
                "SP-1-1", account="A", user="U", module="M", spool="memory",
                endpoint=silent.endpoint, transport=transport,
            )  # fmt: skip
            client.track("x")
            wait_for(lambda: silent.requests)  # noqa: B023
            with freezegun.freeze_time("2020-01-01"):
                began = time.clock_gettime(time.CLOCK_MONOTONIC)
                client.close(0.5)
                took = time.clock_gettime(time.CLOCK_MONOTONIC) - began
            assert took < 1.4


def test_a_clock_that_is_an_hour_wrong_makes_no_hour_of_a_date_to_wait_for() -> None:
    headers = {"date": "Mon, 01 Jun 2026 12:00:00 GMT", "retry-after": "Mon, 01 Jun 2026 12:00:07 GMT"}
    theirs = 1780315200.0
    for wrong_by in (-3600, 0, 3600):
        assert judge(Answer(1, 429, headers), theirs + wrong_by).wait == 7
    without = {"retry-after": headers["retry-after"]}
    assert judge(Answer(1, 429, without), theirs).wait == 7
    assert judge(Answer(1, 429, {**without, "date": "soon"}), theirs).wait == 7

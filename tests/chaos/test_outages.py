"""Rows 4, 5, 8 and 11: a collector that is down, asks to wait or refuses, and a clock that jumps."""

from __future__ import annotations

import pytest

from . import clocks, outages, poison

# Each outage with one transport; `make chaos` runs each with both.
PAIRS = [(mode, "curl" if number % 2 else "httpx") for number, mode in enumerate(outages.MODES)]


@pytest.mark.parametrize(("mode", "transport"), PAIRS)
def test_an_outage_costs_the_host_nothing_and_loses_nothing(tmp_path, mode, transport):
    def run(attempt):
        place = tmp_path / str(attempt)
        place.mkdir()
        return outages.outage(place, mode, seconds=1.5, transport=transport)

    outages.calmly(run).check()


def test_nothing_is_sent_before_the_time_that_retry_after_tells(tmp_path):
    outages.asked_to_wait(tmp_path, seconds=2.5).check()


def test_a_poison_event_delays_no_other_and_can_be_sent_again(tmp_path):
    poison.among_many(tmp_path).check()


def test_a_clock_that_jumps_stops_nothing_and_makes_no_busy_loop(tmp_path):
    clocks.jumps(tmp_path).check()


def test_the_clock_is_an_hour_off_without_the_library_too(tmp_path, monkeypatch):
    monkeypatch.setattr(clocks, "faketime_library", lambda: None)
    clocks.jumps(tmp_path, events=20).check()


def test_a_run_that_was_only_slow_is_repeated():
    rows = [outages.Row("x", failures=[f"{outages.SLOW}: 60 ms"]), outages.Row("x")]
    assert outages.calmly(rows.__getitem__) == outages.Row("x")

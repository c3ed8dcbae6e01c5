"""Row 2: exit without `close`."""

from __future__ import annotations

import pytest

from . import exits


@pytest.mark.parametrize("outage", exits.OUTAGES)
@pytest.mark.parametrize("how", exits.HOWS)
def test_the_next_process_delivers_what_an_exit_left(tmp_path, how, outage):
    exits.exit_without_close(tmp_path, how, outage).check()


@pytest.mark.parametrize("outage", exits.OUTAGES)
def test_a_script_of_three_events_ends_in_time_and_they_arrive_later(tmp_path, outage):
    exits.three_events(tmp_path, outage).check()

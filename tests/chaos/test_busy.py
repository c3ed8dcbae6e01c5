"""Rows 16 and 17: one account with all the traffic."""

from __future__ import annotations

import pytest

from . import busy


@pytest.mark.parametrize("stream", ["plain", "named"])
def test_one_account_alone_uses_all_its_connections(tmp_path, stream):
    busy.alone(tmp_path, stream=stream, events=1000, timed=False).check()


def test_updates_of_an_account_keep_their_order_while_a_third_is_answered_503(tmp_path):
    busy.mixed(tmp_path, events=150).check()


def test_two_requests_that_are_answered_500_for_ever_hold_up_no_activity(tmp_path):
    busy.stuck(tmp_path, events=3000).check()

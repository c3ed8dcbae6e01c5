"""Row 1 and what belongs to it: processes that are killed, and those that take over."""

from __future__ import annotations

from . import kills, orphans


def test_nothing_is_lost_by_two_hundred_kills(tmp_path):
    kills.kill_at_random(tmp_path, kills=200).check()


def test_a_living_process_delivers_once_what_a_killed_one_left(tmp_path):
    orphans.killed_holder(tmp_path).check()


def test_one_process_delivers_what_forty_killed_ones_left(tmp_path):
    orphans.many_killed(tmp_path).check()

"""Replay, killed and without room; `REPLAY_KILLS=50` asks for the full size."""

from __future__ import annotations

import os

import pytest

from . import replays

KILLS = int(os.environ.get("REPLAY_KILLS", "4"))


def test_a_replay_that_is_killed_again_and_again_loses_nothing_and_repeats_little(tmp_path):
    replays.killed(tmp_path, kills=KILLS, rows=600 * KILLS).check()


def test_a_replay_whose_ledger_has_no_room_says_so_and_goes_on_later(tmp_path):
    row = replays.ledger_full(tmp_path, rows=20_000)
    if row is None:
        pytest.skip("a small file system cannot be mounted here: that takes root")
    row.check()

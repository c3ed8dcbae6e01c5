"""Rows 6 and 7: a disk that is full, and one that forgets."""

from __future__ import annotations

import pytest

from . import corrupt, full, removed


def or_skip(row):
    if row is None:
        pytest.skip("a file system of 3 MB cannot be mounted here: that takes root")
    row.check()


def test_a_full_disk_neither_stops_the_host_nor_loses_what_was_accepted(tmp_path):
    or_skip(full.full_disk(tmp_path, events=20_000))


def test_dead_letters_on_a_full_disk_are_kept_once_there_is_room(tmp_path):
    or_skip(full.full_disk(tmp_path, events=20_000, poison=True))


@pytest.mark.parametrize("poison", [False, True], ids=["", "with dead letters"])
def test_a_quota_that_is_used_up_drains_by_itself(tmp_path, poison):
    full.full_quota(tmp_path, poison=poison).check()


def test_a_damaged_spool_always_starts_and_gives_back_what_is_whole(tmp_path):
    corrupt.all_mutants(tmp_path, mutants=80).check()


def test_a_spool_of_a_newer_version_is_left_alone_and_named(tmp_path):
    corrupt.newer_version(tmp_path).check()


@pytest.mark.parametrize("name", ["directory replaced", "log emptied", "lock removed"])
def test_files_that_are_taken_away_under_a_living_process_are_made_anew(tmp_path, name):
    removed.taken_away(tmp_path, name, events=300).check()

"""Rows 18 to 22 and 24 in short: what the host, the machine and our like may do to us."""

from __future__ import annotations

import pytest

from . import forks, hooked, hooks, interference, neighbours, shortages


@pytest.mark.parametrize(("transport", "threads"), [("httpx", 1), ("curl", 10)])
def test_children_of_any_moment_deliver(tmp_path, transport, threads):
    interference.forks_at_any_moment(tmp_path, forks=15, transport=transport, threads=threads).check()


@pytest.mark.parametrize("kind", forks.KINDS)
def test_every_worker_of_a_server_that_has_tracked_while_it_loaded_delivers(tmp_path, kind):
    forks.preloaded(tmp_path, kind=kind, times=1).check()


@pytest.mark.parametrize("transport", ["httpx", "curl"])
def test_each_deadline_reaches_the_host(tmp_path, transport):
    interference.deadlines(tmp_path, count=100, transport=transport).check()


@pytest.mark.parametrize("kind", neighbours.KINDS)
def test_two_of_a_kind_on_one_directory_take_nothing_from_each_other(tmp_path, kind):
    row = neighbours.on_one_directory(tmp_path, kind=kind, kills=2)
    if row is None:
        pytest.skip("needs root and Linux, for containers of its own")
    row.check()


@pytest.mark.parametrize("place", hooked.PLACES)
def test_host_code_that_raises_or_calls_back_loses_nothing(tmp_path, place):
    hooks.at_one_place(tmp_path, place, events=60).check()


@pytest.mark.parametrize("how", interference.HOW)
def test_the_interpreter_ends_in_time(tmp_path, how):
    interference.ends(tmp_path, how=how, mute=how == "del", times=1).check()


@pytest.mark.parametrize("kind", sorted(set(shortages.KINDS) - {shortages.NAME_SERVER}))
def test_what_runs_out_or_is_wrong_is_told_and_all_goes_out_when_it_is_mended(tmp_path, kind):
    shortages.troubles(tmp_path, kind=kind, short=True).check()


@pytest.mark.parametrize(("transport", "ends"), [("httpx", False), ("curl", True)])
def test_a_name_server_that_does_not_answer_holds_nobody_up(tmp_path, transport, ends):
    tried = shortages.mute_name_server(tmp_path, transport=transport, ends=ends)
    if tried is None:
        pytest.skip("needs root and Linux, for a name server of its own")
    tried.row.check()

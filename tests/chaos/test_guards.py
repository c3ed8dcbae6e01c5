"""Rows 12 to 15: secrets, paths, endpoints, and a crowd of threads."""

from __future__ import annotations

import os

import pytest

from . import crowd, paths, telltale


def test_the_token_is_in_nothing_but_the_requests(tmp_path):
    telltale.in_the_host(tmp_path).check()


def test_the_token_is_nowhere_in_the_sandbox(tmp_path):
    telltale.in_the_sandbox(tmp_path).check()


@pytest.mark.parametrize("name", paths.UNSAFE)
def test_an_unsafe_path_is_refused_and_nothing_there_is_touched(tmp_path, name):
    if name == "somebody else's" and os.geteuid() != 0:
        pytest.skip("only root can make a directory of somebody else's")
    paths.unsafe_path(tmp_path, name).check()


@pytest.mark.parametrize("name", paths.PARENTS)
def test_a_parent_that_others_can_write_to_is_accepted(tmp_path, name):
    paths.open_parent(tmp_path, name).check()


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    paths.link_in_place_of_a_file(tmp_path).check()


def test_an_endpoint_that_events_must_not_go_to_is_refused():
    paths.refused_endpoints().check()


@pytest.mark.parametrize(("status", "transport"), [(301, "httpx"), (307, "curl")])
def test_a_redirect_is_not_followed(tmp_path, status, transport):
    paths.redirect(tmp_path, status, transport).check()


def test_two_hundred_busy_threads_stay_within_bounds(tmp_path):
    crowd.crowded(tmp_path, each=20).check()

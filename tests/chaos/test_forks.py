"""Row 3: a client made before the fork, in real servers."""

from __future__ import annotations

import pytest

from . import forks, servers

needs_redis = pytest.mark.skipif(not servers.have_redis(), reason="needs redis-server: run scripts/install_servers.sh")


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
def test_gunicorn_workers_deliver_and_the_master_is_not_repeated(tmp_path, preload):
    forks.gunicorn(tmp_path, preload=preload).check()


@needs_redis
def test_celery_prefork_workers_deliver_and_the_main_process_is_not_repeated(tmp_path):
    forks.celery(tmp_path).check()


@needs_redis
def test_rq_work_horses_deliver_and_the_worker_is_not_repeated(tmp_path):
    forks.rq(tmp_path).check()


def test_multiprocessing_children_deliver_and_the_parent_is_not_repeated(tmp_path):
    forks.forker(tmp_path, "pools").check()


def test_two_hundred_forks_while_a_thread_tracks_neither_hang_nor_repeat(tmp_path):
    forks.forker(tmp_path, "many", forks=200).check()

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from totango_sdk import log
from totango_sdk.log import forget_told, tell_once

if TYPE_CHECKING:
    import pytest


def test_each_kind_is_told_once_under_the_packages_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        tell_once("a", "first", level="info")
        tell_once("b", "100%s", level="error")
        tell_once("c", "third")
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("totango_sdk", "INFO", "first (further ones of this kind are not logged)"),
        ("totango_sdk", "ERROR", "100%s (further ones of this kind are not logged)"),
        ("totango_sdk", "WARNING", "third (further ones of this kind are not logged)"),
    ]
    forget_told()
    tell_once("c", "again")
    assert caplog.records[-1].getMessage().startswith("again")


def test_what_was_told_is_remembered_up_to_a_bound(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_KINDS_REMEMBERED", 3)
    for kind in ("a", "b", "c", "c", "d", "a"):
        tell_once(kind, kind)
    assert [record.getMessage()[0] for record in caplog.records] == ["a", "b", "c", "d", "a"]


def test_of_many_threads_one_tells(caplog: pytest.LogCaptureFixture) -> None:
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        for number in range(100):
            tell_once(str(number), "x")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(caplog.records) == 100

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from browsers import chromium, page
from hypothesis import HealthCheck, settings
from servers import Collector

from totango_sdk.log import forget_told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["chromium", "page"]

# A loaded machine is no failure.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep each test away from this user's settings and spool, and from what other tests were told."""
    for name in [name for name in os.environ if name.startswith("TOTANGO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    forget_told()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running

from __future__ import annotations

import logging
import os
import traceback
from typing import TYPE_CHECKING

import pytest
from browsers import chromium, page
from hypothesis import HealthCheck, settings
from servers import Collector

# What a client loads with its first use, in a thread that coverage does not see.
import totango_sdk.aio
import totango_sdk.browser
import totango_sdk.core
import totango_sdk.spool.disk  # noqa: F401
from totango_sdk import host
from totango_sdk.log import forget_told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from totango_sdk.sandbox import Sandbox

_MISTAKES = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError)
_TESTS = os.path.dirname(__file__)
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


@pytest.fixture(autouse=True)
def logging_as_it_was(alone: None) -> Iterator[None]:
    """A test that leaves less to be logged than there was makes others fail, in another order."""
    before = _logging()
    yield
    assert _logging() == before


def _logging() -> tuple[object, ...]:
    ours = logging.getLogger("totango_sdk")
    return logging.root.level, logging.root.manager.disable, ours.level, ours.disabled, ours.propagate


@pytest.fixture(autouse=True)
def swallowed() -> Iterator[list[BaseException]]:
    """Turn round the guard that lets host code raise what it likes: a mistake of ours must not pass for the host's.

    A test in which such a thing is meant to be swallowed asks for this, and clears it.
    """
    seen: list[BaseException] = []
    with host.watching(lambda error: None if _is_the_hosts(error) else seen.append(error)):
        yield seen
    assert not seen, "".join(line for error in seen for line in traceback.format_exception(error))


def _is_the_hosts(error: BaseException) -> bool:
    """Whether a test raised it, or it says what the host did."""
    return not isinstance(error, _MISTAKES) or any(
        frame.filename.startswith(_TESTS) for frame in traceback.extract_tb(error.__traceback__)
    )


@pytest.fixture(scope="module")
def shared_sandbox() -> Iterator[Sandbox]:
    from totango_sdk.sandbox import running

    with running() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(shared_sandbox: Sandbox) -> Sandbox:
    """A sandbox with nothing in it."""
    shared_sandbox.reset()
    return shared_sandbox


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running

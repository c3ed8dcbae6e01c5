from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = [
    "asyncio",
    "certifi",
    "email",
    "h11",
    "http",
    "httpcore",
    "httpx",
    "json",
    "logging",
    "pathlib",
    "pycurl",
    "pytest",
    "random",
    "redis",
    "rich",
    "socket",
    "sqlite3",
    "ssl",
    "starlette",
    "typer",
    "urllib",
    "uuid",
    "uvicorn",
]


def run(code: str, *flags: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-W", "error", *flags, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


def loaded(code: str) -> set[str]:
    report = run(code, "-X", "importtime")
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in report.splitlines() if "|" in line}


def test_importing_loads_no_http_library_and_no_extra() -> None:
    # What attrs and cachetools load is theirs.
    ours = loaded("import totango_sdk") - loaded("import attrs, cachetools")
    assert "totango_sdk" in ours
    assert not ours & set(HEAVY)


def test_importing_starts_nothing_and_changes_nothing() -> None:
    code = """
import atexit, os, signal, sys, threading, warnings
before = (threading.active_count(), atexit._ncallbacks(), signal.getsignal(15), dict(os.environ), list(warnings.filters))
files = os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else []
import totango_sdk
now = (threading.active_count(), atexit._ncallbacks(), signal.getsignal(15), dict(os.environ), list(warnings.filters))
assert before == now, (before, now)
assert len(files) == (len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0)
"""
    run(code)


def test_making_a_client_loads_no_http_library_either() -> None:
    names = loaded("import totango_sdk; totango_sdk.Totango('SP-1-1', account='A', user='U', module='M')")
    assert not names & {"httpx", "httpcore", "pycurl", "asyncio", "sqlite3"}


@pytest.mark.parametrize("module", ["totango_sdk.testing", "totango_sdk.testing.plugin"])
def test_the_helpers_for_tests_load_no_http_library(module: str) -> None:
    names = loaded(f"import {module}")
    assert not names & {"httpx", "httpcore", "pycurl", "uvicorn", "starlette"}


def test_importing_the_package_imports_no_plugin() -> None:
    assert "ok" in run("import sys, totango_sdk\nassert 'pytest' not in sys.modules\nprint('ok')")

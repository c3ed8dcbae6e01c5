"""Runs each integration's tests with the oldest and the newest version that it is made for.

`make test-versions`, or with the beginning of a name for some of them only: ARGS=Django. Each environment is the
locked one, with the packages of its row laid over it in `.venvs/`; a row that needs a newer Python is left out and said
so. Prints a table at the end, and exits with 1 if a row failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
OVERLAYS = ROOT / ".venvs"
_DJANGO = (
    "tests/test_integration_django.py",
    "tests/test_integration_django_settings.py",
    "tests/test_integration_django_servers.py",
    "tests/test_integration_django_outbox.py",
)
_SQLALCHEMY = ("tests/test_outbox.py",)


class Row(NamedTuple):
    """What is laid over the locked environment, and the tests that then run."""

    name: str
    packages: tuple[str, ...]
    tests: tuple[str, ...]
    python: tuple[int, int] = (3, 11)


_FLASK = ("tests/test_integration_flask.py",)
_STARLETTE = ("tests/test_integration_starlette.py",)
_CELERY = ("tests/test_integration_celery.py",)
_RQ = ("tests/test_integration_rq.py",)

# One line for each version; add yours.
ROWS = [
    Row("Flask 2.3.3", ("flask[async]==2.3.3",), _FLASK),
    Row("Flask 3.1.3", ("flask[async]==3.1.3",), _FLASK),
    Row("Django 4.2.30", ("django==4.2.30",), _DJANGO),
    Row("Django 5.2.19", ("django==5.2.19",), _DJANGO),
    Row("Django 6.1.3", ("django==6.1.3",), _DJANGO, python=(3, 12)),
    Row("Starlette 0.40.0, FastAPI 0.115.2", ("starlette==0.40.0", "fastapi==0.115.2"), _STARLETTE),
    Row("Starlette 1.10.0, FastAPI 0.165.0", ("starlette==1.10.0", "fastapi==0.165.0"), _STARLETTE),
    Row("Celery 5.3.6", ("celery==5.3.6",), _CELERY),
    Row("Celery 5.7.0", ("celery==5.7.0",), _CELERY),
    Row("RQ 1.16.2", ("rq==1.16.2",), _RQ),
    Row("RQ 3.0.0", ("rq==3.0.0",), _RQ),
    Row("SQLAlchemy 2.0", ("sqlalchemy==2.0.0",), _SQLALCHEMY),
    Row("SQLAlchemy 2.1.9", ("sqlalchemy==2.1.9",), _SQLALCHEMY),
]


def run(row: Row) -> tuple[str, str]:
    """Return what became of a row, and how long its tests took."""
    if sys.version_info[:2] < row.python:
        return f"needs Python {row.python[0]}.{row.python[1]}", "-"
    overlay = (
        OVERLAYS
        / f"{row.name.replace(', ', '-').replace(' ', '-')}-py{sys.version_info[0]}.{sys.version_info[1]}"
    )
    if not overlay.exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run(
            [*install, "--target", str(overlay), *row.packages], check=False
        ).returncode:
            return "could not be installed", "-"
    started = time.monotonic()
    env = os.environ | {"PYTHONPATH": str(overlay)}
    # An old version's own warnings are no errors here; `make test` has those of the newest.
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-W",
        "default",
        "--disable-warnings",
        *row.tests,
    ]
    ended = subprocess.run(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode:
        print(ended.stdout)
    return ended.stdout.strip().splitlines()[-1], f"{time.monotonic() - started:.0f} s"


def main() -> int:
    """Run the rows whose names begin so, or all."""
    wanted = sys.argv[1:]
    rows = [row for row in ROWS if not wanted or any(row.name.startswith(each) for each in wanted)]
    results = [(row, *run(row)) for row in rows]
    for row, result, seconds in results:
        print(f"| {row.name} | {result} | {seconds} |")
    return int(
        any(
            "failed" in result or "error" in result or "could not" in result
            for _, result, _ in results
        )
    )


if __name__ == "__main__":
    sys.exit(main())

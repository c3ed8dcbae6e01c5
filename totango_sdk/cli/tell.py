"""How the commands tell what they found: tables for people, JSON for programs."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import OptionsError

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def table(heads: list[str], rows: list[list[str]]) -> None:
    """Print a table; on a pipe it is as wide as it needs to be."""
    shown = Table(show_edge=False, box=None, pad_edge=False, header_style="bold")
    for head in heads:
        shown.add_column(head, overflow="fold", no_wrap=not is_terminal())
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    Console(width=None if is_terminal() else 10_000, soft_wrap=not is_terminal()).print(shown)


def tell_json(found: Any) -> None:
    """Print `found` as JSON."""
    typer.echo(json.dumps(found, indent=2))


@contextmanager
def owners_file(path: str, *, newline: str | None = None) -> Iterator[IO[str]]:
    """Open a file for writing that only its owner can read. Raises `OptionsError`."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    except OSError as error:
        raise OptionsError(f"{path} cannot be written ({error.strerror}): give another") from None
    with open(descriptor, "w", encoding="utf-8", newline=newline) as file:
        yield file


def check_place(path: str | None) -> None:
    """Raise `OptionsError` if a file cannot be written there, before long work is done for it."""
    if path is None:
        return
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path) or not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise OptionsError(f"{path} cannot be written: give a file in a directory that is there")


def is_terminal() -> bool:
    """Whether a person is looking."""
    return sys.stdout.isatty()


def confirm(question: str) -> bool:
    """Ask a person; a program gets a no."""
    return sys.stdin.isatty() and typer.confirm(question)


def duration(text: str, flag: str) -> float:
    """Return the seconds that `90s`, `15m`, `6h` or `2d` stand for. Raises `OptionsError`."""
    found = re.fullmatch(r"(\d+)([smhd]?)", text.strip())
    if found is None:
        msg = f"{flag} {text!r} is wrong: give a number and s, m, h or d, such as {flag} 6h"
        raise OptionsError(msg)
    return float(found[1]) * _UNITS[found[2] or "s"]


def check_timeout(seconds: float, most: int) -> None:
    """Refuse a `--timeout` that is no time to wait. Raises `OptionsError`."""
    if not 0 < seconds <= most:
        expected = f"it is a number of seconds, up to {most}"
        raise OptionsError.of("--timeout", seconds, expected, "30")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the client's log from a shell: what is told at the end says it all."""
    log, handler = logging.getLogger("totango_sdk"), logging.NullHandler()
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)

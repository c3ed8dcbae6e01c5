"""How the commands tell what they found: tables for people, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import OptionsError

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


def is_terminal() -> bool:
    """Whether a person is looking."""
    return sys.stdout.isatty()


def confirm(question: str) -> bool:
    """Ask a person; a program gets a no."""
    return sys.stdin.isatty() and typer.confirm(question)


def duration(text: str) -> float:
    """Return the seconds that `90s`, `15m`, `6h` or `2d` stand for. Raises `OptionsError`."""
    found = re.fullmatch(r"(\d+)([smhd]?)", text.strip())
    if found is None:
        msg = f"--older-than {text!r} is wrong: give a number and s, m, h or d, such as --older-than 6h"
        raise OptionsError(msg)
    return float(found[1]) * _UNITS[found[2] or "s"]

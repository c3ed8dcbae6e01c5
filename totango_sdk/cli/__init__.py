"""The command `totango`. It comes with the extra `cli`; each command is a module of its own here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 some events dead or invalid, 2 wrong
    use.
    """
    try:
        import typer  # noqa: F401
    except ModuleNotFoundError:
        print(
            "totango: the command line needs the extra cli: pip install 'totango-sdk[cli]'",
            file=sys.stderr,
        )
        return 2
    from .app import run

    return run(arguments)

"""`manage.py totango`: the command line, with the project's settings."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand

from .....cli import main
from .....options import _ENVIRONMENT
from ...config import Config


class Command(BaseCommand):
    """Runs `totango ...` with the service id, the region, the spool and the token of the project."""

    help = "Runs the command line totango with the project's settings."
    requires_system_checks = ()

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take what `totango` takes."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER, help="as for totango")

    def run_from_argv(self, argv: list[str]) -> None:
        """Leave every argument to `totango`, its options included."""
        django = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        django.add_argument("--settings")
        django.add_argument("--pythonpath")
        sys.exit(_run(django.parse_known_args(argv[2:])[1]))

    def handle(self, *_: Any, arguments: list[str], **__: Any) -> None:
        """Run it from `call_command`. Raises `SystemExit` if it fails."""
        if code := _run(arguments):
            sys.exit(code)


def _run(arguments: list[str]) -> int:
    given = Config.read().options
    for name, variable in _ENVIRONMENT.items():
        if given.get(name) is not None:
            value = given[name]
            os.environ[variable] = str(value).lower() if isinstance(value, bool) else str(value)
    return main(arguments)

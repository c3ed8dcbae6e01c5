"""The findings that are to be ignored, in a small file that can be committed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import OptionsError

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEAD = """\
# What `totango sandbox` finds, and what is all right here: one key a line.
# Written by the sandbox's page; lines may be added, removed and commented by hand.
"""
_EXAMPLE = "--ignore totango-sandbox.ignore"


class IgnoreFile:
    """A file of keys. One that is not there has none, and is made when there is one to keep."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def read(self) -> list[str]:
        """Return the keys. Raises `OptionsError` if the file cannot be read."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as wrong:
            msg = (
                f"ignore: {str(self._path)!r} cannot be read: {wrong}. "
                f"Give a text file, as in {_EXAMPLE}"
            )
            raise OptionsError(msg) from None
        stripped = (line.strip() for line in text.splitlines())
        return [line for line in stripped if line and not line.startswith("#")]

    def write(self, keys: Iterable[str]) -> None:
        """Keep these keys, and no others; comments and order of those that stay are kept."""
        wanted = dict.fromkeys(keys)
        kept = [line for line in self._lines() if _key(line) in wanted or _key(line) is None]
        there = {_key(line) for line in kept}
        added = sorted(key for key in wanted if key not in there)
        text = "".join(f"{line}\n" for line in [*kept, *added])
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        beside.write_text(text, encoding="utf-8")
        beside.replace(self._path)

    def _lines(self) -> list[str]:
        if self._path.exists():
            return self._path.read_text(encoding="utf-8").splitlines()
        return _HEAD.splitlines()


def _key(line: str) -> str | None:
    line = line.strip()
    return None if not line or line.startswith("#") else line

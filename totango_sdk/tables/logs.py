"""Web servers' logs in the Common and the Combined Log Format."""

from __future__ import annotations

import re

from .by_line import ByLine

NAMES = ("host", "ident", "user", "time", "request", "status", "size", "referer", "agent")
LINE = re.compile(
    r'(\S+) (\S+) (.+?) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+|-)'
    r'(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?(?: .*)?\r?'
)
_LINES_LOOKED_AT = 20


def is_log(text: str) -> bool:
    """Whether the first 20 lines that are not empty are all lines of a web server's log."""
    lines = [line for line in text.splitlines()[: 50 * _LINES_LOOKED_AT] if line.strip()]
    if len(lines) > 1 and not text.endswith(("\n", "\r")):
        lines.pop()  # perhaps the head ends within it
    first = lines[:_LINES_LOOKED_AT]
    return bool(first) and all(LINE.fullmatch(line) for line in first)


class Log(ByLine):
    """Reads a log; each line becomes its parts, and `None` if it is no line of a log."""

    def _row(self, line: str) -> dict[str, str | None] | None:
        if not line.strip(" \t\r\n\v\f"):
            return None
        found = LINE.fullmatch(line)
        values = found.groups() if found else (None,) * len(NAMES)
        return dict(zip(NAMES, values, strict=True), line=line)

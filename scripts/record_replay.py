"""Records `totango replay` in a real terminal: progress, Ctrl-C, resume, summary.

    python scripts/record_replay.py docs/images/replay-terminal.svg

What is in the picture is what the terminal was sent, bytes for bytes: the line of progress as it
stood when Ctrl-C was pressed, and all that stayed on the screen.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from totango_sdk.testing import sandbox_server

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from terminals import Terminal  # noqa: E402

_COMMAND = "totango replay events.csv"
_ROWS = 20_000
# What moves the cursor or clears a line; colours stay.
_MOVES = re.compile(r"\x1b\[(?:\?\d+[hl]|\d*[ABCDGK])")
_PIECES = re.compile(r"\r\n|\n|\r|\x1b\[2K|\x1b\[1A")


def main() -> int:
    """Record, and write the picture."""
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="totango-record-") as name, sandbox_server() as sandbox:
        directory = Path(name)
        write_events(directory / "events.csv")
        environment = {
            **os.environ,
            "TOTANGO_SERVICE_ID": "SP-1234-01",
            "TOTANGO_ENDPOINT": sandbox.endpoint,
        }
        stopped = session(directory, environment, stop=True)
        resumed = session(directory, environment, stop=False)
    out.write_text(picture([*stopped, *resumed]), encoding="utf-8")
    print(out)
    return 0


def picture(lines: list[str]) -> str:
    """Return the lines as an SVG that asks nobody for a font."""
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=120, file=nowhere)
        for line in lines:
            console.print(Text.from_ansi(line))
        svg = console.export_svg(title="totango replay")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def write_events(path: Path) -> None:
    """Write rows of which three are wrong."""
    with path.open("w", encoding="utf-8") as file:
        file.write("account_id,user_id,activity,module\n")
        for number in range(_ROWS):
            account = "Acme Inc." if number in (17_000, 18_000) else f"{1000 + number % 90}"
            file.write(f"{account},u{number % 4000}@example.com,Report viewed,Reports\n")


def session(directory: Path, environment: dict[str, str], *, stop: bool) -> list[str]:
    """Run it once, and return what the screen showed."""
    command = [sysconfig.get_path("scripts") + "/totango", *_COMMAND.split()[1:]]
    shown = [f"\x1b[1m$ {_COMMAND}\x1b[0m"]
    with Terminal(command, directory, environment) as terminal:
        terminal.wait_for(r"[3-9],\d{3} delivered" if stop else r"1\d,\d{3} delivered")
        shown.append(last_line(terminal.raw))
        if stop:
            terminal.press(b"\x03")
        terminal.end()
        stayed = screen(terminal.raw)
    return [*shown, *stayed, ""]


def last_line(raw: bytes) -> str:
    """Return the line of progress as it stands."""
    frames = [
        piece for piece in _PIECES.split(raw.decode("utf-8", "replace")) if "delivered" in piece
    ]
    return _MOVES.sub("", frames[-1]).rstrip()


def screen(raw: bytes) -> list[str]:
    """Return the lines that are left on the screen in the end."""
    lines, at = [""], 0
    text = raw.decode("utf-8", "replace")
    for piece in re.split(r"(\r\n|\n|\r|\x1b\[2K|\x1b\[1A)", text):
        if piece in ("\r\n", "\n"):
            at += 1
            lines += [""] if at == len(lines) else []
        elif piece == "\x1b[1A":
            at = max(0, at - 1)
        elif piece in ("\r", "\x1b[2K"):
            lines[at] = ""
        else:
            lines[at] += _MOVES.sub("", piece)
    return [line.rstrip() for line in lines if line.strip()]


if __name__ == "__main__":
    sys.exit(main())

"""A real terminal for a command: what it shows there, and keys that are pressed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 60.0
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# In a session of its own, with this terminal as the one that Ctrl-C comes from.
LAUNCH = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


class Terminal:
    """Runs a command in a pseudo-terminal of 120 columns."""

    def __init__(self, command: list[str], directory: Path, environment: dict[str, str]) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=directory,
            env={**environment, "TERM": "xterm-256color"},
        )
        os.close(slave)
        self.raw = b""

    @property
    def text(self) -> str:
        """What was shown, without colours and movements."""
        return CONTROL.sub("", self.raw.decode("utf-8", "replace")).replace("\r\n", "\n").replace("\r", "\n")

    def wait_for(self, wanted: str) -> str:
        """Wait until something was shown, and return all of it."""
        deadline = time.monotonic() + PATIENCE
        while re.search(wanted, self.text) is None:
            assert time.monotonic() < deadline, f"{wanted} was never shown: {self.text}"
            assert self._read(), f"{wanted} was never shown: {self.text}"
        return self.text

    def _read(self) -> bool:
        """Take what is there; `False` once nothing more can come."""
        if not select.select([self._master], [], [], 1.0)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the last one who could write has gone
            return False
        self.raw += data
        return bool(data)

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < deadline, f"it never ended: {self.text}"
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self._master)

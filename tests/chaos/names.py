"""A name server of this machine, mute until it is told to answer, and processes that ask no other.

Those run in a mount namespace of their own, with another /etc/resolv.conf; which needs root, on Linux.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import struct
import subprocess
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NAME = "collector.chaos.test"
_A, _IN, _SECONDS = 1, 1, 60


class NameServer:
    """Answers each question with 127.0.0.1 once it is no longer mute; runs as long as the `with` block lasts."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # Only the standard port can be named in /etc/resolv.conf, so each has an address of its own.
        self.address = f"127.53.{random.randrange(256)}.{random.randrange(1, 255)}"
        self._socket.bind((self.address, 53))
        self._is_mute = True
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> NameServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", (self.address, 53))
        self._thread.join(10)
        self._socket.close()

    def answer(self) -> None:
        """Be mute no longer."""
        self._is_mute = False

    def asked_by(self, directory: Path) -> list[str]:
        """Return what to put before a command so that it asks this name server, and no other."""
        resolv = directory / "resolv.conf"
        resolv.write_text(f"nameserver {self.address}\noptions timeout:2 attempts:2\n", encoding="ascii")
        mount = f'mount --bind {resolv} /etc/resolv.conf && exec "$@"'
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"]

    def _serve(self) -> None:
        while True:
            question, sender = self._socket.recvfrom(4096)
            if not question:
                return
            if not self._is_mute:
                self._socket.sendto(_answer(question), sender)


def _answer(question: bytes) -> bytes:
    """Say 127.0.0.1 to a question for an IPv4 address, and nothing to any other."""
    end = question.index(b"\0", 12) + 5  # behind the name come its type and class
    kind = struct.unpack_from("!H", question, end - 4)[0]
    count = int(kind == _A)
    head = question[:2] + struct.pack("!HHHHH", 0x8180, 1, count, 0, 0)
    record = struct.pack("!HHHIH4B", 0xC00C, _A, _IN, _SECONDS, 4, 127, 0, 0, 1)
    return head + question[12:end] + record * count


def possible() -> bool:
    """Whether there can be a name server of our own."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = ["unshare", "--mount", "mount", "--bind", "/etc/hosts", "/etc/resolv.conf"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0

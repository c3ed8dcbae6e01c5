"""For tests: a transport that records, a real collector on this machine, and suites for your own
parts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .recording import RecordingTransport
from .spools import check_spool
from .transports import check_transport

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ..sandbox import Sandbox

__all__ = ["RecordingTransport", "check_spool", "check_transport", "sandbox_server"]


def sandbox_server(
    *, port: int = 0, db: str | Path | None = None, extra_id_characters: str = ""
) -> AbstractContextManager[Sandbox]:
    """Run the sandbox on a free port of this machine.

    Gives an object with `url` (the page) and `endpoint` (for the client). `extra_id_characters` is
    what the client has of this name. Needs the extra `sandbox`.
    """
    from ..sandbox import running

    return running(port=port, db=db, extra_id_characters=extra_id_characters)

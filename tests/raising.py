"""A transport that raises now and then, as one of a host's own may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from totango_sdk import Answer


class RaisingTransport(RecordingTransport):
    """Raises an error in one of its methods, a few times, and then works."""

    def __init__(self, where: str, error: BaseException, times: int = 2) -> None:
        super().__init__()
        self.where, self.error, self.left = where, error, times

    def _perhaps(self, where: str) -> None:
        if where == self.where and self.left:
            self.left -= 1
            raise self.error

    def submit(self, ticket: int, body: bytes) -> None:
        self._perhaps("submit")
        super().submit(ticket, body)

    def poll(self, timeout: float) -> list[Answer]:
        self._perhaps("poll")
        return super().poll(timeout)

    def wake(self) -> None:
        self._perhaps("wake")

    def close(self) -> None:
        self._perhaps("close")

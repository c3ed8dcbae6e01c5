"""The relay: it hands over the rows of the outbox to a spool, in order, while it leads.

One relay leads for a service id, and others stand by. Each batch begins with a statement that tells
whether it leads and holds the row of the leader until its end, so two batches never overlap; there
is no clock to agree on. A leader that is silent for 15 seconds is taken over from.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import attrs

from ..core import Core
from ..errors import OptionsError
from ..log import tell_once
from ..show import shown
from .outbox import VERSION, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ..options import Options

SILENT_SECONDS = 15.0
_BEAT_SECONDS = 5.0  # a leader is heard of at least so often
_FLUSH_SECONDS = 10.0
_CLOSE_SECONDS = 2.0

LEAD = (
    "UPDATE totango_outbox_relay SET holder=:me, beat=beat+1 WHERE service_id=:service_id AND "
    "(holder='' OR holder=:me OR (holder=:seen AND beat=:seen_beat))"
)
ROWS = (
    f"SELECT id, event FROM totango_outbox WHERE service_id=:service_id AND v<={VERSION} "
    "ORDER BY id LIMIT {limit}"
)
DELETE = "DELETE FROM totango_outbox WHERE id IN ({ids})"
NEWER = f"SELECT MIN(id) FROM totango_outbox WHERE service_id=:service_id AND v>{VERSION}"
STATE = "SELECT holder, beat FROM totango_outbox_relay WHERE service_id=:service_id"
BEGIN = "INSERT INTO totango_outbox_relay (service_id, holder, beat) VALUES (:service_id, '', 0)"
LEAVE = "UPDATE totango_outbox_relay SET holder='' WHERE service_id=:service_id AND holder=:me"
WAITING = (
    "SELECT COUNT(*), MIN(id), MIN(created_at) FROM totango_outbox WHERE service_id=:service_id"
)

# Runs a statement; gives its rows, or how many it has changed.
Run = Any


class Table(Protocol):
    """The database of a host: what runs statements in a transaction."""

    def transaction(self) -> AbstractContextManager[Callable[..., Any]]:
        """Begin a transaction; gives `run(sql, **values)`, which returns rows, or how many changed."""

    def recover(self) -> None:
        """Let go of a connection that failed."""


class Status(NamedTuple):
    """What waits in the outbox."""

    waiting: int
    oldest_id: int | None
    oldest_at: Any
    leader: str | None
    beat: int


class Relay:
    """Hands over what is in the outbox of one service id. Raises `OptionsError` for what cannot be."""

    def __init__(self, core: Core, table: Table, *, batch: int = 500, poll: float = 1.0) -> None:
        if type(batch) is not int or not 1 <= batch <= 10_000:
            raise OptionsError.of("batch", batch, "it is a whole number from 1 to 10000", "500")
        if not isinstance(poll, int | float) or not 0.01 <= poll <= 3600:
            raise OptionsError.of("poll", poll, "it is a number from 0.01 to 3600", "1.0")
        self.core = core
        self._table = table
        self._size = batch
        self._poll = poll
        self._me = secrets.token_hex(16)
        self._seen = ("", -1)  # what a leader's row said, and since when
        self._seen_at = 0.0
        self._ended = threading.Event()

    # -- one batch

    def batch(self) -> int | None:
        """Hand over one batch and return how many rows it had; `None` if another relay leads.

        In one transaction: rows go once the spool has them on the disk. A crash between the two
        sends those of this batch twice.
        """
        seen, beat = self._silent_leader()
        with self._table.transaction() as run:
            if run(LEAD, me=self._me, seen=seen, seen_beat=beat, **self._service) != 1:
                return None
            rows = [
                (id_, text) for id_, text in run(ROWS.format(limit=self._size), **self._service)
            ]
            if rows:
                self.core.keep_all(*read_rows(rows))
                run(DELETE.format(ids=",".join(str(int(id_)) for id_, _ in rows)))
            if len(rows) < self._size:
                self._tell_newer(run)
        self._seen = ("", -1)
        return len(rows)

    @property
    def _service(self) -> dict[str, str]:
        return {"service_id": self.core.options.service_id}

    def _silent_leader(self) -> tuple[str, int]:
        """Return what another leader's row has said for 15 seconds; else what no row says."""
        state = self._state()
        if state[0] in ("", self._me):
            return ("", -1)
        now = time.monotonic()
        if state != self._seen:
            self._seen, self._seen_at = state, now
        return state if now - self._seen_at >= SILENT_SECONDS else ("", -1)

    def _state(self) -> tuple[str, int]:
        with self._table.transaction() as run:
            found = list(run(STATE, **self._service))
        if found:
            return (found[0][0], int(found[0][1]))
        try:
            with self._table.transaction() as run:
                run(BEGIN, **self._service)
        except Exception:  # another relay was first, or the next statement says what is wrong
            self._table.recover()
        return ("", 0)

    def _tell_newer(self, run: Callable[..., Any]) -> None:
        ((oldest,),) = run(NEWER, **self._service)
        if oldest is not None:
            tell_once(
                "outbox newer",
                f"row {oldest} of totango_outbox is of a newer totango-sdk than this relay, and stays: "
                "run the relay with that version",
            )

    # -- many

    def run(self, *, once: bool = False) -> int:
        """Hand over batch by batch, until `stop`; with `once` until the outbox is empty.

        Returns how many events that were, and raises what keeps it from working `once`. Where
        another relay leads, `once` leaves it to that; a leader that died is waited for.
        """
        total = 0
        try:
            while not self._ended.is_set():
                count = self._tried(once=once)
                total += count or 0
                if once and (self._is_anothers() if count is None else count < self._size):
                    break
                if count != self._size:
                    self._ended.wait(min(self._poll, _BEAT_SECONDS))
        finally:
            self._leave()
            self._finish(once=once)
        return total

    def _tried(self, *, once: bool) -> int | None:
        try:
            return self.batch()
        except Exception as error:
            self._table.recover()
            if once:
                raise
            tell_once(
                f"relay {type(error).__name__}",
                f"the outbox could not be handed over, and is tried again: {shown(error)}",
                level="error",
            )
            return None

    def _is_anothers(self) -> bool:
        """Whether the leader has been heard of since it was first seen."""
        if self._seen[0] == "":
            return False
        self._ended.wait(min(self._poll, _BEAT_SECONDS))
        return self._state() != self._seen

    def stop(self) -> None:
        """End after the batch that is under way. May be called by a signal handler."""
        self._ended.set()

    def _leave(self) -> None:
        try:
            with self._table.transaction() as run:
                run(LEAVE, me=self._me, **self._service)
        except Exception:  # then others wait for 15 seconds
            self._table.recover()

    def _finish(self, *, once: bool) -> None:
        if once:
            self.core.flush(_FLUSH_SECONDS)
        self.core.worker.close(_CLOSE_SECONDS)

    def status(self) -> Status:
        """Count what waits, and say who leads."""
        holder, beat = self._state()
        with self._table.transaction() as run:
            ((waiting, oldest_id, oldest_at),) = run(WAITING, **self._service)
        return Status(waiting, oldest_id, oldest_at, holder or None, beat)


def core_for(options: Options) -> Core:
    """Return what a relay hands over to: with these options, but it survives a power cut.

    Raises `OptionsError` where the spool is no directory, or nothing would be sent.
    """
    spool = options.spool
    if spool is not None and (spool == "memory" or not isinstance(spool, str | os.PathLike)):
        expected = "for a relay it is a directory that outlives the process and its container"
        raise OptionsError.of("spool", spool, expected, "'/var/lib/myapp/totango'")
    if options.disabled:
        raise OptionsError.of("disabled", True, "a relay that sends nothing runs nowhere", "False")
    return Core(attrs.evolve(options, durability="power"))

"""The relay: it hands over the rows of the outbox to a spool, in order, while it leads.

One relay leads for a service id, and others stand by. Each batch begins with a statement that tells
whether it leads and holds the row of the leader until its end, so two batches never overlap; there
is no clock to agree on. A leader that is silent for 15 seconds is taken over from.

What a leader has handed over is not in the table any more. If it was stopped, and not killed, its
events wait in its own spool, and newer ones of the same account must not overtake them: a relay
that follows it on the same directory lets it go first, for a while.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import attrs

from ..core import Core
from ..errors import OptionsError, SpoolError
from ..log import tell_once
from ..show import shown
from ..spool.paths import default_directory
from ..spool.turn import Turn
from .outbox import VERSION, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from ..options import Options

SILENT_SECONDS = 15.0
_BEAT_SECONDS = 5.0  # a leader is heard of at least so often
_FIRST_SECONDS = 30.0  # how long one that leads no more may go first
_TELL_SECONDS = 1.0
_LOOK_SECONDS = 5.0
_MOST_FLUSH_SECONDS = 1.0  # a relay that is to end does not wait for longer
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

    name: str  # tells it from other databases

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
        options = core.options
        self.core = core
        self._table = table
        self._size = batch
        self._poll = poll
        self._me = secrets.token_hex(16)
        self._seen = ("", -1)  # what a leader's row said, and since when
        self._seen_at = 0.0
        stream = f"{options.service_id} {options.endpoint} {table.name}"
        self._turn = Turn(
            os.path.abspath(os.fsdecode(options.spool or default_directory())), stream
        )
        self._follows = True  # another, whose events may still be on the disk
        self._waits_since: float | None = None  # for the turn of another to end
        self._ended = threading.Event()

    # -- one batch

    def batch(self) -> int | None:
        """Hand over one batch and return how many rows it had; `None` if another relay leads, or
        has still to deliver what it took.

        In one transaction: rows go once the spool has them on the disk. A crash between the two
        sends those of this batch twice.
        """
        others = self._others_claim()
        if others is None or not self._has_turn():
            return None
        seen, beat = others
        with self._table.transaction() as run:
            if run(LEAD, me=self._me, seen=seen, seen_beat=beat, **self._service) != 1:
                self._follows = True
                self._end_turn()
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
        if not rows:
            self._end_turn()
        return len(rows)

    def _has_turn(self) -> bool:
        """See to it that what other relays took before, on this directory, goes first."""
        self._end_turn()
        self._check_spool()
        if self._turn.is_ours:
            return True
        if self._turn.take():
            self._waits_since = None
        elif not self._has_waited():
            return False
        if self._follows:
            self.core.worker.take_over(_LOOK_SECONDS)  # of one that was killed
            self._follows = False
        return True

    def _check_spool(self) -> None:
        """Leave the rows where they are safe for as long as the spool would keep them in memory.

        Raises `SpoolError`.
        """
        worker = self.core.worker
        worker.start()
        if not worker.spool.durable:
            worker.take_over(_LOOK_SECONDS)  # it is tried again
        if not worker.spool.durable:
            why = getattr(worker.spool, "why", "it keeps nothing on a disk")
            msg = f"rows stay in totango_outbox, since the relay's spool cannot be used: {why}"
            raise SpoolError(msg)

    def _end_turn(self) -> None:
        """Let go of the turn once all is delivered."""
        if self._turn.is_ours and not self.core.worker.spool.pending_before(None):
            self._turn.let_go()

    def _has_waited(self) -> bool:
        """Whether another has had its time to deliver what it took, and has not."""
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
        waited = now - self._waits_since
        if waited >= _TELL_SECONDS:
            tell_once(
                "relay waits",
                "another relay that leads no more has still events in the spool that this one "
                f"shares with it; it goes first, for {_FIRST_SECONDS:.0f} seconds. If it hangs, end it",
            )
        return waited >= _FIRST_SECONDS

    @property
    def _service(self) -> dict[str, str]:
        return {"service_id": self.core.options.service_id}

    def _others_claim(self) -> tuple[str, int] | None:
        """Return what the row of another leader has said for 15 seconds, or what no row says where
        nobody else leads; `None` while another does.
        """
        state = self._state()
        if state[0] in ("", self._me):
            return ("", -1)
        now = time.monotonic()
        if state != self._seen:
            self._seen, self._seen_at = state, now
        if now - self._seen_at >= SILENT_SECONDS:
            return state
        self._follows = True
        return None

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
                    self._rest()
        finally:
            self._leave()
            self._finish(once=once)
        return total

    def _rest(self) -> None:
        """Wait for the next batch; while there are none, the turn is for others to take."""
        until = time.monotonic() + min(self._poll, _BEAT_SECONDS)
        if self._turn.is_ours:
            self.core.flush(min(self._poll, _MOST_FLUSH_SECONDS))
            self._end_turn()
        self._ended.wait(max(0.0, until - time.monotonic()))

    def _tried(self, *, once: bool) -> int | None:
        try:
            return self.batch()
        except Exception as error:
            self._follows = True
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
        self._turn.let_go()

    def status(self) -> Status:
        """Count what waits, and say who leads."""
        holder, beat = self._state()
        with self._table.transaction() as run:
            ((waiting, oldest_id, oldest_at),) = run(WAITING, **self._service)
        return Status(waiting, oldest_id, oldest_at, holder or None, beat)


def database_name(name: object, host: object, port: object) -> str:
    """Return what tells a database from others, the same from each integration."""
    return " ".join(str(each) for each in (name, host, port) if each)


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

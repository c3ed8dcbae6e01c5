"""What `put` leaves for the sender's thread: adopting, tidying, and making files anew."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..errors import SpoolError
from ..log import tell_once
from . import anew
from .files import Files
from .log import given_up
from .paths import make_directory
from .records import EVENT
from .segment import LEAST_SEGMENT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from .log import Log
    from .opening import Opening
    from .outlet import Outlet
    from .room import Room
    from .segment import Segment
    from .state import State

_MOST_ADOPTED = 16


class Upkeep:
    """Keeps the files in order. `forget` forgets all that stands for files, here and elsewhere."""

    def __init__(
        self,
        state: State,
        opening: Opening,
        room: Room,
        outlet: Outlet,
        *,
        forget: Callable[[], None],
    ) -> None:
        self._state = state
        self._room = room
        self._opening = opening
        self._outlet = outlet
        self._forget_all = forget
        self.forget()

    def forget(self) -> None:
        """Forget all that stands for files."""
        self.more_dead = False  # whether there was no room to adopt all that the dead have left

    @property
    def is_needed(self) -> bool:
        """Whether there is no segment to go on in, one is empty, or more can be adopted."""
        if self._state.active is None:
            return False
        return self._outlet.has_emptied or self._room.is_short or self._can_adopt_more

    @property
    def _can_adopt_more(self) -> bool:
        return self.more_dead and any(not log.alive for log in self._state.adopted)

    def maintain(self, *, adopt: bool) -> None:
        """Do what `put` leaves for the sender's thread; see `Spool.maintain`."""
        state = self._state
        with state.house:
            if state.active is None:
                return
            if adopt or not state.active.file.is_whole:
                self._guarded(self.look_after_files)
            self._guarded(self._tidy)
            self._guarded(self._make_ready)
            self._guarded(self._let_go_of_drained)
            if adopt or (self.more_dead and len(state.adopted) < _MOST_ADOPTED):
                self._guarded(self._adopt)
                self._guarded(self._let_go_of_drained)

    def _guarded(self, care: Callable[[], None]) -> None:
        try:
            care()
        except SpoolError as error:
            tell_once(f"care {type(error).__name__}", f"the spool goes on after: {error}")

    def _make_ready(self) -> None:
        if self._room.is_short:
            with self._state.disk:
                self._room.make(0, 0)

    def _tidy(self) -> None:
        state = self._state
        with state.disk:
            for log in state.logs():
                self._room.clear(log)
            self._outlet.has_emptied = False
            for log in state.logs():
                self._spare(log)

    def _spare(self, log: Log) -> None:
        """Take no more space than what is alive needs."""
        state = self._state
        sealed = [each for each in log.segments if each is not state.active]
        for segment in [each for each in sealed if each.is_sparse]:
            if segment in state.unsynced:
                continue
            if segment.alive and not self._room.is_full:
                self._outlet.move(log.write_anew(segment, self._outlet.places))
            elif log is state.own and not segment.alive:
                self._move_letters(segment)
                if segment.is_empty:
                    log.drop(segment)

    def _move_letters(self, segment: Segment) -> None:
        """Write dead letters behind all else. What finds no room stays."""
        for at, record in segment.letter_records():
            letter = given_up(record) if record.kind == EVENT else record
            if not self._outlet.keep_letter(letter):
                return
            segment.strike_letter(at)

    # -- what dead processes left

    def _adopt(self) -> None:
        state = self._state
        owner = state.owner
        assert owner is not None
        self.more_dead = False
        held = {log.files.stem for log in state.logs()}
        for files in Files.found(state.directory, owner):
            if files.stem in held:
                continue
            if len(state.adopted) >= _MOST_ADOPTED:
                self.more_dead = True
                return
            log = self._opening.recover(files, owner)
            if log is not None:
                self._add(log)

    def _add(self, log: Log) -> None:
        state = self._state
        # Two processes that began with the same number by chance cannot be told apart here.
        taken = {state.next_id >> 32, *(each.base for each in state.logs())}
        if log.is_empty or (log.alive and log.base in taken):
            log.close()
            return
        with state.disk, state.memory:
            if log.alive:
                self._outlet.put_ours_behind()
            state.accepted += log.alive
            state.adopted.append(log)

    def _let_go_of_drained(self) -> None:
        state = self._state
        with state.disk:
            for log in [each for each in state.adopted if not each.alive]:
                for segment in log.segments:
                    self._move_letters(segment)
                if log.letters:  # there is no room for them
                    continue
                state.adopted.remove(log)
                log.close()

    # -- when somebody removed, replaced or cut short our files (with `house` held)

    def look_after_files(self) -> None:
        """Make our files anew if they are not as we left them. Raises `SpoolError`."""
        state = self._state
        with state.disk, state.memory:
            own, active = state.own, state.active
            if own is None or active is None:
                return
            held = [segment for segment in own.segments if segment.file.is_held]
            trouble = own.files.trouble(held)
            if trouble is None:
                return
            tell_once(
                f"anew {trouble}", f"{trouble}: the spool's files are made anew", level="error"
            )
            if own.files.is_lock_open and all(segment.file.is_open for segment in held):
                self._make_anew(own)
            else:
                self._begin_again()

    def _begin_again(self) -> None:
        """Take over our own files, as those of a dead process: our lock went with its descriptor."""
        state = self._state
        assert state.owner is not None
        was_out = self._outlet.lanes.out_ids
        self._opening.disown()
        self._forget_all()
        self._outlet.was_out.update(was_out)
        self._opening.open(state.owner)

    def _make_anew(self, own: Log) -> None:
        state = self._state
        make_directory(state.directory)
        log = self._opening.new_log()
        try:
            places = anew.copy_all(own, log, self._outlet.places)
            active = log.new_segment(state.next_id - 1, state.segment_bytes, LEAST_SEGMENT_BYTES)
        except BaseException:
            for segment in log.segments:
                segment.file.remove()
            log.close()
            raise
        unread = own.unread - log.unread
        log.segments.append(active)
        log.last_id = own.last_id
        places |= anew.rewrite(self._outlet.known_besides(places), active)
        active.pulled, active.cursor = active.events, active.tail  # they are in their lanes
        fresh = anew.rewrite([row for row in state.fresh if row[0] not in places], active)
        anew.leave(own, state.ready)
        self._outlet.move(places)
        state.own, state.active, state.ready, state.unsynced = log, active, None, deque()
        state.fresh.clear()
        state.fresh_end = 0  # until all was read
        if unread > len(fresh):
            self._outlet.tell_lost(own.files.stem, unread - len(fresh))

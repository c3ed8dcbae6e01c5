"""How the spool on disk takes its files, and how it lets go of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import SpoolError, SpoolLocked
from ..log import tell_once
from .files import Files, base_after, new_base
from .log import Log
from .paths import make_directory
from .segment import LEAST_SEGMENT_BYTES

if TYPE_CHECKING:
    from .segment import Segment
    from .state import State
    from .values import Owner


class Opening:
    """Takes over what a dead process has left, or makes new files. Used with `house` held."""

    def __init__(self, state: State) -> None:
        self._state = state

    def open(self, owner: Owner) -> None:
        """Take over the files of a dead process, or make new ones. Raises `SpoolError`."""
        state = self._state
        if state.active is not None:
            return
        make_directory(state.directory)
        state.owner = owner
        own = self._take_over(owner) or self.new_log()
        base = base_after(own.last_id) if own.last_id else new_base()
        try:
            active = own.new_segment(base, state.segment_bytes, LEAST_SEGMENT_BYTES)
        except BaseException:
            own.close()
            raise
        with state.memory:
            state.next_id = base + 1
            state.accepted = state.delivered + state.dead + own.alive
            own.segments.append(active)
            state.own, state.active = own, active

    def new_log(self) -> Log:
        """Make files of our own. Raises `SpoolError`."""
        state = self._state
        assert state.owner is not None
        files = Files.create(state.directory, state.owner)
        return Log(files, state.owner, state.durability)

    def _take_over(self, owner: Owner) -> Log | None:
        """Take what a dead process left for our own, if there is any that is soon read."""
        if self._state.soon_read_bytes < 0:  # not even a look, since there may be many
            return None
        # The youngest, since what else is taken over later goes before ours.
        for files in reversed(Files.found(self._state.directory, owner)):
            if files.written > self._state.soon_read_bytes:
                continue
            taken = self.recover(files, owner)
            if taken is not None:
                return taken
        return None

    def recover(self, files: Files, owner: Owner) -> Log | None:
        """Lock what a dead process left, and read it."""
        try:
            files.lock()
        except SpoolLocked:
            return None
        log = Log(files, owner, self._state.durability)
        try:
            if files.is_ours(owner):
                log.recover()
                return log
        except (SpoolError, OSError, MemoryError) as error:
            tell_once(f"adopt {files.stem}", f"what another process left is not delivered: {error}")
        log.let_go()
        files.close(remove=False)
        return None

    def close(self, active: Segment) -> None:
        """Let go of all files, with all locks held; those with nothing in them go."""
        state = self._state
        if state.durability == "power":
            for segment in (*state.unsynced, active):
                segment.file.sync()
        if state.ready is not None:
            state.ready.file.remove()
        for log in state.logs():
            log.close(state.next_id - 1 if log is state.own else 0)

    def disown(self) -> None:
        """Let go without touching what others have: a parent, or who has our descriptors' numbers."""
        state = self._state
        if state.ready is not None:
            state.ready.file.close()
        for log in state.logs():
            log.disown()

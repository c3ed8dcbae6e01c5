"""How the spool on disk takes its files, and how it lets go of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import SpoolError, SpoolFull, SpoolLocked
from ..log import tell_once
from .files import Files, base_after, leak, new_base
from .journal import LEAST_SEGMENT_BYTES
from .paths import make_directory
from .store import Store

if TYPE_CHECKING:
    from .journal import Journal
    from .state import State
    from .values import Owner


class Opening:
    """Takes over what a dead process has left, or makes new files. Used with `house` held."""

    def __init__(self, state: State) -> None:
        self._state = state

    def open(self, owner: Owner) -> None:
        """Take over the files of a dead process, or make new ones. Raises `SpoolError`."""
        state = self._state
        if state.journal is not None:
            return
        make_directory(state.directory)
        state.owner = owner
        own, last_id = self._take_over(owner) or (self.new_store(), 0)
        base = base_after(last_id) if last_id else new_base()
        try:
            own.note(base)
            journal = self.new_journal(own.files)
        except BaseException:
            own.close()
            raise
        own.base, own.was_mended = last_id >> 32, False
        own.on_drop = lambda: journal.note_spilled(0)
        with state.memory:
            state.next_id = base + 1
            state.accepted = state.delivered + state.dead + own.waiting
            state.own, state.journal = own, journal

    def new_store(self) -> Store:
        """Make files of our own. Raises `SpoolError`."""
        state = self._state
        assert state.owner is not None
        return self._store(Files.create(state.directory, state.owner))

    def new_journal(self, files: Files) -> Journal:
        """Make the journal of these, a smaller one where there is little room. Raises `SpoolError`."""
        state = self._state
        assert state.owner is not None
        try:
            return files.new_journal(state.owner, state.segment_bytes, state.durability)
        except SpoolFull:
            if state.segment_bytes <= LEAST_SEGMENT_BYTES:
                raise
            return files.new_journal(state.owner, LEAST_SEGMENT_BYTES, state.durability)

    def _store(self, files: Files, kind: type[Store] = Store) -> Store:
        state = self._state
        assert state.owner is not None
        return kind(
            files=files,
            owner=state.owner,
            durability=state.durability,
            quota_bytes=state.quota_bytes,
        )

    def _take_over(self, owner: Owner) -> tuple[Store, int] | None:
        """Take what a dead process left for our own, if there is any that is soon read."""
        if self._state.soon_read_bytes < 0:  # not even a look, since there may be many
            return None
        for files in Files.found(self._state.directory, owner):
            if files.size > self._state.soon_read_bytes:
                continue
            taken = self.recover(files, owner)
            if taken is not None:
                return taken
        return None

    def recover(
        self, files: Files, owner: Owner, kind: type[Store] = Store
    ) -> tuple[Store, int] | None:
        """Lock what a dead process left, and bring it in order; returns the last id in it."""
        try:
            files.lock()
        except SpoolLocked:
            return None
        store = self._store(files, kind)
        try:
            if files.is_ours(owner):
                return store, store.recover()
        except (SpoolError, OSError, MemoryError) as error:
            if store.database is not None:
                store.database.close(remove=False)
            tell_once(f"adopt {files.stem}", f"what another process left is not delivered: {error}")
        files.close(remove=False)
        return None

    def close(self, journal: Journal, own: Store) -> None:
        """Let go of all files, with all locks held; those with nothing in them go."""
        for store in (own, *self._state.adopted):
            try:
                store.strike()
            except SpoolError as error:
                tell_once("close", f"what was delivered may be sent again: {error}")
        own.close_database()
        if self._state.durability == "power":
            journal.sync()
        is_empty = journal.is_empty
        journal.close()
        if is_empty:
            own.files.remove_journal()
        for store in (own, *self._state.adopted):
            store.close()

    def disown(self) -> None:
        """Let go without closing what others have: a parent, or who has our descriptors' numbers."""
        # SQLite forbids that a child as much as closes what it inherited.
        connections = [store.disown() for store in self._state.stores()]
        leak([connection for connection in connections if connection is not None])
        if self._state.journal is not None:
            self._state.journal.close()

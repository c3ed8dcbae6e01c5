"""What `put` leaves for the sender's thread: adopting, tidying, and making files anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import SpoolError
from ..log import tell_once
from .anew import leave, remembered, rescue
from .files import Files
from .paths import make_directory
from .remnant import Remnant

if TYPE_CHECKING:
    from collections.abc import Callable

    from .journal import Journal
    from .opening import Opening
    from .outlet import Outlet
    from .spill import Spill
    from .state import State
    from .store import Store

_MOST_ADOPTED = 16


class Upkeep:
    """Keeps the files in order. `forget` forgets all that stands for files, here and elsewhere."""

    def __init__(
        self,
        state: State,
        opening: Opening,
        outlet: Outlet,
        spill: Spill,
        *,
        forget: Callable[[], None],
    ) -> None:
        self._state = state
        self._opening = opening
        self._outlet = outlet
        self._spill = spill
        self._forget_all = forget
        self.forget()

    def forget(self) -> None:
        """Forget all that stands for files."""
        self.more_dead = False  # whether there was no room to adopt all that the dead have left

    @property
    def is_needed(self) -> bool:
        """Whether a segment waits to be emptied, more can be adopted, or there is time to strike
        off.
        """
        journal = self._state.journal
        if journal is None:
            return False
        if journal.sealed is not None or self._can_adopt_more:
            return True
        return not self._outlet.lanes.out and any(store.struck for store in self._state.stores())

    @property
    def _can_adopt_more(self) -> bool:
        return self.more_dead and any(
            not store.behind and store.waiting <= len(store.struck) for store in self._state.adopted
        )

    def maintain(self, *, adopt: bool) -> None:
        """Do what `put` leaves for the sender's thread; see `Spool.maintain`."""
        state = self._state
        with state.house:
            if state.journal is None:
                return
            if adopt or not state.journal.is_whole:
                self._guarded(self.look_after_files)
            self._guarded(self._spill_in_time)
            self._guarded(self._tidy)
            self._guarded(self._let_go_of_drained)
            if adopt or (self.more_dead and len(state.adopted) < _MOST_ADOPTED):
                self._guarded(self._adopt)
                self._guarded(self._let_go_of_drained)

    def _guarded(self, care: Callable[[], None]) -> None:
        try:
            care()
        except SpoolError as error:
            tell_once(f"care {type(error).__name__}", f"the spool goes on after: {error}")

    def _spill_in_time(self) -> None:
        with self._state.disk:
            for store in self._state.stores():
                store.strike()
            self._spill.empty()

    def _tidy(self) -> None:
        with self._state.disk:
            for store in self._state.stores():
                store.tidy()
            self._count_lost()

    def _count_lost(self) -> None:
        """Count those as dead that are nowhere any more after a database was mended."""
        state = self._state
        mended = [store for store in state.stores() if store.was_mended]
        if not mended:
            return
        behind = {each for store in state.stores() for each in store.ids_behind()}
        with state.memory:
            lanes = self._outlet.lanes
            struck = {each for store in state.stores() for each in store.struck}
            here = len(state.fresh) + lanes.waiting_ids + lanes.out
            here += len([each for each in behind - struck if not lanes.is_out(each)])
            lost = state.accepted - state.delivered - state.dead - here
            state.dead += lost
        for store in mended:
            store.was_mended = False
        if lost:
            tell_once(
                "lost", f"{lost} events could not be read from a damaged spool file", level="error"
            )

    def _adopt(self) -> None:
        state = self._state
        owner = state.owner
        assert owner is not None
        self.more_dead = False
        known = {store.files.stem for store in state.stores()}
        for files in Files.found(state.directory, owner):
            if files.stem in known:
                continue
            if len(state.adopted) >= _MOST_ADOPTED:
                self.more_dead = True
                return
            recovered = self._opening.recover(files, owner, Remnant)
            if recovered is not None:
                self._add(*recovered)

    def _add(self, store: Store, last_id: int) -> None:
        state = self._state
        # Two processes that began with the same number by chance cannot be told apart here.
        taken = {state.next_id >> 32, *(each.base for each in state.stores())}
        store.base = last_id >> 32
        if store.is_empty or (store.waiting and store.base in taken):
            store.close()
            return
        with state.disk, state.memory:
            store.was_mended = False
            if store.waiting:
                self._outlet.put_ours_behind()
            state.accepted += store.waiting
            state.adopted.append(store)

    def _let_go_of_drained(self) -> None:
        state = self._state
        with state.disk:
            for store in [each for each in state.adopted if each.is_drained]:
                store.strike()
                if store.dead and state.own is not None:
                    store.move_letters(state.own)
                state.adopted.remove(store)
                store.drop()
                store.close()

    # -- when somebody removed, replaced or cut short our files (with `house` held)

    def look_after_files(self) -> None:
        """Make our files anew if they are not as we left them. Raises `SpoolError`."""
        state = self._state
        with state.disk, state.memory:
            journal, own = state.journal, state.own
            if journal is None or own is None:
                return
            trouble = own.files.trouble(journal)
            if trouble is None and not own.is_in_place:
                trouble = f"{own.files.path('db')!r} was removed or replaced"
            if trouble is None:
                return
            tell_once(
                f"anew {trouble}", f"{trouble}: the spool's files are made anew", level="error"
            )
            if own.files.are_open(journal):
                self._make_anew(journal, own)
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

    def _make_anew(self, journal: Journal, own: Store) -> None:
        state = self._state
        make_directory(state.directory)
        store = self._opening.new_store()
        try:
            fresh = self._opening.new_journal(store.files)
        except BaseException:
            store.close()
            raise
        store.base, store.cursor, store.behind = own.base, own.cursor, own.behind
        store.on_drop = lambda: fresh.note_spilled(0)
        ids = journal.live_ids()
        try:
            own.copy_to(store)
            store.note(state.next_id)
            bodies = {**state.kept, **self._outlet.away}
            rescue(journal, store, remembered(self._outlet.lanes, state.fresh, bodies))
        except BaseException:
            store.drop()
            fresh.close()
            store.files.remove_journal()
            store.close()
            raise
        if ids:
            self._spill.unpulled(store, ids[-1])
            fresh.note_spilled(ids[-1])
        state.kept.clear()
        state.own, state.journal = store, fresh
        leave(journal, own)

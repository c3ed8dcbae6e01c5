"""What lies in a spool's directory, whoever left it. For the command line, not for the sender."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from ..errors import SpoolError, SpoolLocked
from .disk import QUOTA_BYTES
from .files import Files
from .letters import DeadLetter
from .paths import NO_SPOOLS, check_directory
from .records import PAGE_BYTES, Record, read_header, recover
from .store import Store
from .values import Owner, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Records = tuple[tuple[str, ...], tuple[str, ...]]


class Left(NamedTuple):
    """One set of files."""

    stem: str
    owner: Owner | None
    is_alive: bool
    has_database: bool
    waiting: int  # of a living process, only what its journal shows
    oldest_at: float | None
    bytes: int
    letters: list[DeadLetter] | None  # None if they cannot be read
    trouble: str | None = None
    put_off: tuple[Record, ...] = ()  # of a living process, those that are to be tried again

    @property
    def dead(self) -> int:
        """How many dead letters can be read."""
        return len(self.letters or ())


def survey(directory: str) -> list[Left]:
    """Return every set of files that lies in `directory`. Raises `SpoolError` if it is not safe to
    look.
    """
    check_directory(directory)
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    stems = sorted(
        {
            name.split(".")[0]
            for name in names
            if name.endswith((".lock", ".journal", ".db")) and not name.startswith(NO_SPOOLS)
        }
    )
    return [_look(directory, stem) for stem in stems]


def _look(directory: str, stem: str) -> Left:
    files = Files(directory, stem)
    size = sum(_bytes(files.path(suffix)) for suffix in ("journal", "db", "db-wal"))
    has_database = os.path.exists(files.path("db"))
    owner = _owner(files)
    try:
        with _held(files, owner) as store:
            oldest = store.oldest()
            return Left(
                stem,
                owner,
                False,
                has_database,
                store.waiting,
                oldest and oldest[1],
                size,
                store.letters(),
            )
    except SpoolLocked:
        return _living(files, owner, has_database, size)
    except (SpoolError, OSError) as error:
        return Left(stem, owner, False, has_database, 0, None, size, None, str(error))


def _bytes(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _living(files: Files, owner: Owner | None, has_database: bool, size: int) -> Left:
    """Look at the journal of a process that runs; its database is open to nobody else."""
    with contextlib.suppress(OSError), files.open_journal() as file:
        records = recover(file.read()).records
        waiting = [record.accepted_at for record in records if not record.is_letter]
        letters = [
            DeadLetter.refused(f"{each.id:x}", each.body, each.accepted_at)
            for each in records
            if each.is_letter
        ]
        return Left(
            files.stem,
            owner,
            True,
            has_database,
            len(waiting),
            min(waiting, default=None),
            size,
            letters,
            put_off=tuple(record for record in records if record.reason),
        )
    return Left(files.stem, owner, True, has_database, 0, None, size, [])


def _owner(files: Files) -> Owner | None:
    """Return whose events these are, as the journal or the database says."""
    with contextlib.suppress(OSError), files.open_journal() as file:
        header = read_header(file.read(PAGE_BYTES))
        if header is not None and header.text.count(b"\n") == 1:
            return Owner(*header.text.decode().split("\n"))
    if os.path.isfile(files.path("db")):
        from .sqlite import owner_of

        return owner_of(files.path("db"))
    return None


@contextlib.contextmanager
def held(directory: str, left: Left) -> Iterator[Store]:
    """Hold a set of files of a process that is gone, to change what is in it. Raises `SpoolError`."""
    with _held(Files(directory, left.stem), left.owner) as store:
        yield store


@contextlib.contextmanager
def _held(files: Files, owner: Owner | None) -> Iterator[Store]:
    files.lock()
    if owner is None or not files.is_ours(owner):
        files.close(remove=False)
        msg = f"{files.path('db')} does not say whose it is, or was written by a newer version: it is left alone"
        raise SpoolError(msg)
    store = Store(files=files, owner=owner, durability="process", quota_bytes=QUOTA_BYTES)
    try:
        store.recover()
        yield store
    finally:
        store.close()


def requeue(store: Store, letters: list[DeadLetter], records: Callable[[bytes], Records]) -> int:
    """Make dead letters events again; returns how many. What was never sent has no body, and stays.

    `records` says what an event with a body concerns and updates.
    """
    requeued = [
        Record(
            int(letter.id, 16),
            written(*records(letter.body)),
            letter.body,
            is_letter=False,
            accepted_at=letter.accepted_at,
        )
        for letter in letters
        if letter.body is not None
    ]
    return store.requeue(requeued)


def purge(store: Store, letters: list[DeadLetter]) -> int:
    """Delete dead letters for good; returns how many."""
    return store.purge([int(letter.id, 16) for letter in letters])

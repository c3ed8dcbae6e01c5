"""The set of files that one process writes: `SCOPE-NUMBER.lock`, `.journal` and `.db`.

The scope stands for a service and an endpoint, so that nobody opens what is not theirs; the
journal's header and the database name both in full.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING
from zlib import crc32

import attrs

from ..errors import SpoolCorrupt, SpoolError, SpoolLocked
from ..log import tell_once
from .base import Owner
from .journal import SCHEMA, Journal, Record, recover
from .paths import LockFile, create_file, remove_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .sqlite import Database


def _scope(owner: Owner) -> str:
    return f"{crc32('|'.join(owner).encode()):08x}"


@attrs.define
class Files:
    """One set of files, and the lock that says whose it is."""

    directory: str
    stem: str
    _lock: LockFile | None = None

    @classmethod
    def create(cls, directory: str, owner: Owner) -> Files:
        """Make a new set, locked. Raises `SpoolError`."""
        try:
            while True:
                files = cls(directory, f"{_scope(owner)}-{os.urandom(4).hex()}")
                # A process that starts at the same time may see the new file before it is locked, and take it.
                with contextlib.suppress(FileExistsError, SpoolLocked):
                    files._lock = LockFile.take(files.path("lock"), create=True)
                    return files
        except OSError as error:
            msg = f"the spool's directory {directory!r} cannot be written ({error.strerror}): choose another spool="
            raise SpoolError(msg) from None

    @classmethod
    def found(cls, directory: str, owner: Owner) -> Iterator[Files]:
        """Return the sets of this owner that lie here, living and dead."""
        prefix = f"{_scope(owner)}-"
        for name in sorted(os.listdir(directory)):
            if name.startswith(prefix) and name.endswith(".lock"):
                yield cls(directory, name.removesuffix(".lock"))

    def path(self, suffix: str) -> str:
        return os.path.join(self.directory, f"{self.stem}.{suffix}")

    @property
    def size(self) -> int:
        """Bytes of the database."""
        try:
            return os.stat(self.path("db")).st_size
        except OSError:
            return 0

    def lock(self) -> None:
        """Take the lock. Raises `SpoolLocked` if the process that has it lives."""
        self._lock = LockFile.take(self.path("lock"), create=False)

    def is_ours(self, owner: Owner) -> bool:
        """Whether a set that is locked may be opened; says why not, once."""
        try:
            with open(self.path("journal"), "rb") as file:
                found = recover(file.read(4096))
        except OSError:
            return True  # the database says whose it is
        if found.schema is not None and found.schema > SCHEMA:
            tell_once(
                f"newer {self.stem}",
                f"{self.path('journal')} was written by a newer version (schema {found.schema}; this one knows "
                f"{SCHEMA}), so it is left alone: upgrade totango-sdk to deliver it",
            )
            return False
        return found.text is None or found.text == _text(owner)

    def recover(self, owner: Owner, durability: str, quota_bytes: int) -> tuple[int, Database | None]:
        """Bring what a dead process left into its database, and return the last id that it gave.

        Returns no database where nothing is left. What is damaged is set aside under another name,
        and what can be read of it is kept.
        """
        journal, database = self.path("journal"), self.path("db")
        records: list[Record] = []
        last_id, damaged = 0, False
        if os.path.exists(journal):
            with open(journal, "rb") as file:
                found = recover(file.read())
            records, last_id, damaged = found.records, found.last_id, found.damaged
        opened: Database | None = None
        if records or os.path.exists(database):
            opened = self.open_database(owner, durability, quota_bytes)
            opened.insert(records)
            last_id = max(last_id, opened.last_id())
        if damaged:
            self._set_aside(journal)
        remove_file(journal)
        if opened is not None and opened.waiting + opened.dead == 0:
            opened.close(remove=True)
            opened = None
        return last_id, opened

    def open_database(self, owner: Owner, durability: str, quota_bytes: int) -> Database:
        """Open the database; a damaged one is set aside, and a new one made of what can be read of it."""
        # sqlite3 takes milliseconds to import, and most processes never need it.
        from .sqlite import Database, salvage

        path = self.path("db")
        try:
            return Database(path, owner, durability=durability, quota_bytes=quota_bytes)
        except SpoolCorrupt:
            aside = self._set_aside(path)
            fresh = Database(path, owner, durability=durability, quota_bytes=quota_bytes)
            fresh.insert(salvage(aside))
            return fresh

    def _set_aside(self, path: str) -> str:
        aside = f"{path}.corrupt-{os.urandom(3).hex()}"
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(path + suffix, aside + suffix)
        tell_once(
            f"corrupt {path}",
            f"the spool file {path} is damaged; it was set aside as {aside}, and what can be read of it is kept",
            level="error",
        )
        return aside

    def new_journal(self, owner: Owner, segment_bytes: int) -> Journal:
        """Make the journal. Raises `OSError` if the disk has no room for it."""
        path = self.path("journal")
        fd = create_file(path)
        try:
            return Journal(fd, _text(owner), segment_bytes)
        except BaseException:
            remove_file(path)
            raise

    def close_journal(self, *, remove: bool) -> None:
        if remove:
            remove_file(self.path("journal"))

    def close(self, *, remove: bool) -> None:
        """Let go of the lock; with `remove`, nothing was left that needs it."""
        if self._lock is not None:
            self._lock.release(remove=remove)
            self._lock = None

    def abandon(self) -> None:
        """Close what a fork has inherited, and leave the files to the parent."""
        if self._lock is not None:
            self._lock.abandon()
            self._lock = None


def _text(owner: Owner) -> bytes:
    return "\n".join(owner).encode()


def leak(things: list[object]) -> None:
    """Keep these for ever, even beyond the end of the interpreter: nothing may finalize them."""
    if things:
        import ctypes

        for thing in things:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))

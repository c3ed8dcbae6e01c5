"""The set of files that one process writes: `SCOPE-NUMBER.lock`, `.journal` and `.db`.

The scope stands for a service and an endpoint, so that nobody opens what is not theirs; the
journal's header and the database name both in full.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import attrs

from ..errors import SpoolCorrupt, SpoolError
from ..log import tell_once
from .base import Owner
from .journal import SCHEMA, Journal, Record, recover
from .paths import LockFile, create_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .sqlite import Database


def _scope(owner: Owner) -> str:
    return f"{crc32('|'.join(owner).encode()):08x}"


@attrs.define
class Files:
    """One set of files, and the lock that says whose it is."""

    directory: Path
    stem: str
    _lock: LockFile | None = None

    @classmethod
    def create(cls, directory: Path, owner: Owner) -> Files:
        """Make a new set, locked. Raises `SpoolError`."""
        try:
            while True:
                files = cls(directory, f"{_scope(owner)}-{secrets.token_hex(4)}")
                with contextlib.suppress(FileExistsError):
                    files._lock = LockFile.take(files.path("lock"), create=True)
                    return files
        except OSError as error:
            msg = f"the spool's directory {str(directory)!r} cannot be written ({error.strerror}): choose another spool="
            raise SpoolError(msg) from None

    @classmethod
    def found(cls, directory: Path, owner: Owner) -> Iterator[Files]:
        """Return the sets of this owner that lie here, living and dead."""
        for path in sorted(directory.glob(f"{_scope(owner)}-*.lock")):
            yield cls(directory, path.stem)

    def path(self, suffix: str) -> Path:
        return self.directory / f"{self.stem}.{suffix}"

    @property
    def size(self) -> int:
        """Bytes of the database."""
        try:
            return self.path("db").stat().st_size
        except OSError:
            return 0

    def lock(self) -> None:
        """Take the lock. Raises `SpoolLocked` if the process that has it lives."""
        self._lock = LockFile.take(self.path("lock"), create=False)

    def is_ours(self, owner: Owner) -> bool:
        """Whether a set that is locked may be opened; says why not, once."""
        try:
            head = self.path("journal").open("rb").read(4096)
        except OSError:
            return True  # the database says whose it is
        found = recover(head)
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
        if journal.exists():
            found = recover(journal.read_bytes())
            records, last_id, damaged = found.records, found.last_id, found.damaged
        opened: Database | None = None
        if records or database.exists():
            opened = self.open_database(owner, durability, quota_bytes)
            opened.insert(records)
            last_id = max(last_id, opened.last_id())
        if damaged:
            self._set_aside(journal)
        journal.unlink(missing_ok=True)
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

    def _set_aside(self, path: Path) -> Path:
        aside = path.with_name(f"{path.name}.corrupt-{secrets.token_hex(3)}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        tell_once(
            f"corrupt {path.name}",
            f"the spool file {path} is damaged; it was set aside as {aside.name}, and what can be read of it is kept",
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
            path.unlink(missing_ok=True)
            raise

    def close_journal(self, *, remove: bool) -> None:
        if remove:
            self.path("journal").unlink(missing_ok=True)

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
    return json.dumps(owner._asdict()).encode()


def leak(things: list[object]) -> None:
    """Keep these for ever, even beyond the end of the interpreter: nothing may finalize them."""
    if things:
        import ctypes

        for thing in things:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))

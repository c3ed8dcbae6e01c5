"""Where a spool may lie, and who holds it: safe directories and lock files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat

import attrs

from ..errors import SpoolError, SpoolLocked

# POSIX record locks belong to the process: taking one twice succeeds, and closing any descriptor of
# the file lets go of it. So the locks that this process holds are listed here, by device and inode.
_held: set[tuple[int, int]] = set()
_held_by = os.getpid()


def default_directory() -> str:
    """Return the directory for state of the user that this process runs as."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(base, "totango_sdk")


def check_directory(directory: str) -> None:
    """Refuse a directory that others could reach into. Says what to change; touches nothing.

    Raises `SpoolError`. What does not exist yet is judged by its nearest parent that does.
    """
    user = os.geteuid()
    path, is_leaf = directory, True
    while True:
        try:
            _check_one(path, os.lstat(path), user, is_leaf=is_leaf)
        except FileNotFoundError:
            pass
        except OSError as error:
            msg = f"the spool's path {path!r} cannot be looked at ({error.strerror}): choose another spool="
            raise SpoolError(msg) from None
        if path == os.path.dirname(path):
            return
        path, is_leaf = os.path.dirname(path), False


def _check_one(path: str, status: os.stat_result, user: int, *, is_leaf: bool) -> None:
    if stat.S_ISLNK(status.st_mode):
        # A link that only root or we could have made, and nobody else can change, is part of the system's layout.
        if is_leaf or status.st_uid not in (0, user) or _others_may_write(os.lstat(os.path.dirname(path))):
            msg = f"the spool's path {path!r} is a symbolic link: give the directory that it leads to"
            raise SpoolError(msg)
        return
    if not stat.S_ISDIR(status.st_mode):
        msg = f"the spool's path {path!r} is not a directory: choose another spool="
        raise SpoolError(msg)
    if status.st_uid not in (0, user) or (is_leaf and status.st_uid != user):
        msg = f"the spool's path {path!r} belongs to user {status.st_uid}, not to {user}: choose another, or chown it"
        raise SpoolError(msg)
    if _others_may_write(status) and (is_leaf or not status.st_mode & stat.S_ISVTX):
        msg = f"the spool's path {path!r} can be written by others: run chmod go-w {path!r}"
        raise SpoolError(msg)


def _others_may_write(status: os.stat_result) -> bool:
    return bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def make_directory(directory: str) -> None:
    """Make the directory, for this user alone. Raises `SpoolError`."""
    check_directory(directory)
    try:
        os.makedirs(directory, exist_ok=True, mode=0o700)
        check_directory(directory)
        if os.stat(directory).st_mode & 0o077:
            os.chmod(directory, 0o700)
    except OSError as error:
        msg = f"the spool's directory {directory!r} cannot be made ({error.strerror}): choose another spool="
        raise SpoolError(msg) from None


def create_file(path: str) -> int:
    """Make a file for this user alone and return its descriptor. Raises `FileExistsError` if it is there."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def remove_file(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


@attrs.define
class LockFile:
    """A lock that ends with its process, however that ends, and is not inherited by a fork."""

    path: str
    _fd: int = -1
    _key: tuple[int, int] = (0, 0)

    @classmethod
    def take(cls, path: str, *, create: bool) -> LockFile:
        """Take the lock at once. Raises `SpoolLocked` if somebody has it, or it is gone."""
        _forget_inherited()
        if not create and _key_of(path) in _held:
            msg = f"{os.path.basename(path)} is held by another client of this process"
            raise SpoolLocked(msg)
        fd = create_file(path) if create else _open_existing(path)
        status = os.fstat(fd)
        key = (status.st_dev, status.st_ino)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = os.stat(path, follow_symlinks=False).st_ino != status.st_ino
        except OSError:
            gone = True
        if gone:
            os.close(fd)
            msg = f"{os.path.basename(path)} is held by another process, or was just removed"
            raise SpoolLocked(msg)
        _held.add(key)
        return cls(path, fd, key)

    def release(self, *, remove: bool) -> None:
        """Let go, and remove the file while it is still ours."""
        if remove:
            remove_file(self.path)
        _held.discard(self._key)
        os.close(self._fd)

    def abandon(self) -> None:
        """Close the descriptor that a fork has inherited; the lock stays with the parent."""
        os.close(self._fd)


def _key_of(path: str) -> tuple[int, int] | None:
    """Return what identifies the file, without opening it: closing it again would let go of our own lock."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _open_existing(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        msg = f"{os.path.basename(path)} cannot be opened ({error.strerror})"
        raise SpoolLocked(msg) from None


def _forget_inherited() -> None:
    global _held_by
    if _held_by != os.getpid():
        _held_by = os.getpid()
        _held.clear()

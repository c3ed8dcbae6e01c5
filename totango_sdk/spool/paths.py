"""Where a spool may lie, and who holds it: safe directories and lock files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import threading

import attrs

from ..errors import SpoolError, SpoolFull, SpoolLocked

# What a spool's directory may hold: anything else, and it is somebody's directory for something else.
SUFFIXES = ("lock", "journal", "db")


class _Held:
    """The locks that this process holds, by device and inode.

    POSIX record locks belong to the process: taking one twice succeeds, and closing any descriptor
    of the file lets go of it. So the process has to know its own.
    """

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.guard = threading.Lock()
        self.keys: set[tuple[int, int]] = set()


_held = _Held()


def _ours() -> _Held:
    """Return what this process holds: nothing, if it was just forked."""
    global _held
    if _held.pid != os.getpid():
        _held = _Held()
    return _held


def default_directory() -> str:
    """Return the directory for state of the user that this process runs as."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.local/state")
    if not os.path.isabs(base):  # a user without a home, as some containers have
        return os.path.join(os.environ.get("TMPDIR") or "/tmp", f"totango_sdk-{os.geteuid()}")  # noqa: S108
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
            break
        path, is_leaf = os.path.dirname(path), False
    real = os.path.realpath(directory)
    if real != directory:  # where the links above it lead to counts as much
        check_directory(real)


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
        _make_missing(directory)
        check_directory(directory)
        if os.stat(directory).st_mode & 0o077:
            _check_is_ours(directory)
            os.chmod(directory, 0o700)
    except OSError as error:
        msg = f"the spool's directory {directory!r} cannot be made ({error.strerror}): choose another spool="
        raise SpoolError(msg) from None


def _make_missing(directory: str) -> None:
    # `os.makedirs` would leave the parents to the umask, which may let others in.
    if not os.path.isdir(directory):
        _make_missing(os.path.dirname(directory))
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)


def _check_is_ours(directory: str) -> None:
    """Refuse to shut others out of a directory that holds more than a spool."""
    for name in os.listdir(directory):
        if not any(f".{suffix}" in name for suffix in SUFFIXES):
            msg = f"the spool's directory {directory!r} holds other things ({name!r}): give it one of its own"
            raise SpoolError(msg)


def create_file(path: str) -> int:
    """Make a file for this user alone and return its descriptor. Raises `FileExistsError` if it is there."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def remove_file(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def put_in_place(draft: str, path: str, durability: str) -> None:
    """Give a finished file its name; with `power`, for good before this returns."""
    if durability == "power":
        _sync(draft)
    os.rename(draft, path)
    if durability == "power":
        _sync(os.path.dirname(path))


def _sync(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def disk_error(path: str, error: OSError) -> SpoolError:
    """Return our error for one of the system's."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpoolFull(f"{path} cannot be written ({error.strerror}): free space on the disk")
    return SpoolError(f"{path} cannot be used ({error.strerror}): give this user the right, or choose another spool=")


@attrs.define(eq=False, repr=False)
class LockFile:
    """A lock that ends with its process, however that ends, and is not inherited by a fork."""

    path: str
    _fd: int = -1
    _key: tuple[int, int] = (0, 0)

    @classmethod
    def take(cls, path: str, *, create: bool) -> LockFile:
        """Take the lock at once. Raises `SpoolLocked` if somebody has it, or it is gone."""
        ours = _ours()
        with ours.guard:
            # Looked up without opening the file: closing it again would let go of our own lock.
            if not create and _key_of(path) in ours.keys:
                msg = f"{os.path.basename(path)} is held by another client of this process"
                raise SpoolLocked(msg)
            fd = create_file(path) if create else _open_existing(path)
            key = _lock(fd, path)
            if key is None:
                os.close(fd)
                msg = f"{os.path.basename(path)} is held by another process, or was just removed"
                raise SpoolLocked(msg)
            ours.keys.add(key)
            return cls(path, fd, key)

    def release(self, *, remove: bool) -> None:
        """Let go, and remove the file while it is still ours."""
        ours = _ours()
        with ours.guard:
            if remove:
                remove_file(self.path)
            ours.keys.discard(self._key)
            os.close(self._fd)

    def abandon(self) -> None:
        """Close the descriptor that a fork has inherited; the lock stays with the parent."""
        os.close(self._fd)


def _lock(fd: int, path: str) -> tuple[int, int] | None:
    """Lock the open file, and return what identifies it; `None` if that fails, or it is not at `path` any more."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(fd)
        key = (status.st_dev, status.st_ino)
        return key if _key_of(path) == key else None
    except OSError:
        return None


def _key_of(path: str) -> tuple[int, int] | None:
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

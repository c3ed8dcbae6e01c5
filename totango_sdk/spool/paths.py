"""Where a spool may lie, and who holds it: safe directories and lock files."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat

import attrs

from .. import host
from ..errors import SpoolError, SpoolFull, SpoolLocked
from ..locks import make_lock

_MOST_PATH_BYTES = 4000  # the system takes 4095, and our longest name is behind this
# What to do about what the system says of a file, where it is not the right to it that is missing.
_ADVICE = {
    errno.EMFILE: "raise the limit of open files (ulimit -n), or close what is open",
    errno.ENFILE: "raise the system's limit of open files (fs.file-max)",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f)",
    errno.ENOMEM: "raise the limit of memory (ulimit -v), or free some",
    errno.EROFS: "choose another spool=, on a disk that can be written",
    errno.EIO: "check the disk, or choose another spool=",
}
# What a spool's directory may hold: anything else, and it is somebody's directory for something
# else.
SUFFIXES = ("lock", "log", "journal", "db")
NO_SPOOLS = "relay-"  # how the name of a lock begins that is no spool's


class _Held:
    """The locks that this process holds, by device and inode.

    POSIX record locks belong to the process: taking one twice succeeds, and closing any descriptor
    of the file lets go of it. So the process has to know its own.
    """

    def __init__(self, inherited: set[int]) -> None:
        self.pid = os.getpid()
        self.guard = make_lock()
        self.keys: set[tuple[int, int]] = set()
        self.fds: set[int] = set()
        self.inherited = inherited  # descriptors by a fork, whose locks are the parent's


_held = _Held(set())


def _ours() -> _Held:
    """Return what this process holds: nothing, if it was just forked."""
    global _held
    if _held.pid != os.getpid():
        _held = _Held(_held.fds | _held.inherited)
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

    Raises `SpoolError`. What does not exist yet is judged by its nearest parent that does. Others
    may write to a parent, as in volumes of Kubernetes: they cannot read or change what our directory
    holds, only move it away, which is noticed.
    """
    user = os.geteuid()
    path, is_leaf = directory, True
    while True:
        try:
            _check_one(path, os.lstat(path), user, is_leaf=is_leaf)
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:  # a NUL, or what the file system cannot spell
            why = error.strerror if isinstance(error, OSError) else error
            msg = f"the spool's path {path!r} cannot be looked at ({why}): choose another spool="
            raise SpoolError(msg) from None
        if path == os.path.dirname(path):
            break
        path, is_leaf = os.path.dirname(path), False
    length = len(os.fsencode(directory))
    if length > _MOST_PATH_BYTES:
        msg = (
            f"the spool's path {directory!r} is {length} bytes long, and the system takes at most "
            f"{_MOST_PATH_BYTES}: choose a shorter spool="
        )
        raise SpoolError(msg)
    real = os.path.realpath(directory)
    if real != directory:  # where the links above it lead to counts as much
        check_directory(real)


def _check_one(path: str, status: os.stat_result, user: int, *, is_leaf: bool) -> None:
    if stat.S_ISLNK(status.st_mode):
        # A link that only root or we could have made, and nobody else can change, is part of the
        # system's layout.
        if (
            is_leaf
            or status.st_uid not in (0, user)
            or _others_may_write(os.lstat(os.path.dirname(path)))
        ):
            msg = (
                f"the spool's path {path!r} is a symbolic link: give the directory that it leads to"
            )
            raise SpoolError(msg)
        return
    if not stat.S_ISDIR(status.st_mode):
        msg = f"the spool's path {path!r} is not a directory: choose another spool="
        raise SpoolError(msg)
    if status.st_uid not in (0, user) or (is_leaf and status.st_uid != user):
        below = f", such as {os.path.join(path, 'totango_sdk')!r}" if is_leaf else ""
        msg = (
            f"the spool's path {path!r} belongs to user {status.st_uid}, not to {user}: "
            f"choose another{below}, or chown it"
        )
        raise SpoolError(msg)
    if is_leaf and _others_may_write(status):
        msg = (
            f"the spool's path {path!r} can be written by others: run chmod go-w {path!r}, "
            f"or give a directory below it, such as {os.path.join(path, 'totango_sdk')!r}"
        )
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


def check_is_held(directory: str, lock: LockFile) -> None:
    """Refuse a directory that was put in the place of ours while we took the lock in it.

    Looked at by its descriptor, so that nothing can change between the looks. Raises `SpoolError`.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            found = os.stat(os.path.basename(lock.path), dir_fd=fd, follow_symlinks=False)
        finally:
            os.close(fd)
    except OSError as error:
        raise disk_error(directory, error) from None
    is_private = status.st_uid == os.geteuid() and not status.st_mode & 0o077
    if not is_private or not lock.is_file(found):
        msg = (
            f"the spool's directory {directory!r} was replaced while it was opened: choose another"
        )
        raise SpoolError(msg)


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
    """Make a file for this user alone and return its descriptor. Raises `FileExistsError` if it is
    there.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def remove_file(path: str) -> None:
    """Remove a file, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def is_strange(path: str) -> bool:
    """Whether there is something at `path` that is no plain file."""
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def set_aside(path: str) -> str:
    """Give a file another name, under which nobody takes it for a spool's, and return that."""
    aside = f"{path}.corrupt-{os.urandom(3).hex()}"
    os.rename(path, aside)
    return aside


def link_aside(path: str) -> str:
    """Keep a file under another name, too, and return that."""
    aside = f"{path}.corrupt-{os.urandom(3).hex()}"
    try:
        os.link(path, aside)
    except OSError as error:  # where there are no links
        host.let_pass(error)
        with open(path, "rb") as damaged, open(create_file(aside), "wb") as kept:
            kept.write(damaged.read())
    return aside


def open_plain(path: str, flags: int) -> int:
    """Open a file, and no link; of a named pipe nobody waits for the other end. Raises `OSError`."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


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
    """Return our error for one of the system's; raise what a signal handler has raised."""
    host.let_pass(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return SpoolFull(f"{path} cannot be written ({error.strerror}): free space on the disk")
    advice = _ADVICE.get(error.errno or 0, "give this user the right, or choose another spool=")
    return SpoolError(f"{path} cannot be used ({error.strerror}): {advice}")


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
            if not create and _is_held_here(path, ours):
                msg = f"{os.path.basename(path)} is held by another client of this process"
                raise SpoolLocked(msg)
            fd = create_file(path) if create else _open_existing(path)
            ours.fds.add(fd)
            key = _lock(fd, path)
            if key is not None and not create and _times_open(key, ours) > 1:
                # Another copy came between the look and the lock. Not closed, which would take its
                # lock from it too.
                msg = f"{os.path.basename(path)} was just taken by another client of this process"
                raise SpoolLocked(msg)
            if key is None:
                ours.fds.discard(fd)
                os.close(fd)
                msg = f"{os.path.basename(path)} is held by another process, or was just removed"
                raise SpoolLocked(msg)
            ours.keys.add(key)
            return cls(path, fd, key)

    def is_file(self, status: os.stat_result) -> bool:
        """Whether this is the file that is locked."""
        return (status.st_dev, status.st_ino) == self._key

    @property
    def is_in_place(self) -> bool:
        """Whether the file that is locked is still the one at its path."""
        return key_of(self.path) == self._key

    @property
    def is_open(self) -> bool:
        """Whether the descriptor that holds the lock is still ours."""
        return status_of(self._fd, self._key) is not None

    def release(self, *, remove: bool) -> None:
        """Let go, and remove the file while it is still ours."""
        ours = _ours()
        with ours.guard:
            if remove:
                remove_file(self.path)
            ours.keys.discard(self._key)
            ours.fds.discard(self._fd)
            if self.is_open:
                os.close(self._fd)

    def abandon(self) -> None:
        """Close the descriptor that a fork has inherited; the lock stays with the parent.

        Or forget the one that the host has closed, with which the lock went.
        """
        ours = _ours()
        with ours.guard:
            ours.inherited.discard(self._fd)
            ours.keys.discard(self._key)
            ours.fds.discard(self._fd)
            if self.is_open:
                os.close(self._fd)


def _is_held_here(path: str, ours: _Held) -> bool:
    """Whether this process has the lock file at `path` open.

    Another copy of this package, or one in a sub-interpreter, knows of its own locks only.
    """
    key = key_of(path)
    return key is not None and (key in ours.keys or _times_open(key, ours) > 0)


def _times_open(key: tuple[int, int], ours: _Held) -> int:
    """Return how many descriptors of this process are of this file; 0 where that cannot be told."""
    times = 0
    with contextlib.suppress(OSError):
        for fd in set(map(int, os.listdir("/dev/fd"))) - ours.inherited:
            with contextlib.suppress(OSError):  # the one of the listing itself
                status = os.fstat(fd)
                times += (status.st_dev, status.st_ino) == key
    return times


def _lock(fd: int, path: str) -> tuple[int, int] | None:
    """Lock the open file, and return what identifies it; `None` if that fails, or it is not at
    `path` any more.
    """
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(fd)
        key = (status.st_dev, status.st_ino)
        return key if key_of(path) == key else None
    except OSError:
        return None


def key_of(path: str) -> tuple[int, int] | None:
    """Return what identifies the file or directory at `path`; `None` if there is none."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def status_of(fd: int, key: tuple[int, int]) -> os.stat_result | None:
    """Return what is known of a file by its descriptor; `None` if that is another file's by now.

    A host that becomes a daemon closes all, and what it opens then gets the same numbers.
    """
    try:
        status = os.fstat(fd)
    except OSError as error:
        host.let_pass(error)
        return None
    return status if (status.st_dev, status.st_ino) == key else None


def _open_existing(path: str) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        msg = f"{os.path.basename(path)} cannot be opened ({error.strerror})"
        raise SpoolLocked(msg) from None

"""The spool's directory: whether what waits there is safe, and what waits."""

from __future__ import annotations

import os
import re
import secrets
from typing import TYPE_CHECKING

from ..errors import SpoolError
from ..spool.paths import LockFile, check_directory, default_directory
from ..spool.survey import survey
from .verdicts import Check, fail, ok, warn

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST_BYTES = 64 << 20
_OCTAL = re.compile(r"\\([0-7]{3})")
# Locks and mapped memory do not do there what they do on a disk.
_REMOTE = re.compile(
    r"nfs|cifs|smb|9p|afs|ceph|gluster|lustre|gpfs|fuse\.(?:sshfs|s3fs|gcsfuse)|vboxsf"
)
_FLEETING = {
    "tmpfs": "it is memory: what waits is lost when the machine restarts",
    "ramfs": "it is memory: what waits is lost when the machine restarts",
    "overlay": "it belongs to the container: what waits is lost when that is removed",
    "aufs": "it belongs to the container: what waits is lost when that is removed",
}
_ELSEWHERE = "give a directory on a disk, by TOTANGO_SPOOL or spool="


def spool_checks(given: str | None) -> Iterator[Check]:
    """Look at the directory, its file system, and at what waits in it."""
    if given == "memory":
        found = "in memory: what waits is lost when the process ends"
        yield warn("spool", found, _ELSEWHERE)
        return
    if given is not None and "://" in given:
        yield fail(
            "spool", f"{given.partition('://')[0]}:// is in no spool of this version", _ELSEWHERE
        )
        return
    directory = os.path.abspath(given or default_directory())
    trouble = _trouble(directory)
    if trouble is not None:
        yield fail("spool", *trouble)
        return
    yield ok("spool", f"{directory} can be used")
    yield _file_system(directory)
    yield _waiting(directory)


def _trouble(directory: str) -> tuple[str, str] | None:
    """Return why a directory cannot hold a spool, and what to do."""
    try:
        check_directory(directory)
        _try(directory)
    except SpoolError as error:
        return str(error), _ELSEWHERE
    except OSError as error:
        return f"{directory!r} cannot be written ({error.strerror})", _ELSEWHERE
    return None


def _try(directory: str) -> None:
    """Make and lock a file in a directory; or a directory in what is above it. Leaves neither."""
    name = f"doctor-{secrets.token_hex(4)}.lock"
    if os.path.isdir(directory):
        LockFile.take(os.path.join(directory, name), create=True).release(remove=True)
        return
    made = os.path.join(_nearest(directory), name)
    os.mkdir(made, 0o700)
    os.rmdir(made)


def _nearest(directory: str) -> str:
    """Return a directory, or the nearest one above it that is there."""
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    return directory


def _file_system(directory: str) -> Check:
    name, there = "file system", os.path.realpath(_nearest(directory))
    kind = file_system_of(there) or "unknown"
    status = os.statvfs(there)
    free = status.f_bavail * status.f_frsize
    found = f"{kind}, {free >> 20:,} MB free"
    if _REMOTE.match(kind):
        found += "; it is another machine's: locks and mapped memory may fail there"
        return warn(name, found, _ELSEWHERE)
    if kind in _FLEETING:
        advice = "mount a volume there" if kind in ("overlay", "aufs") else _ELSEWHERE
        return warn(name, f"{found}; {_FLEETING[kind]}", advice)
    if free < _LEAST_BYTES:
        return warn(name, found, "free space: a spool that is full loses events")
    return ok(name, found)


def file_system_of(path: str, mounts: str = "/proc/self/mountinfo") -> str | None:
    """Return the type of the file system that a path lies on; `None` where nobody tells."""
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    best, found = "", None
    for line in lines:
        before, _, after = line.partition(" - ")
        place = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), before.split(" ")[4])
        is_above = path == place or path.startswith(place.rstrip("/") + "/")
        if is_above and len(place) >= len(best):
            best, found = place, after.split(" ")[0]
    return found


def _waiting(directory: str) -> Check:
    sets = survey(directory)
    waiting = sum(left.waiting for left in sets)
    dead = sum(left.dead for left in sets)
    troubles = [left.trouble for left in sets if left.trouble]
    found = f"{waiting:,} waiting, {dead:,} dead"
    if troubles:
        return warn("events", f"{found}; {troubles[0]}", "look at: totango spool status")
    if dead:
        return warn("events", found, "see why: totango spool dead")
    gone = sum(left.waiting for left in sets if not left.is_alive)
    if gone:
        found += f", {gone:,} of them left by processes that are gone"
        return warn(
            "events", found, "the next process sends them; to send them now: totango spool drain"
        )
    return ok("events", found)

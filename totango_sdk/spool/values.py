"""What goes into a spool, and what comes out. Bodies are opaque."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from ..errors import SpoolError

# Before the records of an event, as a spool stores them: no name in an earlier version began so.
_RECORDS = "\x01"


class SpoolClosed(SpoolError):
    """The spool is not open in this process (any more)."""


class Owner(NamedTuple):
    """Whose events these are: they are never delivered with another service's token or region."""

    service_id: str
    endpoint: str


class Item(NamedTuple):
    """What is put: an encoded body, or a `letter` that is dead already.

    `about` names the records that the event concerns, and `updates` those of them of which it says
    something. What a name is does not matter here; no two records have the same.
    """

    body: bytes
    about: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    is_letter: bool = False


def with_plain_names(item: Item) -> Item:
    """Any name will do that is one line of UTF-8, and always the same."""
    about, updates = (
        tuple(
            name.replace("\n", "\\n").encode(errors="backslashreplace").decode() for name in names
        )
        for names in (item.about, item.updates)
    )
    return item._replace(about=about, updates=updates)


def written(about: tuple[str, ...], updates: tuple[str, ...]) -> str:
    """Return the records of an event as one text: how many it updates, and all names, those last.

    Raises `ValueError` for a name that has a line break in it.
    """
    others = tuple([name for name in about if name not in updates]) if updates else about
    names = others + updates
    text = "\n".join((f"{_RECORDS}{len(updates)}", *names))
    if text.count("\n") != len(names):
        msg = f"a name of a record is one line, not one of {about!r}"
        raise ValueError(msg)
    return text


def names_of(item: Item) -> bytes:
    """Return the records of an item as they are written. Raises `ValueError`."""
    if item.updates:
        return written(item.about, item.updates).encode()
    return _names_about(item.about)


@lru_cache(maxsize=8192)
def _names_about(about: tuple[str, ...]) -> bytes:
    # Of whom nothing new is said, there is more to come.
    return written(about, ()).encode()


@lru_cache(maxsize=1024)  # the same few people and accounts, again and again
def read_back(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the records of an event, all and those that it updates, as they were written.

    Any other text is the one name that an event had in earlier versions, which kept all events of
    one name in their order.
    """
    count, *names = text.split("\n")
    if not count.startswith(_RECORDS):
        return (text,), (text,)
    return tuple(names), tuple(names[len(names) - int(count[1:]) :])


class Leased(NamedTuple):
    """One event that is out for delivery."""

    id: int
    body: bytes
    about: tuple[str, ...]
    updates: tuple[str, ...]
    attempts: int
    accepted_at: float


class Outcome(NamedTuple):
    """What became of a leased event."""

    event: Leased
    verdict: Literal["delivered", "retry", "dead"]
    due: float = 0.0  # for a retry: not before this time, on the clock that `lease` is given
    reason: str = ""


class Counts(NamedTuple):
    """What a spool holds and has seen, in events."""

    accepted: int
    queued: int
    retrying: int
    in_flight: int
    delivered: int
    dead: int
    oldest_at: float | None  # seconds since 1970

"""What is tracked, what must arrive for it, and the ledger in which each process writes what was accepted.

The payload of an event follows from its stream and its number alone, and the bytes that must arrive are made here
without the package's own encoder, so that the oracle does not believe what it judges.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable

SERVICE_ID = "SP-1234-01"
MODULE = "Kaös & Söhne = 100 % + /"
_ACCEPTED_NOT = "-"


class Obligation(NamedTuple):
    """An event that was accepted, and has to arrive."""

    stream: str
    seq: int
    accounts: int
    id: str
    micros: int

    @property
    def account(self) -> str:
        return account_of(self.seq, self.accounts)

    @property
    def body(self) -> bytes:
        return body_of(self.stream, self.seq, self.accounts)


def account_of(seq: int, accounts: int) -> str:
    return f"acct-{seq % accounts}"


def is_attributes(stream: str, seq: int) -> bool:
    """Every tenth call sets an attribute, so that order matters; of some streams no call does, or a few."""
    if stream.startswith(("plain", "named")):
        return False
    return seq % 10 == 3 if not stream.startswith("rare") else seq % 1000 == 3


def body_of(stream: str, seq: int, accounts: int) -> bytes:
    """Return the bytes that must arrive."""
    pairs = [("sdr_s", SERVICE_ID), ("sdr_o", account_of(seq, accounts))]
    if is_attributes(stream, seq):
        pairs.append(("sdr_o.N", f"{stream}.{seq} é"))
    else:
        pairs += [("sdr_u", _user_of(stream, seq)), ("sdr_a", f"{stream}.{seq}"), ("sdr_m", MODULE)]
        if stream.startswith("named"):
            pairs.append(("sdr_u.name", f"é {seq}"))
    return "&".join(f"{name}={quote(value, safe=_BARE)}" for name, value in pairs).encode()


def _user_of(stream: str, seq: int) -> str:
    """One of a few users, or in a stream that is named so a new user each time."""
    return f"u{seq if stream.startswith('named') else seq % 7}@example.com"


_BARE = "-_.!~*'()"


def call(client: Any, stream: str, seq: int, accounts: int) -> str | None:
    """Make the call that this event stands for, and return what it returned."""
    from totango_sdk import Account, User

    account = account_of(seq, accounts)
    if is_attributes(stream, seq):
        return client.set_account_attributes(Account(account, attributes={"N": f"{stream}.{seq} é"}))
    user: Any = _user_of(stream, seq)
    if stream.startswith("named"):
        user = User(user, name=f"é {seq}")
    return client.track(f"{stream}.{seq}", MODULE, account, user)


class Ledger:
    """Writes one line, in one piece, for each call as soon as it has returned."""

    def __init__(self, path: str, progress_fd: int | None = None) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._progress_fd = progress_fd

    def send(self, client: Any, stream: str, seq: int, accounts: int) -> str | None:
        before = time.perf_counter_ns()
        event_id = call(client, stream, seq, accounts)
        micros = (time.perf_counter_ns() - before) // 1000
        os.write(self._fd, f"{stream} {seq} {accounts} {event_id or _ACCEPTED_NOT} {micros}\n".encode())
        if self._progress_fd is not None:
            os.write(self._progress_fd, b".")
        return event_id


def read_all(path: str | os.PathLike[str]) -> list[Obligation]:
    """Return every call that returned, accepted or not."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="ascii") as file:
        lines = [line.split() for line in file]
    return [Obligation(stream, int(seq), int(accounts), found, int(us)) for stream, seq, accounts, found, us in lines]


def read(path: str | os.PathLike[str]) -> list[Obligation]:
    """Return what was accepted."""
    return accepted(read_all(path))


def accepted(calls: Iterable[Obligation]) -> list[Obligation]:
    return [each for each in calls if each.id != _ACCEPTED_NOT]

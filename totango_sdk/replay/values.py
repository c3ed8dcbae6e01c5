"""What a row turns out to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import attrs

if TYPE_CHECKING:
    import datetime as dt

    from ..calls import Call
    from ..events import Event
    from ..tables import Map

DAY_SECONDS = 86400.0


@attrs.frozen(kw_only=True)
class Rules:
    """What decides on a row beside what is in it. `now` is in seconds since 1970.

    Without a `service_id`, requests of any service are taken.
    """

    service_id: str
    now: float
    account: Any = None
    user: Any = None
    product: Any = None
    module: str | None = None
    map: Map | None = None
    timezone: str | None = None
    status: tuple[int, int] | None = None
    max_age: float = DAY_SECONDS
    arrival_time_is_fine: bool = False
    allow_empty_accounts: bool = False
    extra_id_characters: str = ""


class Meant(NamedTuple):
    """A call: an event, or the parameters of a request that is sent as it is."""

    event: Event | None
    params: list[tuple[str, str]] | None = None
    time: dt.datetime | None = None


class Rejected(NamedTuple):
    """A row that is not sent, with its code and the fields that are wrong."""

    code: str
    reason: str
    fields: tuple[str, ...] = ()
    time: dt.datetime | None = None


class Skipped(NamedTuple):
    """A row that is no event, and why."""

    why: str


Verdict = Meant | Rejected | Skipped


class Fault(Exception):
    """Ends the reading of a row: it is rejected so."""

    def __init__(self, code: str, reason: str, *fields: str) -> None:
        super().__init__(reason)
        self.rejected = Rejected(code, reason, fields)


class Judge(Protocol):
    """What all shapes of rows share: the rules, and the last word on a call."""

    left_out: dict[str, None]

    @property
    def rules(self) -> Rules: ...

    def time(self, given: Any) -> dt.datetime | None: ...

    def call(self, call: Call, time: dt.datetime | None, *, alone: bool = False) -> Verdict: ...

    def aged(self, meant: Meant) -> Verdict: ...

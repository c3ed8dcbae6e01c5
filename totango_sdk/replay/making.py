"""Requests out of calls, with what is due of names and attributes, as `wire.requests` makes them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import host
from ..errors import InvalidEvent
from ..events import Event
from ..items import MOST_BODY_BYTES, item
from ..show import shown
from ..spool import Item
from ..wire import encode, records, requests
from ..wire.apart import said_of_user, says_of_user, without_user
from ..wire.write import user_record
from .parts import Memory
from .report import who
from .values import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..events import Joins
    from ..identity import User
    from ..options import Options
    from ..wire.apart import Gap
    from .values import Meant

    Pairs = Sequence[tuple[str, str]]


class Said:
    """What this run has said of whom: as `recall` of the client, but of one thread, and faster."""

    def __init__(self, ttl: float) -> None:
        self._ttl = ttl
        self._memory: Memory[str, tuple[int, float]] = Memory()

    def is_known(self, key: str, mark: int) -> bool:
        """Whether this was said, and not too long ago."""
        said = self._memory.get(key)
        if said is None or said[0] != mark:
            return False
        return time.monotonic() - said[1] < self._ttl

    def due(self, key: str, mark: int, force: bool) -> bool:
        """Whether this must be said now. A yes claims it."""
        if self._ttl <= 0:
            return True
        if not force and self.is_known(key, mark):
            return False
        self._memory.put(key, (mark, time.monotonic()))
        return True


class Own(NamedTuple):
    """What a user has to say, where only the user is new."""

    key: str
    mark: int
    text: bytes


class Usual:
    """A call that was checked: its requests where nothing is due.

    That holds if all of `asks` were said before; `forced` is said by these requests anyway.
    """

    __slots__ = (
        *("asks", "call", "count", "forced", "is_plain", "items", "meant", "new_user"),
        *("own", "problems"),
    )

    def __init__(self, items: list[Item], count: list[int] | None) -> None:
        self.items = items
        self.count = count  # how often there was this activity
        self.is_plain = True  # whether nothing can be due
        self.asks: tuple[tuple[str, int], ...] = ()
        self.forced: tuple[tuple[str, int], ...] = ()
        self.own: Own | None = None
        self.problems: tuple[str, ...] = ()
        self.meant: Meant | None = None
        self.new_user: str | None = None  # to be counted with its first row
        self.call: bytes | None = None  # what tells it from others, once that is asked


class Base(NamedTuple):
    """The request of an activity, but for its user."""

    gap: Gap
    accounts: tuple[str, ...]
    updates: tuple[str, ...]
    where: str | None
    asks: tuple[tuple[str, int], ...]
    counter: list[int] | None


class Maker:
    """Makes the requests of one run."""

    def __init__(self, options: Options, joins: Joins) -> None:
        self._options = options
        self._hook = options.before_send
        self._said = Said(options.attributes_ttl)
        self._joins = joins

    @property
    def has_hook(self) -> bool:
        """Whether code of the host's may change each event."""
        return self._hook is not None

    def items(self, meant: Meant) -> list[Item]:
        """Return the requests of a call; none if `before_send` drops it.

        Raises `InvalidEvent`, and `Fault` if `before_send` raises.
        """
        event = meant.event
        if event is None:
            return _as_they_are(meant)
        if self._hook is not None:
            changed = self._changed(event)
            if changed is None:
                return []
            event = changed
        made = requests(self._options.service_id, event, self._said.due)
        return [item(request, event) for request in made]

    def _changed(self, event: Event) -> Event | None:
        assert self._hook is not None
        try:
            changed: Any = self._hook(event)
        except host.FAILURES as error:
            host.swallow(error)
            # Not sent as it was: the hook may be there to take a secret out.
            told = f"InvalidEvent: {error}" if isinstance(error, InvalidEvent) else shown(error)
            raise Fault("invalid", f"before_send raised {told}") from error
        if changed is None:
            return None
        if not isinstance(changed, Event):
            msg = f"before_send returned {shown(changed)}; it returns an Event, or None to drop it"
            raise Fault("invalid", msg)
        if changed is not event and changed.product is not None:
            self._joins.check(changed)
        return changed

    # -- what was checked before

    def usual(self, meant: Meant, count: list[int] | None) -> Usual:
        """Return a call for the next time."""
        event = meant.event
        if event is None:
            usual = Usual(_as_they_are(meant), count)
        else:
            asks: list[tuple[str, int]] = []
            forced: list[tuple[str, int]] = []

            def due(key: str, mark: int, force: bool) -> bool:
                (forced if force else asks).append((key, mark))
                return force

            made = requests(self._options.service_id, event, due)
            usual = Usual([Item(each.body, each.about, each.updates) for each in made], count)
            usual.asks, usual.forced = tuple(asks), tuple(forced)
            usual.is_plain = not asks and not forced
            usual.problems = tuple(problem.field for problem in event.problems)
        usual.meant = meant
        return usual

    def items_of(self, usual: Usual) -> list[Item] | None:
        """Return its requests; `None` if something is due that only `items` can say."""
        said, own = self._said, usual.own
        is_due = False
        for key, mark in usual.asks:
            if not said.is_known(key, mark):
                if own is None or key != own.key:
                    return None
                is_due = True
        if is_due:
            assert own is not None
            said.due(own.key, own.mark, False)
            plain = usual.items[0]
            body = plain.body + own.text
            return None if len(body) > MOST_BODY_BYTES else [Item(body, plain.about, (own.key,))]
        for key, mark in usual.forced:
            said.due(key, mark, True)
        return usual.items

    def base(self, usual: Usual) -> Base | None:
        """Return the request of a call but for its user, if it is an activity of a user alone."""
        meant = usual.meant
        if meant is None or usual.problems or len(usual.items) != 1 or not _is_of_user_alone(meant):
            return None
        where, user = who(meant)
        body, about, updates, _ = usual.items[0]
        record = user_record(where, user)
        if user is None or not about or about[-1] != record:
            return None
        gap = without_user(body, user)
        if gap is None:
            return None
        asks = tuple(ask for ask in usual.asks if ask[0] != record)
        return Base(gap, about[:-1], updates, where, asks, usual.count)

    def with_user(self, base: Base, user_id: str, quoted: str, user: User | None) -> Usual:
        """Return the call of another user, who has nothing to say but what `user` has."""
        body = base.gap.filled(quoted)
        record = user_record(base.where, user_id)
        usual = Usual([Item(body, (*base.accounts, record), base.updates)], base.counter)
        usual.asks, usual.is_plain = base.asks, not base.asks
        usual.new_user = user_id
        if user is not None and user.said.mark:
            usual.own = Own(record, user.said.mark, said_of_user(user.said.pairs))
            usual.asks, usual.is_plain = (*base.asks, (record, user.said.mark)), False
        return usual


def _as_they_are(meant: Meant) -> list[Item]:
    body = encode(meant.params or ())
    return [Item(body, *records(body))]


def _is_of_user_alone(meant: Meant) -> bool:
    """Whether it is an activity, and nothing is said of its user."""
    if meant.event is not None:
        return meant.event.kind == "track"
    return not says_of_user(name for name, _ in meant.params or ())

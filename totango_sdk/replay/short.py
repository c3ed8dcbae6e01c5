"""The short road: a row that says what one before it said, or that only has another user."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from ..identity import id_problems
from ..tables import meaning_of
from ..wire import quote
from ..wire.apart import USER
from ..wire.read import LEFTOVERS
from .parts import Memory
from .shapes import BESIDE, log_time, query_of
from .values import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..identity import User
    from ..spool import Item
    from .layout import Layout
    from .making import Base, Maker, Usual
    from .meaning import Meaning
    from .report import Tally
    from .values import Meant

_MOST_PLANS = 8
# User IDs that are right for certain, as nearly all are. Whatever else there is goes the long way.
_SURE_USER = re.compile(r"[A-Za-z0-9_.-]{1,40}@[A-Za-z0-9_.-]{1,50}")
_LOG_USER = f"&{USER}="
_LOG_BESIDE = re.compile("&(?:" + "|".join(BESIDE) + ")=[^&]*")
_ONLY_TEXT = {str}


# A row taken apart: everything that counts but its user, who that is, and the time as written.
Parts = tuple[tuple[Any, Any], Any]
# A user that was checked: the ID, that as it is written on the wire, and what else it says.
NewUser = tuple[str, str, Any]


class Plan:
    """How rows of one kind are taken apart, and what was said by those before."""

    def __init__(
        self,
        apart: Callable[[Any], Parts | None],
        user_of: Callable[[Any], NewUser | None],
        time_of: Callable[[Any], dt.datetime | None],
    ) -> None:
        self.apart = apart
        self.user_of = user_of
        self.time_of = time_of
        self.known: Memory[Any, Usual] = Memory(10_000)
        self.bases: Memory[Any, list[Any]] = Memory(10_000)


class Short:
    """Knows the rows of one source that were there before."""

    def __init__(
        self,
        meaning: Meaning,
        maker: Maker,
        tally: Tally,
        is_wanted: Callable[[Usual, dt.datetime | None], bool] | None,
    ) -> None:
        self._meaning = meaning
        self._maker = maker
        self._tally = tally
        self._is_wanted = is_wanted
        self._oldest = dt.datetime.max.replace(tzinfo=dt.UTC)  # of those that came by here
        self._newest = meaning.ahead_of
        self._plans: dict[Any, Plan | None] = {}
        self._only = self._first_plan()

    def _first_plan(self) -> Plan | None:
        meaning = self._meaning
        if meaning.is_log:
            if not meaning.is_plain_log:
                return None
            return Plan(_of_log(meaning), _user_of_log, _time_of_log)
        if meaning.layout is not None and not meaning.is_shaped:
            return plan_of(meaning, meaning.layout, meaning.columns, is_mapping=False)
        return None

    def items(self, row: Any) -> list[Item] | None:
        """Return the requests of a row, which is counted; `None` for the long way."""
        plan = self._only or self._plan(row)
        if plan is None or (parts := plan.apart(row)) is None:
            return None
        key, text = parts
        usual = plan.known.get(key) or self._with_other_user(plan, key)
        if usual is None:
            return None
        time = None
        if text is not None and text != "":
            time = plan.time_of(text)
            if time is None or (time < self._oldest and not self._meaning.is_young(time)):
                return None
        items = usual.items if usual.is_plain else self._maker.items_of(usual)
        return None if items is None else self._counted(usual, time, items)

    def _counted(
        self, usual: Usual, time: dt.datetime | None, items: list[Item]
    ) -> list[Item] | None:
        if time is not None and not self._oldest <= time <= self._newest:
            self._oldest = min(time, self._oldest)
            self._tally.at(time)
            self._meaning.note_ahead(time)
        if self._is_wanted is not None and not self._is_wanted(usual, time):
            return []
        if usual.count is not None:
            usual.count[0] += 1
        if usual.new_user is not None:
            self._tally.user(usual.new_user)
            usual.new_user = None
        for field in usual.problems:
            self._tally.warn(field)
        return items

    def learn(self, row: Any, meant: Meant) -> None:
        """Remember what a row said that took the long way."""
        plan = self._only or self._plan(row)
        parts = None if plan is None else plan.apart(row)
        if plan is None or parts is None:
            return
        usual = self._maker.usual(meant, self._tally.counter(meant))
        key = parts[0]
        plan.known.put(key, usual)
        if key[1] and self._is_wanted is None and plan.bases.get(key[0]) is None:
            plan.bases.put(key[0], [usual])

    def _with_other_user(self, plan: Plan, key: tuple[Any, Any]) -> Usual | None:
        """Return what a row says if one before said the same of another user."""
        held = plan.bases.get(key[0])
        if held is None:
            return None
        if len(held) == 1:
            held.append(self._maker.base(held[0]))
        base: Base | None = held[1]
        found = None if base is None else plan.user_of(key[1])
        if base is None or found is None:
            return None
        usual = self._maker.with_user(base, *found)
        plan.known.put(key, usual)
        return usual

    def _plan(self, row: Any) -> Plan | None:
        if not isinstance(row, Mapping):
            return None
        keys = tuple(row)
        if keys not in self._plans:
            if len(self._plans) >= _MOST_PLANS:
                return None
            self._plans[keys] = self._made(row, keys)
        return self._plans[keys]

    def _made(self, row: Mapping[str, Any], keys: tuple[str, ...]) -> Plan | None:
        meaning = self._meaning
        shape = meaning.shape_of(keys)
        if shape == "wire":
            return _of_wire(meaning, keys)
        layout = None if shape is not None else meaning.layout_of(row)
        return None if layout is None else plan_of(meaning, layout, keys, is_mapping=True)


def plan_of(
    meaning: Meaning, layout: Layout, columns: tuple[str, ...], *, is_mapping: bool
) -> Plan | None:
    """Return how rows with these columns are taken apart; `None` if they cannot be."""
    time = layout.event.get("time")
    if time is not None and not (time.is_plain and time.column in columns):
        return None
    user = [field.source.column for field in layout.parts["user"].fields]
    rest = [source.column for source in layout.all_sources() if source is not time]
    rest = [name for name in (*rest, *layout.where) if name is not None and name not in user]
    used = [*user, *rest]
    if any(name is None or columns.count(name) != 1 for name in used) or not rest:
        return None
    at: dict[Any, Any] = {name: name if is_mapping else columns.index(name) for name in columns}
    pick_rest, pick_who = _pick([at[name] for name in rest]), _pick([at[name] for name in user])
    at_time = None if time is None else at[time.column]

    def of_mapping(row: Any) -> Parts | None:
        key = pick_rest(row), pick_who(row)
        if not {*map(type, key[0]), *map(type, key[1])} <= _ONLY_TEXT:
            return None
        return key, None if at_time is None else row[at_time]

    def of_table(row: Any) -> Parts | None:
        return (pick_rest(row), pick_who(row)), None if at_time is None else row[at_time]

    part, is_bare = layout.parts["user"], [f.name for f in layout.parts["user"].fields] == ["id"]
    is_bare = is_bare and part.fields[0].is_plain

    def user_of(who: Any) -> NewUser | None:
        if is_bare and _SURE_USER.fullmatch(who[0]):
            return who[0], who[0].replace("@", "%40"), None
        try:
            made: User | None = part.make(who) if who else None
        except Fault:
            return None
        return None if made is None or made.problems else (made.id, quote(made.id), made)

    is_checked = is_mapping or meaning.is_typed
    return Plan(of_mapping if is_checked else of_table, user_of, meaning.time_at)


def _pick(places: Iterable[Any]) -> Callable[[Any], tuple[Any, ...]]:
    places = tuple(places)
    if not places:
        return lambda _: ()
    if len(places) == 1:
        only = places[0]
        return lambda row: (row[only],)
    return itemgetter(*places)


def _bare_user(user_id: str) -> NewUser | None:
    if _SURE_USER.fullmatch(user_id):
        return user_id, user_id.replace("@", "%40"), None
    if user_id in LEFTOVERS or "\ufffd" in user_id or id_problems("user", user_id, "user"):
        return None
    return user_id, quote(user_id), None


def _user_of_log(written: str) -> NewUser | None:
    user_id = written.replace("%40", "@")
    if "%" in user_id or "+" in user_id:
        user_id = unquote_plus(written, errors="replace")
    return _bare_user(user_id)


def _time_of_log(text: str) -> dt.datetime | None:
    try:
        return log_time(text)
    except (ValueError, OverflowError):
        return None


def _of_wire(meaning: Meaning, keys: tuple[str, ...]) -> Plan | None:
    meanings = {name: meaning_of(name) for name in keys}
    times = [name for name, found in meanings.items() if found is not None and found.name == "time"]
    rest = [name for name in keys if name not in (USER, *times, *BESIDE)]
    if USER not in keys or len(times) > 1 or not rest:
        return None
    pick, time = _pick(rest), (times[0] if times else None)

    def apart(row: Any) -> Parts | None:
        key = pick(row), row[USER]
        if not {*map(type, key[0]), type(key[1])} <= _ONLY_TEXT:
            return None
        return key, None if time is None else row[time]

    return Plan(apart, _bare_user, meaning.time_at)


def _of_log(meaning: Meaning) -> Callable[[Any], Parts | None]:
    def apart(row: Any) -> Parts | None:
        query = query_of(row, meaning.rules.status)
        if not isinstance(query, str):
            return None
        before, found, behind = query.partition(_LOG_USER)
        user, and_, more = behind.partition("&")
        if not found or _LOG_USER in and_ + more:
            return None
        rest = before + and_ + more
        if "&r=" in rest or "&sdrurl=" in rest:
            rest = _LOG_BESIDE.sub("", rest)
        return (rest, user), row["time"]

    return apart

"""The short road of `track`: who is an ID alone, or was checked and encoded before.

What of an activity's request depends only on who it is about is kept, once they come again, so that
only the activity and its module are checked and encoded anew. Of a user with a name or attributes
nothing is kept, since many come once: they go behind what is known of their account. The bytes are
those of the long road.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from .events import is_joined_one_way
from .identity import Account, Product, User, id_problems, text_problems
from .wire import activity_pairs, beginning, beginning_of_ids, user_pair, user_record

if TYPE_CHECKING:
    from .calls import Call
    from .errors import Problem
    from .events import Event
    from .wire import Beginning

Key = tuple[Any, Any, Any]

_GENERATION = 4096
_LONGEST = 512
_TEXTS = (str, type(None))
_ODD: Any = object()
_ANYBODY: Any = object()  # in a key: a user with a name or attributes


class Known(NamedTuple):
    """Whom activities are about, checked and encoded."""

    beginning: Beginning
    problems: tuple[Problem, ...]  # warnings: they are told with each event
    module: str | None  # of the product


class Short(NamedTuple):
    """A call of `track` whose request is made already, but for a user's name and attributes."""

    call: Call
    body: bytes
    about: tuple[str, ...]
    known: Known
    user: User | None  # whose name and attributes may be due


class KnownCalls:
    """Remembers whom activities were about, at most the last 4,096 to 8,192 of them."""

    def __init__(self, service_id: str) -> None:
        self._service_id = service_id
        # `None` for whoever was met once: to learn costs more than to meet, and many come once.
        self._young: dict[Key, Known | None] = {}
        self._old: dict[Key, Known | None] = {}

    def find(self, key: Key, call: Call) -> Short | None:
        """Return the request of a call, if it is about somebody known and its activity is right."""
        known = self._young.get(key)
        if known is None and (known := self._of_ids(key)) is None:
            return None
        module = call.module or known.module or call.default_module
        if module is None:
            return None
        happened = _checked(call.activity, module)
        if happened is None:
            return None
        where, head, about, _ = known.beginning
        if key[1] is not _ANYBODY:
            return Short(call, head + happened, about, known, None)
        user = call.user
        record = user_record(where, user.id)
        return Short(call, head + user_pair(user.id) + happened, (*about, record), known, user)

    def _of_ids(self, key: Key) -> Known | None:
        """Return what is known of somebody who is not among the youngest, or is but two IDs."""
        known = self._old.get(key)
        if known is None:
            account, user, product = key
            if product is not None or type(account) is not str or type(user) is not str:
                return None
            if id_problems("account", account, "account") or id_problems("user", user, "user"):
                return None
            known = Known(beginning_of_ids(self._service_id, account, user), (), None)
            if key not in self._young and key not in self._old:
                self._keep(key, None)
                return known
        self._keep(key, known)
        return known

    def learn(self, key: Key, event: Event) -> None:
        """Remember whom an event that is right is about."""
        if key not in self._young and key not in self._old:
            self._keep(key, None)
            return
        if not is_joined_one_way(event):
            return
        module = None if event.product is None else event.product.module
        begun = beginning(self._service_id, event, with_user=key[1] is not _ANYBODY)
        self._keep(key, Known(begun, event.problems, module))

    def _keep(self, key: Key, known: Known | None) -> None:
        if len(self._young) >= _GENERATION:
            self._young, self._old = {}, self._young
        self._young[key] = known


@lru_cache(maxsize=2048)
def _checked(activity: str, module: str) -> bytes | None:
    if text_problems("activity", activity) or text_problems("module", module):
        return None
    return activity_pairs(activity, module)


def key_of(call: Call) -> Key | None:
    """Return what a call's request depends on, but for what happened; `None` if it must go the long
    road.
    """
    _, activity, module, account, user, product, default_module, trouble = call
    # What is no exact text may have no truth.
    if (
        type(activity) is not str
        or type(module) not in _TEXTS
        or type(default_module) not in _TEXTS
    ):
        return None
    if trouble is not None:
        return None
    account, user = _of(account, Account), _of(user, User)
    if product is not None:
        product = _of(product, Product)
    if account is _ODD or user is _ODD or product is _ODD:
        return None
    return account, user, product


def _of(value: Any, kind: type) -> Any:
    given = type(value)
    if given is str:
        return value if len(value) <= _LONGEST else _ODD
    if value is None:
        return None
    if given is not kind or value.problems:
        return _ODD
    mark = value.said.mark
    if kind is User:
        return _ANYBODY if mark else value.id
    if kind is Account:
        if value.parent_account is not None:
            return _ODD
        return (value.id, mark) if mark else value.id
    if type(value.module) not in _TEXTS:
        return _ODD
    return value.id, mark, value.account_id, value.module

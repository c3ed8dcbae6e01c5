"""Calls into the host's own hooks, `before_send` and `on_dead_letter`, whatever they do."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from . import host
from .errors import InvalidEvent
from .events import Event
from .log import tell_once
from .show import shown
from .spool import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import Problem
    from .spool import Outcome

# How deep this is within `before_send`, and whether it is within `on_dead_letter`. Set in a context
# of their own, which ends with the call whatever interrupts it.
_depth: ContextVar[int] = ContextVar("totango_sdk_before_send", default=0)
_in_letter_hook: ContextVar[bool] = ContextVar("totango_sdk_on_dead_letter", default=False)
_MOST_DEPTH = 2
_MOST_OF_HOOK = 10_000


class HookFailed(Exception):
    """`before_send` did not give an event. Even a strict client keeps it as a letter: the call was right."""

    def __init__(self, why: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(why)
        self.problems = problems


def before_send(hook: Callable[[Event], Event | None], event: Event) -> Event | None:
    """Return the event as the host's hook wants it sent; `None` if it drops it. Raises `HookFailed`."""
    if _depth.get() >= _MOST_DEPTH:
        msg = (
            "it was tracked in before_send, which was called for an event tracked in there already"
        )
        raise HookFailed(msg, ())
    try:
        changed: Any = copy_context().run(_deeper, hook, event)
    except host.FAILURES as error:
        host.swallow(error)
        # Not sent as it was: the hook may be there to take a secret out.
        problems = error.problems if isinstance(error, InvalidEvent) else ()
        told = f"InvalidEvent: {error}" if problems else shown(error)
        raise HookFailed(f"before_send raised {told}", problems) from error
    if changed is not None and not isinstance(changed, Event):
        msg = f"before_send returned {shown(changed)}; it returns an Event, or None to drop it"
        raise HookFailed(msg, ())
    return changed


def _deeper(hook: Callable[[Event], Event | None], event: Event) -> Event | None:
    _depth.set(_depth.get() + 1)
    return hook(event)


class LetterHook:
    """The host's `on_dead_letter`. What it tracks itself never calls it again."""

    def __init__(self, hook: Callable[[DeadLetter, str], object]) -> None:
        self._hook = hook
        self._tracked: dict[int, None] = {}  # ids of the latest events that it has tracked

    def put(self, event_id: str, count: int) -> None:
        """Events were put, of which this is the last id: remember them if they are the hook's own."""
        if not _in_letter_hook.get():
            return
        try:
            last = int(event_id, 16)
        except ValueError as error:  # a spool of the host's own has ids of its own
            host.let_pass(error)
            return
        while len(self._tracked) > _MOST_OF_HOOK:
            self._tracked.pop(next(iter(self._tracked)))
        self._tracked.update(dict.fromkeys(range(last - count + 1, last + 1)))

    def gave_up(self, outcome: Outcome) -> None:
        """An event came back as dead: call the hook, unless it is one of its own."""
        if outcome.event.id not in self._tracked:
            self.tell(DeadLetter.given_up(outcome.event, outcome.reason))
            return
        del self._tracked[outcome.event.id]
        tell_once(
            "dead of hook",
            "on_dead_letter is not called for an event that it has tracked itself: it is kept as "
            "a dead letter all the same",
        )

    def tell(self, dead: DeadLetter) -> None:
        """Call the hook. It may fail without harm."""
        if _in_letter_hook.get():  # it would go on without end
            return
        try:
            copy_context().run(_in_letter, self._hook, dead)
        except host.FAILURES as error:
            host.swallow(error)
            tell_once(
                "on_dead_letter",
                f"on_dead_letter raised {shown(error)}; the dead letter is kept all the same",
            )


def _in_letter(hook: Callable[[DeadLetter, str], object], dead: DeadLetter) -> None:
    _in_letter_hook.set(True)
    hook(dead, dead.reason)

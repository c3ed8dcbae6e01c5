"""Faults on demand: how the endpoint misbehaves while somebody tests what their integration makes
of it.
"""

from __future__ import annotations

import math
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ..errors import OptionsError
from ..show import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Mode = Literal["none", "status", "close", "mute", "lost"]

MODES: tuple[Mode, ...] = ("none", "status", "close", "mute", "lost")
_LEAST_STATUS, _MOST_STATUS = 300, 599
_MOST_DELAY = 600.0
_MOST_SECONDS = 86_400.0


def _number(most: float, example: str) -> Any:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= most:  # type: ignore[operator]
            raise OptionsError.of(field.name, value, f"it is a number from 0 to {most:g}", example)

    return check


def _mode(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value not in MODES:
        raise OptionsError.of(field.name, value, f"it is one of {', '.join(MODES)}", "status")


def _as_whole(value: Any) -> Any:
    return (
        int(value) if isinstance(value, float) and value.is_integer() else value
    )  # JSON knows one kind of number


def _status(_: object, field: attrs.Attribute[Any], value: object) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not _LEAST_STATUS <= value <= _MOST_STATUS:  # type: ignore[operator]
        raise OptionsError.of(
            field.name, value, f"it is a whole number from {_LEAST_STATUS} to {_MOST_STATUS}", "503"
        )


@attrs.frozen(kw_only=True)
class Faults:
    """How requests to the endpoint are answered. The page and everything else stay as they are.

    `mode`: `none`; `status` answers with `status`, and `retry_after` (seconds) if given; `close`
    closes the connection without an answer; `mute` never answers; `lost` takes the event, and then
    closes without an answer. `share` is the part of the requests, 0 to 1, that is hit; `delay` the
    seconds before every answer, hit or not. After `seconds`, if given, all is well again.
    Raises `OptionsError`.
    """

    mode: Mode = attrs.field(default="none", validator=_mode)
    status: int = attrs.field(default=503, converter=_as_whole, validator=_status)
    retry_after: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_number(_MOST_SECONDS, "5"))
    )
    delay: float = attrs.field(default=0.0, validator=_number(_MOST_DELAY, "0.5"))
    share: float = attrs.field(default=1.0, validator=_number(1.0, "0.1"))
    seconds: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_number(_MOST_SECONDS, "30"))
    )

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Faults:
        """Read what a program sends. Raises `OptionsError`."""
        known = [field.name for field in attrs.fields(cls)]
        for name in given:
            if name not in known:
                msg = f"there is no fault option {shown(name)}: they are {', '.join(known)}"
                raise OptionsError(msg)
        return cls(**given)

    @property
    def label(self) -> str:
        """What the log says of a request that was hit."""
        return {"status": str(self.status), "close": "closed"}.get(self.mode, self.mode)


class FaultSwitch:
    """What is set now. May be used by many threads."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._chance = chance
        self._lock = threading.Lock()
        self._faults = Faults()
        self._until = math.inf

    def set(self, faults: Faults) -> None:
        """Set what happens from now on."""
        with self._lock:
            self._faults = faults
            self._until = math.inf if faults.seconds is None else self._clock() + faults.seconds

    @property
    def now(self) -> Faults:
        """What happens now, with the `seconds` that are left of it."""
        with self._lock:
            left = self._until - self._clock()
            if left <= 0:
                self._faults, self._until = Faults(), math.inf
            return (
                self._faults
                if left == math.inf or left <= 0
                else attrs.evolve(self._faults, seconds=left)
            )

    def draw(self) -> Faults | None:
        """Return what happens to one request; `None` for nearly every one: nothing."""
        if self._faults == _NONE:
            return None
        now = self.now
        if now.mode != "none" and now.share < 1 and self._chance() >= now.share:
            now = attrs.evolve(now, mode="none")
        return None if now.mode == "none" and not now.delay else now


_NONE = Faults()

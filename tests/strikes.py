"""Exceptions out of a signal handler at each moment of a call, one after another and not by chance."""

from __future__ import annotations

import gc
import os
import sys
from inspect import CO_GENERATOR
from typing import TYPE_CHECKING, Any

import totango_sdk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_OURS = os.path.dirname(totango_sdk.__file__) + os.sep


def strike(call: Callable[[], object], moment: int, error: BaseException) -> tuple[BaseException | None, str]:
    """Make a call, and raise `error` at this moment of it; what came out of the call, and where it was struck.

    Signals are handled where a function of Python begins and where one in C has returned. Like a handler, the
    function that raises is given the frame that it interrupts.
    """
    left, where = moment, ""

    def handler(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal left, where
        is_moment = event == "c_return" or (event == "call" and not frame.f_code.co_flags & CO_GENERATOR)
        if not is_moment or not frame.f_code.co_filename.startswith(_OURS):
            return
        left -= 1
        if not left:
            sys.setprofile(None)
            name = frame.f_code.co_name if event == "call" else getattr(arg, "__name__", "")
            where = f"{frame.f_code.co_filename.removeprefix(_OURS)}:{frame.f_lineno}, {event} of {name}"
            raise error

    # What is raised in a finalizer is lost, in Python itself: a client that an earlier test has left would be
    # collected in the middle of this call.
    gc.disable()
    sys.setprofile(handler)
    try:
        call()
    except BaseException as raised:
        return raised, where
    finally:
        sys.setprofile(None)
        gc.enable()
    return None, where


def strikes(call: Callable[[], object], error: Callable[[], BaseException]) -> Iterator[tuple[bool, str]]:
    """Strike a call at each of its moments; whether the very exception came out, and where it struck."""
    moment = 0
    while True:
        moment += 1
        raised = error()
        got, where = strike(call, moment, raised)
        if not where:
            return
        raised.__traceback__ = None  # whoever keeps that keeps all frames that it came through
        yield got is raised, where

"""What a look at one thing found."""

from __future__ import annotations

from typing import Literal

import attrs

Verdict = Literal["ok", "warn", "fail", "skip"]


@attrs.frozen
class Check:
    """One thing: `fail` keeps events from arriving, `warn` may; `skip` could not be looked at."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def ok(name: str, found: str) -> Check:
    """Nothing is wrong with it."""
    return Check(name, "ok", found)


def warn(name: str, found: str, advice: str) -> Check:
    """It may keep events from arriving."""
    return Check(name, "warn", found, advice)


def fail(name: str, found: str, advice: str) -> Check:
    """It keeps events from arriving."""
    return Check(name, "fail", found, advice)


def skip(name: str, found: str, advice: str = "") -> Check:
    """It was not looked at."""
    return Check(name, "skip", found, advice)

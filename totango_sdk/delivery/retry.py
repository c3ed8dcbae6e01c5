"""Decide: what an answer means, and when to try again. Pure: the clock and chance are arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .transports import Answer

BACKOFF_FIRST = 0.5
BACKOFF_MOST = 60.0
MOST_WAIT = 3600.0
# These speak of the way and not of the event: a wrong token or a captive portal must not turn a
# night's events into dead letters.
_OF_THE_WAY = frozenset((401, 403, 404, 407, 408, 425, 429))
_ADVICE = {
    401: "check api_token",
    403: "check api_token and service_id",
    404: "check endpoint and region",
    407: "the proxy wants a login; check the proxy's address",
}


class Verdict(NamedTuple):
    """What is to become of an event, why, and how long all requests must wait (seconds)."""

    kind: Literal["delivered", "retry", "dead"]
    reason: str = ""
    wait: float | None = None


_DELIVERED = Verdict("delivered")
_NO_COLLECTOR = Verdict(
    "delivered",
    "the endpoint answers with a web page, which Totango's collector does not: events may end at a "
    "captive portal, or at a proxy that inspects them. They count as delivered. Check endpoint and proxy",
)


def judge(answer: Answer, now: float) -> Verdict:
    """Return the verdict on an answer; `now` is in seconds since 1970, for dates in its headers."""
    status = answer.status
    if status is None:
        return Verdict("retry", answer.error or "no answer")
    if 200 <= status < 300:
        # Delivered all the same: a second delivery would count twice.
        return _NO_COLLECTOR if _is_page(answer.headers) else _DELIVERED
    if status < 400 or status >= 500 or status in _OF_THE_WAY:
        advice = _ADVICE.get(status) or (
            "check endpoint: it redirects" if 300 <= status < 400 else ""
        )
        reason = f"the collector answered {status}" + (f" ({advice})" if advice else "")
        return Verdict("retry", reason, told_wait(answer.headers, now))
    return Verdict("dead", f"the collector answered {status}, which speaks of this event")


def _is_page(headers: Mapping[str, str]) -> bool:
    return headers.get("content-type", "").lstrip().lower().startswith("text/html")


def told_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that `Retry-After` or `RateLimit-Reset` ask for, at most an hour."""
    waits = [
        _retry_after(headers.get("retry-after"), _their_now(headers, now)),
        _seconds(headers.get("ratelimit-reset")),
    ]
    told = [wait for wait in waits if wait is not None]
    return min(max(0.0, *told), MOST_WAIT) if told else None


def _seconds(text: str | None) -> float | None:
    text = (text or "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _retry_after(text: str | None, now: float) -> float | None:
    seconds = _seconds(text)
    if seconds is not None or not text:
        return seconds
    when = _date(text)
    return None if when is None else when - now


def _their_now(headers: Mapping[str, str], now: float) -> float:
    """Return what time it is by the clock of the one who answered: ours may be an hour wrong."""
    told = _date(headers.get("date"))
    return now if told is None else told


def _date(text: str | None) -> float | None:
    if not text:
        return None
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        when = parsedate_to_datetime(text)
        # A date whose zone is "-0000" comes without one; it means UTC all the same.
        return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def backoff(attempts: int, chance: float) -> float:
    """Return the seconds to wait after so many failed attempts: full jitter, 0.5 s doubling to 60
    s.

    `chance` is a random number from 0 to 1.
    """
    return min(BACKOFF_MOST, BACKOFF_FIRST * 2.0 ** min(max(attempts - 1, 0), 16)) * chance

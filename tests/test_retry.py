from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totango_sdk import Answer
from totango_sdk.delivery.retry import BACKOFF_MOST, MOST_WAIT, Verdict, backoff, judge, told_wait

NOW = 1_800_000_000.0


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_every_2xx_is_delivered(status: int) -> None:
    assert judge(Answer(1, status), NOW) == Verdict("delivered")


@pytest.mark.parametrize(
    "status", [100, 301, 302, 303, 307, 308, 401, 403, 404, 407, 408, 425, 429, 500, 502, 503, 504, 599]
)
def test_what_speaks_of_the_way_is_tried_again(status: int) -> None:
    verdict = judge(Answer(1, status), NOW)
    assert verdict.kind == "retry"
    assert f"the collector answered {status}" in verdict.reason
    assert verdict.wait is None


@pytest.mark.parametrize("status", [400, 402, 405, 406, 409, 410, 411, 413, 414, 415, 422, 431, 451, 499])
def test_what_speaks_of_the_event_is_a_dead_letter(status: int) -> None:
    assert judge(Answer(1, status), NOW) == Verdict(
        "dead", f"the collector answered {status}, which speaks of this event"
    )


def test_no_answer_is_tried_again_and_says_why() -> None:
    assert judge(Answer(1, None, error="ConnectError: refused"), NOW) == Verdict("retry", "ConnectError: refused")
    assert judge(Answer(1, None), NOW) == Verdict("retry", "no answer")


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "check api_token"), (403, "service_id"), (404, "region"), (407, "proxy"), (302, "it redirects")],
)
def test_a_wrong_setting_is_named(status: int, advice: str) -> None:
    assert advice in judge(Answer(1, status), NOW).reason


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 7 "}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 -0000"}, 30.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        ({"retry-after": "86400"}, MOST_WAIT),
        ({"retry-after": formatdate(NOW + 86400, usegmt=True)}, MOST_WAIT),
        ({"ratelimit-reset": "12"}, 12.0),
        ({"ratelimit-reset": "12", "retry-after": "3"}, 12.0),
        ({"ratelimit-reset": "3", "retry-after": "12"}, 12.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1.5"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"ratelimit-reset": "soon"}, None),
        ({"retry-after": "Fri, 99 Jan 2027 08:00:00 GMT"}, None),
    ],
)
def test_the_wait_that_the_collector_asks_for_is_at_most_an_hour(headers: dict[str, str], wait: float | None) -> None:
    assert told_wait(headers, NOW) == wait
    assert judge(Answer(1, 429, headers), NOW).wait == wait
    assert judge(Answer(1, 503, headers), NOW).wait == wait


@given(st.text() | st.from_regex(r"\w{3}, \d{1,4} \w{3} \d{1,6} \d\d:\d\d:\d\d [+-]?\w{1,6}"))
def test_no_header_can_break_it(text: str) -> None:
    wait = told_wait({"retry-after": text, "ratelimit-reset": text}, NOW)
    assert wait is None or 0 <= wait <= MOST_WAIT


def test_the_backoff_doubles_from_half_a_second_to_a_minute() -> None:
    assert [backoff(attempts, 1.0) for attempts in range(1, 10)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff(10**9, 1.0) == backoff(0, 1.0) * 120 == BACKOFF_MOST


@given(st.integers(-5, 10**6), st.floats(0, 1))
def test_the_backoff_has_full_jitter(attempts: int, chance: float) -> None:
    assert backoff(attempts, chance) == backoff(attempts, 1.0) * chance

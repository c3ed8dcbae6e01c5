"""The short road of replay makes the same requests, counts and rejections as the long one."""

from __future__ import annotations

import csv
import io
import json
import random
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totango_sdk import Totango
from totango_sdk.identity import id_problems
from totango_sdk.replay import replay
from totango_sdk.replay.short import _SURE_USER
from totango_sdk.testing import RecordingTransport

ACCOUNTS = ["a1", "a2", "bad id", "", "n/a", "0", "0019000000B98de"]
USERS = [
    *("u1", "jo@example.com", "o'neil@example.com", "null", "0", "", "a b", "Ünal@example.com", "true", "j+x@y.z"),
    *("undefined", "[object Object]", "x" * 101, "jo%40example.com", "\ufffd"),
]
ACTIVITIES = ["Login", "Übung & mehr", ""]
TIMES = ["", "2999-01-01T00:00:00Z", "2001-01-01T00:00:00Z", "yesterday", "2999-01-01 00:00:00", "2999-13-01T00:00:00Z"]


def both(source: bytes, **more: Any) -> list[Any]:
    """What is sent and told by the short road, and by the long one, which a hook asks for."""
    found = []
    for hook in (None, lambda event: event):
        transport = RecordingTransport()
        client = Totango("SP-0000-00", transport=transport, spool="memory", max_connections=1, before_send=hook)
        report = replay(io.BytesIO(source), client, **more).as_mapping()
        client.close()
        report.pop("seconds")
        found.append((transport.sent, report))
    return found


def many_rows(kinds: dict[str, list[str]], count: int = 600) -> list[dict[str, str]]:
    chance = random.Random(5)
    rows = [{name: chance.choice(values) for name, values in kinds.items()} for _ in range(count)]
    for row in rows[::3]:
        row["user_id"] = f"user{chance.randrange(200)}@example.com"
    return rows


COLUMNS = {
    "ids": {"account_id": ACCOUNTS, "user_id": USERS, "activity": ACTIVITIES, "module": ["App", ""], "time": TIMES},
    "names": {
        "account_id": ["a1", "a2"],
        "account_name": ["Acme", ""],
        "user_id": USERS,
        "user_name": ["Jo", "", "x" * 300],
        "activity": ["Login"],
        "module": ["App"],
        "user.Role": ["boss", "null"],
        "contact": ["yes", "maybe"],
    },
    "products": {
        "account_id": ["a", "a_b"],
        "product": ["b_c", "c", ""],
        "product_name": ["Pro"],
        "user_id": USERS[:2],
        "call": ["track", "identify", "user", "account", "heartbeat", "dance"],
        "activity": ["Login"],
        "module": ["App"],
    },
    "wire": {
        "sdr_s": ["SP-0000-00", "SP-0000-01"],
        "sdr_o": ACCOUNTS,
        "sdr_u": USERS,
        "sdr_a": ["Login", "Übung"],
        "sdr_m": ["App"],
        "sdr_o.Plan": ["Gold"],
        "r": ["1", "2", "3"],
        "timestamp": TIMES[:2],
    },
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("form", ["csv", "ndjson"])
@pytest.mark.parametrize("flags", [{}, {"unique": True}, {"dry_run": True}, {"max_age": 10**9}], ids=str)
def test_both_roads_send_and_tell_the_same(kind: str, form: str, flags: dict[str, Any]) -> None:
    rows = many_rows(COLUMNS[kind])
    if kind == "wire":
        for row in rows:
            if "user_id" in row:
                row["sdr_u"] = row.pop("user_id")
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(COLUMNS[kind]))
        writer.writeheader()
        writer.writerows(rows)
        source = text.getvalue()
    else:
        source = "".join(json.dumps(row) + "\n" for row in rows)
    short, long = both(source.encode(), **flags)
    assert short == long
    assert short[1]["rows"] == 600


@pytest.mark.parametrize("more", ["", "&sdr_u=again", "&sdr_u.Role=boss"])
def test_both_roads_read_a_log_the_same(more: str) -> None:
    line = '1.1.1.1 - - [{}] "GET /pixel.gif/?sdr_s=SP-0000-00&sdr_o={}&sdr_u={}&sdr_a=L&sdr_m=A{}&r={} HTTP/1.1" 200 43 "-" "-"\n'
    times = ["24/Nov/2999:10:00:00 +0100", "24/Nov/1999:10:00:00 +0000", "54/Foo/2999:10:00:00 +0000"]
    chance = random.Random(3)
    users = [*USERS[:5], *(f"u{n}@example.com" for n in range(40))]
    rows = [
        line.format(chance.choice(times), quote(chance.choice(ACCOUNTS)), quote(chance.choice(users)), more, n)
        for n in range(500)
    ]
    short, long = both("".join(rows).encode())
    assert short == long


@given(st.from_regex(_SURE_USER, fullmatch=True))
def test_a_user_id_that_is_held_for_right_breaks_no_rule(user_id: str) -> None:
    assert id_problems("user", user_id, "user") == ()
    assert quote(user_id, safe="") == user_id.replace("@", "%40")

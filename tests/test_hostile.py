"""Row 9 of the failure table: whatever is put in comes out exactly, or is clearly refused.

By hand with more cases: HOSTILE_CASES=100000 python -m pytest tests/test_hostile.py
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from totango_sdk import Account, InvalidEvent, Totango, User
from totango_sdk.testing import RecordingTransport

CASES = int(os.environ.get("HOSTILE_CASES", "2000"))
NASTY = [
    "&",
    "=",
    "%",
    "+",
    "\r\n",
    "\0",
    "\ud800",
    "%26",
    "sdr_s",
    "sdr_o.Plan",
    "api-token",
    "é",
    "😀",
    ";",
    "#",
    " ",
]
texts = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from(NASTY), max_size=6).map("".join),
    st.characters().map(lambda char: char * 600),
)
values = st.one_of(texts, st.booleans(), st.integers(), st.floats(), st.decimals(), st.none(), st.binary(max_size=9))
right_ids = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
ids = st.one_of(right_ids, right_ids, right_ids, texts)
right_names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
names = st.one_of(right_names, right_names, texts)
right_values = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.integers(), st.booleans())
some = st.dictionaries(names, st.one_of(right_values, right_values, values), max_size=3)
LIMITS = {"account": 512, "user": 255}


@pytest.fixture(scope="module")
def recorder() -> Any:
    transport = RecordingTransport()
    client = Totango("SP-1234-01", transport=transport, spool="memory", strict=True, attributes_ttl=0, api_token="t")
    yield client, transport
    client.close()


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    activity=names,
    module=names,
    account=ids,
    user=ids,
    account_attributes=some,
    user_attributes=some,
)
@example("A", "M", "a", "u", {"sdr_s": "SP-6666-66"}, {})
@example("A&sdr_o=evil", "M=%00", "a", "u", {"Plan&sdr_u": "x&sdr_a=y"}, {"x\ud800": "y"})
@example("A", "M", "a", "u", {"Plan": "x" * 10_000_000}, {"n": float("nan")})
@example("A", "M", "a", "u", {"Plan": Decimal("1E+999999")}, {"n": 10**400})
@example("A", "M", "a", "u", {"api-token": "stolen", "account_name": "x"}, {"id": "y"})
def test_decoding_gives_back_exactly_what_was_put_in_or_it_was_refused(
    recorder: Any,
    activity: str,
    module: str,
    account: str,
    user: str,
    account_attributes: dict[str, Any],
    user_attributes: dict[str, Any],
) -> None:
    client, transport = recorder
    who = Account(account, attributes=account_attributes)
    person = User(user, attributes=user_attributes)
    transport.sent.clear()
    try:
        client.track(activity, module, who, person)
    except InvalidEvent as refused:
        assert refused.problems
        assert str(refused)
        str(refused).encode()  # can be written to any log
        assert not transport.sent
        return
    assert client.flush(10)
    (sent,) = transport.sent
    expected = [("sdr_s", "SP-1234-01"), ("sdr_o", account), ("sdr_u", user), ("sdr_a", activity), ("sdr_m", module)]
    assert sent[:5] == expected
    assert sent[-1] == ("api-token", "t")
    rest = sent[5:-1]
    given_names = [f"sdr_o.{name}" for name, value in account_attributes.items() if value is not None]
    given_names += [f"sdr_u.{name}" for name, value in user_attributes.items() if value is not None]
    assert [name for name, _ in rest] == given_names
    told = dict(rest)
    for kind, attributes in (("account", account_attributes), ("user", user_attributes)):
        for name, value in attributes.items():
            if isinstance(value, str):
                prefix = "sdr_o" if kind == "account" else "sdr_u"
                assert told[f"{prefix}.{name}"] == value[: LIMITS[kind]]

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totango_sdk.wire import decode, encode
from totango_sdk.wire.redact import redact


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("sdr_s=1&api-token=hunter2&sdr_o=x", "sdr_s=1&api-token=…&sdr_o=x"),
        ("API_TOKEN=hunter2", "API_TOKEN=…"),
        ("%61pi%2D%74oken=hunter2&a=b", "%61pi%2D%74oken=…&a=b"),
        ("sdrurl=http%3A%2F%2Fx%3Fapi-token%3Dhunter2&r=1", "sdrurl=http%3A%2F%2Fx%3Fapi-token…&r=1"),
        ("api-token:hunter2", "api-token…"),
        ('{"api-token": "hunter2&hunter3"}', "%7B%22api-token…"),
        ('x\r\nname="api-token"\r\n\r\nhunter2&hunter3', "x\r\nname=%22api-token…"),
        ("sdr_o.tokens=7&x=%40%4b%20", "sdr_o.tokens=7&x=%40%4b%20"),
        ("", ""),
    ],
)
def test_the_token_is_taken_out_of_a_text_and_all_else_stays(text: str, kept: str) -> None:
    assert redact(text) == kept


@given(st.lists(st.tuples(st.text(), st.text())), st.text(min_size=8))
def test_no_token_of_a_form_is_left(pairs: list[tuple[str, str]], token: str) -> None:
    body = redact(encode([("api-token", token), *_encodable(pairs)]).decode()) if _encodable([("", token)]) else ""
    assert ("api-token", token) not in decode(body)


def _encodable(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [pair for pair in pairs if not any("\ud800" <= char <= "\udfff" for text in pair for char in text)]

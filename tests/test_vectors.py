"""Each case of the specification's vectors, sent through the client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from totango_sdk import InvalidEvent, Totango
from totango_sdk.testing import RecordingTransport

CASES = json.loads((Path(__file__).parent / "vectors" / "wire.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_each_case_sends_exactly_its_parameters_in_order(case: dict[str, Any]) -> None:
    transport = RecordingTransport()
    client = Totango.from_options(case["options"], transport=transport, spool="memory", strict=True)
    errors: list[str] = []
    for name, *args in case["calls"]:
        try:
            getattr(client, name)(*args)
        except InvalidEvent as error:
            errors += [problem.field for problem in error.problems if problem.severity == "error"]
    assert client.flush()
    client.close()
    assert errors == case.get("errors", [])
    assert [[list(pair) for pair in pairs] for pairs in transport.sent] == case["sent"]


def test_the_vectors_name_every_parameter_of_the_wire() -> None:
    names = {name for case in CASES for request in case["sent"] for name, _ in request}
    assert {"sdr_s", "sdr_o", "sdr_ofid", "sdr_u", "sdr_a", "sdr_m", "sdr_odn", "api-token"} <= names

"""Each case of the specification's vectors for replay, through `preview`."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from totango_sdk import OptionsError
from totango_sdk.replay import preview

CASES = json.loads((Path(__file__).parent / "vectors" / "replay.json").read_text(encoding="utf-8"))


def source_of(case: dict[str, Any], folder: Path) -> Any:
    if "sql" in case:
        import duckdb

        path = folder / "rows.parquet"
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"copy ({case['sql']}) to '{path}' (format parquet)")
        return path
    data = base64.b64decode(case["input_base64"]) if "input_base64" in case else case["input"].encode()
    return io.BytesIO(data)


def read(case: dict[str, Any], folder: Path) -> tuple[list[dict[str, Any]], Any]:
    flags = dict(case.get("flags", {}))
    flags |= flags.pop("defaults", {})
    found = preview(source_of(case, folder), service_id="SP-0000-00", now="2026-11-24T12:00:00Z", **flags)
    return list(found), found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_each_case_means_exactly_its_calls(case: dict[str, Any], tmp_path: Path) -> None:
    if "error" in case:
        with pytest.raises(OptionsError):
            read(case, tmp_path)
        return
    rows, found = read(case, tmp_path)
    rejected = [{key: row[key] for key in row if key != "reason"} for row in rows if "code" in row]
    assert [row for row in rows if "call" in row] == case["calls"]
    assert rejected == case["rejected"]
    assert sum("skipped" in row for row in rows) == case["skipped"]
    assert found.reread == case["reread"]
    assert found.left_out == case.get("left_out", [])
    assert all(row["reason"] for row in rows if "code" in row)

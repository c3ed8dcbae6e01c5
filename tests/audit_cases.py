"""The cases of the audit's contract."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from totango_sdk.audit import audit

CASES = json.loads((Path(__file__).parent / "vectors" / "audit.json").read_text())


def check(case: dict[str, Any]) -> None:
    found = audit(
        {file["name"]: io.BytesIO(file["csv"].encode()) for file in case["files"]},
        columns={file["name"]: file["columns"] for file in case["files"] if "columns" in file},
        kinds={file["name"]: file["kind"] for file in case["files"] if "kind" in file},
    )
    assert [finding.as_mapping() for finding in found.findings] == case["findings"]
    assert (found.pattern, found.user_pattern) == (case["pattern"], case["user_pattern"])

"""docs/replay.md, run as it is written."""

from __future__ import annotations

import re
from pathlib import Path

from totango_sdk.testing import RecordingTransport

PAGE = (Path(__file__).parent.parent / "docs" / "replay.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs_from_top_to_bottom() -> None:
    transport = RecordingTransport()
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 5
    names = {"transport": transport}
    for block in blocks:
        exec(compile(block, "docs/replay.md", "exec"), names)
    assert len(transport.sent) == 1

"""The HTML report: whole, still, and safe with whatever is in the rows."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from totango_sdk.cli.app import app
from totango_sdk.replay.page import page
from totango_sdk.replay.report import Report

if TYPE_CHECKING:
    from pathlib import Path


def test_the_page_tells_all_counts_and_examples_with_a_text_for_its_chart() -> None:
    report = Report(rows=3, delivered=1, rejected=2, by_code={"invalid": 1, "quote": 1})
    report.examples = [{"line": 2, "code": "invalid", "reason": "<script>alert(1)</script>"}]
    text = page(report, "[account]\n")
    assert "&lt;script&gt;alert(1)" in text
    assert "<script" not in text
    assert 'aria-label="Rejected rows: invalid 1, quote 1"' in text
    assert "[account]" in text
    assert "src=" not in text
    assert "href=" not in text
    assert len(text) < 1_000_000


@pytest.mark.parametrize("rows", [0, 2])
def test_the_command_writes_the_page_for_its_owner_alone(tmp_path: Path, rows: int) -> None:
    path, out = tmp_path / "e.csv", tmp_path / "out.html"
    path.write_text("account_id,user_id,activity,module\n" + "a 1,u1,Login,App\n" * rows)
    done = CliRunner().invoke(
        app, ["replay", str(path), "--service-id", "SP-0000-00", "--dry-run", "--report", str(out)]
    )
    assert done.exit_code == (1 if rows else 0), done.output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "Replay, a dry run" in out.read_text()

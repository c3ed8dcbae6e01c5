"""The README's and the documentation's Python blocks run as they stand, against a real collector."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from totango_sdk.integrations import celery as integration
from totango_sdk.testing import sandbox_server
from totango_sdk.testing.plugin import totango_events

__all__ = ["totango_events"]

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("**/*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = [
    pytest.param(
        page, found.start(), found[1], id=f"{page.name}:{page.read_text()[: found.start()].count(chr(10)) + 2}"
    )
    for page in PAGES
    if page.name != "replay.md"  # a page that is run from top to bottom, by a test of its own
    for found in BLOCK.finditer(page.read_text())
]


@pytest.mark.parametrize(("page", "start", "code"), BLOCKS)
def test_a_python_block_of_the_documentation_runs(
    page: Path,
    start: int,
    code: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    with sandbox_server() as sandbox:
        monkeypatch.setenv("TOTANGO_ENDPOINT", sandbox.endpoint)
        monkeypatch.setenv("TOTANGO_SPOOL", str(tmp_path / "spool"))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(integration, "_installed", None)  # a process has one; each block is one
        # Celery gives a task to every app that is made later in the process, unless it is not shared.
        monkeypatch.setattr("celery._state._on_app_finalizers", set())
        line = page.read_text()[:start].count("\n") + 1
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(compile("\n" * line + code, str(page), "exec"), names)
        for test in [value for name, value in names.items() if name.startswith("test_")]:
            test(**{name: request.getfixturevalue(name) for name in inspect.signature(test).parameters})
        assert sandbox.summary()["totals"]["dropped"] == 0


def test_every_link_between_pages_leads_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_nothing_in_the_documentation_promises_an_option_that_is_not_there() -> None:
    from totango_sdk.options import Options

    table = (ROOT / "README.md").read_text().split("## Options")[1].split("## More")[0]
    named = {
        name for cell in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
    }
    assert named == {field.name for field in Options.__attrs_attrs__}

"""Both HTML reports in a real Chromium: good for everybody, at both widths, light and dark."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsers import chromium

from tests.plants import Plants
from totango_sdk import Totango
from totango_sdk.audit import audit
from totango_sdk.cli.audit_page import page as audit_page
from totango_sdk.replay import replay
from totango_sdk.replay.page import page as replay_page
from totango_sdk.replay.report import Pace
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["chromium"]
IMAGES = Path(__file__).parent.parent / "docs" / "images"
HOSTILE = '"><svg onload=alert(1)><script>alert(2)</script>'


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The two reports, as HTML."""
    folder = tmp_path_factory.mktemp("reports")
    audited = audit(Plants(400, 6).write(folder), limit=1 << 60)
    rows = [f"a{n % 7},u{n},Viewed page {n % 9},Module {n % 4},x" for n in range(4000)]
    rows[::40] = ["Acme Inc.,u1,Login,App,x"] * 100
    rows[5::400] = [f'"{HOSTILE.replace(chr(34), chr(34) * 2)}",u1,Login,App,x'] * 10
    source = folder / "events.csv"
    source.write_text("account_id,user_id,activity,module,plan\n" + "\n".join(rows) + '\n"a,b\n')
    client = Totango("SP-1234-01", transport=RecordingTransport(), spool="memory")
    report = replay(source, client)
    report.pace = Pace()
    for second in range(40):
        report.pace.note(second, second * 900 + 100 * (second % 5))
    report.seconds = 40.0
    report.sources[0]["path"] = source.name  # the same in every picture
    return {"audit": audit_page(audited), "replay": replay_page(report, '[account]\nid = "account_id"\n')}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [375, 1440])
@pytest.mark.parametrize("name", ["audit", "replay"])
def test_a_report_is_good_for_everybody(
    chromium: Browser, pages: dict[str, str], name: str, width: int, scheme: Any
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.set_content(pages[name])
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert asked == []
    if os.environ.get("REPORT_PICTURES"):  # asked for: they differ with the fonts of a machine
        page.screenshot(path=IMAGES / f"report-{name}-{scheme}-{width}.png")
    page.close()


def test_no_text_of_a_row_becomes_part_of_a_page(pages: dict[str, str]) -> None:
    for text in pages.values():
        assert "<script" not in text
        assert "<svg onload" not in text
        assert "src=" not in text
        assert len(text) < 1_000_000
    assert "begins here" in pages["audit"]
    assert 'aria-label="Rows delivered a second' in pages["replay"]

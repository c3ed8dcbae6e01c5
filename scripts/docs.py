"""Builds the site of all docs below build/docs/site, and checks each of its links: `make docs`.

The pages are laid out as they are in the repository. Exits with 1 for a warning, a link or an anchor that leads nowhere, or
something that would be loaded from another host.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "build" / "docs" / "pages"
SITE = ROOT / "build" / "docs" / "site"
SOURCES = (
    "README.md",
    "CHANGELOG.md",
    "docs/**/*.md",
    "docs/images/*",
    "examples/**/*.md",
    "examples/*.py",
    "examples/data/*",
    "benchmarks/results.md",
    "benchmarks/plots/*.svg",
)
_LOADED = {"img": "src", "link": "href", "script": "src", "source": "src"}


class Page(HTMLParser):
    """What a page links to, what it loads, and what can be linked to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what leads somewhere."""
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in _LOADED and found.get("rel") != "canonical" and _LOADED[tag] in found:
            self.loads.append(found[_LOADED[tag]])


def lay_out() -> None:
    """Copy what the site is made of to where mkdocs finds it."""
    shutil.rmtree(PAGES, ignore_errors=True)
    for pattern in SOURCES:
        for path in ROOT.glob(pattern):
            target = PAGES / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)


def build() -> int:
    """Run mkdocs, for which a warning is an error."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--quiet"]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # of its successors: not about our pages
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def wrong_links() -> list[str]:
    """Return what leads nowhere in the site, or out of it where a page is to be whole by itself."""
    pages = {path: Page(path) for path in sorted(SITE.rglob("*.html"))}
    wrong = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links are those of the site's root
            continue
        name = path.relative_to(SITE)
        outside = [load for load in page.loads if urlsplit(load).netloc]
        wrong += [f"{name} loads {load}" for load in outside]
        for link in [*page.links, *page.loads]:
            if not leads_somewhere(path, link, pages):
                wrong.append(f"{name} links to {link}, which is not there")
    return wrong


def leads_somewhere(path: Path, link: str, pages: dict[Path, Page]) -> bool:
    """Whether a link within the site has a page, and the page that anchor."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    target = target / "index.html" if target.is_dir() else target
    if not target.is_file():
        return False
    is_found = not parts.fragment or target not in pages
    return is_found or unquote(parts.fragment) in pages[target].anchors


def main() -> int:
    """Build, check, and say where it is."""
    lay_out()
    if code := build():
        return code
    if wrong := wrong_links():
        print(*wrong, sep="\n", file=sys.stderr)
        return 1
    count = len(list(SITE.rglob("*.html")))
    print(f"{count} pages, each link leads somewhere: {SITE.relative_to(ROOT)}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The figures of how the code reads, on a tree whose figures can be counted by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
CODE = '''"""A module."""


def short() -> int:
    """One line."""
    return 1


def long(given: list[int], flag: bool) -> int:
    # a comment is no code
    total = 0
    for each in given:
        if each and flag or total:
            total += 1 if each > 1 else 2 if flag else 3

    def inner() -> int:
        return 0 if flag else 1

    return total + sum(x for x in given if x) + inner()
'''


def test_the_figures_are_those_that_one_counts_by_hand(tmp_path: Path) -> None:
    (tmp_path / "totango_sdk").mkdir()
    (tmp_path / "totango_sdk" / "one.py").write_text(CODE)
    ended = subprocess.run(
        [sys.executable, ROOT / "scripts" / "figures.py", tmp_path], capture_output=True, text=True, check=True
    )
    rows = [line.strip("| ").split(" | ") for line in ended.stdout.splitlines()[2:]]
    assert dict(rows) == {  # type: ignore[arg-type]
        "modules": "1",
        "lines": "19",
        "lines of the longest module": "19",
        "functions": "3",
        "lines of a function, median": "2",
        "lines of a function, p90": "6",
        "lines of a function, longest": "6",
        "characters a line that is not blank": f"{sum(map(len, CODE.splitlines())) / 13:.1f}",
        "conditional expressions for 100 functions": "100.0",
        "conditional expressions with another within": "1",
        "functions with 10 branches or more": "0",
    }


def test_this_tree_is_measured_where_none_is_given() -> None:
    ended = subprocess.run(
        [sys.executable, ROOT / "scripts" / "figures.py"], capture_output=True, text=True, check=True
    )
    assert ended.stdout.startswith(f"| | {ROOT.name} |")

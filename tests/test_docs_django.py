"""The pieces of code of docs/django.md are those of the example, which runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "django.md").read_text()
PIECES = re.findall(r'^```python title="(.*?)"\n(.*?)^```', PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("name", "code"), PIECES, ids=[f"{name} {at}" for at, (name, _) in enumerate(PIECES)])
def test_a_piece_of_code_is_the_examples(name: str, code: str) -> None:
    lines = (ROOT / "examples" / "django_app" / name).read_text().splitlines()
    at = 0
    for line in code.splitlines():
        if line.strip() == "...":
            continue
        assert line in lines[at:], f"{line!r} is not in {name}, or not in this order"
        at += lines[at:].index(line) + 1


def test_every_setting_is_named() -> None:
    from totango_sdk.integrations.django.config import _OWN

    table = PAGE.split("| setting in")[1].split("\n\n")[0]
    assert all(f"`{name}`" in table for name in _OWN)


def test_every_piece_of_code_is_checked() -> None:
    assert len(PIECES) == len(re.findall(r"^```python", PAGE, re.MULTILINE)) > 4

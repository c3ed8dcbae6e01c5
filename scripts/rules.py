"""Writes docs/rules.md: every rule by which the SDK and the sandbox check, from the code."""

from __future__ import annotations

from pathlib import Path

from totango_sdk.identity.rules import as_markdown

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"
HEAD = """# The rules

Each check has a name, which does not change when its sentence does. It is the `rule` of a `Problem`,
in `InvalidEvent.problems`, in a dead letter's `problems` (also in `totango spool dead --json`) and in the
sandbox's `/problems.json`. Count and decide by it; the message is for people.

An *error* means that Totango would drop or misfile the event, so it is not sent. A *warning* means that
it is sent, and told once. What a rule is based on: [identity](https://support.totango.com/hc/en-us/articles/203640435)
and [limits](https://support.totango.com/hc/en-us/articles/360042488351) in Totango's help centre.

This page is made from the code, by `python scripts/rules.py`.

"""


def page() -> str:
    """Return the page as it should be."""
    return HEAD + as_markdown()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

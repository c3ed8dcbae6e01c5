"""What keeps events from arriving, looked at one thing after another. No event is sent.

for check in examine(Asked.of(region="eu1")):
    print(check.verdict, check.name, check.found, check.advice)
"""

from __future__ import annotations

from .checks import Asked, examine
from .verdicts import Check

__all__ = ["Asked", "Check", "examine"]

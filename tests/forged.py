"""Texts that claim to say who a job is for, and are not ours."""

from __future__ import annotations

import json
import random
from typing import Any

PLAIN: list[Any] = [
    "x" * 5000,
    '{"v":2,"s":"SP-1234-01","a":"A","u":"U"}',
    '{"v":1,"s":"SP-9-9","a":"A","u":"U"}',
    '{"v":1,"s":"SP-1234-01","a":"A B","u":"U"}',
    '{"v":1,"s":"SP-1234-01","a":"A\\u0000","u":"U"}',
    "[" * 1000 + "]" * 1000,
    '{"v":1,"s":"SP-1234-01","a":' + '{"a":' * 400 + "1" + "}" * 400 + "}",
    5,
    ["a"],
    {"v": 1, "a": "A"},
    True,
]


def forged_texts(count: int, seed: int = 12) -> list[Any]:
    """Return so many: the plain ones, broken halves of right ones, and random ones."""
    chosen = random.Random(seed)
    right = json.dumps({"v": 1, "s": "SP-1234-01", "a": "A", "u": "U", "m": "M"})

    def one() -> Any:
        kind = chosen.randrange(4)
        if kind == 0:
            return "".join(map(chr, chosen.choices(range(1, 0x2FFF), k=chosen.randrange(1, 200))))
        if kind == 1:
            return right[: chosen.randrange(1, len(right))]
        if kind == 2:
            return json.dumps({name: chosen.choice([1, None, [], {}, "A B", 1.5, True]) for name in "vsaupm"})
        return chosen.choice(PLAIN)

    return [*PLAIN, *(one() for _ in range(count - len(PLAIN)))]

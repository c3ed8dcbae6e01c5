"""`python -m benchmarks [--quick | --full] [--only GROUP ...] [--again]`."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time

from benchmarks import plots, report
from benchmarks.book import Book
from benchmarks.harness import BUILD
from benchmarks.measures import GROUPS
from benchmarks.settings import DEFAULT, FULL, QUICK, Settings

HERE = pathlib.Path(__file__).resolve().parent
STORED = BUILD / "results.json"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", const=QUICK, dest="settings", help="a look, about two minutes")
    size.add_argument("--full", action="store_const", const=FULL, dest="settings", help="with 1,000,000 waiting")
    parser.add_argument("--only", nargs="+", choices=GROUPS, metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--again", action="store_true", help="write the report of the last run again")
    parser.set_defaults(settings=DEFAULT)
    return parser.parse_args()


def measure(s: Settings, only: list[str] | None) -> Book:
    groups = {}
    for name in only or [name for name in GROUPS if name not in s.left_out]:
        began = time.monotonic()
        groups[name] = GROUPS[name](s)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return Book(groups)


def main() -> None:
    given = arguments()
    s: Settings = given.settings
    if given.again:
        stored = json.loads(STORED.read_text())
        book, facts = Book(stored["groups"]), stored["facts"]
        s = next(size for size in (DEFAULT, QUICK, FULL) if size.name == facts["run"])
    else:
        book, facts = measure(s, given.only), report.about(s)
        STORED.write_text(json.dumps({"facts": facts, "groups": book.groups}))
    text = report.text(book, facts, s)
    print(text)
    if s is QUICK or set(book.groups) < {name for name in GROUPS if name not in s.left_out}:
        print("A partial or quick run: results.md was left as it is.", file=sys.stderr)
        return
    (HERE / "results.md").write_text(text)
    plots.draw(book, HERE / "plots")


if __name__ == "__main__":
    main()

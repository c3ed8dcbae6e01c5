"""The results of a run, and how they are looked up and written."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks.harness import ROOT, Result
from benchmarks.measures import Group

MISSING = "\N{EN DASH}"
NOT_YET = "not yet"
NOT_THERE = ("OptionsError", "ImportError", "ModuleNotFoundError", "NotImplementedError")


@dataclass(frozen=True)
class Book:
    """Every group's runs, and medians over their rounds; what was not measured is None and shown as a dash."""

    groups: dict[str, Group]

    def runs(self, group: str, cell: str) -> list[Result]:
        return self.groups.get(group, {}).get(cell, [])

    def values(self, group: str, cell: str, field: str) -> list[float]:
        return [run[field] for run in self.runs(group, cell) if field in run]

    def median(self, group: str, cell: str, field: str) -> float | None:
        """None as well if any of the runs failed: what is left would not be the medians that were promised."""
        values = self.values(group, cell, field)
        return statistics.median(values) if values and len(values) == len(self.runs(group, cell)) else None

    def show(self, group: str, cell: str, field: str, digits: int = 0) -> str:
        value = self.median(group, cell, field)
        if value is not None:
            return number(value, digits)
        runs = self.runs(group, cell)
        return NOT_YET if runs and all(run.get("error", "").startswith(NOT_THERE) for run in runs) else MISSING

    def troubles(self) -> list[str]:
        """Everything that went wrong or was delivered twice: what, and in which measurements."""
        found: dict[str, list[str]] = {}
        for group, cells in self.groups.items():
            for cell, runs in cells.items():
                for trouble in [] if group == "loss" else _troubles(runs):
                    found.setdefault(trouble, []).append(f"{group}: {cell}")
        return [f"{text} ({'; '.join(where)})" for text, where in found.items()]


def _troubles(runs: list[Result]) -> list[str]:
    errors = [run["error"].replace(f"{ROOT}/", "") for run in runs if "error" in run]
    doubled = sum(run.get("duplicates", 0) for run in runs)
    texts = [f"{len(errors)} of {len(runs)} runs failed: {errors[0]}"] if errors else []
    return texts + ([f"{doubled:,} of {sum(run['expected'] for run in runs):,} delivered twice"] if doubled else [])


def number(value: float | None, digits: int = 0) -> str:
    return MISSING if value is None else f"{value:,.{digits}f}"


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, aligned for a terminal: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]

    def line(cells: list[str]) -> str:
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
        return "| " + " | ".join([cells[0].ljust(widths[0]), *rest]) + " |"

    rule = "| " + " | ".join(["-" * widths[0], *["-" * (width - 1) + ":" for width in widths[1:]]]) + " |"
    return "\n".join([line(header), rule, *[line(row) for row in rows]])

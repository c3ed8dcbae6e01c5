"""Two bar charts, small and the same for the same figures."""

from __future__ import annotations

import pathlib

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "benchmarks", "font.size": 9})

from matplotlib import pyplot  # noqa: E402  (the backend is chosen first)

from benchmarks.book import MISSING, Book  # noqa: E402
from benchmarks.report import TRACKERS  # noqa: E402
from benchmarks.settings import DELIVERIES  # noqa: E402

Series = dict[str, list[float | None]]


def _bars(path: pathlib.Path, title: str, labels: list[str], series: Series) -> None:
    """Grouped horizontal bars on a logarithmic scale, the first label on top; a missing value has no bar."""
    height = 0.8 / len(series)
    figure, axes = pyplot.subplots(figsize=(7, 0.8 + 0.34 * len(labels)), layout="constrained")
    for number, (name, values) in enumerate(series.items()):
        places = [row + (number - (len(series) - 1) / 2) * height for row in range(len(labels))]
        bars = axes.barh(places, [value or 0 for value in values], height, label=name)
        axes.bar_label(bars, [f"{value:,.0f}" if value else MISSING for value in values], padding=2, fontsize=7)
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_title(title, loc="left")
    axes.legend(fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    pyplot.close(figure)


def _measured(labels: dict[str, str], series: dict[str, dict[str, float | None]]) -> tuple[list[str], Series]:
    """Leaves out what has no figure at all."""
    keys = [key for key in labels if any(values[key] is not None for values in series.values())]
    return [labels[key] for key in keys], {name: [values[key] for key in keys] for name, values in series.items()}


def draw(book: Book, directory: pathlib.Path) -> None:
    directory.mkdir(exist_ok=True)
    fields = {"p50": "p50", "p99": "p99"}
    track = {name: {key: book.median("track_burst", key, name) for key in TRACKERS} for name in fields}
    labels, series = _measured(TRACKERS, track)
    if labels:
        _bars(directory / "track.svg", "What track costs in a burst, µs (less is better)", labels, series)
    rows = {row.key: row.label for row in DELIVERIES}
    rates = {f"{ms} ms": {key: book.median(f"deliver_{ms}", key, "rate") for key in rows} for ms in (0, 20)}
    labels, series = _measured(rows, rates)
    if labels:
        _bars(directory / "delivered.svg", "Delivered events a second (more is better)", labels, series)

"""What HTML reports have in common: one still file, without a script or a request to anywhere."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

from ..errors import OptionsError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEEDED = "--report needs jinja2 and leather: pip install 'totango-sdk[replay]'"
_BARS = 30
# What the charts are drawn in, and what is easier to see.
_COLOURS = {"#e41a1c": "#2a66a8", "#9c9c9c": "#4a5563", "#f9f9f9": "#ffffff"}
_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{% block title %}{% endblock %}</title>
<style>
:root { color-scheme: light dark; --text: #1c2430; --back: #fff; --line: #c9d0da; --good: #12692f;
  --bad: #a51d1d; --fair: #7a4d00; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e8ee; --back: #14181f; --line: #3b4452;
  --good: #6fd08c; --bad: #ff9b94; --fair: #f0b95a; } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; color: var(--text);
  background: var(--back); font: 1rem/1.5 system-ui, sans-serif; }
table { border-collapse: collapse; width: 100%; margin-bottom: 1rem; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: left;
  overflow-wrap: anywhere; vertical-align: top; }
figure { margin: 0 0 1rem; padding: .5rem; width: fit-content; max-width: calc(100% - 1rem); background: #fff; color: #1c2430; border-radius: .3rem; }
figure svg { display: block; max-width: 100%; height: auto; }
pre { overflow-wrap: anywhere; white-space: pre-wrap; }
.pass { color: var(--good); } .fail { color: var(--bad); } .warn { color: var(--fair); }
.rows td::before { display: none; }
@media (max-width: 40rem) {
  .rows thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  .rows tr { display: block; border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .rows td { display: flex; gap: .6rem; border: 0; padding: .1rem 0; }
  .rows td::before { content: attr(data-name); display: block; flex: 0 0 6.5rem; font-weight: 600; }
}
</style>
</head>
<body>
<main>
{% block main %}{% endblock %}
</main>
</body>
</html>
"""


def rendered(template: str, **values: Any) -> str:
    """Return a page that extends `frame`. Raises `OptionsError` without the extra `replay`."""
    try:
        import jinja2
    except ModuleNotFoundError:
        raise OptionsError(_NEEDED) from None
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.DictLoader({"frame": _FRAME, "page": template}),
    )
    return environment.get_template("page").render(values)


def bars(counts: Sequence[tuple[str, int]], said: str) -> Any:
    """Return a chart of the largest counts, as SVG with a text that says the same."""
    found = sorted(counts, key=lambda each: -each[1])[:_BARS]
    if not found:
        return ""
    chart = _leather().Chart("")
    chart.add_bars([(count, name) for name, count in found])
    text = f"{said}: " + ", ".join(f"{name} {count:,}" for name, count in found)
    return _told(chart, 80 + 32 * len(found), text)


def line(points: Sequence[tuple[float, float]], said: str) -> Any:
    """Return a chart of values over time, as SVG; `said` is what it says, in words."""
    if len(points) < 2:
        return ""
    chart = _leather().Chart("")
    chart.add_line(list(points))
    chart.add_y_scale(0, max(1.0, *(value for _, value in points)))
    return _told(chart, 260, said)


def _leather() -> Any:
    try:
        import leather
    except ModuleNotFoundError:
        raise OptionsError(_NEEDED) from None
    return leather


def _told(chart: Any, height: int, text: str) -> Any:
    svg = chart.to_svg(width=720, height=height)
    svg = re.sub(r"^.*?<svg", "<svg", svg, count=1, flags=re.DOTALL)
    for colour, better in _COLOURS.items():
        svg = svg.replace(colour, better)
    return drawn(svg, text)


def drawn(svg: str, text: str) -> Any:
    """Return SVG, whose texts are escaped already, with a text that says the same."""
    import markupsafe

    told = svg.replace("<svg", f'<svg role="img" aria-label="{escape(text, quote=True)}"', 1)
    return markupsafe.Markup(told)  # noqa: S704  # of leather or of our own, its texts escaped

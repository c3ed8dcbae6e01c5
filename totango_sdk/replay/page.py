"""The report as one HTML file: no script, and no request to anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .how import oldest_told
from .sheet import bars, line, rendered

if TYPE_CHECKING:
    from .report import Report

_COUNTS = ("rows", "delivered", "rejected", "skipped", "earlier", "left")
_PAGE = """{% extends "frame" %}
{% block title %}Replay{% endblock %}
{% block main %}
<h1>Replay{% if report.dry_run %}, a dry run{% endif %}</h1>
{% for note in notes %}<p>{{ note }}</p>
{% endfor %}
<h2>What was read, and became of it</h2>
<table class="rows"><thead><tr>{% for name in counts %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody><tr>{% for name in counts %}<td data-name="{{ name }}">{{ report[name] }}</td>{% endfor %}</tr></tbody></table>
<table><thead><tr><th scope="col">source</th><th scope="col">format</th><th scope="col">rows</th>
</tr></thead><tbody>
{% for source in report.sources %}<tr><td>{{ source.path }}</td><td>{{ source.format }}</td>
<td>{{ source.rows }}</td></tr>
{% endfor %}</tbody></table>
{% if pace %}<h2>Delivered, by the second</h2>
<figure>{{ pace }}</figure>{% endif %}
{% if codes %}<h2>Rejected, by code</h2>
<figure>{{ codes }}</figure>
<table><thead><tr><th scope="col">line</th><th scope="col">code</th><th scope="col">what is wrong,
and what to do</th></tr></thead><tbody>
{% for example in report.examples %}<tr><td>{{ example.line }}</td><td>{{ example.code }}</td>
<td>{{ example.reason }}</td></tr>
{% endfor %}</tbody></table>{% endif %}
{% if report.activities %}<h2>Activities</h2>
<table><thead><tr><th scope="col">module</th><th scope="col">activity</th><th scope="col">rows</th>
</tr></thead><tbody>
{% for module, activity, count in report.activities %}<tr><td>{{ module }}</td><td>{{ activity }}</td>
<td>{{ count }}</td></tr>
{% endfor %}</tbody></table>{% endif %}
{% if report.unused_columns %}<h2>Columns that nothing uses</h2>
<p>{{ report.unused_columns | join(", ") }}</p>{% endif %}
{% if map %}<h2>The map</h2>
<pre>{{ map }}</pre>{% endif %}
{% endblock %}
"""


def page(report: Report, map_text: str = "") -> str:
    """Return the report as HTML. Raises `OptionsError` without the extra `replay`."""
    told: dict[str, Any] = report.as_mapping()
    rates = report.pace.rates()
    most = max((rate for _, rate in rates), default=0.0)
    return rendered(
        _PAGE,
        report=told,
        notes=[note for note in (oldest_told(report), *report.notes) if note],
        counts=_COUNTS,
        codes=bars(list(report.by_code.items()), "Rejected rows"),
        pace=line(
            rates, f"Rows delivered a second, over {report.seconds:.0f} s: {most:,.0f} at most"
        ),
        map=map_text,
    )

"""The report of an audit as one HTML file."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from ..replay.sheet import bars, drawn, rendered
from ..show import shown

if TYPE_CHECKING:
    from ..audit import Audit, Finding

_EXAMPLES = 20
_IDS = 8
_TREES = 6
_PAGE = """{% extends "frame" %}
{% block title %}Audit{% endblock %}
{% block main %}
<h1>Audit</h1>
<p>{% for file in audit.files %}{{ file.name }}: {{ file.kind }}, {{ "{:,}".format(file.rows) }} rows{% if file.rejected %},
{{ file.rejected }} of them unreadable{% endif %}.
{% endfor %}{% if audit.home %}Home is {{ audit.home }}, with account pattern {{ audit.pattern }}.{% endif %}</p>
<h2>Verdicts</h2>
<table class="rows"><thead><tr><th scope="col">rule</th><th scope="col">verdict</th><th scope="col">errors</th>
<th scope="col">warnings</th></tr></thead><tbody>
{% for rule in audit.rules %}<tr><td data-name="rule">{{ rule.rule }}</td>
<td data-name="verdict" class="{{ rule.verdict }}">{{ rule.verdict }}</td><td data-name="errors">{{ rule.errors }}</td>
<td data-name="warnings">{{ rule.warnings }}</td></tr>
{% endfor %}</tbody></table>
{% if codes %}<h2>Findings, by code</h2>
<figure>{{ codes }}</figure>{% else %}<p>Nothing was found.</p>{% endif %}
{% if formats %}<h2>Formats of account IDs</h2>
{% for name, chart in formats %}<h3>{{ name }}</h3>
<figure>{{ chart }}</figure>
{% endfor %}{% endif %}
{% if bindings %}<h2>Binding to {{ audit.home }}</h2>
{% for name, chart in bindings %}<h3>{{ name }}</h3>
<figure>{{ chart }}</figure>
{% endfor %}{% endif %}
{% if trees %}<h2>Hierarchy: the first circles and orphans</h2>
{% for tree in trees %}<figure>{{ tree }}</figure>
{% endfor %}{% endif %}
{% for code, count, advice, findings in groups %}<h2>{{ code }}: {{ "{:,}".format(count) }}</h2>
<p>What to do: {{ advice }}.</p>
<table class="rows"><thead><tr><th scope="col">file</th><th scope="col">lines</th><th scope="col">IDs</th>
<th scope="col">partner</th><th scope="col">why</th></tr></thead><tbody>
{% for row in findings %}<tr><td data-name="file">{{ row.file }}</td><td data-name="lines">{{ row.lines }}</td>
<td data-name="IDs">{{ row.ids }}</td><td data-name="partner">{{ row.partner }}</td>
<td data-name="why">{{ row.why }}</td></tr>
{% endfor %}</tbody></table>
{% endfor %}{% endblock %}
"""


def page(audit: Audit) -> str:
    """Return the report as HTML. Raises `OptionsError` without the extra `replay`."""
    return rendered(
        _PAGE,
        audit=audit.as_mapping(),
        codes=bars(list(audit.counts.items()), "Findings"),
        formats=[
            (name, bars(list(counts.items()), f"Account IDs of {name}"))
            for name, counts in audit.formats.items()
        ],
        bindings=[(each["file"], _binding(each, str(audit.home))) for each in audit.bindings],
        trees=_trees(audit.findings),
        groups=[_group(audit, code) for code in audit.counts],
    )


def _binding(counts: dict[str, Any], home: str) -> Any:
    other = counts["file"]
    named = [
        (f"bound to {other}", counts["bound"]),
        (f"likely in {other}", counts["likely"]),
        (f"not in {other}", counts["unbound"]),
        (f"not in {home}", counts["unbound there"]),
    ]
    return bars(named, f"Accounts of {home} and {other}")


def _group(audit: Audit, code: str) -> tuple[str, int, str, list[dict[str, str]]]:
    findings = [finding for finding in audit.findings if finding.code == code][:_EXAMPLES]
    advice = findings[0].advice if findings else ""
    return code, audit.counts[code], advice, [_row(finding) for finding in findings]


def _row(finding: Finding) -> dict[str, str]:
    partner = finding.partner or ", ".join(map(shown, finding.partners or ()))
    return {
        "file": finding.file,
        "lines": _some([str(line) for line in finding.lines]),
        "ids": _some([shown(text) for text in finding.ids]),
        "partner": partner if finding.partner is None else shown(partner),
        "why": finding.reason or "",
    }


def _some(texts: list[str]) -> str:
    more = len(texts) - _IDS
    return ", ".join(texts[:_IDS]) + (f" and {more:,} more" if more > 0 else "")


def _trees(findings: list[Finding]) -> list[Any]:
    """Return drawings of the first circles, and of product accounts without a parent."""
    circles = [each for each in findings if each.code == "cycle"][:_TREES]
    orphans = [each for each in findings if each.code == "product-orphan"][:_TREES]
    drawings = [_chain(each) for each in circles]
    if orphans:
        names = [each.ids[0] for each in orphans]
        drawings.append(_boxes([(name, "no parent") for name in names], "Without a parent: "))
    return drawings


def _chain(circle: Finding) -> Any:
    ids = circle.ids
    shown_ids = ids if len(ids) <= _IDS else ids[:_IDS]
    steps = [*shown_ids, *(["…"] if len(ids) > _IDS else []), ids[0]]
    pairs = [(name, "parent of the one before") for name in steps[1:]]
    return _boxes([(steps[0], "begins here"), *pairs], "A circle of parents: ")


def _boxes(steps: list[tuple[str, str]], said: str) -> Any:
    """Return boxes below one another, joined by lines, each with a note."""
    parts = []
    for at, (name, note) in enumerate(steps):
        top = 10 + at * 44
        text = escape(name if len(name) <= 40 else f"{name[:40]}…")
        if at:
            parts.append(f'<path d="M30 {top - 14}v14" stroke="#5a6675" stroke-width="2"/>')
        parts.append(
            f'<rect x="10" y="{top}" width="330" height="30" rx="4" fill="#eef1f5" stroke="#5a6675"/>'
            f'<text x="20" y="{top + 20}" fill="#1c2430">{text}</text>'
            f'<text x="355" y="{top + 20}" fill="#4a5563">{escape(note)}</text>'
        )
    height = 10 + len(steps) * 44
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 560 {height}" width="560" '
        f'height="{height}" font-family="sans-serif" font-size="14" fill="none">'
        f"{''.join(parts)}</svg>"
    )
    return drawn(svg, said + ", ".join(name for name, _ in steps))

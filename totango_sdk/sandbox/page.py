"""The page that a person looks at: plain HTML, in which every value is escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STYLE = """\
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 80rem; padding: 1rem; }
section { overflow-x: auto; }
table { border-collapse: collapse; margin: 0 0 1rem; }
th, td { border-bottom: 1px solid #8886; padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; white-space: pre-wrap; }
code { font-family: ui-monospace, monospace; }
"""
_SHOWN = 300


def render(
    summary: dict[str, Any], accounts: Sequence[dict[str, Any]], latest: Sequence[dict[str, Any]], url: str
) -> str:
    """Return the page as HTML."""
    activities = [
        (module, activity, count)
        for module, counts in summary["activities"].items()
        for activity, count in counts.items()
    ]
    parts = [
        f"<p>Send events to <code>{escape(url)}pixel.gif/</code></p>",
        _table("Totals", ("what", "how many"), summary["totals"].items()),
        _table("Problems", ("severity", "field", "problem", "times", "event"), map(_problem, summary["problems"])),
        _table("Accounts", ("id", "name", "parent", "product", "attributes", "users"), map(_account, accounts)),
        _table("Activities", ("module", "activity", "times"), activities),
        _table("Latest requests", ("event", "time", "source", "account", "user", "activity", "module", "problems"),
               map(_request, latest)),
    ]  # fmt: skip
    return _document("".join(parts))


def _document(body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Totango sandbox</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="style.css"></head>'
        f"<body><main><h1>Totango sandbox</h1>{body}</main></body></html>"
    )


def _table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    body = body or f'<tr><td colspan="{len(headings)}">none</td></tr>'
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<section><h2>{escape(title)}</h2>{table}</section>"


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"<td>{escape(text if len(text) <= _SHOWN else text[:_SHOWN] + '…')}</td>"


def _problem(problem: dict[str, Any]) -> Sequence[object]:
    example = problem["example"]
    return problem["severity"], problem["field"], example["message"], problem["count"], example["event"]


def _account(account: dict[str, Any]) -> Sequence[object]:
    attributes = "\n".join(f"{name}: {value}" for name, value in account["attributes"].items())
    users = "\n".join(user["id"] for user in account["users"])
    return account["id"], account["name"], account["parent_id"], account["product_id"], attributes, users


def _request(event: dict[str, Any]) -> Sequence[object]:
    problems = "\n".join(f"{problem['severity']}: {problem['message']}" for problem in event["problems"])
    who = (event["account"], event["user"], event["activity"], event["module"])
    return event["id"], event["time"], event["source"], *who, problems

"""The description of what programs can ask for, as OpenAPI has it."""

from __future__ import annotations

from typing import Any

from ..version import __version__
from .faults import MODES

# What a filter of `GET /events.json` can be, where that is not any text.
CHOICES: dict[str, tuple[str, ...]] = {
    "kind": ("activity", "heartbeat", "attributes"),
    "source": ("sdk", "browser", "other"),
    "problem": ("any", "none", "error", "warning"),
}
_TEXT = {"type": "string"}
_MAYBE = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_BIGGEST = 2**63 - 1


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _map(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


def _see(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _query(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


_AFTER = _query("after", {**_COUNT, "maximum": _BIGGEST}, "Only what is behind this number; `next` of the page before.")
_LIMIT = _query("limit", {**_COUNT, "maximum": _BIGGEST}, "At most so many; never more than 1,000.")
_FILTERS = [
    _query("text", _TEXT, "Only events with this text in any of their parameters."),
    _query("account", _TEXT, "Only events of this account, or product account."),
    _query("user", _TEXT, "Only events of this user."),
    *(_query(name, {"enum": list(choices)}, f"Only events of this {name}.") for name, choices in CHOICES.items()),
]
_FAULTS = {
    "mode": {"enum": list(MODES), "default": "none", "description": "What happens to a request that is hit."},
    "status": {"type": "integer", "minimum": 300, "maximum": 599, "default": 503},
    "retry_after": {"type": ["number", "null"], "minimum": 0, "maximum": 86400, "description": "Seconds."},
    "delay": {"type": "number", "minimum": 0, "maximum": 600, "default": 0, "description": "Seconds before an answer."},
    "share": {"type": "number", "minimum": 0, "maximum": 1, "default": 1, "description": "Of the requests."},
    "seconds": {"type": ["number", "null"], "minimum": 0, "maximum": 86400, "description": "After them all is well."},
}
_SCHEMAS = {
    "Problem": _object(field=_TEXT, severity={"enum": ["error", "warning"]}, value=_MAYBE, message=_TEXT),
    "Event": _object(
        id=_COUNT,
        time={"type": "string", "format": "date-time"},
        method=_TEXT,
        source={"enum": list(CHOICES["source"])},
        kind={"enum": list(CHOICES["kind"])},
        severity={"enum": ["error", "warning", None]},
        fault={**_MAYBE, "description": "What was done to it on demand."},
        accepted={"type": "boolean", "description": "Whether Totango would register it."},
        account=_MAYBE,
        user=_MAYBE,
        activity=_MAYBE,
        module=_MAYBE,
        params=_list({"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2}),
        query=_TEXT,
        body=_TEXT,
        problems=_list(_see("Problem")),
    ),
    "Account": _object(
        number=_COUNT,
        id=_TEXT,
        name=_MAYBE,
        ofid=_MAYBE,
        parent_id=_MAYBE,
        product_id=_MAYBE,
        attributes=_map(_TEXT),
        first_event=_COUNT,
        last_event=_COUNT,
        user_count=_COUNT,
        users=_list(_object(id=_TEXT, attributes=_map(_TEXT))),
    ),
    "ProblemKind": _object(
        field=_TEXT, severity=_TEXT, kind=_TEXT, count=_COUNT, example={"type": "object", "additionalProperties": True}
    ),
    "Finding": _object(
        kind=_TEXT,
        title=_TEXT,
        sides=_list({"type": "object", "additionalProperties": True}),
        advice=_TEXT,
    ),
    "Summary": _object(
        totals=_map(_COUNT),
        activities=_map(_map(_COUNT)),
        product_accounts=_list({"type": "object", "additionalProperties": True}),
        problems=_list(_see("ProblemKind")),
    ),
    "Faults": {"type": "object", "properties": _FAULTS, "additionalProperties": False},
    "Error": _object(error=_TEXT),
}
_NEXT = {"type": ["integer", "null"], "description": "Where the next page begins; null at the end."}
_PIXEL = {
    "responses": {"200": {"description": "A pixel, whatever came.", "content": {"image/gif": {}}}},
}


def _answers(schema: dict[str, Any], *wrong: int) -> dict[str, Any]:
    right = {"200": {"description": "As asked for.", "content": {"application/json": {"schema": schema}}}}
    error = {"description": "What was wrong.", "content": {"application/json": {"schema": _see("Error")}}}
    return {"responses": right | {str(status): error for status in wrong}}


def _get(text: str, schema: dict[str, Any], *wrong: int, parameters: list[dict[str, Any]] | None = None) -> Any:
    return {"get": {"summary": text, "parameters": parameters or [], **_answers(schema, *wrong)}}


def document() -> dict[str, Any]:
    """Return the whole description."""
    number = {"name": "number", "in": "path", "required": True, "schema": {**_COUNT, "maximum": _BIGGEST}}
    body = {"required": True, "content": {"application/json": {"schema": _see("Faults")}}}
    form = {"content": {"application/x-www-form-urlencoded": {"schema": _map(_TEXT)}}}
    text = "Take an event, as Totango does."
    pixel: dict[str, dict[str, Any]] = {
        "get": {"summary": text, "parameters": [_query("parameters", _map(_TEXT), "Those of the event.")]},
        "post": {"summary": text, "requestBody": form},
    }
    paths = {
        "/pixel.gif/": {method: {**what, **_PIXEL} for method, what in pixel.items()},
        "/events.json": _get(
            "Events in order of arrival, page by page.",
            _object(events=_list(_see("Event")), next=_NEXT),
            400,
            parameters=[_AFTER, _LIMIT, *_FILTERS],
        ),
        "/events/{number}.json": _get("One event.", _see("Event"), 404, parameters=[number]),
        "/accounts.json": _get(
            "Accounts in the order in which they were first seen, each with its first 100 users, page by page.",
            _object(accounts=_list(_see("Account")), next=_NEXT),
            400,
            parameters=[_AFTER, _LIMIT],
        ),
        "/summary.json": _get("Totals.", _see("Summary")),
        "/problems.json": _get(
            "What is wrong with events, by rule, and what will not join up.",
            _object(problems=_list(_see("ProblemKind")), binding=_list(_see("Finding"))),
        ),
        "/faults.json": {
            **_get("How the endpoint misbehaves now.", _see("Faults")),
            "post": {
                "summary": "Make the endpoint misbehave.",
                "requestBody": body,
                **_answers(_see("Faults"), 400, 403, 413),
            },
        },
        "/reset": {"post": {"summary": "Forget everything.", **_answers(_object(reset={"const": True}), 403)}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Totango sandbox", "version": __version__},
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }

"""The description of what programs can ask for, as OpenAPI has it."""

from __future__ import annotations

from typing import Any

from ..version import __version__
from .faults import MODES
from .resend import MOST as MOST_RESENT
from .search import CHOICES

_TEXT = {"type": "string"}
_MAYBE = {"type": ["string", "null"]}
# A time may also be ISO 8601.
_TIME = {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}
_KEY = {"type": "string", "pattern": "^[ -~]*[!-~][ -~]*$", "maxLength": 10_000}
# The least that each line of a session has.
_SESSION = {
    "type": "string",
    "pattern": r'^\{"session": 1\}\n(\{"ms": [1-9][0-9]{0,11}, "method": "GET", "query": "[a-z=&]*"\}\n)*$',
}

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


_AFTER = _query(
    "after",
    {**_COUNT, "maximum": _BIGGEST},
    "Only what is behind this number; `next` of the page before.",
)
_LIMIT = _query("limit", {**_COUNT, "maximum": _BIGGEST}, "At most so many; never more than 1,000.")
_FILTERS = [
    _query(
        "text",
        _TEXT,
        "Only events with all of these words, in letters of any case: in names and values of "
        "parameters, problems, the service ID, the agent and the request as it came. What stands "
        'in "quotes" is one word.',
    ),
    _query("account", _TEXT, "Only events of this account, or product account."),
    _query("user", _TEXT, "Only events of this user."),
    _query("service", _TEXT, "Only events of this service ID."),
    _query("from", _TIME, "Only events from this time on: ISO 8601, or milliseconds since 1970."),
    _query("to", _TIME, "Only events before this time."),
    *(
        _query(name, {"enum": list(choices)}, f"Only events of this {name}.")
        for name, choices in CHOICES.items()
    ),
]
_FAULTS = {
    "mode": {
        "enum": list(MODES),
        "default": "none",
        "description": "What happens to a request that is hit.",
    },
    "status": {"type": "integer", "minimum": 300, "maximum": 599, "default": 503},
    "retry_after": {
        "type": ["number", "null"],
        "minimum": 0,
        "maximum": 86400,
        "description": "Seconds.",
    },
    "delay": {
        "type": "number",
        "minimum": 0,
        "maximum": 600,
        "default": 0,
        "description": "Seconds before an answer.",
    },
    "share": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 1,
        "description": "Of the requests.",
    },
    "seconds": {
        "type": ["number", "null"],
        "minimum": 0,
        "maximum": 86400,
        "description": "After them all is well.",
    },
}
_SCHEMAS = {
    "Problem": _object(
        field=_TEXT,
        severity={"enum": ["error", "warning"]},
        rule=_TEXT,
        value=_MAYBE,
        message=_TEXT,
    ),
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
        service={**_MAYBE, "description": "The service ID."},
        agent={"type": "string", "description": "The header User-Agent."},
        params=_list({"type": "array", "items": _TEXT, "minItems": 2, "maxItems": 2}),
        query=_TEXT,
        body=_TEXT,
        problems=_list(_see("Problem")),
    ),
    "Account": _object(
        number=_COUNT,
        service=_TEXT,
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
        field=_TEXT,
        severity=_TEXT,
        rule=_TEXT,
        count=_COUNT,
        example={"type": "object", "additionalProperties": True},
    ),
    "Finding": _object(
        kind=_TEXT,
        title=_TEXT,
        sides=_list({"type": "object", "additionalProperties": True}),
        advice=_TEXT,
        service={**_MAYBE, "description": "The service ID of which it is told; null: of all."},
        key={"type": "string", "description": "What to ignore it by."},
        ignored={"type": "boolean"},
    ),
    "Details": {
        "allOf": [
            {"$ref": "#/components/schemas/Event"},
            _object(
                understood=_list({"type": "object", "additionalProperties": True}),
                effects=_list({"type": "object", "additionalProperties": True}),
                mend={"type": ["object", "null"], "additionalProperties": True},
                raw={"type": "string", "description": "The request as it came, without secrets."},
                headers=_map(_TEXT),
                curl={"type": "string", "description": "The command that sends it again."},
                python={"type": "string", "description": "The call of the SDK that sends it."},
            ),
        ]
    },
    "Ignored": _object(ignored=_list(_TEXT)),
    "Resent": _object(
        sent=_COUNT,
        failed=_COUNT,
        results=_list(
            _object(id=_COUNT, status={"type": ["integer", "null"]}, error=_MAYBE),
        ),
    ),
    "Summary": _object(
        totals=_map(_COUNT),
        activities=_map(_map(_COUNT)),
        product_accounts=_list({"type": "object", "additionalProperties": True}),
        problems=_list(_see("ProblemKind")),
        services=_list(
            _object(service=_TEXT, events=_COUNT, last_event=_COUNT, sources=_list(_TEXT))
        ),
    ),
    "Faults": {"type": "object", "properties": _FAULTS, "additionalProperties": False},
    "Error": _object(error=_TEXT),
}
_RESEND = {
    "type": "object",
    "properties": {
        "ids": {"type": "array", "items": _COUNT, "minItems": 1, "maxItems": MOST_RESENT},
        "endpoint": {"type": "string", "description": "The other collector's address."},
        "confirm": {
            "type": "string",
            "description": "For an endpoint of Totango's: its host name, typed again.",
        },
    },
    "required": ["ids", "endpoint"],
}
_NEXT = {"type": ["integer", "null"], "description": "Where the next page begins; null at the end."}
_PIXEL = {
    "responses": {"200": {"description": "A pixel, whatever came.", "content": {"image/gif": {}}}},
}


def _answers(schema: dict[str, Any], *wrong: int) -> dict[str, Any]:
    right = {
        "200": {"description": "As asked for.", "content": {"application/json": {"schema": schema}}}
    }
    return {"responses": right | _wrong(*wrong)}


def _wrong(*statuses: int) -> dict[str, Any]:
    error = {
        "description": "What was wrong.",
        "content": {"application/json": {"schema": _see("Error")}},
    }
    return {str(status): error for status in statuses}


def _file(media_type: str) -> dict[str, Any]:
    content = {media_type: {"schema": _TEXT}}
    return {"200": {"description": "A file.", "content": content}}


def _json_body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _get(
    text: str, schema: dict[str, Any], *wrong: int, parameters: list[dict[str, Any]] | None = None
) -> Any:
    return {"get": {"summary": text, "parameters": parameters or [], **_answers(schema, *wrong)}}


def document() -> dict[str, Any]:
    """Return the whole description."""
    number = {
        "name": "number",
        "in": "path",
        "required": True,
        "schema": {**_COUNT, "maximum": _BIGGEST},
    }
    body = _json_body(_see("Faults"))
    form = {"content": {"application/x-www-form-urlencoded": {"schema": _map(_TEXT)}}}
    text = "Take an event, as Totango does."
    pixel: dict[str, dict[str, Any]] = {
        "get": {
            "summary": text,
            "parameters": [_query("parameters", _map(_TEXT), "Those of the event.")],
        },
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
        "/events/{number}/details.json": _get(
            "One event: what it did, how to mend it, and copies of it for other programs.",
            _see("Details"),
            404,
            parameters=[number],
        ),
        "/events.csv": {
            "get": {
                "summary": "The events that the filters leave, as a table.",
                "parameters": _FILTERS,
                "responses": _file("text/csv; charset=utf-8") | _wrong(400),
            }
        },
        "/found.json": _get(
            "Only the numbers of events that the filters leave, up to 10,000.",
            _object(ids=_list({"type": "integer"})),
            400,
            parameters=[_AFTER, *_FILTERS],
        ),
        "/accounts.json": _get(
            "Accounts in the order in which they were first seen, each with its first 100 users, page by page.",
            _object(accounts=_list(_see("Account")), next=_NEXT),
            400,
            parameters=[_AFTER, _LIMIT],
        ),
        "/summary.json": _get("Totals.", _see("Summary")),
        "/problems.json": _get(
            "What is wrong with events, by rule, and what will not join up.",
            _object(
                problems=_list(
                    {
                        "allOf": [
                            _see("ProblemKind"),
                            _object(key=_TEXT, ignored={"type": "boolean"}),
                        ]
                    }
                ),
                binding=_list(_see("Finding")),
            ),
        ),
        "/ignored.json": {
            **_get("The keys of the findings that are to be ignored.", _see("Ignored")),
            "post": {
                "summary": "Ignore findings, or no longer.",
                "requestBody": _json_body(
                    {
                        "type": "object",
                        "properties": {"add": _list(_KEY), "remove": _list(_KEY)},
                    }
                ),
                **_answers(_see("Ignored"), 400, 403, 413),
            },
        },
        "/resend": {
            "post": {
                "summary": "Send events again, to another collector, without the security token.",
                "requestBody": _json_body(_RESEND),
                **_answers(_see("Resent"), 400, 403, 404, 413),
            }
        },
        "/session.ndjson": {
            "get": {
                "summary": "All that is kept, as lines of JSON.",
                "responses": _file("application/x-ndjson"),
            },
            "post": {
                "summary": "Put a saved session behind what is here, or in its place.",
                "parameters": [_query("replace", {"enum": ["0", "1"]}, "1: in its place.")],
                "requestBody": {"content": {"text/plain": {"schema": _SESSION}}},
                **_answers(_object(opened=_COUNT), 400, 403, 413),
            },
        },
        "/faults.json": {
            **_get("How the endpoint misbehaves now.", _see("Faults")),
            "post": {
                "summary": "Make the endpoint misbehave.",
                "requestBody": body,
                **_answers(_see("Faults"), 400, 403, 413),
            },
        },
        "/reset": {
            "post": {
                "summary": "Forget everything.",
                **_answers(_object(reset={"const": True}), 403),
            }
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Totango sandbox", "version": __version__},
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }

"""What a page under test loads: a stand-in for Totango's browser collector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

_SCRIPT = Path(__file__).parent / "static" / "collector.js"


def browser_routes(headers: Mapping[str, str]) -> list[Route]:
    """Return the route of `/collector.js`, which any page may load, of whatever origin."""
    own = {**headers, "cross-origin-resource-policy": "cross-origin"}

    script = _SCRIPT.read_bytes()

    async def collector(_: Request) -> Response:
        return Response(script, headers=own, media_type="text/javascript")

    return [Route("/collector.js", collector)]

"""`{% load totango %}`, and then `{% totango_snippet %}` ahead of Totango's own script."""

from __future__ import annotations

from typing import Any

from django import template

from ..current import totango
from ..request import current

register = template.Library()


@register.simple_tag(takes_context=True)
def totango_snippet(context: Any, nonce: str | None = None) -> str:
    """Return the script element for who is identified; empty for nobody.

    The nonce is that of the argument, else what `settings.TOTANGO["NONCE"]` returns for the request.
    """
    client = totango.client
    if nonce is None and client.config.nonce is not None:
        scope = current.get()
        request = context.get("request") or (scope and scope.request)
        nonce = client.config.nonce(request)
    return client.snippet(nonce)

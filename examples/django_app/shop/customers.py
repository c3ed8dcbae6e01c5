"""Who a request is about."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from totango_sdk import Account, Identity, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest


def who(request: HttpRequest) -> Identity | None:
    """Return the workspace and the person; nobody for visitors and for staff who help a customer."""
    user = request.user
    if not user.is_authenticated or user.is_staff:
        return None
    workspace = user.member.workspace
    return Identity(
        account=Account(
            str(workspace.pk), name=workspace.name, attributes={"Plan": workspace.plan}
        ),
        user=User(user.email, name=user.get_full_name()),
    )


def nonce(request: Any) -> str:
    """Return the nonce of the page's content security policy."""
    found: str = request.csp_nonce
    return found


def security_policy(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Allow scripts with this request's nonce only; a middleware."""

    def answer(request: Any) -> Any:
        request.csp_nonce = secrets.token_urlsafe(16)
        response = get_response(request)
        response["Content-Security-Policy"] = f"script-src 'nonce-{request.csp_nonce}'"
        return response

    return answer

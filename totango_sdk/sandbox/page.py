"""The page that a person looks at, and its parts: templates in which every value is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from . import binding
from .accounts import account_details, account_tree
from .api import whole
from .event import event_copies, event_details
from .faults import MODES
from .users import user_list

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from .store import Store

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_LISTED = 500  # accounts, and users; the filter finds the others


class Pages:
    """The page and its parts, on one store."""

    def __init__(self, store: Store, headers: Mapping[str, str]) -> None:
        self._store = store
        self._headers = dict(headers)
        self._templates = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # Only what stood there at the start is served, so that no name can lead elsewhere.
        self._files = {
            path.name: (_TYPES[path.suffix], path.read_bytes())
            for path in (_HERE / "static").iterdir()
            if path.suffix in _TYPES
        }

    def routes(self) -> list[Route]:
        """Return the routes of the page, its parts and its files."""
        return [
            Route("/", self.page),
            Route("/static/{name}", self.file),
            Route("/parts/event/{number}", self.event),
            Route("/parts/accounts", self.accounts),
            Route("/parts/account", self.account),
            Route("/parts/users", self.users),
            Route("/parts/binding", self.binding),
        ]

    async def page(self, request: Request) -> Response:
        """Return the page."""
        return self._render("page.html", endpoint=f"{request.base_url}pixel.gif/", modes=MODES)

    async def file(self, request: Request) -> Response:
        """Return a style or a script."""
        found = self._files.get(request.path_params["name"])
        if found is None:
            raise HTTPException(
                404, f"there is no such file; there are {', '.join(sorted(self._files))}"
            )
        media_type, content = found
        return Response(content, media_type=media_type, headers=self._headers)

    # Those that follow read much, so they are no coroutines: Starlette runs them beside the loop.

    def event(self, request: Request) -> Response:
        """Return what there is to say of one event."""
        number = whole(request.path_params["number"])
        with self._store.views() as views:
            found = None if number is None else event_details(views, number)
            if found is not None:
                found |= event_copies(views, found, f"{request.base_url}pixel.gif/")
        if found is None:
            raise HTTPException(
                404, "This event is no longer here: it was forgotten or reset, or it never was."
            )
        return self._render("event.html", event=found)

    def accounts(self, request: Request) -> Response:
        """Return accounts as a tree."""
        with self._store.views() as views:
            found = account_tree(views, _text(request), limit=_LISTED)
        return self._render("accounts.html", accounts=found, listed=_LISTED, text=_text(request))

    def account(self, request: Request) -> Response:
        """Return one account's details; its ID is in the query, where `..` and `/` mean nothing."""
        with self._store.views() as views:
            found = account_details(
                views, request.query_params.get("id", ""), request.query_params.get("service")
            )
        if found is None:
            raise HTTPException(404, "This account is no longer here: it was forgotten or reset.")
        return self._render("account.html", account=found)

    def users(self, request: Request) -> Response:
        """Return users."""
        with self._store.views() as views:
            found = user_list(views, _text(request), limit=_LISTED)
        return self._render("users.html", users=found, listed=_LISTED, text=_text(request))

    def binding(self, request: Request) -> Response:
        """Return what will not join up."""
        with self._store.views() as views:
            told = binding.told(views)
        ignored = [each for each in told if each["ignored"]]
        left = [each for each in told if not each["ignored"]]
        return self._render("binding.html", findings=left, ignored=ignored)

    def _render(self, template: str, **values: Any) -> Response:
        return HTMLResponse(
            self._templates.get_template(template).render(values), headers=self._headers
        )


def _text(request: Request) -> str:
    return request.query_params.get("text", "").strip()

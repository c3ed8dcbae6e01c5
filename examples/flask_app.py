"""Paperboat, a small document-sharing service, and how it tells Totango what its customers do.

    export TOTANGO_SERVICE_ID=SP-1234-01 TOTANGO_ENDPOINT=http://127.0.0.1:8035/pixel.gif/
    python examples/flask_app.py --port 8000

What is worth copying:

- The process has one client. It is made at start-up and given to `create_app`.
- `signed_in` says once for each request whose it is; a view only says what happened.
- Accounts and users are known by the IDs of our database. Names change; they go along as names.
- The plan, the name and the like are given each time, and the client sends them only when they are
  new or changed.
- No view handles errors of the client: `track` never waits for the network and never raises.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import secrets
import signal
import sys
from functools import wraps
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import waitress
from flask import Blueprint, Flask, abort, current_app, g, request, session
from werkzeug.local import LocalProxy

from totango_sdk import Account, OptionsError, Product, Totango, User

if TYPE_CHECKING:
    from collections.abc import Callable

DOCS = Product("docs", name="Paperboat Docs", module="Documents")
SIGN = Product("sign", name="Paperboat Sign", module="Signing")

pages = Blueprint("pages", __name__)
totango: Totango = LocalProxy(lambda: current_app.extensions["totango"])  # type: ignore[assignment]
workspaces: dict[str, Workspace] = LocalProxy(lambda: current_app.extensions["workspaces"])  # type: ignore[assignment]


@dataclasses.dataclass
class Workspace:
    """A customer, as our database has it."""

    id: str
    name: str
    plan: str

    def as_account(self) -> Account:
        """Return what Totango should know of this customer."""
        return Account(self.id, name=self.name, attributes={"Plan": self.plan})


def create_app(client: Totango, *, operator_key: str | None = None) -> Flask:
    """Make the application. It uses `client`, and leaves closing it to whoever made it."""
    app = Flask(__name__)
    app.secret_key = os.environ.get("PAPERBOAT_SECRET") or secrets.token_hex()
    app.config["OPERATOR_KEY"] = operator_key
    app.extensions["totango"] = client
    app.extensions["workspaces"] = {}  # a database, in a real service
    app.register_blueprint(pages)
    return app


def signed_in(product: Product | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let only signed-in users in, and record what the view tracks as theirs, in `product`."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            g.workspace = workspaces.get(session.get("workspace", "")) or abort(401)
            user = User(session["email"], name=session["name"])
            with totango.context(account=g.workspace.as_account(), user=user, product=product):
                return view(*args, **kwargs)

        return wrapped

    return decorate


@pages.post("/workspaces")
def sign_up() -> tuple[dict[str, Any], int]:
    """Add a customer. Nothing is tracked yet: its name and plan go along with its first event."""
    workspace = Workspace(request.json["id"], request.json["name"], request.json["plan"])
    workspaces[workspace.id] = workspace
    return dataclasses.asdict(workspace), 201


@pages.post("/login")
def log_in() -> dict[str, str]:
    """Start a session (a real service would ask for a password)."""
    workspace = workspaces.get(request.json["workspace"]) or abort(404)
    session.update(workspace=workspace.id, email=request.json["email"], name=request.json["name"])
    # Nobody was signed in yet, so this call says itself whose it is. No product: it is a use of the account.
    user = User(session["email"], name=session["name"])
    totango.track("Login", "App", account=workspace.as_account(), user=user)
    return {"hello": session["name"]}


@pages.put("/workspace/name")
@signed_in()
def rename() -> dict[str, Any]:
    """Give the customer another name. Its ID stays, so it remains the same account at Totango."""
    g.workspace.name = request.json["name"]
    renamed = g.workspace.as_account()
    totango.set_account_attributes(renamed)
    # The account of `signed_in` still has the old name, and to track with that would send it once more.
    totango.track("Workspace renamed", "Settings", account=renamed)
    return dataclasses.asdict(g.workspace)


@pages.post("/documents")
@signed_in(DOCS)
def upload() -> tuple[dict[str, str], int]:
    """Keep a document. The activity names no module, so it falls into the product's: Documents."""
    totango.track("Document uploaded")
    return {"title": request.json["title"]}, 201


@pages.post("/documents/share")
@signed_in(DOCS)
def share() -> dict[str, str]:
    """Share a document. What happened is the activity; which document is not, or each would be one of its own."""
    totango.track("Document shared", "Sharing")
    return {"title": request.json["title"], "shared_with": request.json["to"]}


@pages.post("/signatures")
@signed_in(SIGN)
def request_signature() -> tuple[dict[str, str], int]:
    """Ask someone to sign. This is the other product, so it is recorded against the other product account."""
    totango.track("Signature requested")
    return {"title": request.json["title"], "signer": request.json["signer"]}, 201


@pages.get("/operator/totango")
def tracking_health() -> dict[str, Any]:
    """Show whether events get through, and what was given up and why. Has personal data: for operators only."""
    key = current_app.config["OPERATOR_KEY"]
    if not key or not compare_digest(request.headers.get("Authorization", "").encode(), f"Bearer {key}".encode()):
        abort(404)
    letters = [{"reason": letter.reason, "input": letter.input} for letter in totango.dead_letters()]
    stats = totango.stats()
    return {"accepted": stats.accepted, "delivered": stats.delivered, "queued": stats.queued, "dead_letters": letters}


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(description="A document-sharing service that reports to Totango.")
    parser.add_argument("--port", type=int, default=8000, help="0: any free one")
    arguments = parser.parse_args()
    # Leave `server.run` on SIGTERM as on Ctrl-C, so that the client is closed properly.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        client = Totango.from_env()
    except OptionsError as error:
        print(f"flask_app: {error}", file=sys.stderr)
        return 2
    with client:
        app = create_app(client, operator_key=os.environ.get("PAPERBOAT_OPERATOR_KEY"))
        server = waitress.create_server(app, host="127.0.0.1", port=arguments.port)
        print(f"Paperboat listens on http://127.0.0.1:{server.effective_port}", flush=True)
        server.run()
        client.flush()  # what cannot be delivered now waits in the spool for the next start
    return 0


if __name__ == "__main__":
    sys.exit(main())

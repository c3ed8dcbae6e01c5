"""Paperboat, a small document-sharing service, and how it tells Totango what its customers do.

    export TOTANGO_SERVICE_ID=SP-1234-01 TOTANGO_ENDPOINT=http://127.0.0.1:8035/pixel.gif/
    python examples/flask_app/paperboat.py --port 8000

What is worth copying:

- `who` says once for all requests whose each is; a view only says what happened.
- Accounts and users are known by the IDs of our database. Names change; they go along as names.
- The plan, the name and the like are given each time, and the client sends them only when they are
  new or changed.
- `tracked` is for a view that succeeds or fails, `track` for one that shows a form again as 200.
- A job in the background is told as whoever uploaded: `carry` in the view, `carried` in the job.
- No view handles errors of the client: `track` never waits for the network and never raises.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import secrets
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import waitress
from flask import (
    Blueprint,
    Flask,
    Request,
    abort,
    current_app,
    g,
    redirect,
    render_template,
    request,
    session,
)

from totango_sdk import Account, Identity, OptionsError, Product, User
from totango_sdk.integrations.flask import TotangoFlask

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.wrappers import Response

pages = Blueprint("pages", __name__)
docs = Blueprint("docs", __name__)
sign = Blueprint("sign", __name__)
PRODUCTS = {
    "docs": Product("docs", name="Paperboat Docs", module="Documents"),
    "sign": Product("sign", name="Paperboat Sign", module="Signing"),
}
totango = TotangoFlask()
workspaces: dict[str, Workspace] = {}  # a database, in a real service
jobs = ThreadPoolExecutor(1)  # a queue with workers, in a real service


@dataclasses.dataclass
class Workspace:
    """A customer, as our database has it."""

    id: str
    name: str
    plan: str
    documents: list[str] = dataclasses.field(default_factory=list)

    def as_account(self) -> Account:
        """Return what Totango should know of this customer."""
        return Account(self.id, name=self.name, attributes={"Plan": self.plan})


@totango.identity
def who(request: Request) -> Identity | None:
    """Say whose a request is, and in which product. Asked only when something is tracked."""
    workspace = workspaces.get(session.get("workspace", ""))
    if workspace is None:
        return None
    return Identity(
        account=workspace.as_account(),
        user=User(session["email"], name=session["name"]),
        product=PRODUCTS.get(request.blueprint or ""),
    )


def create_app(**settings: Any) -> Flask:
    """Make the application. Raises `OptionsError` if a setting of Totango's is wrong."""
    app = Flask(__name__)
    app.config.update(
        SECRET_KEY=os.environ.get("PAPERBOAT_SECRET") or secrets.token_hex(),
        SESSION_COOKIE_SAMESITE="Lax",
        OPERATOR_KEY=os.environ.get("PAPERBOAT_OPERATOR_KEY"),
    )
    app.config.update(settings)
    for blueprint in (pages, docs, sign):
        app.register_blueprint(blueprint)
    totango.init_app(app)
    return app


def signed_in(view: Callable[..., Any]) -> Callable[..., Any]:
    """Let only signed-in users in."""

    @wraps(view)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        g.workspace = workspaces.get(session.get("workspace", "")) or abort(401)
        return view(*args, **kwargs)

    return wrapped


@pages.get("/")
def home() -> str:
    """Show the workspace, or how to get into one. Nothing is tracked, so nobody is asked for."""
    workspace = workspaces.get(session.get("workspace", ""))
    if workspace is None:
        return render_template("welcome.html")
    return render_template("workspace.html", workspace=workspace)


@pages.post("/workspaces")
def sign_up() -> Response:
    """Add a customer. Nothing is tracked yet: its name and plan go along with its first event."""
    form = request.form
    workspaces[form["id"]] = Workspace(form["id"], form["name"], form["plan"])
    return redirect("/", 303)


@pages.post("/login")
@totango.tracked("Login", "App")
def log_in() -> Response:
    """Start a session (a real service would ask for a password).

    The event is made when this returns, and so it is that of the user who has just signed in. No
    product: it is a use of the account.
    """
    workspace = workspaces.get(request.form["workspace"]) or abort(404)
    session.update(workspace=workspace.id, email=request.form["email"], name=request.form["name"])
    return redirect("/", 303)


@pages.post("/workspace/name")
@totango.tracked("Workspace renamed", "Settings")
@signed_in
def rename() -> Response:
    """Give the customer another name. Its ID stays, so it remains the same account at Totango, and
    the new name goes along with this event.
    """
    g.workspace.name = request.form["name"]
    return redirect("/", 303)


@docs.post("/documents")
@totango.tracked("Document uploaded")
@signed_in
def upload() -> Response:
    """Keep a document. The activity names no module, so it falls into the product's: Documents."""
    g.workspace.documents.append(request.form["title"])
    jobs.submit(make_preview, request.form["title"], totango.carry())
    return redirect("/", 303)


def make_preview(title: str, carried: str | None) -> None:
    """Run in a thread, which has no request and knows nobody: so the job brings whom it is for."""
    with totango.carried(carried):
        title.title()  # draw it
        totango.track("Preview made")


@docs.post("/documents/share")
@signed_in
def share() -> Response | str:
    """Share a document. A form with a mistake is shown again, as 200, and nothing was shared: so it
    says itself when there is something to track.

    What happened is the activity; which document is not, or each would be one of its own.
    """
    if "@" not in request.form["to"]:
        error = f"{request.form['to']!r} is no e-mail address"
        return render_template("workspace.html", workspace=g.workspace, error=error)
    totango.track("Document shared", "Sharing")
    return redirect("/", 303)


@sign.post("/signatures")
@totango.tracked("Signature requested")
@signed_in
def request_signature() -> Response:
    """Ask someone to sign. This is the other product, so it is recorded against the other product
    account.
    """
    return redirect("/", 303)


@pages.get("/operator/totango")
def tracking_health() -> dict[str, Any]:
    """Show whether events get through, and what was given up and why. Has personal data: for
    operators only.
    """
    key = current_app.config["OPERATOR_KEY"]
    if not key or not compare_digest(
        request.headers.get("Authorization", "").encode(), f"Bearer {key}".encode()
    ):
        abort(404)
    letters = [
        {"reason": letter.reason, "input": letter.input} for letter in totango.dead_letters()
    ]
    stats = totango.stats()
    return {
        "accepted": stats.accepted,
        "delivered": stats.delivered,
        "queued": stats.queued,
        "dead_letters": letters,
    }


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        description="A document-sharing service that reports to Totango."
    )
    parser.add_argument("--port", type=int, default=8000, help="0: any free one")
    arguments = parser.parse_args()
    # Leave `server.run` on SIGTERM as on Ctrl-C, so that the client is closed properly.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        app = create_app()
    except OptionsError as error:
        print(f"paperboat: {error}", file=sys.stderr)
        return 2
    server = waitress.create_server(app, host="127.0.0.1", port=arguments.port)
    print(f"Paperboat listens on http://127.0.0.1:{server.effective_port}", flush=True)
    server.run()
    jobs.shutdown()
    totango.flush()  # what cannot be delivered now waits in the spool for the next start
    totango.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

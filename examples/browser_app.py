"""Paperboat's editor: one page on which browser and backend report to Totango as the same customer.

    export TOTANGO_SERVICE_ID=SP-1234-01 TOTANGO_ENDPOINT=http://127.0.0.1:8035/pixel.gif/
    python examples/browser_app.py --port 8001

What is worth copying:

- The page gets its options from the client, in the block in which the backend tracks. So both speak of
  the same account, product and user, spelled the same, and neither is written twice.
- What the server knows for sure (a document was saved) the backend tracks; what only the browser sees
  (a preview was opened, the time spent) the browser does.
- The content security policy is strict: the snippet and the collector carry the nonce of this answer.
- Try it with the sandbox's collector. In production, put Totango's own script in its place, and its
  host into the policy.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import waitress
from flask import Blueprint, Flask, current_app, g, render_template_string
from werkzeug.local import LocalProxy

from totango_sdk import Account, OptionsError, Product, Totango, User

if TYPE_CHECKING:
    from flask import Response

COLLECTOR = "http://127.0.0.1:8035/collector.js"
EDITOR = Product("editor", name="Paperboat Editor", module="Editor")
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Paperboat</title>
<link rel="icon" href="data:,">
{{ totango.snippet(nonce) }}
<script src="{{ collector }}" nonce="{{ nonce }}"></script>
<h1>Quarterly report</h1>
<form method="post" action="/save"><button>Save</button></form>
<button id="preview">Preview</button>
<script nonce="{{ nonce }}">
  document.getElementById("preview").addEventListener("click", () => {
    window.totango.track("Preview opened");
  });
</script>
</html>
"""

pages = Blueprint("pages", __name__)
totango: Totango = LocalProxy(lambda: current_app.extensions["totango"])  # type: ignore[assignment]


def create_app(client: Totango, *, collector: str = COLLECTOR) -> Flask:
    """Make the application. It uses `client`, and leaves closing it to whoever made it."""
    app = Flask(__name__)
    app.config["COLLECTOR"] = collector
    app.extensions["totango"] = client
    app.register_blueprint(pages)
    return app


def signed_in() -> dict[str, Any]:
    """Return whose request it is (a real service would ask the session, as flask_app does)."""
    account = Account("1001", name="Dune Coffee", attributes={"Plan": "Team"})
    return {"account": account, "user": User("ada@dune.example", name="Ada"), "product": EDITOR}


@pages.get("/")
def editor() -> str:
    """Show the page. Who it is stands in its options; the browser reports what happens on it."""
    g.nonce = secrets.token_urlsafe(16)
    with totango.context(**signed_in()):
        return show()


@pages.post("/save")
def save() -> str:
    """Keep the document. Here the backend knows what happened, and reports it itself."""
    g.nonce = secrets.token_urlsafe(16)
    with totango.context(**signed_in()):
        totango.track("Document saved")
        return show()


def show() -> str:
    """Return the page, for whom the client speaks now."""
    return render_template_string(
        PAGE, totango=totango, nonce=g.nonce, collector=current_app.config["COLLECTOR"]
    )


@pages.after_request
def guard(response: Response) -> Response:
    """Let only our own scripts run, and images (which events are) go only to the collector."""
    collector = urlsplit(current_app.config["COLLECTOR"])
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'nonce-{g.get('nonce', '')}'; "
        f"img-src data: {collector.scheme}://{collector.netloc}; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return response


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        description="A page that reports to Totango, as its backend does."
    )
    parser.add_argument("--port", type=int, default=8001, help="0: any free one")
    parser.add_argument(
        "--collector", default=COLLECTOR, help="the address of the browser's script"
    )
    arguments = parser.parse_args()
    # Leave `server.run` on SIGTERM as on Ctrl-C, so that the client is closed properly.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        client = Totango.from_env()
    except OptionsError as error:
        print(f"browser_app: {error}", file=sys.stderr)
        return 2
    with client:
        app = create_app(client, collector=arguments.collector)
        server = waitress.create_server(app, host="127.0.0.1", port=arguments.port)
        print(f"Paperboat listens on http://127.0.0.1:{server.effective_port}", flush=True)
        server.run()
        client.flush()  # what cannot be delivered now waits in the spool for the next start
    return 0


if __name__ == "__main__":
    sys.exit(main())

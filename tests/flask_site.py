"""A site for the tests of the Flask integration, served by a real gunicorn."""

from __future__ import annotations

import threading

from flask import Flask, Response, abort, redirect, request, stream_with_context

from totango_sdk import Identity
from totango_sdk.integrations.flask import TotangoFlask

totango = TotangoFlask()


@totango.identity
def who(asked):
    account = asked.headers.get("X-Account")
    return Identity(account=account, user=f"{account}@x.com") if account else None


def make() -> Flask:
    site = Flask(__name__)
    site.config.update(TOTANGO_SERVICE_ID="SP-1234-01", TOTANGO_MODULE="Site")

    @site.get("/track/<name>")
    def track(name):
        totango.track(name)
        return name

    @site.get("/quiet")
    def quiet():
        return "quiet"

    @site.get("/done/<int:status>")
    @totango.tracked("Done", module="Decorated")
    def done(status):
        if status == 302:
            return redirect("/quiet")
        if status >= 400:
            abort(status)
        return Response(str(status), status)

    @site.get("/stream/<int:kept>")
    def stream(kept):
        def lines():
            yield "a"
            totango.track(f"streamed {kept}")
            yield "b"

        return Response(stream_with_context(lines()) if kept else lines())

    @site.post("/login")
    def login():
        totango.track("before")
        request.environ["HTTP_X_ACCOUNT"] = "signedin"
        totango.track("after")
        return "in"

    @site.get("/outside/<name>")
    def outside(name):
        """Track in a thread of its own, which has no request."""
        thread = threading.Thread(target=totango.client.track, args=(f"outside {name}",))
        thread.start()
        thread.join()
        return name

    totango.init_app(site)
    return site


if __name__ != "__main__":
    app = make()

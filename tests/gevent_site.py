"""A site that gunicorn's greenlets serve: it tracks, and watches how long any greenlet was kept from running."""

import os
import threading
import time

from flask import Flask

from totango_sdk import Identity
from totango_sdk.integrations.flask import TotangoFlask

app = Flask(__name__)
app.config.update(
    TOTANGO_SERVICE_ID="SP-1234-01", TOTANGO_MODULE="Site", TOTANGO_TRANSPORT=os.environ["SITE_TRANSPORT"]
)
totango = TotangoFlask(identity=lambda request: Identity(account=request.headers["X-Account"], user="U"))
totango.init_app(app)
gaps = []


def tick():
    last = time.monotonic()
    while True:
        time.sleep(0.005)
        now = time.monotonic()
        gaps.append(now - last)
        last = now


@app.get("/watch")
def watch():
    threading.Thread(target=tick, daemon=True).start()  # a greenlet, here
    return "watching"


@app.get("/track/<name>")
def track(name):
    return str(totango.track(name))


@app.get("/longest")
def longest():
    """The longest that a greenlet was kept waiting since the last time, and what sends."""
    found, gaps[:] = max(gaps), []
    transport = type(totango.client._core.worker._drive.sender._transport).__name__
    return {"longest": found, "transport": transport, "kind": type(threading.current_thread()).__name__}

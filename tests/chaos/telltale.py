"""Row 12: a secret as the token, looked for in everything that the package writes or shows.

As a program, it is the host: it makes what can go wrong go wrong, with every log on and every error shown in full.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .collector import Collector
from .hosts import Site, finish, python
from .kills import check_finish
from .ledger import SERVICE_ID, read
from .oracle import Row, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


def _forms(secret: str) -> list[bytes]:
    """Return the secret as it could be written: as it is, percent-encoded, and in base 64 or hexadecimal."""
    import base64

    plain = secret.encode()
    texts = {plain, quote(secret, safe="").encode(), plain.hex().encode(), base64.b64encode(plain).rstrip(b"=")}
    return sorted(texts)


def _hits(secret: str, where: dict[str, bytes]) -> list[str]:
    return [name for name, data in where.items() if any(form in data for form in _forms(secret))]


def _all_files(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file() and not path.is_symlink()}


def in_the_host(directory: Path) -> Row:
    """Retries, dead letters, refusals, errors and a kill, with DEBUG logs: the collector alone gets to know it."""
    secret = f"s3cr3t-tok3n-{secrets.token_hex(8)}"
    with Collector() as collector:
        site = Site(directory, collector)
        collector.poison("sdr_a=t.7&")
        for transport in ("httpx", "curl"):
            config = site.config(options={"api_token": secret, "transport": transport}, stream=transport)
            collector.behave("status", status=401, seconds=0.3)
            host = finish(python("-X", "dev", "-m", "chaos.telltale", json.dumps(config)), 120)
            collector.wait_for_health()
            shown = {"output": json.dumps(host.report).encode(), "log": host.log.encode()}
            row = _row_of(host.code, host.log, host.report)
            row.require(
                not _hits(secret, shown), f"{transport}: shown in {_hits(secret, shown)}: {_where(secret, shown)}"
            )
            if row.failures:
                return row
        files = _hits(secret, _all_files(directory))
        got = [arrival for arrival in collector.arrivals() if arrival.body.endswith(f"&api-token={secret}".encode())]
        last = site.finish(options={"api_token": secret})
        bare = [each._replace(body=each.body.partition(b"&api-token=")[0]) for each in collector.arrivals()]
        obligations = read(site.ledger)
        gone = frozenset(each.body for each in obligations if each.seq == 7)
        row = judge("a secret as token", "12", obligations, bare, excused=gone, also=_others(bare))
    row.require(not files, f"the token is in {files}")
    row.require(len(got) >= row.events, f"the token came with only {len(got)} of {row.events} events")
    row.require(not _hits(secret, {"log": last.log.encode()}), "the token is in the log of the next process")
    check_finish(row, last)
    row.note = "0 hits"
    return row


def _row_of(code: int, log: str, report: dict[str, Any]) -> Row:
    row = Row("a secret as token", "12")
    row.require(code == 0, f"the host ended with {code}: {log[-1500:]}")
    row.require("DEBUG" in log, "nothing was logged at DEBUG: the harness is wrong")
    row.require(len(report.get("shown", [])) > 10, "too little was shown: the harness is wrong")
    return row


def _others(arrivals: Iterable[Any]) -> frozenset[bytes]:
    """Return what is not in the ledger: events with attributes and the like, made to be shown."""
    return frozenset(each.body for each in arrivals if b"&sdr_u=u1&" in each.body)


def _where(secret: str, shown: dict[str, bytes]) -> list[str]:
    lines = [line for data in shown.values() for line in data.decode(errors="replace").splitlines()]
    return [line[:300] for line in lines if any(form.decode() in line for form in _forms(secret))][:5]


def in_the_sandbox(directory: Path) -> Row:
    """A token that reaches the sandbox is on none of its pages, in no file of it, and in no answer."""
    import urllib.request

    from totango_sdk import Totango
    from totango_sdk.testing import sandbox_server

    secret = f"s3cr3t-tok3n-{secrets.token_hex(8)}"
    row = Row("a secret as token, in the sandbox", "12", events=21)
    with sandbox_server(db=directory / "sandbox.db") as sandbox:
        client = Totango(SERVICE_ID, endpoint=sandbox.endpoint, spool=str(directory / "spool"), api_token=secret)
        with client:
            for number in range(20):
                client.track(f"a.{number}", "other", "acct-1", "u1@example.com")
            row.require(client.flush(20), "the sandbox took too little")
        _post(sandbox.endpoint, f"sdr_s=nonsense&sdr_o=a&api-token={secret}".encode())
        shown = {}
        for page in ("", "events.json", "summary.json", "accounts.json", "events.json?limit=100"):
            with urllib.request.urlopen(f"{sandbox.url}{page}", timeout=10) as answer:
                shown[f"/{page}"] = answer.read()
        shown["events()"] = repr(sandbox.events()).encode()
        shown["repr"] = repr((sandbox, client)).encode()
        row.require(b"a.19" in shown["/events.json"], "the events are not to be seen: the harness is wrong")
        shown.update(_all_files(directory))
    shown.update(_all_files(directory))
    row.require(not _hits(secret, shown), f"the token is in {_hits(secret, shown)}")
    row.require(any(name.endswith("sandbox.db") for name in shown), "no database: the harness is wrong")
    row.note = "0 hits"
    return row


def _post(endpoint: str, body: bytes) -> None:
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(endpoint, data=body, timeout=10).close()
    except urllib.error.HTTPError as error:
        error.close()


# -- the host


class _Host:
    """Shows everything that there is to show."""

    def __init__(self, config: dict[str, Any]) -> None:
        from .drive import make_client
        from .ledger import Ledger

        self.config = config
        self.shown: list[str] = []
        self.client = make_client(config)
        self.ledger = Ledger(config["ledger"])

    def show(self, *things: object) -> None:
        self.shown += [f"{thing!r} {thing!s}" for thing in things]

    def fail(self, action: Callable[[], object]) -> None:
        """Show the error of an action with the values of every frame that it came through."""
        try:
            action()
        except Exception:
            self.shown.append(traceback.format_exc())
            kind, error, trace = sys.exc_info()
            told = traceback.TracebackException(kind, error, trace, capture_locals=False)
            self.shown += list(told.format())

    def run(self) -> None:
        from totango_sdk import Account, Totango, User

        client, options = self.client, self.config["options"]
        for seq in range(10):
            self.ledger.send(client, "t" if options["transport"] == "httpx" else "t2", seq, 5)
        who = {"account": Account("acct-1", attributes={"Plan": "x"}), "user": User("u1", name="U")}
        bound = client.bind(**who, module="other")
        bound.track("Seen")
        bound.identify()
        client.track("", "", "", "")  # refused: a dead letter
        client.track(object(), None, 7, {"id": None})
        self.show(client, bound, client.stats(), client._core, client._core.options, client._core.worker)
        self.show(
            client.dead_letters(), vars(client._core.options) if hasattr(client._core.options, "__dict__") else ""
        )
        client.flush(30)
        self.show(
            client.dead_letters(),
            client.stats(),
            client._core.worker._drive.sender,
            client._core.worker._drive.sender._transport,
        )
        token = options["api_token"]
        self.fail(lambda: Totango(SERVICE_ID, api_token=f"{token}\n"))
        self.fail(lambda: Totango(SERVICE_ID, api_token=token.encode()))
        self.fail(lambda: Totango(SERVICE_ID, api_token=token, no_such_option=1))
        self.fail(lambda: Totango(SERVICE_ID, api_token=token, max_connections=0))
        self.fail(lambda: Totango("SP-XXXX-XX", api_token=token))
        self.fail(lambda: Totango(SERVICE_ID, api_token=token, strict=True, spool="memory").track("", "", "", ""))
        self.fail(lambda: Totango(SERVICE_ID, api_token=token, endpoint="file:///x"))
        os.environ["TOTANGO_API_TOKEN"] = token
        self.fail(lambda: Totango.from_env(service_id="wrong"))
        client.close()
        self.show(client, client.stats())


def main(config: dict[str, Any]) -> None:
    logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("chaos").debug("every log is on")
    host = _Host(config)
    host.run()
    print(json.dumps({"shown": host.shown}), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

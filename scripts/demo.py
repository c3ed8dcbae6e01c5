"""The whole way once: an app and a replay send events to a sandbox, and this shows what it
received.

    python scripts/demo.py [--all]

Starts the sandbox and the Flask app of examples/ as processes of their own, uses the app over HTTP
as 20 customers would, replays the 1,000 events of examples/data/events.csv, and compares what the
sandbox has with what was sent: 0 if it is the same, else 1 and the differences. Leaves no process
and no file.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parent.parent
EVENTS = ROOT / "examples" / "data" / "events.csv"
COLUMNS = ("account_id", "account_name", "product_id", "user_id", "user_name", "activity", "module")
TOTANGO = sysconfig.get_path("scripts") + "/totango"
WRONG_LINES = {118, 307, 520, 744, 903}
COMPANIES = (
    *(
        "Bluebird",
        "Cobalt",
        "Dune",
        "Ember",
        "Fjord",
        "Granite",
        "Heron",
        "Indigo",
        "Juniper",
        "Kestrel",
        "Lumen",
    ),
    *("Maple", "Nimbus", "Orchard", "Pioneer", "Quarry", "Raven", "Saffron", "Tidal", "Umber"),
)
JOB = "Preview made"  # by a job that the app starts when something is uploaded
TIMEOUT = 20.0  # seconds
CONSOLE = Console(width=None if sys.stdout.isatty() else 120, highlight=False)


@dataclass
class Usage:
    """Who did what. One is filled by what is sent, another by what the sandbox received."""

    accounts: dict[str, str | None] = field(default_factory=dict)  # ID: name
    parents: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # product account: its account, its product
    users: dict[tuple[str, str], str | None] = field(
        default_factory=dict
    )  # (account or product account, ID): name
    activities: Counter[tuple[str, str]] = field(default_factory=Counter)  # (module, activity)
    # (account or product account, user): done by a job in the background
    jobs: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, event: dict[str, str]) -> None:
        """Count one event, a row of events.csv or one like it."""
        where, product = event["account_id"], event["product_id"]
        self.accounts[where] = event["account_name"]
        if product:
            where, parent = f"{where}_{product}", where
            self.parents[where] = (parent, product)
        self.users[where, event["user_id"]] = event["user_name"]
        self.activities[event["module"], event["activity"]] += 1
        if event["activity"] == JOB:
            self.jobs[where, event["user_id"]] += 1


@dataclass
class Customer:
    """One user of the app in one workspace, and what that makes the app send."""

    app: httpx.Client
    sent: Usage
    workspace: dict[str, str]
    email: str
    name: str

    def does(self, activity: str, module: str, product: str, path: str, **body: str) -> None:
        """Fill in one form of the app, and count the event that it stands for."""
        self.app.post(path, data=body).raise_for_status()
        self.counts(activity, module, product)

    def counts(self, activity: str, module: str, product: str) -> None:
        """Count an event of this user."""
        who = (self.workspace["id"], self.workspace["name"], product, self.email, self.name)
        self.sent.add(dict(zip(COLUMNS, (*who, activity, module), strict=True)))

    def visits(self, documents: int, signatures: int) -> None:
        """Log in, share some documents, and have some signed."""
        identity = {"workspace": self.workspace["id"], "email": self.email, "name": self.name}
        self.does("Login", "App", "", "/login", **identity)
        draft, partner = "First draft", "partner@elsewhere.example"
        for _ in range(documents):
            self.does("Document uploaded", "Documents", "docs", "/documents", title=draft)
            self.counts(JOB, "Documents", "docs")
            self.does(
                "Document shared",
                "Sharing",
                "docs",
                "/documents/share",
                title=draft,
                to=partner,
            )
        for _ in range(signatures):
            self.does(
                "Signature requested",
                "Signing",
                "sign",
                "/signatures",
                title=draft,
                signer=partner,
            )


def use_app(url: str, sent: Usage) -> None:
    """Use the app as the customers of 20 workspaces would, and as one that was set up wrongly."""
    how: dict[str, Any] = {"timeout": TIMEOUT, "trust_env": False, "follow_redirects": True}
    with httpx.Client(base_url=url, **how) as app:
        for number, company in enumerate(COMPANIES, 1):
            workspace = {
                "id": str(1000 + number),
                "name": company,
                "plan": ("Free", "Team", "Business")[number % 3],
            }
            app.post("/workspaces", data=workspace).raise_for_status()
            use_workspace(app, sent, workspace, number)
        # A display name is no ID, so this event has to become a dead letter, and is not counted as
        # sent.
        workspace = {"id": "Acme Trading Ltd", "name": "Acme Trading Ltd", "plan": "Team"}
        app.post("/workspaces", data=workspace).raise_for_status()
        Customer(app, Usage(), workspace, "wile@acme.example", "Wile").visits(
            documents=0, signatures=0
        )


def use_workspace(app: httpx.Client, sent: Usage, workspace: dict[str, str], number: int) -> None:
    """Have two people work in one workspace, which may get another name in between."""
    domain = f"{workspace['name'].lower()}.example"
    ada = Customer(
        app, sent, workspace, f"ada+paperboat@{domain}" if number == 1 else f"ada@{domain}", "Ada"
    )
    ada.visits(documents=1 + number % 3, signatures=number % 2)
    ben = Customer(app, sent, workspace, f"ben@{domain}", "Ben")
    ben.visits(documents=1, signatures=0)
    if number == 3:
        workspace["name"] += " Coffee"
        ben.does("Workspace renamed", "Settings", "", "/workspace/name", name=workspace["name"])


def dead_letters_of_app(url: str, key: str) -> list[tuple[str, str]]:
    """Ask the app which events were given up: its own page for operators tells."""
    answer = httpx.get(
        f"{url}/operator/totango", headers={"Authorization": f"Bearer {key}"}, trust_env=False
    )
    return [
        ("flask_app", letter["reason"])
        for letter in answer.raise_for_status().json()["dead_letters"]
    ]


def replay(
    directory: Path, environment: dict[str, str], sent: Usage
) -> tuple[list[tuple[str, str]], Path]:
    """Replay the recorded events by `totango replay`. Return its rejected rows, by line, and its
    report.
    """
    events, report = directory / EVENTS.name, directory / "replay.html"
    shutil.copy(EVENTS, events)  # beside it come the ledger and the rejected rows
    command = [TOTANGO, "replay", str(events), "--report", str(report), "--json"]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode != 1:  # some lines are wrong, on purpose
        sys.exit(f"demo: totango replay ended with {done.returncode} instead of 1:\n{done.stderr}")
    with EVENTS.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            if line not in WRONG_LINES:
                sent.add(row)
    rejected = []
    for path in json.loads(done.stdout)["rejected_files"]:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rejected += [
                (f"events.csv line {row['rejected_line']}", row["rejected_reason"])
                for row in csv.DictReader(file)
            ]
    return rejected, report


def received(url: str) -> tuple[Usage, dict[str, Any]]:
    """Ask the sandbox what it has: as usage, and its summary as it stands."""
    usage = Usage()
    with httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False) as sandbox:
        summary = sandbox.get("/summary.json").raise_for_status().json()
        accounts = (
            sandbox.get("/accounts.json", params={"limit": 1000})
            .raise_for_status()
            .json()["accounts"]
        )
        done = sandbox.get("/events.json", params={"text": f'"{JOB}"', "limit": 1000})
    for account in accounts:
        if account["product_id"]:
            usage.parents[account["id"]] = (account["parent_id"], account["product_id"])
        else:
            usage.accounts[account["id"]] = account["name"]
        usage.users |= {
            (account["id"], user["id"]): user["attributes"].get("name") for user in account["users"]
        }
    for module, counts in summary["activities"].items():
        usage.activities.update({(module, activity): count for activity, count in counts.items()})
    for event in done.raise_for_status().json()["events"]:
        usage.jobs[event["account"], event["user"]] += 1
    return usage, summary


def differences(
    sent: Usage, got: Usage, summary: dict[str, Any], dead: list[tuple[str, str]]
) -> Iterator[str]:
    """Say each thing that was sent and is not there, or the other way round."""
    for what in ("accounts", "parents", "users", "activities", "jobs"):
        expected, found = getattr(sent, what), getattr(got, what)
        for key in sorted(expected.keys() | found.keys()):
            if expected.get(key) != found.get(key):
                yield f"{what}: {key!r} was sent as {expected.get(key)!r}, and the sandbox has {found.get(key)!r}"
    for name in ("dropped", "lost"):
        if summary["totals"][name]:
            yield f"requests: {summary['totals'][name]} arrived but were {name}; /events.json of a sandbox tells why"
    wrong = {"flask_app", *(f"events.csv line {line}" for line in WRONG_LINES)}
    for place in sorted(wrong ^ {place for place, _ in dead}):
        yield f"dead letters: {place} {'has none' if place in wrong else 'has one, but nothing is wrong there'}"


def show(usage: Usage, summary: dict[str, Any], dead: list[tuple[str, str]], most: int) -> None:
    """Print what the sandbox received."""
    people = Counter(where for where, _ in usage.users)
    accounts = ((key, name or "", str(people[key])) for key, name in sorted(usage.accounts.items()))
    print_table("Accounts", ("account", "name", "users of it itself"), accounts, most)
    parents = ((key, *parent, str(people[key])) for key, parent in sorted(usage.parents.items()))
    print_table(
        "Product accounts", ("product account", "parent", "product", "users"), parents, most
    )
    users = ((where, user, name or "") for (where, user), name in sorted(usage.users.items()))
    print_table("Users", ("of", "user", "name"), users, most)
    activities = ((*key, str(count)) for key, count in sorted(usage.activities.items()))
    print_table("Activities by module", ("module", "activity", "times"), activities)
    jobs = ((*key, str(count)) for key, count in sorted(usage.jobs.items()))
    print_table(f"{JOB}, by a job for whoever uploaded", ("of", "user", "times"), jobs, most)
    problems = (
        (each["severity"], str(each["count"]), each["example"]["message"])
        for each in summary["problems"]
    )
    print_table(
        "Told by the sandbox of what arrived", ("severity", "requests", "message"), problems
    )
    print_table("Dead letters: never sent", ("from", "reason"), dead)
    names = ("requests", "accounts", "product_accounts", "users", "activities")
    row = (*(str(summary["totals"][name]) for name in names), str(len(dead)))
    print_table("In all", (*(name.replace("_", " ") for name in names), "dead letters"), [row])


def print_table(
    title: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]], most: int = sys.maxsize
) -> None:
    """Print a table of at most `most` rows, and how many more there are."""
    listed = list(rows)
    table = Table(*columns, title=title, title_justify="left", title_style="bold")
    for row in listed[:most]:
        table.add_row(*map(escape, row))
    more = f"… and {len(listed) - most} more (--all shows them)\n" if len(listed) > most else ""
    CONSOLE.print(table, more, sep="\n")


@contextmanager
def service(
    name: str, command: list[str], environment: dict[str, str], directory: Path
) -> Iterator[str]:
    """Run a server until the end of the block, and give the address that it prints. It must stop
    with 0.
    """
    log = directory / f"{name}.log"
    # In a session of its own, so that Ctrl-C reaches this script alone, and this script stops it.
    how: dict[str, Any] = {"env": environment, "cwd": directory, "start_new_session": True}
    process = None
    try:
        with signals_held_back(), log.open("w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **how)
        yield address(name, process, log)
        if (code := stop(process)) != 0:
            sys.exit(f"demo: {name} stopped with exit code {code} instead of 0:\n{log.read_text()}")
    finally:
        if process is not None:
            stop(process)


def address(name: str, process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait for the address that a server prints when it listens."""
    deadline = time.monotonic() + TIMEOUT
    while not (found := re.search(r"http://127\.0\.0\.1:\d+(?=\s|/)", log.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit(
                f"demo: {name} did not say where it listens (exit code {process.poll()}):\n{log.read_text()}"
            )
        time.sleep(0.05)
    return found[0]


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a process that this script started; by force if it does not end by itself."""
    with signals_held_back():
        process.terminate()
        try:
            return process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of the block, so that no process is started and
    forgotten.
    """
    held: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {
        number: signal.signal(number, lambda number, _: held.append(number)) for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if held:
            signal.raise_signal(held[0])


def run(directory: Path, options: argparse.Namespace) -> int:
    """Start everything, use it, show what the sandbox received and what was given up, and return
    the exit code.
    """
    sent = Usage()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TOTANGO_")
    }
    command = [TOTANGO, "sandbox", "--port", "0", "--db", "sandbox.db"]
    with service("sandbox", command, environment, directory) as sandbox:
        how = "until Ctrl-C" if options.keep else "while this runs; make demo KEEP=1 leaves it open"
        print(f"Watch them arrive on {sandbox}/ ({how})\n", flush=True)
        key = secrets.token_hex()
        environment |= {
            "TOTANGO_SERVICE_ID": "SP-1234-01",
            "TOTANGO_ENDPOINT": f"{sandbox}/pixel.gif/",
        }
        environment |= {"TOTANGO_SPOOL": str(directory / "spool"), "PAPERBOAT_OPERATOR_KEY": key}
        command = [
            sys.executable,
            str(ROOT / "examples" / "flask_app" / "paperboat.py"),
            "--port",
            "0",
        ]
        with service("flask_app", command, environment, directory) as app:
            use_app(app, sent)
            dead = dead_letters_of_app(app, key)
        # The app has stopped, and delivered everything before it did. So has the replay when it
        # ends.
        rejected, page = replay(directory, environment, sent)
        dead += rejected
        print(f"The report of the replay is {page.as_uri()} ({how})\n", flush=True)
        code = report(sent, *received(sandbox), dead, sys.maxsize if options.all else 12)
        if options.keep:
            make_mistakes(sandbox)
            print(
                f"Three requests with typical mistakes were added. Look at {sandbox}/ - Ctrl-C ends it.",
                flush=True,
            )
            with suppress(KeyboardInterrupt):
                signal.pause()
        return code


def report(
    sent: Usage, got: Usage, summary: dict[str, Any], dead: list[tuple[str, str]], most: int
) -> int:
    """Show what arrived, and compare it with what was sent."""
    show(got, summary, dead, most)
    if wrong := list(differences(sent, got, summary, dead)):
        print("demo: what arrived is not what was sent.", *wrong, sep="\n  ", file=sys.stderr)
        return 1
    print("Everything that was sent is there, and nothing else.")
    return 0


def make_mistakes(sandbox: str) -> None:
    """Send what people send who have no SDK that checks it first. Totango would answer 200 to each
    of them.
    """
    mistakes = (
        {
            "sdr_o": "Bluebird Ltd.",
            "sdr_u": "ada@bluebird.example",
            "sdr_a": "Login",
            "sdr_m": "App",
        },
        {
            "sdr_o": "1002_DOCS",
            "sdr_u": "Ada@cobalt.example",
            "sdr_a": "Document uploaded",
            "sdr_m": "Documents",
        },
        {
            "sdr_o": "1003",
            "sdr_u": "undefined",
            "sdr_a": "Login",
            "sdr_m": "App",
            "sdr_o.Plan": "[object Object]",
        },
    )
    headers = {"User-Agent": "Mozilla/5.0 (a page with a mistake)"}
    for mistake in mistakes:
        httpx.get(
            f"{sandbox}/pixel.gif/",
            params={"sdr_s": "SP-1234-01", **mistake},
            headers=headers,
            trust_env=False,
        )


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(
        description="Send events from an app and a file to a sandbox, and show them."
    )
    parser.add_argument("--all", action="store_true", help="print the long tables whole")
    parser.add_argument(
        "--keep", action="store_true", help="leave the sandbox's page open until Ctrl-C"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `finally` runs
    try:
        with tempfile.TemporaryDirectory(prefix="totango-demo-") as directory:
            return run(Path(directory), options)
    except KeyboardInterrupt:
        return 130
    except (httpx.HTTPError, subprocess.TimeoutExpired) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

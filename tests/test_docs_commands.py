"""The commands of the documentation, run as they are written, section by section, against a sandbox."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
import os
import re
import subprocess
import sysconfig
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from test_cli_spool import LEAVES

from totango_sdk.testing import sandbox_server

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in ("audit.md", "cli.md", "replay.md"))]
BLOCK = re.compile(r"^```(sh|toml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
NOW = dt.datetime.now(dt.UTC)
NOT_RUN = ("pip ", "make ")


class Section(NamedTuple):
    page: str
    title: str
    blocks: list[tuple[str, str]]


def sections() -> list[Section]:
    found = []
    for page in PAGES:
        for part in re.split(r"^(?=## )", page.read_text(encoding="utf-8"), flags=re.MULTILINE):
            blocks = [(kind, code) for kind, code in BLOCK.findall(part) if kind == "toml" or "totango" in code]
            if any(kind == "sh" for kind, _ in blocks):
                found.append(Section(page.name, part.splitlines()[0].lstrip("# "), blocks))
    return found


SECTIONS = {f"{section.page}: {section.title}": section for section in sections()}


def commands(code: str) -> list[tuple[str, int]]:
    """Return each command with the exit code that it is to have."""
    lines = [line for line in code.replace("\\\n", "").splitlines() if line and not line.startswith(NOT_RUN)]
    return [(line.split("   #")[0], 1 if "# ends with 1" in line else 0) for line in lines]


class Run(NamedTuple):
    """What a section has left, and what has arrived."""

    directory: Path
    told: list[str]
    summary: dict[str, Any]
    events: list[dict[str, Any]]

    @property
    def activities(self) -> list[tuple[str, str, str]]:
        return sorted((each["account"], each["user"], each["activity"]) for each in self.events if each["activity"])


def run(title: str, directory: Path) -> Run:
    section = SECTIONS[title]
    scripts = sysconfig.get_path("scripts")
    with sandbox_server() as sandbox:
        environment = {
            **os.environ,
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "TOTANGO_SERVICE_ID": "SP-1234-01",
            "TOTANGO_ENDPOINT": sandbox.endpoint,
            "TOTANGO_SPOOL": str(directory / "spool"),
        }
        make_files(directory)
        if "spool" in title or "letters" in title:
            leave_letters(directory / "spool", sandbox.endpoint)
        told = []
        for kind, code in section.blocks:
            if kind == "toml":
                (directory / code.split("\n")[0].removeprefix("# ")).write_text(code)
                continue
            for command, expected in commands(code):
                done = subprocess.run(
                    ["bash", "-c", command],
                    cwd=directory,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=120,
                    check=False,
                )
                assert done.returncode == expected, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
                assert "Traceback" not in done.stderr
                told.append(done.stdout)
        return Run(directory, told, sandbox.summary(), sandbox.events())


# -- the files that the documentation names


def table(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def make_files(directory: Path) -> None:
    table(
        directory / "events.csv",
        [["account_id", "user_id", "activity", "module"], *([f"a{n}", "u1@x.com", "Login", "App"] for n in range(5))],
    )
    table(directory / "accounts.csv", [["account_id", "account_name"], ["1001", "Acme"], ["1002", "Beta"]])
    table(
        directory / "app.csv",
        [
            ["account_id", "account_name", "foreignkeyid"],
            ["1001", "Acme", "0012000000msDD0"],
            ["1002 ", "Beta", ""],
            ["1003", "Gamma", "0012000000abCd1"],
        ],
    )
    table(
        directory / "salesforce.csv",
        [
            ["Name", "Id", "Internal_ID__c"],
            ["Acme", "0012000000msDD0AAM", ""],
            ["Beta", "0012000000xyZz2", "1002"],
            ["Gamma", "0012000000abCd1AAE", ""],
        ],
    )
    make_log(directory / "access.log.gz")
    make_table(directory / "usage.parquet")
    make_messages(directory / "segment.ndjson")


def leave_letters(spool: Path, endpoint: str) -> None:
    program = LEAVES.replace("not an id", "Acme Inc.")
    command = [sysconfig.get_path("scripts") + "/python", "-c", program, str(spool), endpoint]
    subprocess.run(command, check=True, timeout=60, stdout=subprocess.PIPE)


def make_log(path: Path) -> None:
    at = NOW.strftime("%d/%b/%Y:%H:%M:%S +0000")
    query = "sdr_s=SP-1234-01&sdr_o=a1&sdr_u=u1%40x.com&sdr_a=Seen%20{}&sdr_m=App"
    requests = [
        (f"GET /pixel.gif/?{query.format(1)} HTTP/1.1", 502),
        (f"GET /pixel.gif?{query.format(2)} HTTP/1.1", 200),
        ("POST /pixel.gif/ HTTP/1.1", 503),
        ("GET /index.html HTTP/1.1", 502),
        (f"GET /pixel.gif?{query.format(3)} HTTP/1.1", 504),
    ]
    lines = [f'192.0.2.1 - - [{at}] "{line}" {status} 43 "-" "Mozilla/5.0"\n' for line, status in requests]
    path.write_bytes(gzip.compress("".join(lines).encode()))


def make_table(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE usage (tenant BIGINT, mail VARCHAR, evt VARCHAR, ts VARCHAR)")
        for hours, mail in ((1, " U1@X.com"), (2, "u2@x.com"), (500, "u3@x.com")):
            at = (NOW - dt.timedelta(hours=hours)).isoformat()
            connection.execute("INSERT INTO usage VALUES (42, ?, 'Invoice paid', ?)", [mail, at])
        connection.execute(f"COPY usage TO '{path}' (FORMAT parquet)")


def make_messages(path: Path) -> None:
    at = NOW.isoformat()
    messages = [
        {
            "type": "identify",
            "userId": "u1@x.com",
            "traits": {"name": "Marlo", "Role": "Admin"},
            "context": {"groupId": "a1"},
        },
        {"type": "group", "userId": "u1@x.com", "groupId": "a1", "traits": {"name": "Acme", "Plan": "Gold"}},
        {
            "type": "track",
            "userId": "u1@x.com",
            "event": "Paid",
            "properties": {"category": "Billing"},
            "groupId": "a1",
        },
        {"type": "page", "userId": "u1@x.com", "name": "Home"},
    ]
    path.write_text("".join(json.dumps({**message, "timestamp": at}) + "\n" for message in messages))


# -- the pages


OF_THEIR_OWN = {
    "replay.md: Dead letters after an outage",
    "replay.md: A day of web logs",
    "replay.md: A warehouse table",
    "replay.md: Moving from Segment",
    "audit.md: A CRM's export against the application",
    "cli.md: One event from a shell",
    "cli.md: What keeps events from arriving",
    "cli.md: Salesforce IDs",
}


@pytest.mark.parametrize("title", sorted(set(SECTIONS) - OF_THEIR_OWN))
def test_the_commands_of_a_section_run_as_they_are_written(title: str, tmp_path: Path) -> None:
    run(title, tmp_path)


def test_no_job_is_missing_from_the_pages() -> None:
    assert set(SECTIONS) >= OF_THEIR_OWN


def test_every_command_is_on_the_page_of_commands() -> None:
    from totango_sdk.cli.app import app

    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    names = [command.name for command in app.registered_commands]
    for name in ("spool", *names):
        assert f"`totango {name}`" in page, name


def test_dead_letters_after_an_outage_arrive_once_mended(tmp_path: Path) -> None:
    found = run("replay.md: Dead letters after an outage", tmp_path)
    assert found.activities == [("a1", "u", "Poison"), ("acme", "u", "Wrong")]
    assert json.loads((tmp_path / "dead.json").read_text())
    status = subprocess.run(
        [sysconfig.get_path("scripts") + "/totango", "spool", "status", "--json", "--spool", str(tmp_path / "spool")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert [left["dead"] for left in json.loads(status.stdout)] == [0]


def test_of_a_day_of_web_logs_the_failed_requests_arrive(tmp_path: Path) -> None:
    found = run("replay.md: A day of web logs", tmp_path)
    assert [activity for _, _, activity in found.activities] == ["Seen 1", "Seen 3"]
    assert "1 rows skipped: a POST, whose event no log has" in found.told[0]


def test_a_warehouse_table_is_mapped_sent_and_its_history_exported(tmp_path: Path) -> None:
    found = run("replay.md: A warehouse table", tmp_path)
    assert found.activities == [("42", "u1@x.com", "Invoice paid"), ("42", "u2@x.com", "Invoice paid")]
    assert "<h1>Replay" in (tmp_path / "usage.html").read_text()
    with (tmp_path / "upload" / "usage-0001.csv").open(newline="") as file:
        assert [row["User ID"] for row in csv.DictReader(file)] == ["u1@x.com", "u2@x.com", "u3@x.com"]


def test_segments_messages_arrive_and_are_exported(tmp_path: Path) -> None:
    found = run("replay.md: Moving from Segment", tmp_path)
    assert found.activities == [("a1", "u1@x.com", "Paid")]
    assert not any("no column gives the time" in text for text in found.told)
    assert found.summary["totals"]["dropped"] == 0
    accounts = (tmp_path / "upload" / "accounts-0001.csv").read_text().splitlines()
    assert accounts[1] == "a1,Acme,,,,,Gold"
    users = (tmp_path / "upload" / "users-0001.csv").read_text().splitlines()
    assert users == ["Account ID,User ID,name,Contact,Key Contact,Role", "a1,u1@x.com,Marlo,,,Admin"]


def test_a_crms_export_binds_to_the_application_once_mended(tmp_path: Path) -> None:
    found = run("audit.md: A CRM's export against the application", tmp_path)
    with (tmp_path / "findings.csv").open(newline="") as file:
        codes = {row["code"] for row in csv.DictReader(file)}
    assert {"id-space", "salesforce-15"} <= codes
    with (tmp_path / "mended.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["account_id"], row["foreignkeyid"][:15]) for row in rows][:2] == [
        ("1001", "0012000000msDD0"),
        ("1002", ""),
    ]
    assert len(rows[0]["foreignkeyid"]) == 18
    assert (tmp_path / "mended.csv.changes.csv").exists()
    assert "id-space" not in found.told[2]


def test_events_from_a_shell_arrive(tmp_path: Path) -> None:
    found = run("cli.md: One event from a shell", tmp_path)
    assert found.activities == [
        ("654321", "avon@barksdale.com", "Login"),
        ("819332", "marlo@barksdale.com", "Backup done"),
    ]
    assert json.loads(found.told[1])["outcome"] == "delivered"


def test_the_doctor_sends_the_one_event_that_it_was_asked_for(tmp_path: Path) -> None:
    found = run("cli.md: What keeps events from arriving", tmp_path)
    assert found.activities == [("819332", "marlo@barksdale.com", "Doctor")]
    assert json.loads(found.told[1])["sent"] is None


def test_salesforce_ids_come_out_line_by_line(tmp_path: Path) -> None:
    found = run("cli.md: Salesforce IDs", tmp_path)
    assert found.told == [
        "0012000000msDD0AAM\na0D30000001n7PiEAI\n",
        "0012000000msDD0AAM\n0012000000xyZz2AAE\n0012000000abCd1AAE\n",
    ]

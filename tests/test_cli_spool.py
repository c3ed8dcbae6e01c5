"""`totango spool`, as a person and as a program uses it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from totango_sdk.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from servers import Collector

LEAVES = """
import os, sys
from totango_sdk import Totango
from totango_sdk.testing import RecordingTransport
class Refuses(RecordingTransport):
    def poll(self, timeout):
        return [each._replace(status=400 if b"Poison" in self.bodies[each.ticket] else 503) for each in super().poll(timeout)]
    bodies = {}
    def submit(self, ticket, body):
        self.bodies[ticket] = body
        super().submit(ticket, body)
t = Totango("SP-1234-01", endpoint=sys.argv[2], spool=sys.argv[1], transport=Refuses(), user="u", module="m")
t.track("Poison", account="a1")
t.track("Wrong", account="not an id")
while t.stats().dead < 2:
    t.flush(0.05)
for number in range(3):
    t.track(f"Waits {number}", account="a2")
print("ready", flush=True)
if len(sys.argv) > 3:
    sys.stdin.read()
os._exit(0)
"""


def leave(directory: Path, endpoint: str = "http://127.0.0.1:9/pixel.gif/") -> None:
    """Have a process leave one poisoned, one refused and three waiting events behind."""
    subprocess.run(
        [sys.executable, "-c", LEAVES, str(directory), endpoint], check=True, timeout=60, stdout=subprocess.PIPE
    )


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    told = capsys.readouterr()
    return code, told.out, told.err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(run(capsys, *arguments, "--json")[1])


@pytest.fixture
def spool(tmp_path: Path) -> str:
    leave(tmp_path / "spool")
    return str(tmp_path / "spool")


def test_status_counts_what_waits_and_what_is_dead(spool: str, capsys: pytest.CaptureFixture[str]) -> None:
    (left,) = run_json(capsys, "spool", "status", "--spool", spool)
    assert (left["service_id"], left["running"], left["waiting"], left["dead"]) == ("SP-1234-01", False, 3, 2)
    code, out, _ = run(capsys, "spool", "status", "--spool", spool)
    assert code == 0
    assert "SP-1234-01" in out
    assert "totango spool drain" in out


def test_status_of_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "spool", "status", "--spool", str(tmp_path / "none"))
    assert (code, out) == (0, f"Nothing is waiting in {tmp_path / 'none'}.\n")


def test_dead_shows_why_and_what_to_do(spool: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "spool", "dead", "--spool", spool)
    assert code == 0
    assert "the collector answered 400" in out
    assert "totango spool retry" in out
    assert "mend the call, and track it again" in out
    letters = {letter["account"]: letter for letter in run_json(capsys, "spool", "dead", "--spool", spool)}
    assert letters["a1"]["params"][1:3] == [["sdr_o", "a1"], ["sdr_u", "u"]]
    assert letters["not an id"]["input"]["activity"] == "Wrong"


@pytest.mark.parametrize(
    ("filters", "accounts"),
    [
        (["--reason", "answered 400"], ["a1"]),
        (["--account", "not an id"], ["not an id"]),
        (["--older-than", "1h"], []),
        (["--older-than", "0s"], ["a1", "not an id"]),
        (["--limit", "1"], ["a1"]),
    ],
)
def test_filters_choose_letters(
    filters: list[str], accounts: list[str], spool: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_json(capsys, "spool", "dead", "--spool", spool, *filters)
    assert len(found) == len(accounts)
    assert {letter["account"] for letter in found} <= {"a1", "not an id"}
    if "--limit" not in filters:
        assert sorted(letter["account"] for letter in found) == sorted(accounts)


def test_a_wrong_age_is_wrong_use(spool: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "spool", "dead", "--spool", spool, "--older-than", "soon")
    assert code == 2
    assert "--older-than 'soon' is wrong" in err


def test_retry_puts_back_what_was_sent_before_and_drain_delivers_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from totango_sdk.testing import sandbox_server

    with sandbox_server() as sandbox:
        spool = str(tmp_path / "spool")
        leave(tmp_path / "spool", sandbox.endpoint)
        code, out, _ = run(capsys, "spool", "retry", "--spool", spool, "--reason", "answered 400")
        assert code == 0, out
        assert out.startswith("1 put back.")
        (left,) = run_json(capsys, "spool", "status", "--spool", spool)
        assert (left["waiting"], left["dead"]) == (4, 1)
        code, out, _ = run(capsys, "spool", "drain", "--spool", spool)
        assert (code, out) == (0, "SP-1234-01: 4 delivered, 0 dead, 0 left\n")
        activities = sandbox.summary()["activities"]["m"]
        assert activities == {"Poison": 1, "Waits 0": 1, "Waits 1": 1, "Waits 2": 1}
        code, out, _ = run(capsys, "spool", "drain", "--spool", spool)
        assert (code, out) == (0, "Nothing is waiting.\n")


LEAVE_ONE = """
import os, sys
from totango_sdk import Totango
from totango_sdk.testing import RecordingTransport
class Down(RecordingTransport):
    def poll(self, timeout):
        return [each._replace(status=503) for each in super().poll(timeout)]
Totango(sys.argv[3], endpoint=sys.argv[2], spool=sys.argv[1], transport=Down(), user="u").track("x", "m", "A")
os._exit(0)
"""


@pytest.mark.parametrize(
    ("named", "services", "told"),
    [
        ("SP-1-1", ["SP-1-1", "SP-2-2"], {"SP-1-1"}),
        ("SP-3-3", ["SP-1-1", "SP-2-2"], set()),
        (None, ["SP-1-1"], {"SP-1-1"}),
        (None, ["SP-1-1", "SP-2-2"], set()),
    ],
)
def test_drain_shows_a_token_to_its_own_service_only(
    named: str | None,
    services: list[str],
    told: set[str],
    collector: Collector,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for service in services:
        command = [sys.executable, "-c", LEAVE_ONE, str(tmp_path / "spool"), collector.endpoint, service]
        subprocess.run(command, check=True, timeout=60)
    monkeypatch.setenv("TOTANGO_API_TOKEN", "the-secret")
    monkeypatch.setenv("TOTANGO_DISABLED", "true")  # somebody else's, as everything in the environment may be
    if named is None:
        monkeypatch.delenv("TOTANGO_SERVICE_ID", raising=False)
    else:
        monkeypatch.setenv("TOTANGO_SERVICE_ID", named)
    code, out, _ = run(capsys, "spool", "drain", "--spool", str(tmp_path / "spool"))
    assert code == 0, out
    sent = [request.names for request in collector.requests]
    assert sorted(names["sdr_s"] for names in sent) == services
    assert {names["sdr_s"] for names in sent if "the-secret" in names.values()} == told


def test_what_was_refused_before_it_was_sent_is_not_retried(spool: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "spool", "retry", "--spool", spool, "--yes")
    assert code == 1
    assert "1 put back" in out
    assert "1 were refused before they were sent" in out


def test_more_than_one_event_is_not_changed_without_asking(spool: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "spool", "purge", "--spool", spool)
    assert code == 2
    assert "say --yes" in err
    assert run_json(capsys, "spool", "purge", "--spool", spool, "--yes") == {
        "purged": 2,
        "held_by_running_processes": 0,
    }
    (left,) = run_json(capsys, "spool", "status", "--spool", spool)
    assert (left["waiting"], left["dead"]) == (3, 0)


def test_drain_says_why_it_could_not_deliver(spool: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "spool", "drain", "--spool", spool, "--timeout", "1")
    assert code == 1
    assert "3 left" in out
    assert "onnect" in out  # nobody listens there


def test_drain_tells_it_once_and_a_pipe_gets_no_log(spool: str) -> None:
    command = [sys.executable, "-c", "import sys; from totango_sdk.cli import main; sys.exit(main(sys.argv[1:]))"]
    drain = ["spool", "drain", "--spool", spool, "--timeout", "1", "--json"]
    ended = subprocess.run([*command, *drain], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "onnect" in json.loads(ended.stdout)[0]["trouble"]


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("drain", "--timeout", "nan"), "--timeout=nan is wrong"),
        (("drain", "--timeout", "-1"), "--timeout=-1.0 is wrong"),
        (("dead", "--limit", "-1"), "--limit"),
    ],
    ids=str,
)
def test_a_number_that_makes_no_sense_is_wrong_use(
    arguments: tuple[str, ...], wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "spool", *arguments, "--spool", str(tmp_path))
    assert (code, out) == (2, "")
    assert wrong in err


def test_the_files_of_a_running_process_are_shown_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = str(tmp_path / "spool")
    command = [sys.executable, "-c", LEAVES, spool, "http://127.0.0.1:9/pixel.gif/", "stay"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            (left,) = run_json(capsys, "spool", "status", "--spool", spool)
            assert (left["running"], left["waiting"]) == (True, 3)
            code, out, _ = run(capsys, "spool", "status", "--spool", spool)
            assert "running" in out
            code, out, _ = run(capsys, "spool", "purge", "--spool", spool, "--yes")
            assert code in (0, 1)
            assert run(capsys, "spool", "drain", "--spool", spool)[1] == "Nothing is waiting.\n"
        finally:
            os.kill(process.pid, signal.SIGKILL)
    (left,) = run_json(capsys, "spool", "status", "--spool", spool)
    assert (left["running"], left["waiting"], left["dead"]) == (False, 3, 2)


def test_an_unsafe_directory_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    code, _, err = run(capsys, "spool", "status", "--spool", str(tmp_path / "link"))
    assert code == 2
    assert "symbolic link" in err

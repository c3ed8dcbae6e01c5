"""`totango track` and `totango salesforce-id`, as a shell uses them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from servers import close, mute, refusing_port, wait_for
from terminals import Terminal

from totango_sdk.cli import main

if TYPE_CHECKING:
    from servers import Collector

TOTANGO = str(Path(sysconfig.get_path("scripts"), "totango"))
WHO = ("--module", "App", "--account", "819332", "--user", "marlo@barksdale.com", "--service-id", "SP-1234-01")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    told = capsys.readouterr()
    return code, told.out, told.err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code, out, _ = run(capsys, *arguments, "--json")
    return code, json.loads(out)


def test_one_event_leaves_with_what_is_said_of_whom(collector: Collector, capsys: pytest.CaptureFixture[str]) -> None:
    said = ("--account-name", "Acme", "--account-attribute", "Plan=Gold=1", "--account-attribute", "Seats=5")
    said += ("--foreignkeyid", "X-1", "--user-name", "Marlo", "--user-attribute", "Role=Admin")
    code, out, err = run(capsys, "track", "Invoice paid", *WHO, *said, "--endpoint", collector.endpoint)
    assert (code, out, err) == (0, f"delivered to {collector.endpoint}\n", "")
    [request] = collector.requests
    assert request.pairs == [
        ("sdr_s", "SP-1234-01"),
        ("sdr_o", "819332"),
        ("sdr_u", "marlo@barksdale.com"),
        ("sdr_a", "Invoice paid"),
        ("sdr_m", "App"),
        ("sdr_odn", "Acme"),
        ("sdr_o.Plan", "Gold=1"),
        ("sdr_o.Seats", "5"),
        ("sdr_o.foreignkeyid", "X-1"),
        ("sdr_u.name", "Marlo"),
        ("sdr_u.Role", "Admin"),
    ]


def test_a_product_and_a_parent_are_said_too(collector: Collector, capsys: pytest.CaptureFixture[str]) -> None:
    said = ("--product", "ABC", "--product-name", "Alphabet", "--product-attribute", "Edition=EU", "--parent", "1")
    code, told = run_json(capsys, "track", "Login", *WHO, *said, "--endpoint", collector.endpoint)
    assert (code, told["outcome"], told["problems"]) == (0, "delivered", [])
    assert collector.activities == ["Login"]
    names = [request.names for request in collector.requests]
    assert names[0]["sdr_o.parent_id"] == "1"
    assert (names[-1]["sdr_o"], names[-1]["sdr_odn"], names[-1]["sdr_o.Edition"]) == ("819332_ABC", "Alphabet", "EU")


def test_the_token_goes_with_it_and_is_told_nowhere(
    collector: Collector, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTANGO_API_TOKEN", "s3cret")
    monkeypatch.setenv("TOTANGO_ENDPOINT", collector.endpoint)
    code, out, err = run(capsys, "track", "Login", *WHO, "--json")
    assert code == 0
    assert collector.requests[0].pairs[-1] == ("api-token", "s3cret")
    assert "s3cret" not in out + err


def test_an_invalid_event_is_not_sent_and_every_problem_is_told(
    collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ("track", "", *WHO, "--account", "Acme Inc.", "--endpoint", collector.endpoint)
    code, out, err = run(capsys, *wrong)
    assert (code, out) == (1, "")
    assert "error: account: 'Acme Inc.' has ' ' at position 5" in err
    assert "error: activity:" in err
    assert "nothing was sent" in err
    code, told = run_json(capsys, *wrong)
    assert (code, told["outcome"], told["id"]) == (1, "invalid", None)
    assert [problem["field"] for problem in told["problems"]] == ["account", "activity"]
    assert collector.requests == []


def test_a_warning_is_told_and_the_event_sent(collector: Collector, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "track", "Login", *WHO, "--account", "unknown", "--endpoint", collector.endpoint)
    assert (code, out) == (0, f"delivered to {collector.endpoint}\n")
    assert err.startswith("warning: account: 'unknown'")
    assert collector.activities == ["Login"]


def test_an_event_that_is_refused_ends_with_1(collector: Collector, capsys: pytest.CaptureFixture[str]) -> None:
    collector.plan = lambda _: 400
    code, told = run_json(capsys, "track", "Login", *WHO, "--endpoint", collector.endpoint)
    assert (code, told["outcome"], told["waits_in"]) == (1, "dead", None)
    assert "400" in told["reason"]
    code, out, err = run(capsys, "track", "Login", *WHO, "--endpoint", collector.endpoint)
    assert (code, out) == (1, "")
    assert err == "not taken: the collector answered 400, which speaks of this event\n"


def test_what_is_not_delivered_in_time_waits_for_a_drain(
    collector: Collector, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    collector.plan = lambda _: 503
    spool = str(tmp_path / "spool")
    outage = ("track", "Login", *WHO, "--endpoint", collector.endpoint, "--spool", spool, "--timeout", "0.3")
    code, out, err = run(capsys, *outage)
    assert (code, out) == (1, "")
    assert "the collector answered 503" in err
    assert f"It waits in {spool}: totango spool drain" in err
    collector.plan = lambda _: 200
    code, told = run_json(capsys, "spool", "drain", "--spool", spool)
    assert (code, told[0]["delivered"], told[0]["left"]) == (0, 1, 0)
    assert collector.activities[-1] == "Login"


def test_with_a_spool_in_memory_it_is_kept_nowhere_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    nobody = f"http://127.0.0.1:{refusing_port()}"
    code, out, err = run(capsys, "track", "Login", *WHO, "--endpoint", nobody, "--spool", "memory", "--timeout", "0.3")
    assert (code, out) == (1, "")
    assert err.startswith("not delivered: ")
    assert "It is kept nowhere: send it again" in err


def test_a_spool_that_cannot_be_used_is_said_beside_the_outage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    nobody = f"http://127.0.0.1:{refusing_port()}"
    code, told = run_json(
        capsys, "track", "Login", *WHO, "--endpoint", nobody, "--spool", str(file), "--timeout", "0.3"
    )
    assert (code, told["outcome"], told["waits_in"]) == (1, "lost", None)
    assert told["reason"].endswith(f"; nor can it wait in {file}: see totango doctor")


def test_a_disabled_client_sends_nothing_and_says_so(
    collector: Collector, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOTANGO_DISABLED", "1")
    code, told = run_json(capsys, "track", "Login", *WHO, "--endpoint", collector.endpoint)
    assert (code, told["outcome"], told["reason"]) == (0, "disabled", "TOTANGO_DISABLED is set")
    assert collector.requests == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--account-attribute", "Plan"), "--account-attribute 'Plan' is wrong: it is NAME=VALUE"),
        (("--user-attribute", "R=1", "--user-attribute", "R=2"), "--user-attribute gives 'R' twice"),
        (("--product-name", "Alphabet"), "--product is missing"),
        (("--timeout", "0"), "--timeout"),
        (("--service-id", "SP-XXXX-XX"), "SP-XXXX-XX"),
    ],
)
def test_wrong_use_ends_with_2_and_sends_nothing(
    arguments: tuple[str, ...], said: str, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "track", "Login", *WHO, *arguments, "--endpoint", collector.endpoint)
    assert (code, out) == (2, "")
    assert said in err
    assert collector.requests == []


def test_the_installed_command_does_the_same(collector: Collector, tmp_path: Path) -> None:
    environment = {**os.environ, "TOTANGO_ENDPOINT": collector.endpoint, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(
        [TOTANGO, "track", "Login", *WHO], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"delivered to {collector.endpoint}\n", "")
    wait_for(lambda: collector.activities == ["Login"])
    collector.plan = lambda _: close
    done = subprocess.run(
        [TOTANGO, "track", "Login", *WHO, "--timeout", "0.5"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "not delivered yet" in done.stderr


def test_ctrl_c_ends_with_130_and_keeps_nothing(collector: Collector, tmp_path: Path) -> None:
    collector.plan = lambda _: mute
    environment = {**os.environ, "TOTANGO_ENDPOINT": collector.endpoint, "XDG_STATE_HOME": str(tmp_path)}
    with Terminal([TOTANGO, "track", "Login", *WHO], tmp_path, environment) as terminal:
        wait_for(lambda: collector.requests)
        terminal.press(b"\x03")
        assert terminal.end() == 130
        assert "Traceback" not in terminal.text
    assert list(tmp_path.iterdir()) == []


def test_salesforce_ids_of_15_become_18_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "salesforce-id", "0012000000msDD0", "A0D30000001N7PIEAI")
    assert (code, out, err) == (0, "0012000000msDD0AAM\na0D30000001n7PiEAI\n", "")


def test_what_is_no_salesforce_id_is_told_and_the_others_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("0012000000msDD0\n\n 00120 \n"))
    code, out, err = run(capsys, "salesforce-id", "-")
    assert (code, out) == (1, "0012000000msDD0AAM\n")
    assert err.startswith("totango: '00120' has 5 characters")
    code, told = run_json(capsys, "salesforce-id", "0012000000msDD0BDU")
    assert (code, told[0]["given"], told[0]["id"]) == (1, "0012000000msDD0BDU", None)
    assert "ends in 'BDU'" in told[0]["reason"]
    assert run(capsys, "salesforce-id")[0] == 2

"""The command `totango`: what it prints, and the exit code it ends with."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

from totango_sdk.cli import main
from totango_sdk.wire import encode

TOTANGO = str(Path(sysconfig.get_path("scripts"), "totango"))
EVENT = [("sdr_s", "SP-1234-01"), ("sdr_o", "819332"), ("sdr_u", "marlo"), ("sdr_a", "Login"), ("sdr_m", "App")]


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Make importing these modules fail, as where they are not installed."""
    for name in list(sys.modules):
        if name.split(".")[0] in names:
            monkeypatch.delitem(sys.modules, name)
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)


def forget(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in list(sys.modules):
        if name == package or name.startswith(f"{package}."):
            monkeypatch.delitem(sys.modules, name)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"totango-sdk {version('totango-sdk')}\n"


def test_help_names_each_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "sandbox" in shown
    assert "completion" not in shown


@pytest.mark.parametrize("arguments", [["nothing"], ["--wrong"], ["sandbox", "--port", "x"], ["sandbox", "extra"], []])
def test_wrong_use_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "Usage: totango" in "".join(capsys.readouterr())


@pytest.mark.parametrize(("command", "flag"), [("replay", "--max-age"), ("spool dead", "--older-than")])
def test_a_wrong_length_of_time_names_the_option_that_has_it(
    command: str, flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_replay = [str(tmp_path / "e.csv"), "--service-id", "SP-1-1"] if command == "replay" else []
    assert main([*command.split(), *of_replay, flag, "soon"]) == 2
    assert f"totango: {flag} 'soon' is wrong: give a number and s, m, h or d" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--host", "0.0.0.0"], "host: '0.0.0.0' is not this machine"),
        (["--port", "99999"], "port: 99999 is not from 0 to 65535"),
        (["--port", "0", "--db", "/"], "db: '/' cannot be written"),
    ],
)
def test_a_sandbox_that_cannot_start_says_why_in_one_line_and_ends_with_2(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sandbox", *arguments]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"totango: {reason}")
    assert (said.err.count("\n"), said.out) == (1, "")


def test_a_port_in_use_ends_with_2_and_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["sandbox", "--port", str(taken.getsockname()[1])]) == 2
    assert re.fullmatch(r"totango: port: \d+ is in use by another program\..*--port 0.*\n", capsys.readouterr().err)


def test_a_foreign_database_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("notes\n" * 500)
    assert main(["sandbox", "--port", "0", "--db", str(file)]) == 2
    assert "is no sandbox database" in capsys.readouterr().err
    assert file.read_text() == "notes\n" * 500


def test_without_the_cli_extra_it_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "typer")
    assert main([]) == 2
    said = capsys.readouterr()
    assert "pip install 'totango-sdk[cli]'" in said.err
    assert (said.err.count("\n"), said.out) == (1, "")


def test_without_the_sandbox_extra_the_command_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without(monkeypatch, "starlette")
    forget(monkeypatch, "totango_sdk.sandbox")
    assert main(["sandbox"]) == 2
    said = capsys.readouterr().err
    assert "pip install 'totango-sdk[sandbox]'" in said
    assert said.count("\n") == 1


def test_a_command_brings_along_only_what_it_needs() -> None:
    code = """
import sys
from totango_sdk.cli import main
assert main(["salesforce-id", "0015000000abcde"]) == 0
rooms = {name.split(".")[1] for name in sys.modules if name.startswith("totango_sdk.")}
print(*sorted(rooms & {"audit", "replay", "export", "tables", "doctor", "sandbox"}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["0015000000abcdeAAA", ""]


def test_a_command_that_is_nearly_right_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trak"]) == 2
    assert "Did you mean 'track'?" in capsys.readouterr().err


def test_importing_the_command_line_loads_no_extra() -> None:
    program = "import sys, totango_sdk.cli; print({'typer', 'starlette', 'uvicorn', 'httpx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_asking_for_the_version_loads_no_web_server() -> None:
    program = "import sys; from totango_sdk.cli import main; main(['--version']); print('uvicorn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([TOTANGO, "sandbox", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    child.send_signal(signal.SIGINT)
    rest, errors = child.communicate(timeout=10)
    return child.returncode, rest, errors


def test_a_sandbox_prints_one_line_takes_events_and_ends_with_0_on_ctrl_c(tmp_path: Path) -> None:
    with started("--port", "0", "--db", str(tmp_path / "events.db")) as child:
        assert child.stdout is not None
        url, endpoint = re.findall(r"http://127\.0\.0\.1:\d+/\S*", child.stdout.readline())
        assert httpx.post(endpoint, content=encode(EVENT), trust_env=False).status_code == 200
        assert httpx.get(f"{url}summary.json", trust_env=False).json()["totals"]["activities"] == 1
        assert ended(child) == (0, "", "")
    assert [file.name for file in tmp_path.iterdir()] == ["events.db"]


def test_a_program_gets_the_addresses_as_json() -> None:
    with started("--port", "0", "--json") as child:
        assert child.stdout is not None
        told: dict[str, Any] = json.loads(child.stdout.readline())
        assert told["endpoint"] == f"{told['url']}pixel.gif/"
        assert ended(child)[0] == 0

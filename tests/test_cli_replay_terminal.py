"""`totango replay` as a person sees it: in a real terminal, with Ctrl-C and a second run; and on a pipe."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from terminals import Terminal

from totango_sdk.cli import main

if TYPE_CHECKING:
    from servers import Collector

TOTANGO = str(Path(sysconfig.get_path("scripts"), "totango"))
ROWS = 3000
PLAIN = r"[\d,]+ rows, [\d,]+ delivered \([\d,]+/s\), [01] rejected, [\d,]+ waiting"


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    rows = [f"a{number % 9},u{number},Login {number},App\n" for number in range(ROWS)]
    path.write_text("account_id,user_id,activity,module\n" + "".join(rows) + "Acme Inc.,u,Login,App\n")
    return path


def command(collector: Collector, *more: str) -> list[str]:
    return [TOTANGO, "replay", "events.csv", "--service-id", "SP-1234-01", "--endpoint", collector.endpoint, *more]


def test_ctrl_c_stops_in_order_and_the_same_command_goes_on(collector: Collector, events: Path) -> None:
    environment = dict(os.environ)
    with Terminal(command(collector, "--rate", "300"), events.parent, environment) as terminal:
        terminal.wait_for(r"[1-9]\d* delivered \([\d,]+/s\), 0 rejected, [\d,]+ waiting")
        terminal.press(b"\x03")
        code = terminal.end()
        shown = terminal.text
    assert code == 130
    stopped = re.search(r"stopped at line \d+: (\d+) delivered; the same command goes on", shown)
    assert stopped is not None, shown
    first = int(stopped[1])
    assert 0 < first < ROWS
    assert first == len(collector.activities)
    assert "\x1b[?25h" in terminal.raw.decode()  # the cursor is back

    with Terminal(command(collector), events.parent, environment) as terminal:
        code = terminal.end()
        shown = terminal.text
    assert code == 1  # one row is rejected
    counts = [int(count) for count in re.findall(r"^(\d[\d ]+)$", shown, re.MULTILINE)[0].split()]
    assert re.search(r"rows +delivered +rejected +skipped +earlier +left", shown), shown
    rows, delivered, rejected, _, earlier, left = counts
    assert (rows, left) == (ROWS + 1, 0)
    assert delivered + rejected + earlier == rows
    assert sorted(collector.activities) == sorted(f"Login {number}" for number in range(ROWS))
    assert "rejected rows: events.csv.rejected.csv" in shown


def test_a_second_ctrl_c_ends_at_once(collector: Collector, events: Path) -> None:
    from servers import mute

    collector.plan = lambda _: mute
    with Terminal(command(collector), events.parent, dict(os.environ)) as terminal:
        terminal.wait_for(r"0 delivered")
        terminal.press(b"\x03")
        terminal.press(b"\x03")
        assert terminal.end() == 130


def test_an_outage_is_told_in_the_line(collector: Collector, events: Path) -> None:
    collector.plan = lambda _: 503
    with Terminal(command(collector), events.parent, dict(os.environ)) as terminal:
        terminal.wait_for(r"0 delivered, [\d,]+ waiting: the collector answered 503")
        terminal.press(b"\x03")
        assert terminal.end() == 130


def test_on_a_pipe_there_is_no_bar_and_no_movement(collector: Collector, events: Path) -> None:
    done = subprocess.run(
        command(collector), cwd=events.parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    # A machine that is busy for more than 10 s gets a plain line.
    assert all(re.fullmatch(PLAIN, line) for line in done.stderr.splitlines())
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr


# -- the same in this process


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, collector: Collector, events: Path) -> list[str]:
    import totango_sdk.replay as room

    for module in (sys.modules[name] for name in list(sys.modules) if name.startswith(room.__name__)):
        if hasattr(module, "_PROGRESS_SECONDS"):
            monkeypatch.setattr(module, "_PROGRESS_SECONDS", 0.0)
    return ["replay", str(events), "--service-id", "SP-1234-01", "--endpoint", collector.endpoint]


def test_a_terminal_gets_one_line_that_goes_away(slow: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    assert main([*slow, "--limit", "500"]) == 0
    assert "rejected" in screen.getvalue()


def test_a_pipe_gets_a_plain_line_now_and_then(
    slow: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("totango_sdk.cli.progress._PLAIN_SECONDS", 0.0)
    assert main([*slow, "--limit", "500"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told
    assert all(re.fullmatch(PLAIN, line) for line in told)

"""The demo and the replay, run as a newcomer runs them."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from servers import Collector

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "scripts" / "demo.py"
REPLAY = ROOT / "examples" / "replay.py"
EVENTS = ROOT / "examples" / "data" / "events.csv"


def environment(directory: Path) -> dict[str, str]:
    """Return an environment in which temporary files go to `directory`, and no option is set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOTANGO_")}
    return {**kept, "TMPDIR": str(directory), "TOTANGO_SPOOL": "memory", "PYTHONIOENCODING": "utf-8"}


def replay(directory: Path, endpoint: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    given = {**environment(directory), "TOTANGO_SERVICE_ID": "SP-1234-01", "TOTANGO_ENDPOINT": endpoint}
    command = [sys.executable, str(REPLAY), *map(str, arguments)]
    return subprocess.run(command, env=given, capture_output=True, encoding="utf-8", timeout=60, check=False)


def running_in(directory: Path) -> list[str]:
    """Return the processes whose working directory is below `directory`; none where this cannot be asked."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(directory):
                found.append(process.name)
        except OSError:  # it has ended, or belongs to someone else
            continue
    return found


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo").resolve()


@pytest.fixture(scope="module")
def demo(workplace: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO), "--all"],
        env=environment(workplace),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def row_with(demo: subprocess.CompletedProcess[str], *cells: str) -> list[str]:
    """Return the cells of the only table row that has each of `cells`."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in demo.stdout.splitlines() if "│" in line]
    (row,) = [row for row in rows if all(cell in row for cell in cells)]
    return row


def test_the_demo_finds_that_everything_arrived(demo: subprocess.CompletedProcess[str]) -> None:
    assert (demo.returncode, demo.stderr) == (0, "")
    assert "Everything that was sent is there, and nothing else." in demo.stdout


def test_the_demo_has_the_same_numbers_each_time(demo: subprocess.CompletedProcess[str]) -> None:
    lines = demo.stdout.splitlines()
    heading = next(at for at, line in enumerate(lines) if "requests" in line and "dead letters" in line)
    totals = [cell.strip() for cell in lines[heading + 2].split("│")[1:-1]]
    assert totals == ["1239", "32", "48", "230", "1229", "6"]


def test_the_demo_shows_each_wrong_line_and_its_reason(demo: subprocess.CompletedProcess[str]) -> None:
    assert "'Acme Trading Ltd' has ' ' at position 5" in row_with(demo, "flask_app")[1]
    assert "'Hartwell Legal' has ' ' at position 9" in row_with(demo, "events.csv line 118")[1]
    assert "user: a user ID is missing" in row_with(demo, "events.csv line 307")[1]
    assert "at most 190" in demo.stdout
    assert "events.csv line 520" in demo.stdout
    assert "'482.113' has '.' at position 4" in row_with(demo, "events.csv line 744")[1]
    assert "control character" in row_with(demo, "events.csv line 903")[1]


def test_the_demo_tells_where_the_report_of_the_replay_is(
    demo: subprocess.CompletedProcess[str], workplace: Path
) -> None:
    told = re.search(r"The report of the replay is file://(\S+)/replay\.html", demo.stdout)
    assert told is not None
    assert Path(told[1]).parent == workplace


def test_the_demo_shows_a_jobs_events_with_the_identity_of_the_request(demo: subprocess.CompletedProcess[str]) -> None:
    jobs = demo.stdout.split("Preview made, by a job")[1].split("Told by the sandbox")[0].splitlines()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in jobs if "│" in line]
    assert ["1002_docs", "ada@cobalt.example", "3"] in rows
    assert len(rows) == 40


def test_the_demo_shows_parents_the_new_name_and_the_warning(demo: subprocess.CompletedProcess[str]) -> None:
    assert row_with(demo, "482101_sign", "482101")[:3] == ["482101_sign", "482101", "sign"]
    assert row_with(demo, "1003", "Dune Coffee")
    assert "'+' at position 4" in demo.stdout


def test_the_demo_leaves_no_process_and_no_file(demo: subprocess.CompletedProcess[str], workplace: Path) -> None:
    assert demo.returncode == 0
    assert running_in(workplace) == []
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_demo_that_is_stopped_leaves_no_process_and_no_file(tmp_path: Path, number: int, code: int) -> None:
    process = subprocess.Popen([sys.executable, str(DEMO)], env=environment(tmp_path), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("*/flask_app.log")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(30) == code
    finally:
        process.kill()
        process.wait()
    assert running_in(tmp_path.resolve()) == []
    assert list(tmp_path.iterdir()) == []


def test_the_recorded_events_are_those_that_their_script_makes() -> None:
    made = runpy.run_path(str(EVENTS.with_name("make_events.py")))["text"]()
    assert EVENTS.read_text(encoding="utf-8") == made
    assert made.count("\n") == 1001


def test_the_example_replays_a_file_and_goes_on_where_it_was(collector: Collector, tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    shutil.copy(EVENTS, file)
    done = replay(tmp_path, collector.endpoint, file)
    assert (done.returncode, done.stderr) == (1, "")
    assert "line 118: account: 'Hartwell Legal' has ' ' at position 9" in done.stdout
    assert done.stdout.endswith("1000 rows: 995 delivered, 5 rejected\n")
    assert len(collector.activities) == 995
    again = replay(tmp_path, collector.endpoint, file)
    assert (again.returncode, again.stdout) == (0, "1000 rows: 0 delivered, 0 rejected\n")
    assert len(collector.activities) == 995


def test_the_example_replays_an_iterable_too(collector: Collector, tmp_path: Path) -> None:
    done = replay(tmp_path, collector.endpoint)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3 rows: 3 delivered, 0 rejected\n", "")
    assert sorted(request.names["sdr_u"] for request in collector.requests) == ["u1", "u2", "u3"]


def test_the_example_is_ten_lines(tmp_path: Path) -> None:
    code = REPLAY.read_text(encoding="utf-8").split("with Totango")[1]
    assert len(code.splitlines()) <= 10

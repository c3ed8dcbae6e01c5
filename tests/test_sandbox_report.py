"""The sandbox in CI: it fails on what it was asked to fail on, and writes reports that programs read."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import JUnitXml

from totango_sdk.errors import OptionsError
from totango_sdk.sandbox import Report, Store
from totango_sdk.sandbox.arrival import understand
from totango_sdk.sandbox.ignored import IgnoreFile
from totango_sdk.sandbox.report import LEVELS, Point, github_lines, junit, level, report
from totango_sdk.wire import encode

if TYPE_CHECKING:
    from pathlib import Path

TOTANGO = f"{shlex.quote(sys.executable)} -c 'from totango_sdk.cli import main; raise SystemExit(main())'"
RIGHT = "sdr_s=SP-1-1&sdr_o=Acme&sdr_u=u1&sdr_a=Login&sdr_m=App"
CASE = RIGHT.replace("Acme", "acme")
WARNING = RIGHT.replace("u1", "jo%2Btest@x.com")
ERROR = RIGHT.replace("Acme", "not+an+id")
# What somebody writes into a workflow: begin it, use it, end it, and take its exit code.
SCRIPT = """
set -u
rm -f told.json
{totango} sandbox --port 0 --json {options} > told.json 2> errors.txt &
pid=$!
while ! grep -q http told.json 2> /dev/null; do kill -0 $pid || exit 9; read -t 0.05 < <(:) || true; done
{python} - <<'END'
import json, urllib.request
endpoint = json.loads(open("told.json").readline())["endpoint"]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
for body in {bodies!r}:
    opener.open(endpoint, body.encode()).read()
END
kill -INT $pid
wait $pid
"""


class Cases:
    """A JUnit file, as a reader of it sees it."""

    def __init__(self, text: str) -> None:
        self.failures: list[str] = []
        self.passed: list[str] = []
        suites = JUnitXml.fromstring(text.encode())
        for suite in suites:
            counted = (suite.tests, suite.failures, suite.errors, suite.skipped)
            failed = [case for case in suite if not case.is_passed]
            assert counted == (len(list(suite)), len(failed), 0, 0)
            assert suite.name
            for case in suite:
                (self.passed if case.is_passed else self.failures).append(f"{case.classname}: {case.name}")
        assert (suites.tests, suites.failures) == (len(self.failures) + len(self.passed), len(self.failures))


def in_ci(path: Path, options: str, bodies: list[str]) -> tuple[int, str, str]:
    script = SCRIPT.format(totango=TOTANGO, python=shlex.quote(sys.executable), options=options, bodies=bodies)
    done = subprocess.run(
        ["timeout", "50", "bash", "-c", script], cwd=path, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, (path / "told.json").read_text(), (path / "errors.txt").read_text()


@pytest.mark.parametrize(
    ("options", "bodies", "code", "failures"),
    [
        ("--fail-on binding", [RIGHT, CASE], 1, ["totango.binding: 'Acme' and 'acme' differ only in letter case"]),
        ("--fail-on binding", [RIGHT, WARNING], 0, []),
        ("--fail-on error", [RIGHT, CASE, WARNING], 0, []),
        ("--fail-on error", [ERROR], 1, ["totango.error: account: "]),
        ("--fail-on binding", [ERROR], 1, ["totango.error: account: "]),
        ("--fail-on warning", [WARNING, CASE], 1, ["totango.warning: user: "]),
        ("--fail-on warning --fail-on binding", [RIGHT, CASE], 1, ["totango.binding: "]),
        ("", [ERROR], 0, ["totango.error: account: "]),
    ],
)
def test_it_ends_with_1_if_it_found_what_it_fails_on_and_writes_a_report(
    tmp_path: Path, options: str, bodies: list[str], code: int, failures: list[str]
) -> None:
    found, _, errors = in_ci(tmp_path, f"{options} --report out.xml", bodies)
    assert found == code, errors
    assert f"{len(bodies)} requests: " in errors
    cases = Cases((tmp_path / "out.xml").read_text())
    assert len(cases.failures) == len(failures)
    assert all(each.startswith(wanted) for each, wanted in zip(cases.failures, failures, strict=True))
    assert cases.passed


def test_github_is_told_by_annotations(tmp_path: Path) -> None:
    _, told, _ = in_ci(tmp_path, "--fail-on binding --github", [RIGHT, CASE, WARNING])
    warning, binding = told.splitlines()[1:]
    assert warning.startswith("::warning title=Totango%3A warning::user: ")
    assert binding.startswith(
        "::error title=Totango%3A binding::'Acme' and 'acme' differ only in letter case%0A- account 'Acme'"
    )


def test_events_are_written_as_they_come_and_nothing_else(tmp_path: Path) -> None:
    options = "--output-json --github --save kept.ndjson"
    script = SCRIPT.replace("> told.json 2> errors.txt", "> events.txt 2> told.json").format(
        totango=TOTANGO, python=shlex.quote(sys.executable), options=options, bodies=[RIGHT, ERROR]
    )
    done = subprocess.run(
        ["timeout", "50", "bash", "-c", script], cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0
    events: list[dict[str, Any]] = [json.loads(line) for line in (tmp_path / "events.txt").read_text().splitlines()]
    assert [(event["id"], event["accepted"], event["account"]) for event in events] == [
        (1, True, "Acme"),
        (2, False, "not an id"),
    ]
    with Store() as store:
        from totango_sdk.sandbox.session import Opening

        opening = Opening(store)
        assert sum(opening.take(line) for line in (tmp_path / "kept.ndjson").read_text().splitlines()) == 2
        assert store.events() == events


def test_a_saved_session_is_opened_and_judged(tmp_path: Path) -> None:
    in_ci(tmp_path, "--save kept.ndjson", [RIGHT, CASE])
    assert in_ci(tmp_path, "--open kept.ndjson --fail-on binding", [])[0] == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--fail-on disaster", "fail-on: 'disaster' is not one of error, warning, binding"),
        ("--report nowhere/out.xml", "report: 'nowhere/out.xml' cannot be written"),
        ("--save .", "save: '.' cannot be written"),
        ("--open nothing.ndjson", "open: 'nothing.ndjson' cannot be read"),
        ("--open wrong.ndjson", "line 1 is no line of a session"),
        ("--ignore .", "ignore: '.' cannot be read"),
    ],
)
def test_what_cannot_be_done_is_told_at_the_start_in_one_line(tmp_path: Path, options: str, told: str) -> None:
    (tmp_path / "wrong.ndjson").write_text("{}\n")
    command = f"{TOTANGO} sandbox --port 0 {options}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, told in done.stderr, len(done.stderr.splitlines())) == (2, True, 1), done.stderr


def test_what_is_ignored_is_neither_told_nor_fatal_and_kept_in_a_file(tmp_path: Path) -> None:
    file = IgnoreFile(tmp_path / "totango.ignore")
    with Store() as store:
        store.use_ignore_file(file)
        for account, user in (("Acme", "u1"), ("acme", "u2"), ("not an id", "u3")):
            pairs = [("sdr_s", "SP-1-1"), ("sdr_o", account), ("sdr_u", user), ("sdr_a", "A"), ("sdr_m", "M")]
            store.record(understand(time=1e9, method="POST", query=b"", body=encode(pairs), user_agent=""))
        found = report(store)
        assert [point.level for point in found.points] == ["error", "binding"]
        store.ignore(add=[point.key for point in found.points])
        assert (report(store).points, report(store).ignored) == ((), 2)
        assert report(store).failing(LEVELS) == []
    assert file.read() == sorted(point.key for point in found.points)

    with Store() as other:
        other.use_ignore_file(file)
        other.ignore(add=["one more"], remove=[found.points[0].key])
    assert file.read() == sorted([found.points[1].key, "one more"])


def test_comments_and_order_of_a_file_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "f.ignore"
    path.write_text("# why\nb\n\na\n# of c\nc\n")
    IgnoreFile(path).write(["a", "b", "d"])
    assert path.read_text() == "# why\nb\n\na\n# of c\nd\n"


def test_a_level_that_there_is_not_is_refused() -> None:
    assert [level(text) for text in LEVELS] == list(LEVELS)
    with pytest.raises(OptionsError, match="fail-on"):
        level("Error")


@given(st.text(), st.text())
def test_any_text_fits_into_each_report(title: str, text: str) -> None:
    points = tuple(Point(each, title, text, "key") for each in LEVELS)
    found = Report(points=points, totals={}, ignored=0)
    assert len(Cases(junit(found, ["error"])).failures) == 1
    lines = list(github_lines(found, ["error"]))
    assert len(lines) == len("\n".join(lines).split("\n")) == 3
    assert all(line.startswith(("::error ", "::warning ")) and "\r" not in line for line in lines)

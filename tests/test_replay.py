"""Replay: every row is counted once, what was sent is remembered, and nothing is copied."""

from __future__ import annotations

import csv
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest

from totango_sdk import OptionsError, SpoolError, Totango
from totango_sdk.replay import preview, replay
from totango_sdk.replay.feed import Feed
from totango_sdk.testing import RecordingTransport

if TYPE_CHECKING:
    from pathlib import Path

    from totango_sdk.delivery.transports import Answer

HEAD = "account_id,user_id,activity,module\n"


def write(path: Path, rows: range, *, mode: str = "w") -> Path:
    with path.open(mode) as file:
        if mode == "w":
            file.write(HEAD)
        file.writelines(f"a{row % 7},u{row},Seen {row},App\n" for row in rows)
    return path


def client(transport: Any = None, **options: Any) -> Totango:
    return Totango("SP-0000-00", transport=transport or RecordingTransport(), spool="memory", **options)


def activities(transport: RecordingTransport) -> list[str]:
    return [value for request in transport.sent for name, value in request if name == "sdr_a"]


def adds_up(report: Any) -> bool:
    parts = report.delivered + report.rejected + report.skipped + report.earlier + report.left
    return report.rows == parts


class Refusing(RecordingTransport):
    """Refuses some requests for ever, by what they hold."""

    def poll(self, timeout: float) -> list[Answer]:
        answers = super().poll(timeout)
        bodies = [dict(pairs) for pairs in self.sent[-len(answers) :]] if answers else []
        return [
            answer._replace(status=400) if body.get("sdr_a") == "Seen 3" else answer
            for answer, body in zip(answers, bodies, strict=True)
        ]


def test_each_row_arrives_in_the_order_of_its_account_and_is_counted(tmp_path: Path) -> None:
    transport = RecordingTransport()
    report = replay(write(tmp_path / "e.csv", range(500)), client(transport))
    assert sorted(activities(transport)) == sorted(f"Seen {row}" for row in range(500))
    assert (report.rows, report.delivered, report.requests, report.exit_code) == (500, 500, 500, 0)
    assert (report.accounts, report.users, report.finished) == (7, 500, True)
    assert report.as_mapping()["sources"] == [
        {"path": str(tmp_path / "e.csv"), "format": "csv", "rows": 500, "last_line": 501}
    ]


def test_a_finished_source_is_not_sent_again_unless_asked_to(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", range(10))
    replay(path, client())
    transport = RecordingTransport()
    report = replay(path, client(transport))
    assert (activities(transport), report.earlier, report.exit_code) == ([], 10, 0)
    assert "--again repeats it" in report.notes[0]
    assert replay(path, client(transport), again=True).delivered == 10


def test_what_a_source_has_grown_by_is_sent_and_said(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", range(10))
    replay(path, client())
    write(path, range(10, 15), mode="a")
    transport = RecordingTransport()
    report = replay(path, client(transport))
    assert sorted(activities(transport)) == sorted(f"Seen {row}" for row in range(10, 15))
    assert (report.rows, report.earlier, report.delivered) == (15, 10, 5)
    assert any("has grown" in note for note in report.notes)


@pytest.mark.parametrize("change", ["first", "middle", "shorter"])
def test_a_source_that_changed_is_refused_by_name(tmp_path: Path, change: str) -> None:
    path = write(tmp_path / "e.csv", range(30_000))
    replay(path, client())
    data = bytearray(path.read_bytes())
    at = {"first": len(HEAD), "middle": len(data) // 2, "shorter": 0}[change]
    if change == "shorter":
        del data[-20:]
    else:
        data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))
    with pytest.raises(OptionsError, match="is not the source"):
        replay(path, client())


def test_another_service_or_map_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", range(3))
    replay(path, client())
    other = Totango("SP-0000-01", transport=RecordingTransport(), spool="memory")
    with pytest.raises(OptionsError, match="service id"):
        replay(path, other)
    with pytest.raises(OptionsError, match="another map"):
        replay(path, client(), map='[account]\nid = "account_id"\n')


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", range(3))

    def also(event: Any) -> Any:
        with pytest.raises(OptionsError, match="another run"):
            replay(path, client())
        return event

    assert replay(path, client(before_send=also)).delivered == 3


def test_rejected_rows_can_be_mended_and_replayed(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text(HEAD + "a 1,u1,Login,App\na1,u1,Login,App\na2,u2\na3,Seen,Seen 3,App\n")
    report = replay(path, client(Refusing()))
    assert report.by_code == {"invalid": 1, "fields-few": 1, "refused": 1}
    assert (report.rows, report.delivered, report.rejected, report.exit_code) == (4, 1, 3, 1)
    mended = tmp_path / "e.csv.rejected.csv"
    rows = list(csv.DictReader(mended.read_text().splitlines()))
    assert [(row["rejected_line"], row["rejected_code"]) for row in rows] == [("2", "invalid"), ("5", "refused")]
    assert (tmp_path / "e.csv.rejected.raw").read_text() == HEAD + "a2,u2\n"
    for file in (mended, tmp_path / "e.csv.ledger"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    mended.write_text(mended.read_text().replace("a 1", "a1"))
    assert replay(mended, client()).delivered == 2


def test_a_source_that_is_all_too_old_is_not_begun(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text(HEAD.replace("\n", ",time\n") + "a1,u1,Login,App,2020-01-01T00:00:00Z\n" * 3)
    with pytest.raises(OptionsError, match="2020-01-01 00:00 UTC.*totango export --to usage"):
        replay(path, client())
    assert replay(path, client(), arrival_time_is_fine=True).delivered == 3


def test_a_dry_run_sends_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", range(10))
    transport = RecordingTransport()
    report = replay(path, client(transport), dry_run=True)
    assert (transport.sent, report.rows, report.left, len(report.calls)) == ([], 10, 10, 5)
    assert adds_up(report)
    assert os.listdir(tmp_path) == ["e.csv"]


def test_equal_rows_are_sent_once_if_asked_to() -> None:
    rows = [{"account_id": "a1", "user_id": "u1", "activity": "Login", "module": "App"}] * 3
    transport = RecordingTransport()
    report = replay(rows, client(transport), unique=True)
    assert (len(transport.sent), report.delivered, report.skipped) == (1, 1, 2)


def test_a_source_takes_no_events_of_others() -> None:
    with pytest.raises(SpoolError, match="takes no events"):
        Feed(lambda: None, lambda row, reason: None).put([])


def test_bodies_are_those_of_track_for_every_format(tmp_path: Path) -> None:
    rows = [
        {
            "account_id": f"a{n % 3}",
            "account.Plan": f"P{n % 2}",
            "user_id": f"u{n}",
            "activity": "Übung & mehr",
            "module": "App",
        }
        for n in range(40)
    ]
    tracked = RecordingTransport()
    host = Totango("SP-0000-00", transport=tracked, spool="memory", max_connections=1)
    for row in rows:
        account = {"id": row["account_id"], "Plan": row["account.Plan"]}
        host.track(row["activity"], row["module"], account=account, user=row["user_id"])
    assert host.flush()
    host.close()
    path = tmp_path / "e.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    lines = tmp_path / "e.ndjson"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    whole = tmp_path / "e.json"
    whole.write_text(json.dumps(rows))
    for source in (path, lines, whole, rows):
        transport = RecordingTransport()
        replay(source, client(transport, max_connections=1))
        assert transport.sent == tracked.sent


# -- killed


class Collector:
    """Counts which activities arrived."""

    def __init__(self) -> None:
        arrived = self.arrived = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                arrived.append(dict(parse_qsl(body))["sdr_a"])
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}/pixel.gif/"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def collector() -> Any:
    made = Collector()
    yield made
    made.close()


def command(collector: Collector, path: Path) -> list[str]:
    return [
        sys.executable, "-c", "from totango_sdk.cli import main; raise SystemExit(main())", "replay", str(path), "--service-id", "SP-0000-00",
        "--endpoint", collector.endpoint, "--json",
    ]  # fmt: skip


def reached(collector: Collector, count: int) -> None:
    bell = threading.Event()
    for _ in range(3000):
        if len(collector.arrived) >= count:
            return
        bell.wait(0.01)
    raise AssertionError(len(collector.arrived))


def test_a_run_that_is_killed_goes_on_and_loses_nothing(tmp_path: Path, collector: Collector) -> None:
    path = write(tmp_path / "e.csv", range(2000))
    kills = 3
    for kill in range(kills):
        begun = subprocess.Popen(command(collector, path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        reached(collector, len(collector.arrived) + 150 + 50 * kill)
        begun.kill()
        begun.wait()
    done = subprocess.run(command(collector, path), capture_output=True, text=True, check=False)
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert set(collector.arrived) == {f"Seen {row}" for row in range(2000)}
    assert len(collector.arrived) - 2000 <= kills * (16 + 100)
    assert report["rows"] == report["delivered"] + report["earlier"] == 2000


def test_a_run_that_is_asked_to_stop_says_so_and_repeats_nothing(tmp_path: Path, collector: Collector) -> None:
    path = write(tmp_path / "e.csv", range(3000))
    begun = subprocess.Popen(command(collector, path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    reached(collector, 200)
    begun.send_signal(signal.SIGTERM)
    out, _ = begun.communicate()
    assert begun.returncode == 130
    report = json.loads(out)
    assert report["rows"] == report["delivered"] + report["left"]
    done = subprocess.run(command(collector, path), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(collector.arrived) == sorted(f"Seen {row}" for row in range(3000))


def test_preview_and_replay_reject_the_same_rows(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text(HEAD + 'a1,u1,Login,App\na1,"u1,Login\n,u1,Login,App\na1,u1,,App\n')
    told = [row for row in preview(path, service_id="SP-0000-00") if "code" in row]
    report = replay(path, client())
    assert [(row["line"], row["code"]) for row in told] == [
        (example["line"], example["code"]) for example in sorted(report.examples, key=lambda each: each["line"])
    ]
    assert adds_up(report)


def test_rows_that_cannot_be_read_twice_say_where_to_go_on() -> None:
    rows = [{"account_id": "a1", "user_id": f"u{n}", "activity": "Login", "module": "App"} for n in range(5)]
    report = replay(rows, client())
    assert any("cannot be read twice" in note for note in report.notes)


def test_lines_of_a_log_that_are_no_events_are_counted_by_reason(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    line = '1.1.1.1 - - [24/Nov/2026:10:00:00 +0000] "{} HTTP/1.1" 200 43 "-" "-"\n'
    path.write_text(line.format("POST /pixel.gif/") * 2 + line.format("GET /robots.txt"))
    report = replay(path, client(), arrival_time_is_fine=True)
    assert (report.rows, report.skipped) == (3, 3)
    assert "2 rows skipped: a POST, whose event no log has" in report.notes


def test_times_far_ahead_are_sent_with_one_warning(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text(HEAD.replace("\n", ",time\n") + "a1,u1,Login,App,2099-01-01T00:00:00Z\n" * 2)
    report = replay(path, client())
    assert (report.delivered, report.warnings) == (2, {"time": 2})

"""What the contract says of replay, sentence by sentence, where the vectors have no case."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner

from totango_sdk import OptionsError, Totango
from totango_sdk.cli.app import app
from totango_sdk.replay import preview, replay
from totango_sdk.testing import RecordingTransport, sandbox_server

HEAD = "account_id,user_id,activity,module\n"
NOW = "2026-11-24T12:00:00Z"


def told(source: Any, **flags: Any) -> list[dict[str, Any]]:
    given = io.BytesIO(source.encode()) if isinstance(source, str) else source
    rows = list(preview(given, service_id="SP-0000-00", now=NOW, **flags))
    return [{name: value for name, value in row.items() if name != "reason"} for row in rows]


def sent(source: Any, **flags: Any) -> Any:
    client = Totango("SP-0000-00", transport=RecordingTransport(), spool="memory")
    return replay(source, client, **flags)


def parquet(path: Path, query: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    name = str(path).replace("'", "''")
    duckdb.connect().execute(f"COPY ({query}) TO '{name}' (FORMAT parquet)")
    return path


# -- Parquet


@pytest.mark.parametrize(("name", "other"), [("day[1].parquet", "day1"), ("d*.parquet", "dx"), ("d?.parquet", "dy")])
def test_a_parquet_file_is_the_one_of_that_name_and_no_pattern(tmp_path: Path, name: str, other: str) -> None:
    parquet(tmp_path / f"{other}.parquet", "SELECT 'other' AS account_id")
    path = parquet(tmp_path / "made.parquet", "SELECT 'mine' AS account_id").rename(tmp_path / name)
    assert [row["account"]["id"] for row in told(path)] == ["mine"]


def test_a_folder_of_a_parquet_file_gives_it_no_column(tmp_path: Path) -> None:
    path = parquet(tmp_path / "account_id=elsewhere" / "a.parquet", "SELECT 'u' AS user_id")
    assert told(path) == [{"line": 1, "code": "invalid", "fields": ["account"]}]


def test_a_parquet_file_of_a_thousand_columns_is_refused(tmp_path: Path) -> None:
    columns = ", ".join(f"1 AS c{number}" for number in range(999))
    with pytest.raises(OptionsError, match="1000 columns"):
        told(parquet(tmp_path / "wide.parquet", f"SELECT 'a' AS account_id, {columns}"))


def test_rejected_rows_of_parquet_are_objects_that_keep_their_types(tmp_path: Path) -> None:
    query = "SELECT 'a b' AS account_id, {'k': [1, 2]} AS account_more, 5 AS n"
    report = sent(parquet(tmp_path / "a.parquet", query))
    (path,) = report.rejected_files
    assert path.endswith(".rejected.ndjson")
    row = json.loads(Path(path).read_bytes())
    assert (row["account_more"], row["n"]) == ({"k": [1, 2]}, 5)
    assert (row["rejected"]["line"], row["rejected"]["code"]) == (1, "invalid")


def test_a_decimal_is_a_unix_time_too(tmp_path: Path) -> None:
    query = "SELECT 'a' AS account_id, 1795518000.25::DECIMAL(20, 2) AS time"
    assert told(parquet(tmp_path / "a.parquet", query))[0]["time"] == "2026-11-24T11:00:00.250Z"


# -- times, values, shapes


@pytest.mark.parametrize(
    "text",
    ["20261124T110000Z", "2026-11-24T11Z", "2026-W48-2T11:00:00Z", "2026-11-24t11:00:00z", "20261124T130000.000+02:00"],
)
def test_iso_8601_has_more_than_one_form(text: str) -> None:
    (row,) = told(f"account_id,time\na,{text}\n")
    assert row["time"] == "2026-11-24T11:00:00.000Z"
    assert told(f"account_id,time\na,{text.upper().split('Z')[0].split('+')[0]}\n")[0]["code"] == "time-zone"


def test_a_map_writes_true_as_json_does() -> None:
    rows = '{"account_id":"a","on":true}\n{"account_id":"b","on":false}\n'
    assert [row.get("skipped") for row in told(rows, map='[where]\non = ["true"]\n')] == [None, "the map leaves it out"]
    mapped = '[account]\nid = "account_id"\nname = { column = "on", values = { true = "On" } }\n'
    assert told(rows, map=mapped)[0]["account"]["name"] == "On"


@pytest.mark.parametrize("map_", ['[where]\nnone = ["x"]\n', 'call = { column = "none" }\n'])
def test_a_column_that_a_map_names_beside_the_automatic_names_has_to_be_there(map_: str) -> None:
    with pytest.raises(OptionsError, match="'none', which is not there"):
        told("account_id\na\n", map=map_)


def test_rows_of_a_known_shape_can_be_left_out_by_their_values() -> None:
    wire = '{"sdr_s":"SP-0000-00","sdr_o":"a","plan":"x"}\n{"sdr_s":"SP-0000-00","sdr_o":"a","plan":"y"}\n'
    assert [row.get("call") for row in told(wire, map='[where]\nplan = ["x"]\n')] == ["send", None]
    line = '1.1.1.1 - - [24/Nov/2026:11:00:00 +0000] "GET /pixel.gif?sdr_s=SP-0000-00&sdr_o=a&sdr_u=u HTTP/1.1" {} 43\n'
    log = line.format(200) + line.format(503)
    assert [row.get("call") for row in told(log, map='[where]\nstatus = ["503"]\n')] == [None, "send"]
    report = sent(io.BytesIO(log.encode()), map='[where]\nstatus = ["503"]\n', arrival_time_is_fine=True)
    assert (report.delivered, report.skipped) == (1, 1)


def test_values_of_json_are_written_on_the_wire_as_any_others() -> None:
    rows = [
        {"sdr_s": "SP-0000-00", "sdr_o": 5, "sdr_o.On": True, "sdr_o.Rate": 2.0},
        {"sdr_s": "SP-0000-00", "sdr_o": "a", "sdr_o.More": {"k": 1}},
        {"sdr_s": "SP-0000-00", "sdr_o": 819332.0},
    ]
    first, *others = told(rows)
    assert first["params"] == [["sdr_s", "SP-0000-00"], ["sdr_o", "5"], ["sdr_o.On", "true"], ["sdr_o.Rate", "2"]]
    assert [row["fields"] for row in others] == [["sdr_o.More"], ["account"]]


def test_the_module_of_the_client_serves_a_message_without_category() -> None:
    message = {"type": "track", "userId": "u", "event": "Seen", "context": {"groupId": "g"}}
    assert told([message], module="Web")[0]["module"] == "Web"


def test_a_range_of_statuses_has_its_end_behind_its_beginning() -> None:
    with pytest.raises(OptionsError, match="Give 500-599"):
        told("account_id\n", status="599-500")


def test_what_stands_behind_a_json_array_is_not_lost_in_silence() -> None:
    assert told('[{"account_id":"a"}]\n[{"account_id":"b"}]\n')[1:] == [{"line": 2, "code": "json"}]
    assert len(told('[{"account_id":"a"}] \n')) == 1


# -- rejected rows that could not be read


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ('sep=;\naccount_id;account_name\na;x\nb;"y"z\nc;w\n', {}),
        ('\n\naccount_id,account_name\na,x\nb,"y"z\nc,w\n', {}),
        ('"account_id","Notes\nof ours",account_name\na,m,x\nb,m,"y"z\nc,m,w\n', {}),
        ('account_id,account_name\ra,x\rb,"y"z\rc,w\rd', {}),
        ('\ufeffaccount_id,account_name\r\na,x\r\nb,"y"z\r\nc,w\r\n', {}),
    ],
    ids=["sep", "empty lines", "two lines", "CR", "BOM"],
)
def test_rows_that_could_not_be_read_can_be_mended_under_the_whole_header(
    tmp_path: Path, text: str, flags: dict[str, Any]
) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(text.encode())
    sent(path, **flags)
    raw = tmp_path / "e.csv.rejected.raw"
    mended = raw.read_bytes().replace(b'"y"z', b"y").replace(b"\rd", b"\rd,e")
    raw.write_bytes(mended)
    assert [row.get("account", {}).get("id") for row in told(raw)] == (["b", "d"] if "\rd" in text else ["b"])


# -- several sources


def test_all_sources_together_are_told(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    head = HEAD.replace("\n", ",time\n")
    paths[0].write_text(f"{head}a,u,Login,App,2999-01-01T00:00:00Z\n")
    paths[1].write_text(f"{HEAD}b,jo+x@x.com,Login,App\nb,v,Seen,App\n")
    report = sent(paths)
    assert (report.accounts, report.users, report.oldest) == (2, 3, "2999-01-01T00:00:00.000Z")
    assert report.activities == [["App", "Login", 2], ["App", "Seen", 1]]
    assert report.warnings == {"time": 1, "user": 1}
    assert (
        sent([paths[1], paths[1]], again=True).notes.count("no column gives the time, so no row's age is checked") == 1
    )


def test_a_limit_is_one_of_all_sources_and_of_this_run(tmp_path: Path) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        path.write_text(HEAD + "a,u,Login,App\n" * 3)
    first = sent(paths, limit=2)
    assert (first.delivered, len(first.sources)) == (2, 1)
    second = sent(paths, limit=2)
    assert (second.earlier, second.delivered, second.rows) == (2, 2, 4)
    last = sent(paths)
    assert (last.earlier, last.delivered) == (4, 2)
    assert sent(paths[0], from_line=3, limit=1, again=True).delivered == 1


def test_a_name_that_two_columns_have_is_told_once() -> None:
    report = sent(io.BytesIO(b"account_id,x,x\na,1,2\n"))
    assert report.unused_columns == ["x"]
    assert [note for note in report.notes if "several columns are named 'x'" in note]


# -- what is said


def test_before_the_first_event_leaves_it_is_said_that_it_counts_as_happening_now(tmp_path: Path) -> None:
    said: list[str] = []
    rows = [{"account_id": "a", "time": f"2026-11-2{day}T08:14:00Z"} for day in (2, 0, 1)]
    report = sent(rows, arrival_time_is_fine=True, say=said.append)
    assert report.delivered == 3
    (text,) = said
    assert text.endswith("The oldest of these is from 2026-11-20 08:14 UTC and would count as happening now.")


def test_rows_before_the_line_to_begin_with_are_not_looked_at_for_their_age() -> None:
    text = "account_id,time\n" + "a,2020-01-01T00:00:00Z\n" * 1000 + "b,2999-01-01T00:00:00Z\n"
    assert sent(io.BytesIO(text.encode()), from_line=1002).delivered == 1


def test_any_age_can_be_asked_for() -> None:
    assert sent(io.BytesIO(b"account_id,time\na,1970-01-01T00:00:00Z\n"), max_age=10**12).delivered == 1


@pytest.mark.parametrize("flag", ["limit", "from_line"])
def test_a_count_below_one_is_refused(flag: str) -> None:
    with pytest.raises(OptionsError, match=f"{flag}=-1 is wrong"):
        sent([], **{flag: -1})


def test_a_dry_run_tells_what_would_be_sent_and_how_long_it_would_take(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text(HEAD.replace("\n", ",other\n") + "a,jo+x@x.com,Login,App,1\n" * 100 + "a b,u,Login,App,2\n" * 5)
    command = ["replay", str(path), "--service-id", "SP-0000-00", "--dry-run", "--rate", "2"]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 1
    assert "at 2 requests a second, these 100 requests take 0:00:50" in found.output
    assert "rejected as invalid: 5" in found.output
    assert re.findall(r"line (\d+):", found.output) == ["102", "103", "104"]
    assert "warning: user: 100 rows" in found.output
    assert "columns that nothing uses: other" in found.output
    assert "accounts: 1, users: 1" in found.output
    assert found.output.count("sdr_s=SP-0000-00&sdr_o=a&sdr_u=jo%2Bx%40x.com&sdr_a=Login&sdr_m=App") == 5


def test_the_command_says_what_was_wrong_with_the_age(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("account_id,time\na,2999-01-01T00:00:00Z\n")
    wrong = CliRunner().invoke(app, ["replay", str(path), "--service-id", "SP-0000-00", "--max-age", "old"])
    assert "--max-age 'old' is wrong" in str(wrong.exception)
    with sandbox_server() as sandbox:
        given = ["--service-id", "SP-1234-01", "--endpoint", sandbox.endpoint]
        found = CliRunner().invoke(app, ["replay", str(path), *given, "--json"])
    assert "from 2999-01-01 00:00 UTC and would count as happening now" in found.stderr
    assert json.loads(found.stdout)["delivered"] == 1


@pytest.mark.parametrize("flags", [{"rate": "fast"}, {"max_age": "1d"}], ids=str)
def test_a_number_is_asked_for_where_a_text_is_given(flags: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match="is wrong"):
        sent([], **flags)


def test_the_calls_of_all_files_that_a_pattern_stands_for_are_written(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"account_id\n{name[0]}\n")
    out = tmp_path / "calls.ndjson"
    command = ["replay", str(tmp_path / "*.csv"), "--service-id", "SP-0000-00", "--dry-run", "--calls", str(out)]
    CliRunner().invoke(app, command)
    assert [json.loads(line)["account"]["id"] for line in out.read_text().splitlines()] == ["a", "b"]

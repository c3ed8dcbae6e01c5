"""What the contract says of the audit, sentence by sentence, where the vectors have no case."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from totango_sdk import OptionsError
from totango_sdk.audit import audit
from totango_sdk.audit.fix import fix
from totango_sdk.cli.app import app
from totango_sdk.tables import Reading

if TYPE_CHECKING:
    from pathlib import Path


def found(path: Any, **flags: Any) -> list[tuple[str, list[str], list[int]]]:
    return [(each.code, each.ids, each.lines) for each in audit({"a": path}, **flags).findings]


def mended(path: Path, **flags: Any) -> tuple[str, list[dict[str, str]]]:
    out = path.with_name(f"mended-{path.name}")
    fix(str(path), str(out), **{"columns": {}, "reading": Reading(), **flags})
    with open(f"{out}.changes.csv", encoding="utf-8", newline="") as file:
        return out.read_bytes().decode("utf-8", "surrogateescape"), list(csv.DictReader(file))


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(text: str | bytes, name: str = "a.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


# -- maps


def test_a_value_that_does_not_fit_a_map_is_a_rejected_row(written: Any) -> None:
    path = written("id\nnope\n0012000000msDD0\nb b\n")
    told = audit({"a": path}, map='[account]\nid = { column = "id", salesforce = true }\n')
    assert told.files[0] == {"name": "a", "path": str(path), "kind": "accounts", "rows": 3, "rejected": 2}
    assert told.pattern == "2"


def test_rows_that_a_map_leaves_out_are_not_checked(written: Any) -> None:
    path = written("account_id,live\na a,yes\nb b,no\n")
    expected = [("id-characters", ["a a"], [2])]
    assert found(path, map='[where]\nlive = ["yes"]\n') == expected
    assert found(path, map='[account]\nid = "account_id"\n[where]\nlive = ["yes"]\n') == expected
    with pytest.raises(OptionsError, match="'alive', which is not there"):
        found(path, map='[where]\nalive = ["yes"]\n')


def test_a_map_that_names_no_column_leaves_the_automatic_names(written: Any) -> None:
    assert found(written("account_id;x\na a;1\n"), map='delimiter = ";"\n') == [("id-characters", ["a a"], [2])]


def test_a_map_says_how_a_file_is_read(written: Any) -> None:
    path = written("account_id~x\né~1\n".encode("cp1252"))
    map_ = 'delimiter = "~"\nencoding = "cp1252"\n[account]\nid = "account_id"\n'
    assert found(path, map=map_) == [("id-characters", ["é"], [2])]


def test_two_columns_of_the_name_that_is_asked_for_are_refused(written: Any) -> None:
    with pytest.raises(OptionsError, match="two columns have the name 'Id'"):
        found(written("Id,Id,account_id\n1,2,3\n"), columns={"a": {"salesforce": "Id"}})


def test_an_account_that_is_an_object_has_its_parent_and_keys_within() -> None:
    rows = [
        {"account": {"id": "a", "parent": {"id": "gone"}, "foreignkeyid": "K"}},
        {"account": {"id": "b", "foreignkeyid": "k"}},
    ]
    assert [code for code, _, _ in found(rows)] == ["foreign-key-collision", "parent-missing"]


# -- the command


def test_files_are_named_by_their_stems_and_patterns_are_expanded(written: Any, tmp_path: Path) -> None:
    for name in ("day.2026-11-24.csv", "day.2026-11-25.csv"):
        written("account_id\n1\n", name)
    given = CliRunner().invoke(app, ["audit", str(tmp_path / "day*.csv"), "--json"])
    assert [file["name"] for file in json.loads(given.stdout)["files"]] == ["day.2026-11-24", "day.2026-11-25"]


def test_the_command_reads_as_a_replay_does(written: Any) -> None:
    path = written('account_id,account_name\n"a",\\N\n"b\\"",x\n')
    command = ["audit", str(path), "--format", "csv", "--escape", "\\", "--null", "\\N", "--json"]
    told = json.loads(CliRunner().invoke(app, command).stdout)
    assert [each["ids"] for each in told["findings"]] == [['b"']]


# -- what is mended


def test_no_two_accounts_become_one(written: Any) -> None:
    path = written('account_id,parent_id\n"1 ",\n" 1",\n2 ,"1 "\n3,"2 "\n')
    text, changes = mended(path)
    assert text == "account_id,parent_id\n1 ,\n 1,\n2,1 \n3,2\n"
    left = [each for each in changes if each["why"].startswith("left")]
    assert [(each["line"], each["column"], each["before"]) for each in left] == [
        ("2", "account_id", "1 "), ("3", "account_id", " 1"), ("4", "parent_id", "1 "),
    ]  # fmt: skip


def test_a_reference_in_another_file_stays_with_an_account_that_is_left(written: Any, tmp_path: Path) -> None:
    written("account_id\n1 \n1\n", "app.csv")
    written("account_id,user_id\n1 ,u@x.com \n", "users.csv")
    out = tmp_path / "out"
    paths = [str(tmp_path / name) for name in ("app.csv", "users.csv")]
    CliRunner().invoke(app, ["audit", *paths, "--fix", str(out)])
    assert (out / "users.csv").read_text() == "account_id,user_id\n1 ,u@x.com\n"


def test_rows_that_could_not_be_read_stay_as_they_are(written: Any) -> None:
    assert (
        mended(written(b'account_id,x\na ,1\n\xff,2\n"b"c,3\n'))[0].encode("utf-8", "surrogateescape")
        == b'account_id,x\na,1\n\xff,2\n"b"c,3\n'
    )
    text, _ = mended(written('{"account_id":"a "}\n{"account_id":\n', "a.ndjson"))
    assert text == '{"account_id": "a"}\n{"account_id":\n'


def test_ids_of_objects_are_mended_wherever_the_audit_finds_them(written: Any) -> None:
    rows = '{"Account-ID":"a ","user":{"id":"u "}}\n{"account":{"id":"b ","parent":"a "}}\n'
    text, changes = mended(written(rows, "a.ndjson"))
    assert [json.loads(line) for line in text.splitlines()] == [
        {"Account-ID": "a", "user": {"id": "u"}},
        {"account": {"id": "b", "parent": "a"}},
    ]
    assert len(changes) == 4


def test_ids_that_a_map_names_are_mended(written: Any) -> None:
    map_ = '[account]\nid = "tenant"\n[account.foreign_keys]\nZuora = "z"\n'
    path = written("tenant,z,n\na ,0012000000msDD0,x \n")
    command = ["audit", str(path), "--map", str(written(map_, "map.toml")), "--fix", str(path.with_name("out.csv"))]
    CliRunner().invoke(app, command)
    assert path.with_name("out.csv").read_text() == "tenant,z,n\na,0012000000msDD0AAM,x \n"


def test_only_what_the_salesforce_rules_are_for_is_made_18_characters(written: Any) -> None:
    path = written(
        "account_id,parent_id,user_id,collection_id\n001123456789012,001123456789012,0012000000msDD0,0012000000msDD0\n"
    )
    assert mended(path)[1] == []


def test_a_file_is_not_written_over_itself_nor_into_nowhere(written: Any) -> None:
    path = written("account_id\na \n")
    flags: Any = {"columns": {}, "reading": Reading(), "force": True}
    with pytest.raises(OptionsError, match="is the file itself"):
        fix(str(path), str(path), **flags)
    with pytest.raises(OptionsError, match="cannot be written"):
        fix(str(path), str(path.with_name("none") / "a.csv"), **flags)
    assert path.read_text() == "account_id\na \n"


# -- what is written


def test_each_line_of_the_findings_has_the_id_that_stands_on_it(written: Any, tmp_path: Path) -> None:
    path, out = written("account_id\nBeta\nBETA\nBeta\n"), tmp_path / "found.csv"
    given = CliRunner().invoke(
        app, ["audit", str(path), "--kind", "a=events", "--findings", str(out), "--limit", "0", "--json"]
    )
    with out.open(encoding="utf-8", newline="") as file:
        told = [(row["code"], row["id"], row["line"]) for row in csv.DictReader(file)]
    assert told == [("variant", "Beta", "2"), ("variant", "BETA", "3"), ("variant", "Beta", "4")]
    assert json.loads(given.stdout)["findings"] == []
    assert out.stat().st_mode & 0o777 == 0o600


def test_findings_are_told_without_examples_where_none_are_wanted(written: Any) -> None:
    given = CliRunner().invoke(app, ["audit", str(written("account_id\na b\n")), "--limit", "0"])
    assert given.exit_code == 1
    assert "id-characters: 1. What to do: use the application's ID" in given.output


@pytest.mark.parametrize(
    "command",
    [
        ["audit", "{}", "--report", "{}.none/r.html"],
        ["audit", "{}", "--findings", "{}.none/f.csv"],
        ["replay", "{}", "--service-id", "SP-0000-00", "--dry-run", "--report", "{}.none/r.html"],
        ["replay", "{}", "--service-id", "SP-0000-00", "--dry-run", "--calls", "{}.none/c.ndjson"],
    ],
    ids=lambda command: f"{command[0]} {command[-2]}",
)
def test_a_file_that_cannot_be_written_is_told_before_the_work(written: Any, command: list[str]) -> None:
    path = str(written("account_id\na\n"))
    given = CliRunner().invoke(app, [each.format(path) for each in command])
    assert "cannot be written" in str(given.exception)
    assert isinstance(given.exception, OptionsError)

"""What an audit finds, by the contract's cases and beyond them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from audit_cases import CASES, check

from totango_sdk import OptionsError
from totango_sdk.audit import CODES, audit


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_every_case_of_the_contract(case: dict[str, Any]) -> None:
    check(case)


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def run(*arguments: object) -> int:
    from totango_sdk.cli.app import run as run_command

    return run_command(["audit", *map(str, arguments)])


def test_every_code_has_its_advice_and_its_rules() -> None:
    assert all(code.advice and code.rules for code in CODES.values())


def test_rows_of_json_and_mappings_are_judged_as_text_is(tmp_path: Path) -> None:
    rows = [{"account_id": 819332.0}, {"account_id": True}, {"account": {"id": "A B"}}, {"account_id": 7}]
    given = audit({"app": rows})
    lines = "\n".join(json.dumps(row) for row in rows)
    read = audit({"app": io.BytesIO(lines.encode())})
    for found in (given, read):
        assert [(each.code, each.ids) for each in found.findings] == [
            ("id-suspect", ["True"]),
            ("id-decimal", ["819332.0"]),
            ("id-characters", ["A B"]),
        ]


def test_broken_rows_are_counted_and_the_rest_is_audited(tmp_path: Path) -> None:
    found = audit({"app": io.BytesIO(b'account_id,name\nA,1\nB,1,2\n"C,1\nD D,2\n')})
    assert (found.files[0]["rows"], found.files[0]["rejected"]) == (4, 2)
    assert [each.ids for each in found.findings] == [["D D"]]


def test_counts_are_whole_whatever_the_limit() -> None:
    found = audit({"app": [{"account_id": f"a {number}"} for number in range(50)]}, limit=3)
    assert (found.counts, len(found.findings), found.errors) == ({"id-characters": 50}, 3, 50)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sources": {}}, "sources={} is wrong"),
        ({"sources": {"a": [{"account_id": "A"}]}, "home": "b"}, "home names 'b'"),
        ({"sources": {"a": [{"account_id": "A"}]}, "kinds": {"a": "list"}}, "kinds='list' is wrong"),
        ({"sources": {"a": io.BytesIO(b"x,y\n1,2\n")}}, "no column that an audit can use"),
        ({"sources": {"a": io.BytesIO(b"account,account_id\n1,2\n")}}, "two columns mean account"),
        ({"sources": {"a": io.BytesIO(b"account\n1\n")}, "columns": {"a": {"user": "z"}}}, "has no column 'z'"),
        ({"sources": {"a": io.BytesIO(b"account\n1\n")}, "columns": {"a": {"zzz": "z"}}}, "a meaning is one of"),
    ],
)
def test_wrong_use_says_what_to_do(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        audit(given.pop("sources"), **given)


def test_a_million_alike_missing_or_in_one_circle_come_to_an_end() -> None:
    """A small part of that here: with so many alike, what is not linear would take minutes."""
    many = 20_000
    alike = audit({"app": ({"account_id": "A"} for _ in range(many))})
    assert alike.counts == {"duplicate": 1}
    missing = audit({"app": ({"account_id": None, "parent_id": ""} for _ in range(many)), "b": [{"account_id": "A"}]})
    assert missing.files[0]["rows"] == many
    circle = audit({"app": ({"account_id": f"a{n}", "parent_id": f"a{(n + 1) % many}"} for n in range(many))})
    assert circle.counts["cycle"] == 1


def test_the_command_tells_findings_and_its_exit_code_says_whether_they_are_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = write(tmp_path / "app.csv", "account_id\n1001\n1 2\n")
    assert run(app) == 1
    out = capsys.readouterr().out
    assert "home app, pattern 1\n" in out  # there are no users, so they have no pattern
    assert "id-characters: 1. What to do: use the application's ID" in out
    assert run(app, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["audit"], told["home"], told["counts"]) == (1, "app", {"id-characters": 1})
    warned = write(tmp_path / "crm.csv", "account_id\nacme\nACME\n")
    assert run(warned) == 0
    assert run(warned, "--fail-on", "warning") == 1
    assert run(tmp_path / "nowhere.csv") == 2


def test_all_findings_can_be_written_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = write(tmp_path / "app.csv", "account_id\nA\nA\nB B\n")
    run(app, "--findings", tmp_path / "out.csv", "--limit", 1)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "code,severity,file,what,id,line,other,partner,reason,advice"
    assert [line.split(",")[:6] for line in lines[1:]] == [
        ["id-characters", "error", "app", "account", "B B", "4"],
        ["duplicate", "error", "app", "account", "A", "2"],
        ["duplicate", "error", "app", "account", "A", "3"],
    ]


def test_what_can_be_mended_for_certain_is_mended_and_a_second_audit_finds_none_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "account_id;foreignkeyid;note\n"
        '" a1";0019000000b98deaab;"x;  y "\n'
        "a2 ;0012000000msDD0;7\n"
        "a3;0012000000msDD0BDU;\n"
        '"a4 ";001900000000dde;\n'
        "a4;;\n"
    )
    app, out = write(tmp_path / "app.csv", text), tmp_path / "mended.csv"
    assert run(app, "--fix", out) == 1
    assert out.read_text() == (
        "account_id;foreignkeyid;note\n"
        'a1;0019000000B98deAAB;"x;  y "\n'
        "a2;0012000000msDD0AAM;7\n"
        "a3;0012000000msDD0BDU;\n"
        "a4 ;001900000000dde;\n"
        "a4;;\n"
    )
    changes = (tmp_path / "mended.csv.changes.csv").read_text().splitlines()
    assert changes[0] == "line,column,before,after,why"
    assert sum(",left" in change or '"left' in change for change in changes) == 3
    again = audit({"app": str(out)})
    assert {each.code for each in again.findings} == {"id-space", "variant", "salesforce-15", "salesforce-suffix"}
    assert [each.ids for each in again.findings if each.code == "id-space"] == [["a4 "]]
    assert run(app, "--fix", out) == 2
    assert run(app, "--fix", out, "--force") == 1


def test_the_page_lists_every_code_as_it_is() -> None:
    page = (Path(__file__).parent.parent / "docs" / "audit.md").read_text()
    for code, each in CODES.items():
        assert f"| `{code}` | {each.severity} | {each.advice} |" in page

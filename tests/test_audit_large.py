"""Files too large for memory are audited by DuckDB, with the same result as in memory."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path
from typing import Any

import pytest
from audit_cases import CASES, check

from tests.plants import Expected, Plants, plain
from totango_sdk.audit import Audit, audit
from totango_sdk.audit.fix import fix
from totango_sdk.binding import pairs
from totango_sdk.binding.candidates import fitting
from totango_sdk.tables import Reading

pytest.importorskip("duckdb")
ROWS = int(os.environ.get("AUDIT_ROWS", "2000"))


@pytest.fixture
def nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totango_sdk.audit.MOST_IN_MEMORY", 0)


def found_in(audited: Audit) -> set[Expected]:
    found = set()
    for finding in audited.findings:
        more = finding.as_mapping()
        code, file, what, ids, lines = (more.pop(name) for name in ("code", "file", "what", "ids", "lines"))
        severity = more.pop("severity")
        if code == "unbound":
            more["severity"] = severity
        found.add(Expected(code, file, what, tuple(ids), tuple(lines), plain(more)))
    assert len(found) == len(audited.findings)
    return found


@pytest.mark.usefixtures("nothing_in_memory")
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_every_case_of_the_contract_by_duckdb(case: dict[str, Any]) -> None:
    check(case)


@pytest.mark.parametrize("most", [0, 10**9], ids=["DuckDB", "memory"])
def test_planted_faults_of_every_code_are_found_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("totango_sdk.audit.MOST_IN_MEMORY", most)
    plants = Plants(ROWS, 12)
    paths = plants.write(tmp_path)
    audited = audit(paths, limit=1 << 60)
    assert found_in(audited) == plants.expected
    assert len(audited.counts) == 29
    assert (audited.pattern, audited.user_pattern) == ("1", "email")
    assert not list(Path(tmp_path).glob("totango-audit-*"))


@pytest.mark.parametrize("most", [0, 10**9], ids=["DuckDB", "memory"])
def test_a_second_audit_finds_nothing_of_what_was_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("totango_sdk.audit.MOST_IN_MEMORY", most)
    paths = Plants(ROWS, 12).write(tmp_path)
    mended: dict[str, set[str]] = {}
    for name, path in paths.items():
        changes = fix(path, f"{path}.mended", columns={}, reading=Reading())
        mended[name] = {change.before for change in changes if not change.why.startswith("left")}
    assert len(mended["app"]) >= 36
    again = audit({name: f"{path}.mended" for name, path in paths.items()}, limit=1 << 60)
    codes = {finding.code for finding in again.findings for each in finding.ids if each in mended[finding.file]}
    assert not codes & {"id-space", "salesforce-15", "salesforce-case"}
    assert "id-space" not in again.counts
    assert len(again.counts) < 29


IDS = [
    *("1001", "01001", "1001 ", " 1001", "1001.0", "1.00E+03", "1.001E+03", "acme", "ACME", "Acme-1", "acme_1", "n/a"),
    *(
        "null",
        "0",
        "",
        " ",
        "0019000000B98de",
        "0019000000B98deAAB",
        "0019000000b98deaab",
        "0019000000B98deAAA",
        "１００１",
    ),
    *("crm_1001", "crm_1002", "1002", "A_B", "A", "B_C", "A_B_C", "C", "1003", "crm_1003", "x" * 481, "acme\u200b"),
]
USERS = ["jo@x.com", "JO@x.com", "jo+a@x.com", "u1", "o'neil@x.com", "null", "", " jo@x.com", "true"]


def table(chance: random.Random, columns: list[str], count: int) -> bytes:
    lines = [",".join(columns)]
    for _ in range(count):
        values = [chance.choice(USERS if name == "user_id" else IDS) for name in columns]
        lines.append(",".join(f'"{value}"' for value in values))
    return "\n".join(lines).encode() + b"\n"


@pytest.mark.parametrize("seed", range(12))
def test_random_files_give_the_same_findings_both_ways(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    chance = random.Random(seed)
    shapes = [
        ["account_id", "account_name", "parent_id", "product_id", "foreignkeyid"],
        ["account_id", "account_name", "product_id", "ofid"],
        ["account_id", "salesforce_id", "account_name"],
        ["account_id", "user_id", "product_id"],
        ["collection_id", "account_id"],
    ]
    chosen = chance.sample(shapes, 3)
    files = {f"f{at}": table(chance, columns, chance.choice((3, 12, 40))) for at, columns in enumerate(chosen)}
    told = []
    for most in (0, 10**9):
        monkeypatch.setattr("totango_sdk.audit.MOST_IN_MEMORY", most)
        told.append(audit({name: io.BytesIO(data) for name, data in files.items()}, limit=1 << 60).as_mapping())
    assert told[0] == told[1]


@pytest.mark.usefixtures("nothing_in_memory")
def test_what_is_not_in_the_rows_of_mappings_is_no_column() -> None:
    rows = [{"account_id": "A", "x": 1}, {"account_id": "A", "product": {"id": None}}, "no row"]
    found = audit({"app": rows})
    assert found.counts == {"duplicate": 1}
    assert found.files[0] == {"name": "app", "path": None, "kind": "accounts", "rows": 3, "rejected": 1}


@pytest.mark.usefixtures("nothing_in_memory")
def test_foreign_keys_of_a_map_are_checked_by_duckdb_too() -> None:
    map_ = '[account]\nid = "a"\n[account.foreign_keys]\n"Zuora ID" = "z"\n'
    found = audit({"app": io.BytesIO(b"a,z\n1,K\n2,k\n3,0019000000B98de\n")}, map=map_)
    assert found.counts == {"salesforce-15": 1, "foreign-key-collision": 1}


@pytest.mark.usefixtures("nothing_in_memory")
def test_all_alike_all_missing_and_one_circle_come_to_an_end() -> None:
    many = ROWS
    alike = audit({"app": ({"account_id": "A"} for _ in range(many))})
    assert alike.counts == {"duplicate": 1}
    missing = audit({"app": ({"account_id": None, "parent_id": ""} for _ in range(many)), "b": [{"account_id": "A"}]})
    assert missing.files[0]["rows"] == many
    circle = audit({"app": ({"account_id": f"a{n}", "parent_id": f"a{(n + 1) % many}"} for n in range(many))})
    assert circle.counts == {"cycle": 1}
    assert circle.findings[0].lines == list(range(1, many + 1))


@pytest.mark.parametrize("seed", range(10))
def test_partners_among_those_that_fit_are_partners_among_all(seed: int) -> None:
    chance = random.Random(seed)
    letters = "aA0１ .-_+E1"
    made = {"".join(chance.choice(letters) for _ in range(chance.randrange(1, 7))) for _ in range(300)} | set(IDS) - {
        ""
    }
    few = set(chance.sample(sorted(made), 40))
    many = [each for each in sorted(made) if each not in few]
    assert pairs.partners(sorted(few), list(fitting(sorted(few), many))) == pairs.partners(sorted(few), many)

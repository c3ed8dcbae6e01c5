"""`totango export`: what Totango's importer takes, and what a replay reads back from it."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from totango_sdk import Totango
from totango_sdk.cli import main
from totango_sdk.errors import OptionsError
from totango_sdk.export import export
from totango_sdk.replay import preview, replay
from totango_sdk.testing import RecordingTransport

NOW = "2026-11-24T10:00:00.000Z"
HISTORICAL = "Totango's usage upload requires the timestamp and does not use it"


def lines(directory: Path, name: str) -> list[str]:
    text = (directory / name).read_bytes().decode("utf-8")
    assert text.endswith("\r\n")
    return text.split("\r\n")[:-1]


def table(directory: Path, name: str) -> list[dict[str, str]]:
    with (directory / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def row(
    account: Any = "a1", user: Any = "u1", activity: str = "Login", module: str = "App", **more: Any
) -> dict[str, Any]:
    return {"account_id": account, "user_id": user, "activity": activity, "module": module, "time": NOW, **more}


def sent(source: Any, **flags: Any) -> list[tuple[str | None, ...]]:
    """Replay to a recorder, and return where, who and what of each activity that left, in any order."""
    transport = RecordingTransport()
    with Totango("SP-1234-01", spool="memory", transport=transport) as client:
        report = replay(source, client, arrival_time_is_fine=True, ledger=False, **flags)
    assert report.rejected == 0
    bodies = [dict(pairs) for pairs in transport.sent]
    names = ("sdr_o", "sdr_u", "sdr_a", "sdr_m")
    return sorted(tuple(body.get(name) for name in names) for body in bodies if "sdr_a" in body)


# -- usage


def test_usage_has_the_importers_columns_and_form(tmp_path: Path) -> None:
    rows = [
        row(),
        row("a1", "u1@x.com", 'Said "hi", left', "Ünïcode", product_id="ABC"),
        row("a1", "u2", " padded ", "App", time=1795521600),
    ]
    exported = export(rows, to="usage", out=tmp_path / "out")
    assert (exported.rows, exported.exported, exported.rejected, exported.skipped) == (3, 3, 0, 0)
    assert lines(tmp_path / "out", "usage-0001.csv") == [
        "Account ID,User ID,Action,Module,Timestamp",
        f"a1,u1,Login,App,{NOW}",
        f'a1_ABC,u1@x.com,"Said ""hi"", left",Ünïcode,{NOW}',
        'a1,u2," padded ",App,2026-11-24T12:00:00.000Z',
    ]
    assert any(note.startswith(HISTORICAL) for note in exported.notes)
    assert exported.files[0]["rows"] == 3
    assert exported.files[0]["bytes"] == (tmp_path / "out" / "usage-0001.csv").stat().st_size
    assert (tmp_path / "out" / "usage-0001.csv").stat().st_mode & 0o777 == 0o600


def test_usage_read_back_by_a_replay_is_the_same_activities_on_the_same_accounts(tmp_path: Path) -> None:
    source = tmp_path / "events.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["account_id", "product_id", "user_id", "activity", "module", "timestamp", "account.Plan", "call"]
        )
        for number in range(500):
            product = ("", "docs", "sign")[number % 3]
            activity = ("Login", 'Paid, "in full"', " Viewed", "Ärger")[number % 4]
            call = "heartbeat" if number % 50 == 0 else ""
            writer.writerow([f"a{number % 7}", product, f"u{number}@x.com", activity, "App", NOW, "Gold", call])
    export(source, to="usage", out=tmp_path / "out")
    back = [str(path) for path in sorted((tmp_path / "out").iterdir())]
    assert sent(back) == sent(source)
    assert len(sent(back)) == 500


TEXT = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1, max_size=40).filter(str.strip)
IDS = st.text("abcXYZ019_-", min_size=1, max_size=20)


@settings(max_examples=60)
@given(events=st.lists(st.tuples(IDS, st.one_of(st.none(), IDS), IDS, TEXT, TEXT), min_size=1, max_size=20))
def test_any_usage_read_back_is_the_same(
    events: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("out")
    rows = [
        row(account, user, activity, module, product_id=product) for account, product, user, activity, module in events
    ]
    known = list(preview(rows, service_id="SP-1234-01", arrival_time_is_fine=True))
    right = [given for given, each in zip(rows, known, strict=True) if "call" in each]
    exported = export(rows, to="usage", out=out)
    assert exported.exported == len(right)
    back = [str(path) for path in sorted(out.iterdir())]
    assert not right or Counter(sent(back)) == Counter(sent(right))


def test_a_row_without_a_time_is_rejected_unless_that_is_fine(tmp_path: Path) -> None:
    rows = [row(time=None), row()]
    exported = export(rows, to="usage", out=tmp_path / "a")
    assert (exported.exported, exported.by_code, exported.exit_code) == (1, {"time": 1}, 1)
    exported = export(rows, to="usage", out=tmp_path / "b", arrival_time_is_fine=True)
    assert (exported.exported, exported.exit_code) == (2, 0)
    first = table(tmp_path / "b", "usage-0001.csv")[0]["Timestamp"]
    assert first.endswith("Z")
    assert first != NOW


def test_old_rows_are_exported_and_those_that_are_no_activity_skipped(tmp_path: Path) -> None:
    rows = [row(time="2020-01-01T00:00:00Z"), row(call="identify"), row(call="account")]
    exported = export(rows, to="usage", out=tmp_path)
    assert (exported.exported, exported.skipped) == (1, 2)


def test_a_part_stays_below_the_bytes_that_are_given_and_has_the_header(tmp_path: Path) -> None:
    rows = [row(user=f"u{number}") for number in range(100)]
    exported = export(rows, to="usage", out=tmp_path, max_bytes=500)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) > 5
    assert names[:2] == ["usage-0001.csv", "usage-0002.csv"]
    assert all(path.stat().st_size < 500 for path in tmp_path.iterdir())
    assert [file["path"] for file in exported.files] == [str(tmp_path / name) for name in names]
    users = [each["User ID"] for name in names for each in table(tmp_path, name)]
    assert users == [f"u{number}" for number in range(100)]
    with pytest.raises(OptionsError, match="--max-bytes 50 is too few: the header and one row have"):
        export(rows, to="usage", out=tmp_path / "small", max_bytes=50)
    assert list((tmp_path / "small").iterdir()) == []


def test_dead_letters_requests_and_segments_messages_are_activities_too(tmp_path: Path) -> None:
    params = [["sdr_s", "SP-1-1"], ["sdr_o", "a1_p"], ["sdr_u", "u1"], ["sdr_a", "Login"], ["sdr_m", "App"]]
    rows = [
        {"id": "1", "reason": "refused", "params": params, "time": NOW},
        {**dict(params), "time": NOW},
        {"type": "track", "userId": "u2", "event": "Paid", "properties": {"category": "B"}, "context": {"groupId": "a2"},
         "timestamp": NOW},
        {"sdr_s": "SP-1-1", "sdr_o": "a3", "sdr_o.Plan": "Gold"},
    ]  # fmt: skip
    exported = export(rows, to="usage", out=tmp_path, arrival_time_is_fine=True)
    assert (exported.exported, exported.skipped) == (3, 1)
    found = [tuple(each.values())[:4] for each in table(tmp_path, "usage-0001.csv")]
    assert found == [("a1_p", "u1", "Login", "App")] * 2 + [("a2", "u2", "Paid", "B")]
    refused = export(rows, to="usage", out=tmp_path / "b", service_id="SP-2-2", arrival_time_is_fine=True)
    assert (refused.exported, refused.by_code) == (1, {"other-service": 3})


# -- users and accounts


def test_users_have_one_row_each_with_the_last_value_of_each_attribute(tmp_path: Path) -> None:
    rows = [
        {"account_id": "a1", "user_id": "u1", "user_name": "Marlo", "contact": "true", "user.Role": "Admin"},
        {"account_id": "a1", "user_id": "u2", "user_name": "Avon", "key_contact": "no"},
        {"account_id": "a2", "user_id": "u1", "user_name": "Marlo too", "user.Team": "Blue\r\nRed"},
        {"account_id": "a1", "user_id": "u1", "user.Role": "Owner"},
        {"account_id": "a9"},
    ]
    exported = export(rows, to="users", out=tmp_path)
    assert (exported.exported, exported.skipped, exported.warnings) == (4, 1, {"user.Team": 1})
    assert lines(tmp_path, "users-0001.csv") == [
        "Account ID,User ID,name,Contact,Key Contact,Role,Team",
        "a1,u1,Marlo,yes,,Owner,",
        "a1,u2,Avon,,no,,",
        "a2,u1,Marlo too,,,,Blue Red",
    ]


def test_accounts_have_one_row_each_and_product_accounts_their_parent_and_product(tmp_path: Path) -> None:
    rows = [
        {
            "account_id": "a1",
            "account_name": "Acme, Ltd.",
            "parent_id": "top",
            "foreignkeyid": "K-1",
            "account.Plan": "Gold",
        },
        {"account_id": "a1", "product_id": "ABC", "product_name": "Alphabet", "product.Edition": "EU", "user_id": "u"},
        {"account_id": "a2", "ofid": "O-2", "account.Seats": "5"},
        {"account_id": "a1", "account.Plan": "Pro", "account.Create Date": "2026-01-02"},
    ]
    exported = export(rows, to="accounts", out=tmp_path)
    assert (exported.exported, exported.rejected) == (4, 0)
    found = {each["Account ID"]: each for each in table(tmp_path, "accounts-0001.csv")}
    header = lines(tmp_path, "accounts-0001.csv")[0]
    assert header == "Account ID,account_name,parent_id,product_id,ofid,foreignkeyid,Plan,Edition,Seats,Create Date"
    assert list(found) == ["a1", "a1_ABC", "a2"]
    assert (found["a1"]["account_name"], found["a1"]["parent_id"], found["a1"]["Plan"]) == ("Acme, Ltd.", "top", "Pro")
    assert (found["a1_ABC"]["parent_id"], found["a1_ABC"]["product_id"]) == ("a1", "ABC")
    assert (found["a1_ABC"]["account_name"], found["a1_ABC"]["Edition"]) == ("Alphabet", "EU")
    assert (found["a2"]["ofid"], found["a2"]["foreignkeyid"], found["a2"]["Seats"]) == ("O-2", "", "5")


def test_foreign_keys_of_a_map_stand_before_the_attributes(tmp_path: Path) -> None:
    map_ = """
[account]
id = "tenant"
[account.attributes]
"Plan" = "plan"
[account.foreign_keys]
"Zuora Account ID" = "zuora"
"""
    rows = [{"tenant": "a1", "plan": "Gold"}, {"tenant": "a2", "plan": "Pro", "zuora": "Z-2"}]
    export(rows, to="accounts", out=tmp_path, map=map_)
    assert lines(tmp_path, "accounts-0001.csv") == [
        "Account ID,account_name,parent_id,product_id,ofid,foreignkeyid,Zuora Account ID,Plan",
        "a1,,,,,,,Gold",
        "a2,,,,,,Z-2,Pro",
    ]


def test_an_object_in_the_browsers_shape_says_its_parents_too(tmp_path: Path) -> None:
    rows = [
        {
            "account": {
                "id": "a1",
                "name": "Acme",
                "parent": {"id": "top", "name": "Top"},
                "attributes": {"Plan": "Gold"},
            }
        }
    ]
    export(rows, to="accounts", out=tmp_path)
    found = [
        (each["Account ID"], each["account_name"], each["parent_id"]) for each in table(tmp_path, "accounts-0001.csv")
    ]
    assert found == [("top", "Top", ""), ("a1", "Acme", "top")]


def test_requests_say_of_whom_they_are(tmp_path: Path) -> None:
    request = {
        "sdr_s": "SP-1-1", "sdr_o": "a1_p", "sdr_u": "u1", "sdr_odn": "Acme", "sdr_ofid": "O", "sdr_o.parent_id": "a1",
        "sdr_o.product_id": "p", "sdr_o.Plan": "Gold", "sdr_u.name": "Marlo",
    }  # fmt: skip
    export([request], to="accounts", out=tmp_path)
    [account] = table(tmp_path, "accounts-0001.csv")
    assert [account[name] for name in ("Account ID", "account_name", "parent_id", "product_id", "ofid", "Plan")] == [
        "a1_p", "Acme", "a1", "p", "O", "Gold",
    ]  # fmt: skip
    export([request], to="users", out=tmp_path)
    assert lines(tmp_path, "users-0001.csv")[1] == "a1_p,u1,Marlo,,"


@pytest.mark.parametrize(("to", "most"), [("users", 994), ("accounts", 993)])
def test_a_thousand_columns_are_refused_and_nothing_is_left(to: str, most: int, tmp_path: Path) -> None:
    entity = to[:-1]
    rows = [{"account_id": "a1", "user_id": "u1", f"{entity}.N{number}": "x"} for number in range(most)]
    export(rows, to=to, out=tmp_path / "most")
    assert len(lines(tmp_path / "most", f"{to}-0001.csv")[0].split(",")) == 999
    with pytest.raises(OptionsError, match="1000 columns or more"):
        export([*rows, {"account_id": "a1", "user_id": "u1", f"{entity}.More": "x"}], to=to, out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_hundred_thousand_accounts_keep_their_order_and_their_last_values(tmp_path: Path) -> None:
    def rows() -> Any:
        for turn in range(2):
            for number in range(50_000):
                yield {
                    "account_id": f"a{number}",
                    "account.Turn": str(turn),
                    "account.Only": "x" if turn == 0 else None,
                }

    exported = export(rows(), to="accounts", out=tmp_path, max_bytes=1_000_000)
    found = [each for file in exported.files for each in table(tmp_path, os.path.basename(file["path"]))]
    assert [each["Account ID"] for each in found] == [f"a{number}" for number in range(50_000)]
    assert {(each["Turn"], each["Only"]) for each in found} == {("1", "x")}


# -- collections


def test_collections_have_one_file_for_each_type(tmp_path: Path) -> None:
    map_ = """
[account]
id = "tenant"
[collection]
id = "vessel"
type = { value = "vessels" }
[collection.attributes]
"Flag" = { column = "flag", case = "upper" }
[where]
kind = ["v"]
"""
    source = tmp_path / "vessels.csv"
    source.write_text(
        "tenant,vessel,flag,kind,other\na1,v_1,no,v,x\na1,v_2,,v,x\na2,v 3,no,v,x\na1,v_1,se,v,x\na1,v_9,,w,x\n"
    )
    exported = export(source, to="collections", out=tmp_path / "out", map=map_)
    assert (exported.rows, exported.exported, exported.skipped) == (5, 3, 1)
    assert (exported.by_code, exported.examples[0]["line"]) == ({"invalid": 1}, 4)
    assert exported.unused_columns == ["other"]
    assert lines(tmp_path / "out", "collections-vessels-0001.csv") == [
        "Account ID,Collection ID,Flag",
        "a1,v_1,SE",
        "a1,v_2,",
    ]


def test_collections_are_known_by_the_names_of_their_columns(tmp_path: Path) -> None:
    rows = [
        {"account_id": "a1", "collection_id": "c1", "collection_type": "vessels", "collection.Flag": "NO"},
        {"account": {"id": "a2"}, "collection_id": 7, "collection_type": "sites"},
        {"account_id": "a3", "collection_id": "c-3"},
        {"account_id": "a3", "collection_id": "c3", "collection_type": "a type"},
        {"account_id": None, "collection_id": "c3"},
        {"account_id": "a3", "collection_id": "c3"},
    ]
    exported = export(rows, to="collections", out=tmp_path)
    assert (exported.exported, exported.by_code) == (3, {"invalid": 3})
    assert [each["fields"] for each in exported.examples] == [["collection"], ["collection"], ["account"]]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["collections-0001.csv", "collections-sites-0001.csv", "collections-vessels-0001.csv"]
    assert lines(tmp_path, "collections-sites-0001.csv") == ["Account ID,Collection ID,Flag", "a2,7,"]


def test_a_file_without_a_collections_id_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("account_id\na1\n")
    with pytest.raises(OptionsError, match="has no usable column: name it collection_id"):
        export(source, to="collections", out=tmp_path / "out")


def test_a_value_of_a_collection_that_does_not_fit_is_rejected(tmp_path: Path) -> None:
    map_ = '[account]\nid = "a"\n[collection]\nid = "c"\n[collection.attributes]\nN = { column = "n", number = "," }'
    exported = export(
        [{"a": "1", "c": "2", "n": "x"}, {"a": "1", "c": "2", "n": "1,5"}], to="collections", out=tmp_path, map=map_
    )
    assert (exported.by_code, exported.exported) == ({"value": 1}, 1)
    assert lines(tmp_path, "collections-0001.csv")[1] == "1,2,1.5"


# -- what is wrong


def test_rejected_rows_are_kept_can_be_mended_and_exported(tmp_path: Path) -> None:
    source = tmp_path / "events.csv"
    source.write_text(
        f'account_id,user_id,activity,module,time\nAcme Inc.,u1,Login,App,{NOW}\na1,u1,Login,App,{NOW}\n"a2,u1\n'
    )
    exported = export(source, to="usage", out=tmp_path / "out")
    assert (exported.exported, exported.by_code) == (1, {"invalid": 1, "quote": 1})
    assert exported.rejected_files == [f"{source}.rejected.csv", f"{source}.rejected.raw"]
    mended = Path(exported.rejected_files[0])
    mended.write_text(mended.read_text().replace("Acme Inc.", "acme", 1))
    again = export(mended, to="usage", out=tmp_path / "again")
    assert (again.exported, again.rejected) == (1, 0)


@pytest.mark.parametrize("to", ["usage", "accounts"])
def test_an_earlier_export_is_not_overwritten_without_force(to: str, tmp_path: Path) -> None:
    rows = [row(user=f"u{number}") for number in range(20)]
    export(rows, to=to, out=tmp_path, max_bytes=300)
    with pytest.raises(OptionsError, match=f"{to}-0001.csv' is there already: give another --out, or --force"):
        export(rows, to=to, out=tmp_path)
    with pytest.raises(OptionsError, match="-0001.csv' is a source: give another --out"):
        export(tmp_path / f"{to}-0001.csv", to=to, out=tmp_path, force=True)
    export(rows[:1], to=to, out=tmp_path, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{to}-0001.csv"]


def test_wrong_use_is_told(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="to='events' is wrong: it is one of usage, users"):
        export([row()], to="events", out=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionsError, match="cannot be made"):
        export([row()], to="usage", out=tmp_path / "file" / "out")


def test_without_duckdb_usage_works_and_the_others_name_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert export([row()], to="usage", out=tmp_path).exported == 1
    with pytest.raises(OptionsError, match=r"pip install 'totango-sdk\[replay\]'"):
        export([row()], to="users", out=tmp_path)


def test_progress_is_told_and_a_limit_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totango_sdk.export.run._PROGRESS_SECONDS", 0)
    told: list[int] = []
    exported = export(
        [row()] * 10, to="usage", out=tmp_path, limit=4, on_progress=lambda so_far: told.append(so_far.rows)
    )
    assert (exported.rows, told) == (4, [1, 2, 3, 4])


# -- the command


def test_the_command_writes_files_and_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "events.ndjson"
    source.write_text("".join(json.dumps(each) + "\n" for each in (row(), row(account="Acme Inc."))))
    out = str(tmp_path / "out")
    assert main(["export", str(source), "--to", "usage", "--out", out]) == 1
    told = capsys.readouterr().out
    assert HISTORICAL in told
    assert "line 2: invalid: account: 'Acme Inc.'" in told
    assert f"rejected rows: {source}.rejected.ndjson" in told
    assert f"{out}/usage-0001.csv: 1 rows" in told
    assert main(["export", str(source), "--to", "usage", "--out", out, "--force", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["export"], told["to"], told["rows"], told["exported"], told["rejected"]) == (1, "usage", 2, 1, 1)
    assert (told["sources"][0]["format"], told["by_code"]) == ("ndjson", {"invalid": 1})


def test_the_command_says_what_it_cannot_do_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "none.csv"), "--to", "usage", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    wrong = ["export", "x.csv", "--to", "usage", "--out", str(tmp_path), "--service-id", "SP-XXXX-XX"]
    assert main(wrong) == 2
    assert "placeholder" in capsys.readouterr().err.replace("\n", " ")


def test_the_command_tells_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("totango_sdk.export.run._PROGRESS_SECONDS", 0)
    monkeypatch.setattr("totango_sdk.cli.progress._PLAIN_SECONDS", 0.0)
    source = tmp_path / "events.ndjson"
    source.write_text((json.dumps(row()) + "\n") * 3)
    assert (
        main(["export", str(source), "--to", "usage", "--out", str(tmp_path / "out"), "--service-id", "SP-1234-01"])
        == 0
    )
    told = capsys.readouterr().err.splitlines()
    assert [line.split(" (")[0] for line in told] == ["1 rows", "2 rows", "3 rows"]
    assert told[-1].endswith("/s), 0 rejected")


def test_an_export_that_is_stopped_leaves_no_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> Any:
        yield row()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(rows(), to="usage", out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_keys_that_mean_nothing_are_told(tmp_path: Path) -> None:
    exported = export([row(Else="x")], to="users", out=tmp_path)
    assert exported.unused_columns == ["Else"]

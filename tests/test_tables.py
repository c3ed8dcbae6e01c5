"""Rows from files: their lines, their text, and what becomes of broken ones."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import json
import os
import random
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from totango_sdk import OptionsError
from totango_sdk.tables import (
    Broken,
    NoZone,
    Position,
    Reading,
    Unfit,
    expanded,
    iso,
    open_source,
    read_map,
    read_time,
    recognised,
    suggested_map,
    zone,
)

if TYPE_CHECKING:
    from pathlib import Path


def read(data: bytes, **how: str) -> list[tuple[int, object]]:
    source = open_source(io.BytesIO(data), Reading(**how))
    return [(line, row.code if isinstance(row, Broken) else row) for line, row in source.rows()]


def rows_of(data: bytes, **how: str) -> list[object]:
    return [row for _, row in read(data, **how)]


# -- CSV

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
ODD = st.text(st.sampled_from(list("\",;\t|\r\n\\N' ab\0\u2028")), max_size=8)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(st.lists(TEXT | ODD, min_size=3, max_size=3), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_the_csv_module_writes_comes_back_as_the_same_text(rows, delimiter, end, quoting, encoding):
    # With LF as its end, csv.writer leaves a last field's CR bare before it: nobody can tell that from CRLF.
    bare = end == "\n" and quoting == csv.QUOTE_MINIMAL
    rows = [[text.replace("\r", "\n") if bare else text for text in row] for row in rows]
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerows([["a", "b", "c"], *rows])
    assert rows_of(file.getvalue().encode(encoding), delimiter=delimiter) == rows


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.lists(TEXT | ODD, min_size=3, max_size=3), min_size=1, max_size=8))
def test_a_dialect_with_a_backslash_comes_back_as_the_same_text(rows):
    file = io.StringIO(newline="")
    writer = csv.writer(file, doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([["a", "b", "c"], *rows])
    assert rows_of(file.getvalue().encode(), escape="\\") == rows


@settings(max_examples=400, deadline=None)
@given(
    data=st.binary(max_size=400) | ODD.map(str.encode) | st.lists(ODD).map(lambda all_: "".join(all_).encode()),
    head=st.sampled_from([b"", b"a,b\n", b"\xff\xfe", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"[", b"{", b"[{"]),
    kind=st.sampled_from([None, "csv", "ndjson", "json", "log", "parquet"]),
)
def test_random_bytes_never_raise_anything_but_an_options_error(data, head, kind):
    try:
        found = read(head + data, **({} if kind is None else {"format": kind}))
    except OptionsError:
        return
    lines = [line for line, _ in found]
    assert lines == sorted(lines)


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_every_line_of_a_broken_file_is_told_or_read(seed):
    """Lines without a quote are one row each, whatever stands between them."""
    chance = random.Random(seed)
    lines = [chance.choice(["a,b", 'a,"b', '"a",b', 'a,"b"c', "a", "a,b,c", '"x\ny",b']) for _ in range(30)]
    body = "\n".join(["h,k", *lines, ""])
    found = dict(read(body.encode()))
    at = 2
    inside = {line + 1 for line, row in found.items() if isinstance(row, list) and "\n" in "".join(row)}
    for text in body.split("\n")[1:-1]:
        if at not in inside:
            assert at in found, (body, at)
            if text == "a,b":
                assert found[at] == ["a", "b"]
        at += 1


def test_a_row_over_the_end_of_a_block_is_one_row():
    long = "x\n" * 200_000
    body = f'a,b\n1,"{long}"\n2,y\n'
    assert read(body.encode()) == [(2, ["1", long]), (200_003, ["2", "y"])]


def test_a_quote_open_for_more_than_a_mebibyte_costs_one_line():
    body = 'a,b\n1,"open\n' + "2,y\n" * 400_000
    source = open_source(io.BytesIO(body.encode()))
    rows = list(source.rows())
    assert (rows[0].line, rows[0].values.code) == (2, "quote")
    assert len(rows) == 400_001
    assert rows[-1] == (400_002, ["2", "y"])
    assert 200_000 < source.reread <= 400_000


def test_a_line_of_ten_megabytes_is_passed_over():
    body = b"a,b\n1," + b"x" * 10_000_000 + b"\n2,y\n"
    assert read(body) == [(2, "too-large"), (3, ["2", "y"])]
    assert read(b'{"a":1}\n{"b":"' + b"x" * 10_000_000 + b'"}\n{"c":1}\n') == [
        (1, {"a": 1}), (2, "too-large"), (3, {"c": 1}),
    ]  # fmt: skip


def test_the_limit_of_the_csv_module_is_put_back():
    before = csv.field_size_limit()
    read(b"a,b\n1," + b"x" * 500_000 + b"\n")
    assert csv.field_size_limit() == before


def test_a_cut_gzip_ends_with_its_last_line_rejected():
    body = gzip.compress(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n * n) for n in range(5000)))
    source = open_source(io.BytesIO(body[: len(body) // 2]))
    rows = list(source.rows())
    assert source.is_cut
    assert [row.values.code for row in rows if isinstance(row.values, Broken)] == ["cut-short"]
    assert rows[10].values == ["10", "100"]
    assert isinstance(rows[-1].values, Broken)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (b"\n\n", "no header"),
        (b"PK\x03\x04rest", "Excel"),
        (b"\x00\x01\x02\x00" * 20, "no text"),
        (b"\x1f\x8b\x08rubbish", "gzip"),
        (b"PAR1rubbish", "path"),
        (",".join(f"c{n}" for n in range(1000)).encode() + b"\n", "1000 columns"),
        (b"na\xefve,b\n1,2\n", "not utf-8"),
    ],
)
def test_what_concerns_a_whole_file_is_one_error(data, said):
    with pytest.raises(OptionsError, match=said):
        read(data)


def test_files_that_cannot_be_opened_are_named(tmp_path: Path):
    with pytest.raises(OptionsError, match="not there"):
        open_source(tmp_path / "none.csv")
    with pytest.raises(OptionsError, match="directory"):
        open_source(tmp_path)
    with pytest.raises(OptionsError, match="no file matches"):
        expanded([str(tmp_path / "*.csv")])
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(OptionsError, match="Parquet"):
        open_source(tmp_path / "x.parquet")


# -- the same rows in every dress

ROWS = [{"id": "a1", "n": "1"}, {"id": 'b, "2"', "n": "2"}, {"id": "ü\n3", "n": "3"}]


def dresses() -> dict[str, bytes]:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([["id", "n"], *([row["id"], row["n"]] for row in ROWS)])
    plain = file.getvalue().encode()
    return {
        "csv": plain,
        "csv.gz": gzip.compress(plain[:20]) + gzip.compress(plain[20:]),
        "csv.zst": zstandard.compress(plain),
        "ndjson": "".join(json.dumps(row) + "\n" for row in ROWS).encode(),
        "json": json.dumps(ROWS, indent=1).encode(),
    }


@pytest.mark.parametrize("dress", ["csv", "csv.gz", "csv.zst", "ndjson", "json", "parquet"])
def test_the_same_rows_come_out_of_every_format(dress: str, tmp_path: Path):
    path = tmp_path / f"rows.{dress}"
    if dress == "parquet":
        import duckdb

        values = "('a1','1'), ('b, \"2\"','2'), ('ü\n3','3')"
        duckdb.sql(f"copy (select * from (values {values}) t(id, n)) to '{path}' (format parquet)")
    else:
        path.write_bytes(dresses()[dress])
    source = open_source(path)
    found = [dict(zip(source.columns, row, strict=True)) if source.columns else row for _, row in source.rows()]
    assert found == ROWS
    source.close()


def test_content_beats_the_name(tmp_path: Path):
    path = tmp_path / "rows.csv"
    path.write_bytes(dresses()["ndjson"])
    source = open_source(path)
    assert source.format == "ndjson"
    assert "read as ndjson" in source.notes[0]
    source.close()


@pytest.mark.parametrize("dress", ["csv", "csv.gz", "ndjson", "json"])
def test_reading_goes_on_from_any_position(dress: str, tmp_path: Path):
    path = tmp_path / f"rows.{dress}"
    path.write_bytes(dresses()[dress])
    first = open_source(path)
    batches = list(first.batches())
    rows = [row for batch in batches for row in batch.rows]
    nexts = [line for batch in batches for line in batch.next_lines]
    ends = [end for batch in batches for end in batch.ends]
    for at in range(len(rows)):
        again = open_source(path)
        batches = list(again.batches(Position(at + 1, nexts[at], ends[at])))
        assert [row for batch in batches for row in batch.rows] == rows[at + 1 :]
        again.close()
    first.close()
    if dress == "csv":
        assert ends[-1] == os.path.getsize(path)


# -- JSON


def test_an_array_goes_on_behind_a_broken_element():
    body = b'[\n {"a":1},\n {"a":},\n {"a":3},\n 5,\n {"a":NaN},\n {"a":"\xff"}\n]'
    assert read(body) == [
        (2, {"a": 1}), (3, "json"), (4, {"a": 3}), (5, "not-object"), (6, "json"), (7, "encoding"),
    ]  # fmt: skip


def test_an_array_of_many_chunks_is_read_element_by_element():
    many = [{"n": n, "t": "x" * 100} for n in range(20_000)]
    found = read(json.dumps(many, indent=1).encode())
    assert [row for _, row in found] == many
    assert found[1][0] == 6


def test_a_cut_array_ends_with_a_rejected_element():
    assert read(b'[{"a":1},\n{"a":2') == [(1, {"a": 1}), (2, "cut-short")]


def test_json_that_is_nested_too_deep_or_has_a_huge_number_costs_its_line():
    deep = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    huge = b'{"a":' + b"1" * 10_000 + b"}\n"
    assert read(deep + huge + b'{"a":1}\n', format="ndjson") == [(1, "json"), (2, "json"), (3, {"a": 1})]


# -- columns and times


def test_columns_are_known_in_any_dress():
    found = recognised(["Account ID", "user-id", "Timestamp", "account.Plan", "USER.Key Contact", "x"])
    assert {at: meaning.name for at, meaning in found.items()} == {
        0: "account.id", 1: "user.id", 2: "time", 3: "account.Plan", 4: "user.key_contact",
    }  # fmt: skip
    assert found[3].is_attribute
    assert not found[4].is_attribute
    with pytest.raises(OptionsError, match="two columns mean account.id: 'account' and 'Account ID'"):
        recognised(["account", "Account ID"])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00.000Z"),
        ("2026-11-24 10:00:00.5+02:00", "2026-11-24T08:00:00.500Z"),
        ("2026-11-24T10:00-0530", "2026-11-24T15:30:00.000Z"),
        ("1795514400", "2026-11-24T10:00:00.000Z"),
        ("1795514400.25", "2026-11-24T10:00:00.250Z"),
        ("1795514400123", "2026-11-24T10:00:00.123Z"),
        ("1795514400123456", "2026-11-24T10:00:00.123Z"),
        ("1795514400123456789", "2026-11-24T10:00:00.123Z"),
    ],
)
def test_a_time_is_read_in_utc(text: str, meant: str):
    assert iso(read_time(text, None)) == meant


def test_a_time_without_a_zone_is_never_guessed():
    with pytest.raises(NoZone):
        read_time("2026-11-24 10:00:00", None)
    assert iso(read_time("2026-07-24 10:00:00", zone("Europe/Paris"))) == "2026-07-24T08:00:00.000Z"
    with pytest.raises(OptionsError, match="IANA"):
        zone("Mars/Olympus")
    assert iso(read_time(dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None)) == "2026-01-01T00:00:00.000Z"


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01T00:00:00Z", "", "-5", "9" * 40, "٣"])
def test_what_is_no_time_is_refused(text: str):
    with pytest.raises(Unfit):
        read_time(text, None)


# -- maps


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[acount]\nid = 'x'", "did you mean 'account'"),
        ("[account]\nidd = 'x'", "did you mean 'id'"),
        ("[account]\nid = { colum = 'x' }", "did you mean 'column'"),
        ("[account]\nid = { column = 'x', value = 'y' }", "one of column and value"),
        ("[account]\nid = { column = 'x', case = 'title' }", "lower or upper"),
        ("[account.attributes]\nA = { column = 'x', date = '%d.%m.%Y %H:%M' }", "timezone"),
        ("[account\n", "no TOML"),
        ("[where]\nx = 5", "list of texts"),
    ],
)
def test_a_wrong_map_is_told_by_its_key(text: str, said: str):
    with pytest.raises(OptionsError, match=said):
        read_map(text)


def test_a_map_names_the_column_that_is_missing():
    with pytest.raises(OptionsError, match="did you mean 'tenant'"):
        read_map("[account]\nid = 'tenent'").check_columns(("tenant", "x"))


def test_a_suggested_map_is_a_map_and_shows_the_other_columns():
    data = b'account_id,account.Plan "A",user_id,activity,category,x\na1,G,u1,Login,App,7\na2,G,u1,Login,App,8\n'
    text = suggested_map(open_source(io.BytesIO(data)))
    found = read_map(text)
    assert found.sources["account.id"].column == "account_id"
    assert found.attributes["account"]['Plan "A"'].column == 'account.Plan "A"'
    assert '# "x": "7", "8"' in text

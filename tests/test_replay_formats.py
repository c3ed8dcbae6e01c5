"""The same rows in every format make the same bodies, byte for byte, as `wire` makes them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from totango_sdk import Account, Product, User
from totango_sdk.calls import Call
from totango_sdk.cli import main
from totango_sdk.recall import Recall
from totango_sdk.replay import preview
from totango_sdk.wire import requests

if TYPE_CHECKING:
    from servers import Collector

TOTANGO = str(Path(sysconfig.get_path("scripts"), "totango"))
COLUMNS = (
    "account_id", "account_name", "account.Plan", "product_id", "user_id", "user.Role", "activity", "module", "timestamp",
)  # fmt: skip
Row = dict[str, str | None]


def rows() -> list[Row]:
    """Rows with everything that could be told apart by a format: numbers, dates, quotes, line ends, nothing."""
    found = []
    for number in range(60):
        found.append(
            {
                "account_id": ("007", "1E5", "true", "null-1", "a_b")[number % 5],
                "account_name": ("Ärger & Söhne", 'Quote "q"; Ltd', "tab\tand|bar", None)[number % 4],
                "account.Plan": ("0123", "1.0", " padded ", "12:30", None, "2026-01-02")[number % 6],
                "product_id": ("docs", None, None)[number % 3],
                "user_id": f"u{number % 7}@x.com",
                "user.Role": ("true", "False", "1e400", "two\nlines", None)[number % 5],
                "activity": ("Login", "Paid, in full", "Überweisung 100%")[number % 3],
                "module": "App",
                "timestamp": "2026-11-24T10:00:00Z",
            }
        )
    return found


def as_csv(given: list[Row], **dialect: Any) -> str:
    file = io.StringIO(newline="")
    writer = csv.writer(file, **dialect)
    writer.writerows([COLUMNS, *([row[name] for name in COLUMNS] for row in given)])
    return file.getvalue()


def as_ndjson(given: list[Row]) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in given)


def as_parquet(given: list[Row], path: Path) -> bytes:
    names = ", ".join(f'"{name}" VARCHAR' for name in COLUMNS)
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE given ({names})")
        marks = ", ".join("?" * len(COLUMNS))
        connection.executemany(
            f"INSERT INTO given VALUES ({marks})", [[row[name] for name in COLUMNS] for row in given]
        )
        connection.execute(f"COPY given TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


def bodies_of_wire(given: list[Row]) -> list[bytes]:
    recall, bodies = Recall(3600), []
    for row in given:
        said = {name.partition(".")[2]: value for name, value in row.items() if value is not None}
        account = Account(
            row["account_id"] or "",
            name=row["account_name"],
            attributes={"Plan": said["Plan"]} if "Plan" in said else {},
        )
        user = User(row["user_id"] or "", attributes={"Role": said["Role"]} if "Role" in said else {})
        product = None if row["product_id"] is None else Product(row["product_id"])
        event = Call("track", row["activity"], row["module"], account, user, product).event()
        bodies += [request.body for request in requests("SP-1234-01", event, recall.due)]
    return bodies


PLAIN = as_csv(rows()).encode()
DRESSES = {
    "csv": PLAIN,
    "lf.csv": as_csv(rows(), lineterminator="\n").encode(),
    "bom.csv": PLAIN.decode().encode("utf-8-sig"),
    "utf16.csv": PLAIN.decode().encode("utf-16"),
    "semicolon.csv": as_csv(rows(), delimiter=";").encode(),
    "tsv": as_csv(rows(), delimiter="\t").encode(),
    "quoted.csv": as_csv(rows(), quoting=csv.QUOTE_ALL).encode(),
    "csv.gz": gzip.compress(PLAIN[:999]) + gzip.compress(PLAIN[999:]),
    "csv.zst": zstandard.compress(PLAIN),
    "ndjson": as_ndjson(rows()),
    "ndjson.gz": gzip.compress(as_ndjson(rows())),
    "ndjson.zst": zstandard.compress(as_ndjson(rows())),
    "json": json.dumps(rows(), indent=1).encode(),
    "json.gz": gzip.compress(json.dumps(rows()).encode()),
    "parquet": b"",
}


def options(collector: Collector) -> list[str]:
    where = ["--service-id", "SP-1234-01", "--endpoint", collector.endpoint]
    return [*where, "--max-connections", "1", "--arrival-time-is-fine", "--json"]


@pytest.mark.parametrize("dress", DRESSES)
def test_a_file_makes_the_bodies_that_wire_makes(
    dress: str, collector: Collector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"rows.{dress}"
    data = DRESSES[dress] or as_parquet(rows(), tmp_path / "made")
    path.write_bytes(data)
    assert main(["replay", str(path), *options(collector)]) == 0
    assert json.loads(capsys.readouterr().out)["delivered"] == 60
    assert [request.body for request in collector.requests] == bodies_of_wire(rows())


@pytest.mark.parametrize("dress", ["csv", "csv.gz", "csv.zst", "ndjson", "json"])
def test_standard_input_makes_the_same(dress: str, collector: Collector) -> None:
    done = subprocess.run(
        [TOTANGO, "replay", "-", *options(collector)],
        input=DRESSES[dress],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [request.body for request in collector.requests] == bodies_of_wire(rows())


def meant(source: Any) -> list[dict[str, Any]]:
    """Return what rows mean, but for their lines and the wording of a reason."""
    found = preview(source, service_id="SP-1234-01", now="2026-11-24T12:00:00Z")
    return [{name: value for name, value in each.items() if name not in ("line", "reason")} for each in found]


TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)
VALUE = st.one_of(
    st.none(), TEXT, st.sampled_from(["007", "1E5", "true", "null", "-", '"', "a;b", "x\r\ny", "\\N", "=1"])
)
TIME = st.one_of(st.none(), st.sampled_from(["2026-11-24T10:00:00Z", "1795514400", "2020-01-01T00:00:00Z", "soon"]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given=st.lists(
        st.fixed_dictionaries({name: TIME if name == "timestamp" else VALUE for name in COLUMNS}),
        min_size=1,
        max_size=6,
    )
)
def test_any_rows_mean_the_same_in_every_format(given: list[Row], tmp_path: Path) -> None:
    # A line with nothing in it is no row of a CSV file.
    given = [row for row in given if any(value is not None for value in row.values())]
    if not given:
        return
    expected = meant(given)
    written = as_csv(given, quoting=csv.QUOTE_ALL).encode()
    assert meant(io.BytesIO(written)) == expected
    assert meant(io.BytesIO(gzip.compress(written))) == expected
    assert (
        meant(io.BytesIO(zstandard.compress(as_csv(given, quoting=csv.QUOTE_ALL, delimiter=";").encode()))) == expected
    )
    assert meant(io.BytesIO(as_ndjson(given))) == expected
    assert meant(io.BytesIO(json.dumps(given).encode())) == expected
    path = tmp_path / "rows.parquet"
    as_parquet(given, path)
    assert meant(path) == expected

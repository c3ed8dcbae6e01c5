"""Replay where something goes wrong: hooks that raise, sources that grow, disks without room."""

from __future__ import annotations

import gzip
import io
import os
from pathlib import Path
from typing import Any

import attrs
import pytest
import zstandard

from totango_sdk import OptionsError, SpoolFull, Totango
from totango_sdk.replay import replay
from totango_sdk.replay.ledger import Ledger
from totango_sdk.replay.rejected import RejectedFiles
from totango_sdk.replay.seen import Seen
from totango_sdk.tables import open_source
from totango_sdk.testing import RecordingTransport

HEAD = "account_id,user_id,activity,module\n"


def lines(rows: range) -> bytes:
    return "".join(f"a{row % 7},u{row},Seen {row},App\n" for row in rows).encode()


def client(transport: Any = None, **options: Any) -> Totango:
    return Totango("SP-0000-00", transport=transport or RecordingTransport(), spool="memory", **options)


def sent(path: Any, **flags: Any) -> tuple[list[str], Any]:
    transport = RecordingTransport()
    report = replay(path, client(transport), **flags)
    return [value for pairs in transport.sent for name, value in pairs if name == "sdr_a"], report


# -- before_send


def test_a_row_on_which_before_send_raises_is_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(HEAD.encode() + lines(range(20)))

    def hook(event: Any) -> Any:
        if event.activity == "Seen 3":
            raise KeyError("plan")
        return "no event" if event.activity == "Seen 4" else event

    report = replay(path, client(before_send=hook))
    assert (report.delivered, report.rejected, report.by_code) == (18, 2, {"invalid": 2})
    reasons = [example["reason"] for example in report.examples]
    assert reasons[0].startswith("before_send raised KeyError") and "before_send returned 'no event'" in reasons[1]
    assert b"Seen 3" in (tmp_path / "e.csv.rejected.csv").read_bytes()


def test_what_before_send_drops_is_skipped() -> None:
    rows = [{"account_id": "a", "user_id": "u", "activity": "L", "module": "M"}]
    report = replay(rows, client(before_send=lambda event: None))
    assert (report.skipped, report.delivered) == (1, 0)
    assert "1 rows skipped: dropped by before_send" in report.notes


def test_two_products_that_a_hook_makes_one_are_refused() -> None:
    rows = [
        {"account_id": "a", "product_id": product, "user_id": "u", "activity": "L", "module": "M"}
        for product in ("b_c", "d")
    ]

    def hook(event: Any) -> Any:
        return attrs.evolve(event, account="a_b", product="c") if event.product.id == "d" else event

    report = replay(rows, client(before_send=hook))
    assert (report.delivered, report.by_code) == (1, {"invalid": 1})
    assert "Totango would merge the two" in report.examples[0]["reason"]


# -- options of the client


def test_a_request_that_would_be_too_large_is_rejected_and_says_so() -> None:
    account = {"id": "a", "attributes": {f"Field {number}": "x" * 400 for number in range(2000)}}
    row = {"account": account, "user": "u", "activity": "L", "module": "M"}
    report = replay([row, {**row, "account": "b"}], client())
    assert (report.delivered, report.by_code) == (1, {"invalid": 1})
    assert "bytes long; at most 524288 are sent" in report.examples[0]["reason"]


def test_extra_id_characters_hold_in_replay_as_in_track() -> None:
    rows = [
        {"account_id": "acme/1", "user_id": "u", "activity": "L", "module": "M"},
        {"sdr_s": "SP-0000-00", "sdr_o": "acme/2", "sdr_u": "u", "sdr_a": "L", "sdr_m": "M"},
    ]
    assert replay(rows, client()).rejected == 2
    report = replay(rows, client(extra_id_characters="/"))
    assert (report.delivered, report.rejected) == (2, 0)


# -- sources that grow


def gz(data: bytes) -> bytes:
    return gzip.compress(data)


def zst(data: bytes) -> bytes:
    return bytes(zstandard.ZstdCompressor().compress(data))


def utf16(data: bytes) -> bytes:
    return data.decode().encode("utf-16-le")


@pytest.mark.parametrize(("ending", "pack"), [("gz", gz), ("zst", zst), ("csv", bytes), ("txt", utf16)])
def test_what_a_source_has_grown_by_is_sent(tmp_path: Path, ending: str, pack: Any) -> None:
    path = tmp_path / f"e.csv.{ending}"
    bom = b"\xff\xfe" if pack is utf16 else b""
    path.write_bytes(bom + pack(HEAD.encode() + lines(range(10))))
    assert len(sent(path)[0]) == 10
    with path.open("ab") as file:
        file.write(pack(lines(range(10, 15))))
    activities, report = sent(path)
    assert sorted(activities) == sorted(f"Seen {row}" for row in range(10, 15))
    assert (report.rows, report.earlier, report.delivered) == (15, 10, 5)
    assert any("has grown" in note for note in report.notes)
    assert sent(path)[0] == []


@pytest.mark.parametrize("pack", [gz, bytes])
def test_a_source_that_has_grown_within_its_last_line_is_refused(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(pack(HEAD.encode() + lines(range(10)).rstrip(b"\n")))
    sent(path)
    with path.open("ab") as file:
        file.write(pack(b"lication\n"))
    with pytest.raises(OptionsError, match="within its last line"):
        sent(path)


def test_a_packed_source_with_other_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "e.csv.gz"
    path.write_bytes(gzip.compress(HEAD.encode() + lines(range(10)), mtime=1))
    sent(path)
    path.write_bytes(gzip.compress(HEAD.encode() + lines(range(10)), mtime=2) + gz(b"a,b,c,d\n"))
    with pytest.raises(OptionsError, match="is not the source"):
        sent(path)


def test_a_source_that_grows_while_it_is_read_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(HEAD.encode() + lines(range(5)) + b"a1,u")
    grown: list[int] = []

    def hook(event: Any) -> Any:
        if not grown:
            grown.append(1)
            with path.open("ab") as file:
                file.write(b"5,Seen 5,App\n")
        return event

    first = replay(path, client(before_send=hook))
    assert first.rows == 6
    report = sent(path)[1]
    assert report.rows == 6


# -- limits, and several sources


def test_a_limit_is_no_end(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(HEAD.encode() + lines(range(10)))
    first, report = sent(path, limit=4)
    assert (len(first), report.rows) == (4, 4)
    rest, report = sent(path)
    assert sorted(first + rest) == sorted(f"Seen {row}" for row in range(10))
    assert (report.earlier, report.delivered) == (4, 6)


def test_several_sources_share_one_ledger_and_keep_their_rejected_rows(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.csv", "b.csv")]
    for at, path in enumerate(paths):
        path.write_bytes(HEAD.encode() + lines(range(5 * at, 5 * at + 5)) + b"bad id,u,L,M\n")
    flags = {"ledger": tmp_path / "all.ledger", "rejected": tmp_path / "bad"}
    activities, report = sent(paths, **flags)
    assert (len(activities), report.rejected) == (10, 2)
    assert [Path(path).name for path in report.rejected_files] == ["bad.csv", "bad-2.csv"]
    assert all(b"bad id" in Path(path).read_bytes() for path in report.rejected_files)
    again, report = sent(paths, **flags)
    assert (again, report.earlier, report.rows) == ([], 12, 12)


def test_equal_rows_of_several_sources_are_sent_once_with_one_ledger(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.csv", "b.csv")]
    for path in paths:
        path.write_bytes(HEAD.encode() + lines(range(5)))
    report = sent(paths, ledger=tmp_path / "all.ledger", unique=True)[1]
    assert (report.delivered, report.skipped) == (5, 5)


def test_rows_that_are_all_too_old_behind_where_a_run_goes_on_are_rejected(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    row = "a,u,L,M,{}\n"
    path.write_text(HEAD.replace("\n", ",time\n") + row.format("2999-01-01T00:00:00Z") * 3)
    sent(path)
    with path.open("a") as file:
        file.write(row.format("2001-01-01T00:00:00Z") * 2)
    report = sent(path)[1]
    assert (report.earlier, report.by_code) == (3, {"too-old": 2})


# -- without room


def test_a_ledger_without_room_says_so_each_time(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger"))
    ledger._db.execute("PRAGMA max_page_count = 6")
    with pytest.raises(SpoolFull, match="Make room on its disk"):
        for at in range(1000):
            ledger.keep({"mark": "x" * 1000}, range(at * 100, at * 100 + 100))
    with pytest.raises(SpoolFull):
        ledger.keep({})
    ledger.close()


def test_calls_that_a_full_ledger_cannot_remember_end_the_run(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger"))
    ledger._db.execute("PRAGMA max_page_count = 6")
    with pytest.raises(SpoolFull):
        for at in range(10_000):
            ledger.is_first(os.urandom(16), at)
    ledger.close()


def test_rejected_rows_without_room_end_the_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(HEAD.encode() + b"bad id,u,L,M\n" * 10 + lines(range(300)))

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("totango_sdk.replay.rejected.os.write", full)
        with pytest.raises(SpoolFull, match="No space left on device.*the same command goes on"):
            sent(path)
    activities, report = sent(path)
    assert report.rejected == 10
    assert {f"Seen {row}" for row in range(300)} - set(activities) == set() or report.earlier


def test_many_rejected_rows_are_written_before_they_fill_the_memory(tmp_path: Path) -> None:
    files = RejectedFiles(str(tmp_path / "bad"), open_source(io.BytesIO(b"a\n")))
    from totango_sdk.tables import Broken

    for _ in range(5):
        files.add_raw(Broken("json", "wrong", b"x" * (1 << 19)))
    assert (tmp_path / "bad.raw").stat().st_size > 1 << 20
    files.close()


def test_a_token_is_in_no_file_of_rejected_rows(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(b"account_id,user_id,activity,module,api_token,url\nbad id,u,L,M,SECRET,x?api-token=SECRET&y=1\n")
    with path.open("ab") as file:
        file.write(b'a,u,L,M,x,"api-token=SECRET\n')
    sent(path)
    lists = tmp_path / "e.ndjson"
    lists.write_text('{"account_id": "bad id", "api_token": "SECRET", "x": {"y": ["api-token=SECRET"]}, "n": 1}\n')
    sent(lists)
    for file in tmp_path.glob("*.rejected.*"):
        assert "SECRET" not in file.read_text(), file
    assert len(list(tmp_path.glob("*.rejected.*"))) == 3


def test_more_calls_than_fit_into_memory_are_remembered_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("totango_sdk.replay.seen._IN_MEMORY", 50)
    seen = Seen()
    calls = [number.to_bytes(16, "big") for number in range(200)]
    assert all(map(seen.is_first, calls))
    assert not any(map(seen.is_first, calls))
    assert seen._many is not None
    seen._many.execute("PRAGMA max_page_count = 1")
    with pytest.raises(SpoolFull, match="temporary files"):
        for number in range(200, 20_000):
            seen.is_first(number.to_bytes(16, "big"))
    seen.close()


def test_a_dry_run_counts_what_is_there_twice() -> None:
    data = HEAD.encode() + lines(range(5)) * 3
    assert sent(io.BytesIO(data), dry_run=True)[1].warnings == {"duplicate": 10}

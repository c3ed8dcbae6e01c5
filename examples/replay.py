"""Sends recorded events from a CSV file to Totango, and tells which lines are wrong and why.

    python examples/replay.py events.csv --service-id SP-1234-01 --endpoint http://127.0.0.1:8035/pixel.gif/

The file has a header with the columns account_id, account_name, product_id, user_id, user_name,
activity and module; product_id may be empty. There is no column for the time, because Totango has
no place for it: an event counts as happening when it arrives.

A wrong line stops nothing. It becomes a dead letter, which keeps the whole event and every reason.
Exit codes: 0 all lines delivered, 1 some lines wrong or still waiting, 2 wrong use.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from typing import TYPE_CHECKING

from totango_sdk import Account, Product, Totango, TotangoError, User

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO

    from totango_sdk import DeadLetter

    Rows = Iterator[tuple[int, dict[str, str]]]

COLUMNS = ("account_id", "account_name", "product_id", "user_id", "user_name", "activity", "module")


class WrongUse(Exception):
    """The file is not what this script takes."""


class Replay:
    """Tracks rows, and remembers from which line each event came."""

    def __init__(self, service_id: str | None, endpoint: str | None) -> None:
        self.rows = 0
        self.is_delivered = False
        self._line = 0
        self._lines: dict[str, int] = {}
        self._dead: list[tuple[int | None, str, str]] = []
        self._client = Totango(service_id, endpoint=endpoint, on_dead_letter=self._died)

    def run(self, rows: Rows) -> None:
        """Track every row, then wait until each is delivered or dead."""
        with self._client as client:
            for self._line, row in rows:
                event_id = self._track(row)
                if event_id is not None:
                    self._lines[event_id] = self._line
                self.rows += 1
                progress(f"{self.rows} rows")
            progress("waiting for delivery")
            self.is_delivered = client.flush(timeout=60)

    def _track(self, row: dict[str, str]) -> str | None:
        if None in row:  # the csv module's name for what is left over
            reason = f"has more than the {len(row) - 1} fields of the first line. Quote a value that has a comma in it"
            self._dead.append((self._line, "", reason))
            return None
        return self._client.track(
            row["activity"],
            row["module"],
            account=Account(row["account_id"], name=row["account_name"]),
            user=User(row["user_id"], name=row["user_name"]),
            product=Product(row["product_id"]) if row["product_id"] else None,
        )

    def _died(self, letter: DeadLetter, reason: str) -> None:
        # A wrong event dies within `track`, untried, at the current line. One that the collector
        # refuses dies later; `dead` finds its line by its id.
        line = self._line if letter.attempts == 0 else None
        self._dead.append((line, letter.id, reason))

    @property
    def dead(self) -> list[tuple[int, str]]:
        """The line and the reason of each event that was given up, in the order of the file.

        Line 0 stands for what is no line's own event: the request that tells an account's name, or
        an event that an earlier run left in the spool.
        """
        return sorted((line or self._lines.get(event_id, 0), reason) for line, event_id, reason in self._dead)


def read(file: TextIO) -> Rows:
    """Yield each row with the number of its line in the file."""
    reader = csv.DictReader(file, restval="")
    try:
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            found = ", ".join(reader.fieldnames or ()) or "nothing"
            msg = f"has no column {missing[0]!r} in its first line; it has {found}. Name the columns there"
            raise WrongUse(msg)
        for row in reader:
            yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as error:
        msg = f"cannot be read after line {reader.line_num}: {error}. Save it as CSV in UTF-8"
        raise WrongUse(msg) from error


def progress(text: str) -> None:
    """Show `text` in place of the last one on a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        print(f"{text}\033[K", end="\r", file=sys.stderr, flush=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line. argparse itself exits with 2 for wrong use."""
    parser = argparse.ArgumentParser(description="Send recorded events from a CSV file to Totango.")
    parser.add_argument("file", metavar="FILE", help="CSV in UTF-8, with a header")
    parser.add_argument("--service-id", help="SP-<digits>-<digits>; without it, TOTANGO_SERVICE_ID")
    parser.add_argument("--endpoint", help="another collector, such as the sandbox; without it, TOTANGO_ENDPOINT")
    parser.add_argument("--json", action="store_true", help="print the summary for a program to read")
    return parser.parse_args(arguments)


def report(replay: Replay, *, as_json: bool) -> None:
    """Print what became of the rows."""
    if as_json:
        dead = [{"line": line, "reason": reason} for line, reason in replay.dead]
        print(json.dumps({"rows": replay.rows, "dead": dead, "is_delivered": replay.is_delivered}))
        return
    for line, reason in replay.dead:
        print(f"line {line}: {reason}" if line else f"beside the lines: {reason}")
    wrong = sum(line > 0 for line, _ in replay.dead)
    print(f"{replay.rows} rows: {replay.rows - wrong} sent, {wrong} dead")
    if not replay.is_delivered:
        print("Not all that was sent has been delivered. It waits in the spool, and the next run goes on with it")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the script and return its exit code."""
    given = parse(arguments)
    try:
        with open(given.file, encoding="utf-8-sig", newline="") as file:
            replay = Replay(given.service_id, given.endpoint)
            replay.run(read(file))
    except OSError as error:
        print(f"replay: {given.file!r} cannot be opened: {error.strerror}. Give a CSV file", file=sys.stderr)
        return 2
    except WrongUse as error:
        print(f"replay: {given.file!r} {error}", file=sys.stderr)
        return 2
    except TotangoError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("replay: stopped. What was sent and is not delivered waits in the spool", file=sys.stderr)
        return 130
    finally:
        progress("")
    report(replay, as_json=given.json)
    return 0 if replay.is_delivered and not replay.dead else 1


if __name__ == "__main__":
    sys.exit(main())

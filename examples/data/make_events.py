"""Writes events.csv: 1,000 recorded events of a document-sharing product, five of them wrong.

    python examples/data/make_events.py

The file is the same each time. The wrong rows stand for what goes wrong in real exports: a display
name where an ID belongs, a lost user, a text that ran into the activity.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from random import Random

EVENTS = Path(__file__).with_name("events.csv")
COLUMNS = ("account_id", "account_name", "product_id", "user_id", "user_name", "activity", "module")
ROWS = 1_000

ACCOUNTS = (
    ("482101", "Hartwell Legal", "hartwell.example"),
    ("482102", "Brandt, Lehmann & Partner", "brandt-lehmann.example"),
    ("482107", "Café Olé S.A.", "cafe-ole.example"),
    ("482113", "Nordlys Shipping AS", "nordlys.example"),
    ("482118", "Okafor Engineering", "okafor.example"),
    ("482120", 'Studio "Quattro" Architetti', "quattro.example"),
    ("482131", "Silverline Insurance", "silverline.example"),
    ("482139", "株式会社みらい", "mirai.example"),
    ("482144", "Praha Robotics s.r.o.", "praha-robotics.example"),
    ("482150", "Tamarind Foods", "tamarind.example"),
    ("482162", "Redwood County Schools", "redwood.example"),
    ("482177", "Zielona Energia", "zielona.example"),
)
PEOPLE = (
    ("amina", "Amina"),
    ("bjorn", "Bjørn"),
    ("carlos", "Carlos"),
    ("daphne", "Daphne"),
    ("emeka", "Emeka"),
    ("francesca", "Francesca"),
    ("greta", "Greta"),
)
# An empty product: usage of the account itself.
ACTIVITIES = (
    ("", "Login", "App"),
    ("", "Login", "App"),
    ("", "Settings changed", "Settings"),
    ("", "Invoice viewed", "Billing"),
    ("docs", "Document uploaded", "Documents"),
    ("docs", "Document viewed", "Documents"),
    ("docs", "Document viewed", "Documents"),
    ("docs", "Document viewed", "Documents"),
    ("docs", "Document shared", "Sharing"),
    ("docs", "Link opened", "Sharing"),
    ("docs", "Comment added", "Collaboration"),
    ("sign", "Signature requested", "Signing"),
    ("sign", "Document signed", "Signing"),
    ("sign", "Reminder sent", "Signing"),
)
# A letter's whole text, where the name of an activity belongs.
LETTER = (
    "Document shared: Dear all, please find attached the second draft of the framework agreement for the coming year, "
    "with our remarks in the margin. We would be glad to have your answer by Friday next week at noon"
)
# The line in the file, the column, and what is wrong there.
FAULTS = {
    118: ("account_id", "Hartwell Legal"),
    307: ("user_id", ""),
    520: ("activity", LETTER),
    744: ("account_id", "482.113"),
    903: ("activity", "Document\tviewed"),
}


def rows() -> list[dict[str, str]]:
    """Return the rows, faults included, in the order of the file. Line 1 is the header."""
    random = Random("totango")
    made = []
    for line in range(2, ROWS + 2):
        row = _row(random)
        if line in FAULTS:
            column, wrong = FAULTS[line]
            row[column] = wrong
        made.append(row)
    return made


def text() -> str:
    """Return the whole file."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows())
    return file.getvalue()


def _row(random: Random) -> dict[str, str]:
    at = _below(random, len(ACCOUNTS))
    account_id, account_name, domain = ACCOUNTS[at]
    # Larger customers have more people, and every second one has bought Paperboat Sign.
    who, user_name = PEOPLE[_below(random, 3 + at % 5)]
    bought = [each for each in ACTIVITIES if at % 2 == 0 or each[0] != "sign"]
    product_id, activity, module = bought[_below(random, len(bought))]
    values = (account_id, account_name, product_id, f"{who}@{domain}", user_name, activity, module)
    return dict(zip(COLUMNS, values, strict=True))


def _below(random: Random, limit: int) -> int:
    """Return a number from 0 to below `limit`. Of `Random`, only `random()` is the same in every
    Python version.
    """
    return int(random.random() * limit)


if __name__ == "__main__":
    EVENTS.write_text(text(), encoding="utf-8", newline="")
